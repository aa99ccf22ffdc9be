"""`docs/simpletuner.md`, made from the tables: `python -m hf_assets.config.simpletuner_page > docs/simpletuner.md`."""

from collections.abc import Iterable

from hf_assets.config import family_defaults, trainer_keys
from hf_assets.config.config_file import ImageEmbeds, TextEmbeds
from hf_assets.config.entries import AUDIO_OF_VIDEOS
from hf_assets.config.model_families import FAMILIES, USUAL_ALIGNMENT_PX, ModelFamily

INTRODUCTION = """# SimpleTuner's files

`multidatabackend.json` and `config.json` work as they are. This page says what happens with each of their keys that
touches what is cached. It is made from the code (`python -m hf_assets.config.simpletuner_page`); what our own keys mean
is in [config.md](config.md).

## Which file

`HF_ASSETS_CONFIG` names either of the two:

- `config.json`, with or without leading dashes before its keys. Its `data_backend_config` (default:
  `multidatabackend.json`) names the list of datasets, relative to its own folder, else to the folders above it, else to
  the working directory.
- the list of datasets; the `config.json` beside it then gives the model and the defaults.

Both may be wrapped as SimpleTuner's page saves them, `{"_metadata": …, "config": …}`. Paths are relative to the file in
which they are written; `instance_data_dir`, files of captions and of `caption_filter_list`, and datasets and models
that are written as paths (`./mine`) are then looked for in the folders above and in the working directory, as the list
itself. Caches that no key places lie beside the file that was named. A mistake is reported at the file and key where it
was written.

In paths, `{id}` is the entry's id, `{model_family}` and `{output_dir}` are config.json's, and `{env:NAME}` is an
environment variable. Another placeholder, a variable that isn't set, and `{output_dir}` without an `output_dir` are
errors. Numbers and flags may be written as text; null and an empty text say nothing.

Functions that filters name lie in modules that `plugins` of config.json lists, or `HF_ASSETS_PLUGINS`
(`mine,others`)."""

FAMILY_TEXT = f"""## The model

`pretrained_model_name_or_path` names the repository, else `model_family` and `model_flavour` do, or the family's
default flavour; our own form has `model.family` and `model.flavour`. `hf-assets check` says which repository was taken,
and why.

Where a family is written, it decides what no key says: `aspect_bucket_alignment`, and of videos `is_i2v`, `num_frames`
({family_defaults.USUAL_SECONDS} seconds of `framerate`, which is {family_defaults.USUAL_RATE:g} by default) and
`min_frames` (as `num_frames`). Where a family has 16 or 32, another alignment in config.json is an error; an entry may
have its own.

A family without a pipeline is refused, unless `pretrained_model_name_or_path` names one: diffusers has none of it whose
encoders can be loaded."""


def page() -> str:
    """The whole page as Markdown."""
    return "\n\n".join([INTRODUCTION, FAMILY_TEXT, _families(), _config_keys(), _entry_keys()]) + "\n"


def _families() -> str:
    rows = [_family(name, family) for name, family in sorted(FAMILIES.items())]
    return _table(("family", "default flavour, repository", "other flavours", "alignment, px", "pipeline"), rows)


def _family(name: str, family: ModelFamily) -> tuple[str, ...]:
    default = family.default
    others = [f"`{flavour}`" for flavour in family.repositories if flavour != default]
    usual = f"`{default}`: {family.repositories[default]}" if default else "none: name one"
    alignment = str(family.alignment or USUAL_ALIGNMENT_PX)
    alignment += "".join(f"; `{flavour}` {px}" for flavour, px in family.alignments.items())
    first_frame = "from the first frame" if family.is_i2v else ""
    if family.i2v_flavours:
        first_frame = f"`{family.i2v_flavours}…` from the first frame"
    pipeline = ", ".join(filter(None, [f"`{family.pipeline}`" if family.pipeline else "none", first_frame]))
    return f"`{name}`", usual, ", ".join(others), alignment, pipeline


def _config_keys() -> str:
    parts = [
        "## Keys of config.json",
        _table(("key", "here"), [(f"`{key}`", what) for key, what in sorted(trainer_keys.HONOURED.items())]),
        "Values that would change what is encoded and can't be kept are errors:",
        _table(
            ("key", "why"),
            [
                *((f"`{key}`", why) for key, why in sorted(trainer_keys.REFUSED.items())),
                ("`pretrained_…_model_name_or_path` of another text encoder", trainer_keys.OTHER_ENCODERS),
            ],
        ),
        "All other keys are the trainer's, and listed once by `hf-assets check`. Those that change how much memory and "
        "time encoding takes, and not what is encoded, are among them; text encoders compute unquantized, in the type "
        f"that `vae_dtype` says: {_names(trainer_keys.OF_THE_TRAINER)}.",
    ]
    return "\n\n".join(parts)


def _entry_keys() -> str:
    blocks = (f"`{block}.{key}`" for block, keys in trainer_keys.IN_BLOCKS.items() for key in sorted(keys))
    parts = [
        "## Entries of the list of datasets",
        f"Honoured, as [config.md](config.md) describes them: {_names(trainer_keys.OF_DATASETS)}. In "
        f"`text_embeds`: {_names(set(TextEmbeds.model_fields) - {'trainer'})}; in `image_embeds`: "
        f"{_names(set(ImageEmbeds.model_fields) - {'trainer'})} (type `memory` is a folder too). `type` is `local` "
        "by default.",
        f"The trainer's, on any entry, and kept for the reader: {_names(trainer_keys.TRAINER_ONLY)}; in blocks: "
        f"{', '.join(blocks)}; keys that begin with {_names(trainer_keys.OF_BACKENDS)}; and in `text_embeds` and "
        "`image_embeds` all keys of datasets.",
        "Left out, with a line that says so:",
        _table(
            ("key or `dataset_type`", "why"),
            [
                *((f"`{key}`", why) for key, why in sorted(trainer_keys.LEFT_OUT.items())),
                ("`audio` of a video dataset; audio datasets with `audio.source_from_video`", AUDIO_OF_VIDEOS),
                *((f'`"dataset_type": "{kind}"`', why) for kind, why in sorted(trainer_keys.ELSEWHERE.items())),
            ],
        ),
        f'`"dataset_type": "{trainer_keys.EVALUATION}"` is made like a dataset of images. `"type": "aws"` is a folder '
        "of media in a bucket, by its `aws_bucket_name`, `aws_data_prefix`, `aws_endpoint_url` and `aws_region_name`, "
        "or, in `text_embeds` and `image_embeds`, a cache there, by the first two and its `cache_dir`; of caches the "
        "endpoint and the region are the environment's. So are credentials in any case, and "
        f"{_names(trainer_keys.SECRETS)} are not read.",
        "Errors, one line each:",
        _table(
            ("type or key", "what to do"),
            [
                *((f'`"type": "{kind}"`', what) for kind, what in sorted(trainer_keys.UNREADABLE.items())),
                *((f"`filter_func.{key}`", "not supported yet: remove it") for key in sorted(trainer_keys.NOT_YET)),
            ],
        ),
    ]
    return "\n\n".join(parts)


def _names(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in sorted(keys))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("--",) * len(head), *rows]
    return "\n".join(f"|{'|'.join('--' if cell == '--' else f' {cell} ' for cell in line)}|" for line in lines)


if __name__ == "__main__":
    print(page(), end="")
