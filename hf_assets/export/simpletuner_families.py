"""How SimpleTuner caches each family's tensors, as data: what its trainer reads, from what the pipeline gives.

Facts of SimpleTuner 4.10.1. Its latents are normalised by the rule that ours are, so none is computed again.

Shape letters: L tokens, D width, C latent channels, T steps of audio.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_assets.config.model_families import FAMILIES
from hf_assets.errors import ModelError

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

# The width of the text that tells Stable Diffusion 2 from 1, whose pipelines are of one class.
SD2_WIDTH = 1024
# To how many tokens ACE-Step's pipeline cuts text.
ACE_STEP_TOKENS = 256


class Caption(NamedTuple):
    """What a family's text cache is made of.

    Attributes:
        tensors: as the pipeline names and shapes them, without a batch axis.
        empty: those of the empty caption.
        mask: (L,), of the longest tokenizer: 1 where a token is; None where nothing asks for it.
    """

    tensors: "Tensors"
    empty: "Tensors | None"
    mask: "torch.Tensor | None"


# What makes one cached tensor.
Make = Callable[[Caption], "torch.Tensor"]


def _alone(name: str) -> Make:
    """As it is, in a batch of one: (L, D) -> (1, L, D)."""
    return lambda caption: caption.tensors[name].unsqueeze(0)


def _pooled(caption: Caption) -> "torch.Tensor":
    """(D,), which has no batch axis there either."""
    return caption.tensors["pooled_prompt_embeds"]


def _mask(name: str) -> Make:
    """(L,) -> (1, L) whole numbers, as tokenizers give them."""
    return lambda caption: caption.tensors[name].long().unsqueeze(0)


def _flat_mask(caption: Caption) -> "torch.Tensor":
    """(L,) whole numbers, without a batch axis."""
    return caption.tensors["prompt_attention_mask"].long()


def _all_tokens(caption: Caption) -> "torch.Tensor":
    """(1, L) ones, where the pipeline pads nothing and so gives no mask."""
    import torch

    return torch.ones(1, len(caption.tensors["prompt_embeds"]), dtype=torch.int64)


def _mask_or_all(name: str) -> Make:
    return lambda caption: _mask(name)(caption) if name in caption.tensors else _all_tokens(caption)


def _padded(make: Make, tokens: int) -> Make:
    """With zeros behind the last token, so that captions can be stacked; text that is longer stays whole."""

    def padded(caption: Caption) -> "torch.Tensor":
        import torch

        made = make(caption)
        missing = max(tokens - made.shape[1], 0)
        return torch.cat([made, made.new_zeros(1, missing, *made.shape[2:])], dim=1)

    return padded


def _tokenizer_mask(caption: Caption) -> "torch.Tensor":
    assert caption.mask is not None, "asked for by `needs_mask_of`"
    return caption.mask.unsqueeze(0)


def _zeros_for_ids(caption: Caption) -> "torch.Tensor":
    """(1, L, 3), the positions of text, which has none."""
    import torch

    return torch.zeros(1, len(caption.tensors["prompt_embeds"]), 3)


def _empty(name: str) -> Make:
    """That of the empty caption, in a batch of one."""

    def make(caption: Caption) -> "torch.Tensor":
        assert caption.empty is not None, "asked for by `needs_empty`"
        return caption.empty[name].unsqueeze(0)

    return make


class CachedForm(NamedTuple):
    """How a family's caches look.

    Attributes:
        pipelines: classes of diffusers whose tensors these are.
        text: name in its text cache -> what makes it.
        tokens: how many tokens its own text has; a trainer that mixes ours with its own empty caption needs the same
            number. None: any.
        is_float32: its latents are kept in float32 whatever `vae_dtype` says.
        is_audio: its latents are `{"latents": (T, C), "latent_lengths": T, "lyrics": text}`.
        needs_mask_of: the tokenizer whose mask its text cache holds.
        needs_empty: whether each caption's cache holds the empty caption, too.
        also: what else its configs call the family; the names of the text cache's files end in what the config says.
        version: changes when its text cache does.
    """

    pipelines: tuple[str, ...]
    text: Mapping[str, Make]
    tokens: int | None = None
    is_float32: bool = False
    is_audio: bool = False
    needs_mask_of: str | None = None
    needs_empty: bool = False
    also: tuple[str, ...] = ()
    version: int = 1


_EMBEDS = MappingProxyType({"prompt_embeds": _alone("prompt_embeds")})
_POOLED = MappingProxyType({**_EMBEDS, "pooled_prompt_embeds": _pooled})
_FLAT_MASKED = MappingProxyType({**_EMBEDS, "attention_mask": _flat_mask})
_MASKED = MappingProxyType({**_EMBEDS, "attention_masks": _mask("prompt_attention_mask")})

# SimpleTuner's `model_family` -> how it caches
FORMS: dict[str, CachedForm] = {
    "sd1x": CachedForm(("StableDiffusionPipeline",), _EMBEDS, tokens=77),
    "sd2x": CachedForm(("StableDiffusionPipeline",), _EMBEDS, tokens=77),
    "sdxl": CachedForm(("StableDiffusionXLPipeline",), _POOLED, tokens=77),
    "sd3": CachedForm(("StableDiffusion3Pipeline",), _POOLED, tokens=77 + 154),
    "flux": CachedForm(
        ("FluxPipeline",),
        {**_POOLED, "time_ids": _zeros_for_ids, "attention_masks": _tokenizer_mask},
        needs_mask_of="tokenizer_2",
    ),
    "qwen_image": CachedForm(
        ("QwenImagePipeline",), {**_EMBEDS, "attention_masks": _mask_or_all("prompt_embeds_mask")}
    ),
    "sana": CachedForm(("SanaPipeline",), _FLAT_MASKED, tokens=300, version=2),
    "pixart_sigma": CachedForm(("PixArtSigmaPipeline",), _FLAT_MASKED, tokens=300, also=("pixart",), version=2),
    # What it calls attention masks is the empty caption's embed.
    "wan": CachedForm(
        ("WanPipeline", "WanImageToVideoPipeline"),
        {**_EMBEDS, "attention_masks": _empty("prompt_embeds")},
        tokens=512,
        needs_empty=True,
    ),
    "ltxvideo": CachedForm(("LTXPipeline", "LTXImageToVideoPipeline"), _MASKED, tokens=128, is_float32=True),
    # Lyrics are encoded while it trains, from the text that lies beside the latents.
    "ace_step": CachedForm(
        ("AceStepPipeline",),
        {
            "prompt_embeds": _padded(_alone("text_hidden_states"), ACE_STEP_TOKENS),
            "attention_masks": _padded(_mask("text_attention_mask"), ACE_STEP_TOKENS),
        },
        is_audio=True,
        version=2,
    ),
}


def family_of(class_name: str, named: str | None, width: int | None) -> str:
    """The family whose caches a pipeline's are written as.

    Args:
        named: as the config names it, if so.
        width: D of the captions' embeds.

    Raises:
        ModelError: how it caches isn't known.
    """
    if named is not None:
        if named not in FORMS:
            raise ModelError(_unknown(f'family "{named}"'))
        if class_name not in FORMS[named].pipelines:
            raise ModelError(
                f'family "{named}" caches what {" or ".join(FORMS[named].pipelines)} makes, and the model is a '
                f"{class_name}: correct the family"
            )
        return named
    found = [family for family, form in FORMS.items() if class_name in form.pipelines]
    if not found:
        others = [family for family, facts in FAMILIES.items() if facts.pipeline == class_name]
        raise ModelError(_unknown(f'family "{others[0]}" ({class_name})' if others else class_name))
    return "sd2x" if found == ["sd1x", "sd2x"] and width == SD2_WIDTH else found[0]


def _unknown(what: str) -> str:
    return (
        f"how SimpleTuner caches {what} is not known here, so nothing is exported for it: known are "
        f"{', '.join(sorted(FORMS))}"
    )


def cached_text(form: CachedForm, caption: Caption) -> dict[str, Any]:
    """What the text cache holds of one caption."""
    return {name: make(caption).contiguous().clone() for name, make in form.text.items()}


def cached_latents(form: CachedForm, latents: "torch.Tensor", lyrics: str | None) -> Any:
    """What the VAE cache holds of one sample.

    Args:
        latents: (C, …), as stored.
    """
    import torch

    kept = latents.float() if form.is_float32 else latents
    if not form.is_audio:
        return kept.contiguous().clone()
    steps = kept.transpose(0, 1).contiguous().clone()
    found: dict[str, Any] = {"latents": steps, "latent_lengths": torch.tensor(len(steps))}
    return {**found, "lyrics": lyrics} if lyrics else found
