"""SimpleTuner's caches: a file for each sample and each caption, three tables in JSON, and a config that names them.

    PLACE/multidatabackend.json                             all datasets of the folder, for the trainer
    {generation}/huggingface_metadata/{id}/….json           buckets, geometry, captions
    {generation}/vae/{SHA-256 of the row's number}.pt       latents
    {generation}/text/{MD5 of the caption}-{family}.pt      embeds
    {generation}/dataset/train-00000-of-00001.parquet       rows without media, which give the trainer the numbers

The trainer numbers samples by their rows in the split. It opens a data set of as many rows, whose media it then never
reads; so it is given one of ours, in which they are null: no dataset has to be fetched again, and what would be missing
can't be encoded from anything else.
"""

import functools
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import AudioSettings, VideoSettings
from hf_assets.config.training_part import KEYS as PART_KEYS
from hf_assets.errors import StoreError
from hf_assets.export import simpletuner_families
from hf_assets.export.empty_caption import Embed, empty_caption
from hf_assets.export.job import Job
from hf_assets.export.place import ENTRIES, Generation, Place, Write, write_bytes, write_parquet
from hf_assets.export.simpletuner_families import FORMS, CachedForm, Caption
from hf_assets.export.view import View
from hf_assets.export.writing import Written, write_missing
from hf_assets.models import model_loading
from hf_assets.models.components import text_components
from hf_assets.models.pipeline import INDEX, Pipeline

if TYPE_CHECKING:
    import torch

# Bump when a change to this module changes a payload; of text, see the version of its form.
VERSION = 1
CONFIG = "multidatabackend.json"
BESIDE: tuple[str, ...] = (CONFIG,)
VAE, TEXT, ROWS = "vae", "text", "dataset/train-00000-of-00001.parquet"
GEOMETRY = ("original_size", "intermediary_size", "target_size", "crop_top_left")
# More than the keys of a part of a mixture, what an entry says to the trainer about when it takes part.
SAMPLING = (*PART_KEYS, "timestep_sampling_offset", "slider_strength", "disable_validation")
# Digits to which the trainer rounds an aspect.
ASPECT_DIGITS = 2


def make(job: Job) -> tuple[Generation, Written]:
    """Write what the pool lacks of a training set, and say what its folder is to hold.

    Raises:
        ModelError: how SimpleTuner caches this family isn't known.
        StoreError: the folder, or a tensor, can't be read or written.
    """
    view, say = job.view, job.say
    pipeline = view.pipeline()
    width = _width(view)
    family = simpletuner_families.family_of(pipeline.class_name, view.recipe.family, width)
    form = FORMS[family]
    empty = None if form.is_audio else empty_caption(view)
    latents, latent_at = _latent_names(view, form)
    texts, text_at = _text_names(view, family, form, empty)
    tensors = _Tensors(view, form, pipeline, empty)
    wanted = {name: functools.partial(tensors.latents, index) for name, index in latent_at.items()}
    wanted |= {name: functools.partial(tensors.text, index) for name, index in text_at.items()}
    written = write_missing(job.place, wanted, job.known, f"exporting {view.recipe.id}", say)
    _say_tokens(view, family, form, say)
    return (
        Generation(
            job.version,
            pa.concat_tables([latents, texts]),
            _tables(view, form),
            {"family": family, "samples": len(view.table)},
        ),
        written,
    )


def _say_tokens(view: View, family: str, form: CachedForm, say: Callable[[str], None]) -> None:
    """Report text of another length than the trainer's own, beside which it can't lie in a batch."""
    if form.tokens is None or not len(view.table):
        return
    length = len(view.training.embeds[0]["prompt_embeds"])
    if length != form.tokens:
        say(
            f"{view.recipe.id}: captions have {length} tokens, and SimpleTuner's own text of {family} has "
            f"{form.tokens}: to let it drop captions in batches, set model.tokenizer_max_length so that both are equal"
        )


def _width(view: View) -> int | None:
    tensors = view.training.embeds[0] if len(view.table) else {}
    return tensors["prompt_embeds"].shape[-1] if "prompt_embeds" in tensors else None


def _latent_names(view: View, form: CachedForm) -> tuple[pa.Table, dict[str, int]]:
    """The files of latents; and of each payload, a sample that it is made from."""
    names, payloads = [], []
    found: dict[str, int] = {}
    columns = ("row", "latent_key", *(("lyrics",) if _has_lyrics(view, form) else ()))
    for row in view.rows(*columns):
        facts = [VERSION, row["latent_key"], form.is_float32, form.is_audio, row.get("lyrics") or ""]
        payload = f"{fingerprint.of_value(['latents', *facts])}.pt"
        found.setdefault(payload, row["index"])
        names.append(f"{VAE}/{latent_name(row['row'])}")
        payloads.append(payload)
    return pa.table({"name": pa.array(names, pa.string()), "object": pa.array(payloads, pa.string())}), found


def _text_names(view: View, family: str, form: CachedForm, empty: Embed | None) -> tuple[pa.Table, dict[str, int]]:
    """The files of embeds; and of each payload, the caption that it is made from; -1 is the empty one."""
    names: dict[str, str] = {}
    found: dict[str, int] = {}
    keys: dict[str, str] = {}
    beside = empty.key if empty is not None and form.needs_empty else ""

    def add(caption: str, key: str, index: int) -> None:
        if keys.setdefault(caption, key) != key:
            return  # of audio: the same words with other lyrics or another duration
        payload = f"{fingerprint.of_value(['text', form.version, family, key, beside])}.pt"
        names.update({f"{TEXT}/{text_name(caption, called)}": payload for called in (family, *form.also)})
        found.setdefault(payload, index)

    if empty is not None:
        add("", empty.key, -1)
    index = 0
    for row in view.rows("captions", "embed_keys"):
        for caption, key in zip(row["captions"], row["embed_keys"], strict=True):
            add(caption, key, index)
            index += 1
    return pa.table({"name": pa.array(names, pa.string()), "object": pa.array(names.values(), pa.string())}), found


def latent_name(row: int) -> str:
    """The name that the trainer gives the latents of a row."""
    return f"{hashlib.sha256(str(row).encode()).hexdigest()}.pt"


def text_name(caption: str, family: str) -> str:
    """The name that it gives the embed of a caption."""
    return f"{hashlib.md5(caption.encode(), usedforsecurity=False).hexdigest()}-{family}.pt"


def _has_lyrics(view: View, form: CachedForm) -> bool:
    return form.is_audio and "lyrics" in view.table.column_names


class _Tensors:
    """Makes payloads of what is stored."""

    def __init__(self, view: View, form: CachedForm, pipeline: Pipeline, empty: Embed | None) -> None:
        self.view, self.form, self.pipeline, self.empty = view, form, pipeline, empty
        self.captions = pc.list_flatten(view.table["captions"])

    def latents(self, index: int) -> Write:
        stored = self.view.training.latents[index]["latents"]
        lyrics = self.view.table["lyrics"][index].as_py() if _has_lyrics(self.view, self.form) else None
        return _save(simpletuner_families.cached_latents(self.form, stored, lyrics))

    def text(self, index: int) -> Write:
        empty = None if self.empty is None else self.empty.tensors
        tensors = empty if index < 0 else self.view.training.embeds[index]
        assert tensors is not None
        mask = None
        if self.form.needs_mask_of is not None:
            words = "" if index < 0 else self.captions[index].as_py()
            mask = self._mask(words, len(tensors["prompt_embeds"]))
        return _save(simpletuner_families.cached_text(self.form, Caption(tensors, empty, mask)))

    def _mask(self, words: str, length: int) -> "torch.Tensor":
        with model_loading.quiet():
            tokens = self._tokenizer(
                words, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
        mask: torch.Tensor = tokens["attention_mask"][0].long()
        return mask

    @functools.cached_property
    def _tokenizer(self) -> Any:
        component = next(one for one in text_components(self.pipeline) if one.name == self.form.needs_mask_of)
        folder = component.repository.fetch([INDEX, *component.files])
        return model_loading.load_small(component, folder)


def _save(content: Any) -> Write:
    """What writes tensors that `torch.load` reads with `weights_only=True`."""
    import torch

    def write(path: Path) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        path.write_bytes(buffer.getbuffer())

    return write


def _tables(view: View, form: CachedForm) -> dict[str, Write]:
    """The three tables, written row by row, and the rows that give the trainer its numbers."""
    id = view.recipe.id
    folder = f"huggingface_metadata/{id}"
    buckets, aspects = _buckets(view)
    return {
        f"{folder}/aspect_ratio_bucket_indices_{id}.json": write_bytes(
            json.dumps(
                {
                    "config": {},
                    "aspect_ratio_bucket_indices": buckets,
                    "filtering_statistics": {"total_processed": len(view.table), "skipped": SKIPPED},
                }
            ).encode()
        ),
        f"{folder}/aspect_ratio_bucket_metadata_{id}.json": _write_json(lambda: _metadata(view, form, aspects)),
        f"{folder}/aspect_ratio_bucket_indices_{id}.json_captions.json": _write_json(lambda: _captions(view)),
        ROWS: _write_rows(view),
    }


# What the trainer counts of rows that it leaves out; none is left out here.
SKIPPED = dict.fromkeys(
    (
        *("already_exists", "quality", "metadata_missing", "not_found"),
        *("too_small", "too_few_frames", "too_many_frames", "error"),
    ),
    0,
)


def _buckets(view: View) -> tuple[dict[str, list[str]], dict[tuple[int, ...], str]]:
    """Bucket -> files; and shape of the latents -> bucket.

    The trainer's buckets are rounded aspects, and it stacks what lies in one: shapes with the same rounded aspect are
    given numbers that differ behind the digits that it rounds to.
    """
    names: dict[tuple[int, ...], str] = {}
    used: set[str] = set()
    found: dict[str, list[str]] = defaultdict(list)
    for row in view.rows("file", "target_size", "latent_shape", "bucket"):
        shape = tuple(row["latent_shape"])
        if shape not in names:
            names[shape] = _distinct(_aspect(row), used)
            used.add(names[shape])
        found[names[shape]].append(row["file"])
    return dict(found), names


def _aspect(row: Mapping[str, Any]) -> str:
    if row["target_size"] is None:
        return str(row["bucket"])
    width, height = row["target_size"]
    return str(round(width / height, ASPECT_DIGITS))


def _distinct(name: str, used: set[str]) -> str:
    if name not in used:
        return name
    if name.endswith("s"):  # seconds of audio, whose steps make the shape
        raise StoreError(f"clips of {name} have latents of several lengths: give them a duration_interval")
    count = next(count for count in range(1, len(used) + 2) if _nudged(name, count) not in used)
    return _nudged(name, count)


def _nudged(name: str, count: int) -> str:
    return str(round(float(name) + count * 10 ** -(ASPECT_DIGITS + 3), ASPECT_DIGITS + 3))


def _metadata(view: View, form: CachedForm, aspects: Mapping[tuple[int, ...], str]) -> Iterator[tuple[str, Any]]:
    """Of each file, what the trainer knows of its geometry."""
    more = [name for name in view.table.column_names if name in ("num_frames", "fps", "original_num_frames")]
    more += [name for name in view.table.column_names if name in ("sample_rate_hz", "num_samples", "lyrics")]
    for row in view.rows("file", "latent_shape", "bucket", "captions", *GEOMETRY, *more):
        if form.is_audio:
            seconds = row["num_samples"] / row["sample_rate_hz"]
            yield (
                row["file"],
                {
                    "prompt": row["captions"][0],
                    "tags": None,
                    "lyrics": row.get("lyrics"),
                    "bucket_duration_seconds": float(row["bucket"].removesuffix("s")),
                    "duration_seconds": seconds,
                    "sample_rate": row["sample_rate_hz"],
                    "num_samples": row["num_samples"],
                    "dataset_type": "audio",
                },
            )
            continue
        facts = {
            "original_size": row["original_size"],
            "aspect_ratio": float(aspects[tuple(row["latent_shape"])]),
            "intermediary_size": row["intermediary_size"],
            "crop_coordinates": row["crop_top_left"],
            "target_size": row["target_size"],
        }
        yield row["file"], {**facts, **{name: row[name] for name in more if row[name] is not None}}


def _captions(view: View) -> Iterator[tuple[str, Any]]:
    for row in view.rows("file", "captions"):
        texts = row["captions"]
        yield row["file"], texts[0] if len(texts) == 1 else texts


def _write_json(items: Callable[[], Iterator[tuple[str, Any]]]) -> Write:
    """What writes an object whose items aren't all in memory."""

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            _dump(items(), file)

    return write


def _dump(items: Iterator[tuple[str, Any]], file: TextIO) -> None:
    file.write("{")
    for count, (key, value) in enumerate(items):
        file.write(f"{', ' if count else ''}{json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    file.write("}")


def _write_rows(view: View) -> Write:
    """What writes a table of as many rows as the split's last one that is used, with captions and without media."""
    kind = view.recipe.kind
    last = pc.max(view.table["row"]).as_py()
    num_rows = 0 if last is None else last + 1
    first = pc.list_element(view.table["captions"], 0)
    at = pc.index_in(pa.array(range(num_rows), pa.int64()), value_set=view.table["row"].combine_chunks())
    media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({kind: pa.nulls(num_rows, media), "caption": first.cast(pa.large_string()).take(at)})
    features = {kind: {"_type": kind.capitalize()}, "caption": {"dtype": "large_string", "_type": "Value"}}
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    return write_parquet(table.replace_schema_metadata(noted))


def reads(recipe: Recipe) -> Any:
    """The settings that the trainer's config takes over, and the family."""
    return [recipe.family, _entry(recipe, Path())]


def finish(place: Place, recipe: Recipe, version: str) -> list[Path]:
    """Let the trainer's config name the newest generations: written where it isn't so already."""
    folder = place.generation(recipe.id, version).resolve()
    entry = {"dataset": _entry(recipe, folder), "text": _text_entry(recipe.id, folder)}
    own = place.root / ENTRIES / f"{recipe.id}.json"
    if not own.is_file() or own.read_bytes() != _as_bytes(entry):
        files.write_atomically(own, _as_bytes(entry))
    # An export that was killed may have left a generation without its entry, which the next one of that dataset writes.
    noted = [path for id in place.ids() if (path := place.root / ENTRIES / f"{id}.json").is_file()]
    entries = [json.loads(path.read_bytes()) for path in noted]
    texts = [{**one["text"], "default": number == 0} for number, one in enumerate(entries)]
    return [own, place.write_beside(CONFIG, _as_bytes([*(one["dataset"] for one in entries), *texts]))]


def _as_bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _entry(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """A dataset, as the trainer's config has it."""
    entry: dict[str, Any] = {
        "id": recipe.id,
        "type": "huggingface",
        "dataset_type": recipe.kind,
        "dataset_name": str(folder / ROWS.split("/")[0]),
        "split": "train",
        "caption_strategy": "huggingface",
        "metadata_backend": "huggingface",
        "cache_dir": str(folder),
        "cache_dir_vae": str(folder / VAE),
        "text_embeds": f"text-{recipe.id}",
        "huggingface": {"caption_column": "caption", f"{recipe.kind}_column": recipe.kind},
        f"{recipe.kind}_column": recipe.kind,
    }
    if not isinstance(recipe.settings, AudioSettings):
        rules = recipe.settings.geometry
        whole = rules.resolution_type != "area"
        entry |= {
            "resolution": int(rules.resolution) if whole else rules.resolution,
            "resolution_type": rules.resolution_type,
            "crop": rules.crop,
            "crop_style": rules.crop_style,
            "crop_aspect": "square" if rules.crop_aspect_buckets else rules.crop_aspect,
        }
    if isinstance(recipe.settings, VideoSettings):
        frames = recipe.settings.frames
        entry["video"] = {"num_frames": frames.fewest, "min_frames": frames.fewest, "is_i2v": frames.is_i2v}
    given = {key: value for key, value in recipe.trainer.items() if key in SAMPLING and value is not None}
    return {**entry, **given}


def _text_entry(id: str, folder: Path) -> dict[str, Any]:
    return {
        "id": f"text-{id}",
        "type": "local",
        "dataset_type": "text_embeds",
        "cache_dir": str(folder / TEXT),
        "compress_cache": False,
    }
