"""`docs/models.md` and `hf-assets families`: `python -m hf_assets.models.families_page > docs/models.md`."""

import math
from typing import NamedTuple

from hf_assets.models.families import FAMILIES, Family, Output, Text

BFLOAT16_BYTES = 2
CAPTION_TOKENS = (20, 77)

INTRODUCTION = """# Models

A config names a pipeline of diffusers, and its VAE and text encoders are used as the pipeline itself uses them. No
code is written per family. Weights of the denoiser are never fetched; weights are read from safetensors only; code
from a repository is never run. This page is made from the table in `hf_assets/models/families.py` (`python -m
hf_assets.models.families_page > docs/models.md`)."""

CAPTIONS = """## How captions are encoded

- `encode_prompt` is called by its signature, with the defaults of `__call__`, since its own aren't what generation
  uses (Wan: 512 tokens where its own default is 226; Sana: a long instruction where its own is none). What
  `__call__` makes of its arguments is followed in its source, without running the pipeline: constants (HunyuanDiT
  calls twice, once for each text encoder, and the second call's outputs end in `_2`), derived arguments
  (NucleusMoE's 1,024 tokens, Sana WM's instruction), and changes of the caption itself (LongCat-AudioDiT lowers its
  case; BRIA FIBO 2 writes JSON compactly; DreamLite puts its task in front). What can't be followed is refused by
  name (LTX's pipeline of several prompts): never is a caption encoded as it isn't given. So is a length or another
  argument that depends on the caption, a choice between calls that a component makes, what chance or the order of a
  set decides, and a caption that arrives otherwise as text than in a list. Where `__call__` decides by what a caption
  says, each is followed, and one with which it can't be is a row of the quarantine, `not_followed`.
- What a language model would write anew when generating (ERNIE-Image's enhancer, LongCat-Image's rewriting) is not
  rewritten: captions are encoded as they are.
- Components that `encode_prompt` reads are loaded, found in its source; all others aren't. Where it needs the
  denoiser's settings, the denoiser stands there without weights.
- A stored value is that of the caption alone. Several captions go into one forward only where the table says so,
  for which a test shows that each gets what it gets alone, to 1e-5.
- Outputs keep the names that `encode_prompt` gives them; those for negative prompts are dropped. The batch axis is
  found by giving the same caption twice; where the pipeline takes no two captions, it is the first axis of one
  element.
- A caption of which the tokenizer makes no token (an empty one, where it adds none of its own) is a row of the
  quarantine, `no_tokens`, where the text encoders can't read nothing.
- Lyrics reach pipelines whose `encode_prompt` takes `lyrics`, and the length of what is encoded of the clip those that
  take `audio_duration`."""

PADDING = """## What a caption takes

Bytes per caption of the example repository in bfloat16, without masks and coordinates: as the pipeline returns it,
and as it is stored for a caption of 20 and of 77 tokens (a template that the pipeline adds comes on top).
`float8_e4m3fn` halves these. Positions beyond the caption aren't stored where nothing is lost by that:

- `none`: the pipeline doesn't pad.
- `zeros`: it fills with zeros. They come back as they were; any tensor's zeros are left out so, in or out of the
  table.
- `ignored`: it returns a mask, and its denoiser attends to nothing beyond it; tests ask a tiny denoiser of each
  such family. These positions come back as zeros: what the pipeline leaves there is another value, that no denoiser
  reads.
- `read`: the denoiser attends to them, so they are stored. Flux, Stable Diffusion and most older families return no
  mask. Chroma returns one that diffusers adds to the attention scores, which excludes nothing. HunyuanDiT pools its
  second encoder's output before it looks at the mask. HiDream's and CogVideoX's values beyond the caption differ
  with the caption, so they can't be stored once either.

In a shard, `{name}.kept` says which positions a tensor's rows are, and `{name}.scale` what to multiply it by
(`hf_assets/store/packing.py`); `TrainingSet` gives whole tensors."""

SETTINGS = """## Settings

In the config's `model` ([config.md](config.md)), part of every key: `embeds_dtype`, in which embeds are stored
(`float8_e4m3fn` keeps a scale for each tensor and is read back as `dtype`; what is lost is in the asset's metadata
as `relative_error`, the root of the sum of squares of what is lost over that of the values); `text_quantization`,
for text encoders with linear layers in 8 or 4 bits (`pip install "hf_assets[quantize]"`; a CPU does it too, slowly,
and 4 bits only where the layers' sizes are multiples of 64). In 8 bits captions are encoded one at a time, since
bitsandbytes would let those of a batch change each other by about 1 %.

Of the `gpu` resource, part of no key: `text_batch_size`, halved by itself where memory doesn't suffice;
`text_offload` or `HF_ASSETS_TEXT_OFFLOAD=1` keeps the text encoders in main memory and brings each layer to the GPU
while it computes. It does not go together with `text_quantization`. Text encoders and VAE are never in memory
together.

`model.text: false` makes latents alone, for a pipeline that reads no captions (`DiTPipeline`) or a model that doesn't:
rows need no captions, `text_embeds` is empty, and `TrainingSet` gives latents with an empty `caption`. A pipeline of
pixels (`DDPMPipeline`) has no VAE either: name one with `model.vae`.

`model.encode_prompt` sets arguments of the pipeline's `encode_prompt` in place of those of its `__call__`: trainers'
scripts choose others than generation does. `{"max_sequence_length": 77}` encodes SD 3 as diffusers' training script
does, `{"complex_human_instruction": null}` Sana without its instruction. Any argument but the caption can be set; it is
checked against the signature, and `hf-assets check` shows it beside what the pipeline would have given."""

SINGLE_FILES = """## Checkpoints in one file

`pretrained_model_name_or_path` may name a checkpoint of one `.safetensors` file, as Civitai and trainers' own exports
are: a path, `user/repository/file.safetensors`, or its address on the Hub (`.../blob/main/file.safetensors`). Its
weights are converted by diffusers' own loading of single files; `.ckpt`, `.pt` and `.bin` are pickles, and refused.
Tokenizers and configurations are those of the repository that diffusers takes for such a file, such as
`stable-diffusion-v1-5/stable-diffusion-v1-5`, which has to be reachable once. Keys hold the file's hash, not its name.
What the file lacks is named with the key that adds it: `vae`, `t5`. `model.vae` may be one file, too, and has then the
settings of the pipeline's own VAE. An address of another revision than `main` sets `revision`."""

UNKNOWN = """## A pipeline that isn't in the table

It works where the rules suffice, and the run says so once. Captions are then encoded one at a time, and only zeros
are left out. It can't work where `encode_prompt` needs more than a caption (an image, a size), where the class
isn't in the installed diffusers, or where the repository brings code of its own; each is an error of one line.

Processors of Qwen 3 VL (Qwen-Image 2.1, BRIA FIBO 2, NucleusMoE, DreamLite) need torchvision for videos, which isn't
a dependency: captions are read without it, by the processor's own code. AudioLDM 2's captions are encoded; its VAE
reads spectrograms, not sound, and is refused."""

ADDING = """## Adding a family

One row in `FAMILIES`, keyed by the pipeline's class:

```python
"PixArtSigmaPipeline": Family(
    "PixArt-Sigma",
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
    text=Text({"prompt_embeds": masked(300, 4096, by="prompt_attention_mask")}, batches=True),
),
```

`text` holds the shape of each output for the longest caption and how it is padded: `Output` (not), `zeros`,
`masked` or `whole`; `batches=True` if several captions may share a forward; `latents` only what the VAE's
configuration doesn't say. Then a tiny pipeline of it in `hf_assets_tests/tiny_pipelines`, and its line in
`models/test_text_families.py`, `test_vae_families.py` and, for `masked`, `test_padding.py`: these tests fail where
the row is wrong, and where one of them is missing. This page is made again."""


class Sizes(NamedTuple):
    """Bytes of one caption's embeddings: as they are returned, and as stored for `CAPTION_TOKENS`."""

    whole: int
    stored: tuple[int, ...]


def page() -> str:
    """The whole page as Markdown."""
    families = sorted(FAMILIES.items(), key=lambda item: (item[1].makes, item[1].title.lower()))
    overview = ["| family | pipeline | makes | example | exceptions of its latents | tested |", "|--|--|--|--|--|--|"]
    overview += [
        f"| {row.title} | `{name}` | {row.makes} | {f'`{row.repository}`' if row.repository else ''} "
        f"| {_exceptions(row)} | {'captions, latents' if is_tested(row) else _refusals(row)} |"
        for name, row in families
    ]
    tokens = " | ".join(f"{count} tokens" for count in CAPTION_TOKENS)
    sizes = [f"| family | output | shape | beyond the caption | returned | {tokens} |", "|--|--|--|--|--:|--:|--:|"]
    for _, row in families:
        for name, output in row.text.outputs.items():
            shape = " × ".join(f"{edge:,}" for edge in output.shape)
            padding = output.padding if len(output.shape) > 1 else ""
            whole, stored = sizes_of(Text({name: output}))
            shown = " | ".join(_size_text(count) for count in (whole, *stored))
            sizes.append(f"| {row.title} | `{name}` | {shape} | {padding} | {shown} |")
    parts = [
        INTRODUCTION,
        "## Families",
        "\n".join(overview),
        CAPTIONS,
        PADDING,
        "\n".join(sizes),
        SETTINGS,
        SINGLE_FILES,
        UNKNOWN,
        ADDING,
    ]
    return "\n\n".join(parts) + "\n"


def listing() -> list[str]:
    """The table for a terminal: a line per family, the header first."""
    rows = [("PIPELINE", "FAMILY", "MAKES", "TESTED", "EXAMPLE")]
    rows += [
        (name, row.title, row.makes, "captions, latents" if is_tested(row) else "-", row.repository)
        for name, row in sorted(FAMILIES.items())
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]


def is_tested(family: Family) -> bool:
    """Whether a tiny pipeline of the family goes through both sides in the tests, which check this."""
    return bool(family.text.outputs)


def sizes_of(text: Text) -> Sizes:
    """What the embeddings of one caption take in bfloat16, each at least one position."""
    outputs = text.outputs.values()
    return Sizes(
        sum(math.prod(output.shape) for output in outputs) * BFLOAT16_BYTES,
        tuple(sum(_num_stored(output, count) for output in outputs) * BFLOAT16_BYTES for count in CAPTION_TOKENS),
    )


def _num_stored(output: Output, num_tokens: int) -> int:
    """Numbers that are stored for a caption of so many tokens."""
    if len(output.shape) == 1 or output.padding == "read":
        return math.prod(output.shape)
    length = max(output.shape[:-1])  # of tokens; where there are layers, they are fewer
    return math.prod(output.shape) // length * min(num_tokens, length)


def _refusals(family: Family) -> str:
    return "captions are refused" if family.text.unsupported else ""


def _exceptions(family: Family) -> str:
    plain = Family().latents._asdict()
    special = {name: value for name, value in family.latents._asdict().items() if value != plain[name]}
    return ", ".join(f"`{name}`" if value is True else f"`{name}` {value}" for name, value in special.items())


def _size_text(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:,.1f} kB"


if __name__ == "__main__":
    print(page(), end="")
