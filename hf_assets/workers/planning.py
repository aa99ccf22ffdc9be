"""What a run would do, told without computing and without reading any media.

A plan takes the steps of a run as far as they go without media: it resolves the revision, reads the columns of files
that are new (and keeps them, for the run), filters, takes captions, asks the ledger for media facts, computes geometry
and keys, and looks these up in the stores. It differs from a run only in what it can't know: what lies in files that no
run has read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.models import prompt
from hf_assets.models.components import text_components, vae_component
from hf_assets.sources import rows
from hf_assets.sources.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import Snapshot
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import filtering
from hf_assets.store.index import RETRY
from hf_assets.store.tensors import TensorStore
from hf_assets.workers import bucketing, embeds, encoders, estimates, latents, probing
from hf_assets.workers.encoders import Record
from hf_assets.workers.medium import medium_of
from hf_assets.workers.reading import FileRows, by_file

# Rows whose bytes no run has read: the reason under which they are counted.
UNKNOWN = "unknown_until_read"


class StagePlan(NamedTuple):
    """What becomes of one stage's keys, each counted once.

    Attributes:
        compute: by reason, without those that nothing falls to. Rows of `UNKNOWN` are an upper bound: a row that turns
            out to hold known media costs nothing.
        quarantined: keys that failed before, and are neither computed again nor used.
    """

    reuse: int
    compute: dict[str, int]
    quarantined: int = 0

    @property
    def total(self) -> int:
        """How many are computed at most."""
        return sum(self.compute.values())


class Plan(NamedTuple):
    """What a run of one dataset would do. Bytes and seconds are estimates, upper bounds where media are unknown.

    Attributes:
        rows: of the split.
        bytes_to_fetch: of data files that the Hugging Face cache lacks and whose media are needed.
        model_bytes_to_fetch: of weights that it lacks.
        bytes_to_store: of tensors.
        seconds: to encode, at the rates last measured; downloads and loading come on top. None where no rate is known.
    """

    revision: str
    rows: int
    vae_latents: StagePlan
    text_embeds: StagePlan
    bytes_to_fetch: int
    model_bytes_to_fetch: int
    bytes_to_store: int
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """The plan as other programs read it."""
        stages = {name: getattr(self, name)._asdict() for name in ("vae_latents", "text_embeds")}
        return {**self._asdict(), **stages, "seconds": None if self.seconds is None else round(self.seconds, 3)}


def plan(recipe: Recipe, say: Callable[[str], None]) -> Plan:
    """Say what materializing a dataset would compute, fetch and store. Each dataset is planned as if it ran alone.

    Rows pass through in tables of bounded size. Of each, only packed keys and hashes stay in memory.

    Raises:
        DatasetError, ModelError: what would stop a run.
    """
    source = source_of(recipe.source, recipe.folders.metadata / "sources")
    snapshot = source.resolve()
    wanted = WantedColumns(recipe.media_column, recipe.required_columns, recipe.optional_columns)
    scan = rows.Scan(source, snapshot, wanted, recipe.folders.metadata / "columns", say)
    found = _Found(recipe, snapshot)
    for table in filtering.judged(scan.tables, recipe.filter):
        found.add(table)
    latents_side = _latents(recipe, found)
    texts = _embeds(recipe, found)
    return Plan(
        snapshot.commit,
        found.num_rows,
        latents_side.stage,
        texts.stage,
        estimates.bytes_to_fetch(source, snapshot, recipe.media_column, latents_side.unknown, latents_side.missing),
        latents_side.model_bytes + texts.model_bytes,
        round(latents_side.num_bytes + texts.num_bytes),
        estimates.seconds((side.stage.total, side.rate) for side in (latents_side, texts)),
    )


class _Found:
    """What the rows need, gathered table by table.

    Attributes:
        num_rows: of the split.
        unknown: the rows whose media no run has read.
        num_media, volume: of the media that are known, and their volumes' sum.
        latents: row, place, volume, packed media hash and packed key of each latent that is needed.
        embeds: packed hash of the text and packed key of each caption; one may stand in it several times.
    """

    def __init__(self, recipe: Recipe, snapshot: Snapshot) -> None:
        self.recipe, self.snapshot = recipe, snapshot
        self.medium = medium_of(recipe)
        self.known = probing.Known(recipe)
        self.vae = encoders.vae_of(recipe, latents.version(recipe))
        self.text = encoders.text_of(recipe, embeds.VERSION)
        self.num_rows = 0
        self.unknown: list[FileRows] = []
        self._latents = [_LATENTS.empty_table()]
        self._embeds = [_EMBEDS.empty_table()]

    def add(self, judged: pa.Table) -> None:
        """Rows of the split, each with why it is dropped (`filtering.judge`)."""
        self.num_rows += len(judged)
        captions, _ = captions_stage.extract(filtering.kept(judged), self.recipe.captions)
        self._add_captions(captions)
        located = bucketing.located(captions, judged)
        recalled = probing.recall(self.recipe, located, self.snapshot, self.known)
        self.unknown += recalled.unknown
        sizeless = filtering.sizeless(judged, self.recipe.filter)
        buckets, _ = bucketing.fit(self.recipe, recalled.media, sizeless, self.medium)
        keyed = latents.needed(self.recipe, buckets, self.vae)
        place = located.take(pc.index_in(buckets["row"], value_set=located["row"].combine_chunks()))
        columns = {
            **{name: place[name] for name in ("row", *schema.LOCATION.names)},
            "volume": pa.array(self.medium.volume(buckets)),
            "media_hash": fingerprint.packed(buckets["media_hash"]),
            "latent_key": fingerprint.packed(keyed),
        }
        self._latents.append(pa.table([columns[name] for name in _LATENTS.names], schema=_LATENTS))

    def _add_captions(self, captions: pa.Table) -> None:
        needed = embeds.needed(self.recipe, captions, self.text)
        columns = [_hashed(needed), fingerprint.packed(needed["embed_key"])]
        self._embeds.append(pa.table(columns, schema=_EMBEDS))

    @property
    def latents(self) -> pa.Table:
        return pa.concat_tables(self._latents).unify_dictionaries()

    @property
    def embeds(self) -> pa.Table:
        return pa.concat_tables(self._embeds)


_LATENTS = pa.schema(
    [
        schema.ROW,
        *schema.LOCATION,
        pa.field("volume", pa.int64()),
        pa.field("media_hash", fingerprint.PACKED),
        pa.field("latent_key", fingerprint.PACKED),
    ]
)
_EMBEDS = pa.schema([pa.field("text_hash", fingerprint.PACKED), pa.field("embed_key", fingerprint.PACKED)])


def _hashed(texts: pa.Table) -> pa.ChunkedArray:
    """Of each caption, with its lyrics where they have some."""
    return fingerprint.packed(fingerprint.of_strings(captions_stage.identities(texts)))


class _Side(NamedTuple):
    """One stage's part of a plan."""

    stage: StagePlan
    rate: float | None
    num_bytes: float
    model_bytes: int
    unknown: Sequence[FileRows] = ()
    missing: Sequence[FileRows] = ()


def _latents(recipe: Recipe, found: _Found) -> _Side:
    keyed = found.latents
    todo = encoders.held_against(TensorStore(recipe.folders.latents), found.vae, "latent_key", keyed)
    missing = todo.missing
    last = encoders.recorded(recipe.folders.metadata / f"{latents.STAGE}.parquet")
    num_unknown = sum(len(part.rows) for part in found.unknown)
    stage = _stage(todo, missing, _why_latents(recipe, todo, missing, last), num_unknown)
    if not stage.total:
        return _Side(stage, None, 0, 0)
    vae = vae_component(todo.encoder.pipeline)
    volume = keyed["volume"].to_numpy()
    unknown = num_unknown * (volume.mean() if len(volume) else found.medium.usual_volume)
    per_volume = estimates.latent_bytes_per_volume(found.medium, todo, vae)
    return _Side(
        stage,
        last and last.samples_per_second,
        per_volume * (missing["volume"].to_numpy().sum() + unknown),
        estimates.model_bytes_to_fetch([vae]),
        found.unknown,
        list(by_file(missing, found.snapshot)),
    )


def _embeds(recipe: Recipe, found: _Found) -> _Side:
    todo = encoders.held_against(TensorStore(recipe.folders.embeds), found.text, "embed_key", found.embeds)
    missing = todo.missing
    last = encoders.recorded(recipe.folders.metadata / f"{embeds.STAGE}.parquet")
    stage = _stage(todo, missing, _why_embeds(recipe, todo, missing, last))
    if not stage.total:
        return _Side(stage, None, 0, 0)
    pipeline = todo.encoder.pipeline
    cache = encoders.usage_cache(recipe)
    components = text_components(pipeline, usage_cache=cache)
    arguments = prompt.remembered_usage(pipeline, cache).calls[0].arguments
    per_caption = estimates.embed_bytes(todo, components, arguments.get("max_sequence_length"))
    return _Side(
        stage,
        last and last.samples_per_second,
        per_caption * len(missing),
        estimates.model_bytes_to_fetch(components),
    )


def _stage(todo: encoders.Work, missing: pa.Table, why: dict[str, int], num_unknown: int = 0) -> StagePlan:
    assert sum(why.values()) == len(missing), f"{len(missing)} are missing, but reasons are known for {why}"
    quarantined = pc.count_distinct(todo.lacking[todo.key]).as_py() - len(missing)
    return StagePlan(todo.num_stored, {**why, **({UNKNOWN: num_unknown} if num_unknown else {})}, quarantined)


def _why_latents(recipe: Recipe, todo: encoders.Work, missing: pa.Table, last: Record | None) -> dict[str, int]:
    """Why each of the missing latents isn't there, from the tables of the last run.

    Media that the last training set lacks are `media` where they took the place of others that are gone, else `new`.
    This tells a changed row from an added one where positions didn't shift; where they did, both are `new`.
    """
    if not len(missing):
        return {}
    made = _last(recipe, latents.STAGE, {"latent_key": fingerprint.packed})["latent_key"]
    trained = _last(recipe, "training_set", {"row": lambda rows: rows, "media_hash": fingerprint.packed})
    before = trained["media_hash"].take(pc.index_in(missing["row"], value_set=trained["row"].combine_chunks()))
    is_gone = pc.invert(pc.is_in(before, value_set=todo.keyed["media_hash"].combine_chunks()))
    is_known = pc.is_in(missing["media_hash"], value_set=trained["media_hash"].combine_chunks())
    return _first(
        len(missing),
        ("retry", _marked(todo, missing)),
        ("damaged", pc.is_in(missing["latent_key"], value_set=made.combine_chunks())),
        ("media", pc.and_(pc.invert(is_known), pc.and_(pc.is_valid(before), is_gone))),
        ("new", pc.invert(is_known)),
        (_changed(encoders.record_of(todo.encoder), last, "vae") or "geometry", None),
    )


def _why_embeds(recipe: Recipe, todo: encoders.Work, missing: pa.Table, last: Record | None) -> dict[str, int]:
    """Why each of the missing embeds isn't there, from the table of the last run."""
    if not len(missing):
        return {}
    table = _last(recipe, embeds.STAGE, {"embed_key": fingerprint.packed})
    is_known = pc.is_in(missing["text_hash"], value_set=_last_texts(recipe))
    return _first(
        len(missing),
        ("retry", _marked(todo, missing)),
        ("damaged", pc.is_in(missing["embed_key"], value_set=table["embed_key"].combine_chunks())),
        ("caption", pc.invert(is_known)),
        (_changed(encoders.record_of(todo.encoder), last, "encoder") or "code", None),
    )


def _marked(todo: encoders.Work, missing: pa.Table) -> pa.ChunkedArray:
    """Which of the missing failed before, and are to be tried again."""
    markers = todo.index.filter(pc.equal(todo.index["status"], RETRY))
    return pc.is_in(missing[todo.key], value_set=markers["key"].combine_chunks())


def _changed(now: Record, last: Record | None, component: str) -> str | None:
    """What of the encoder is not as it was in the last run; `code` where that run kept no record of it."""
    if last is None:
        return "code"
    if now.component != last.component:
        return component
    if now.dtype != last.dtype:
        return "dtype"
    return "code" if now.code_version != last.code_version else None


def _first(total: int, *reasons: tuple[str, pa.ChunkedArray | None]) -> dict[str, int]:
    """How many samples fall to each reason, each to the first that applies; None applies to all that are left."""
    left = np.ones(total, bool)
    counts = {}
    for reason, applies in reasons:
        hit = left if applies is None else left & applies.to_numpy()
        if count := int(hit.sum()):
            counts[reason] = count
        left = left & ~hit
    return counts


def _last_texts(recipe: Recipe) -> pa.Array:
    """Packed hashes of the texts that the last run embedded; none where they can't be read."""
    hashes = [pa.chunked_array([], fingerprint.PACKED)]
    try:
        with pq.ParquetFile(recipe.folders.metadata / f"{embeds.STAGE}.parquet") as file:
            named = [name for name in ("caption", schema.LYRICS.name) if name in file.schema_arrow.names]
            hashes += [_hashed(pa.Table.from_batches([batch])) for batch in file.iter_batches(columns=named)]
    except (OSError, pa.ArrowException):
        hashes = hashes[:1]
    return pa.chunked_array([chunk for one in hashes for chunk in one.chunks], fingerprint.PACKED).combine_chunks()


def _last(recipe: Recipe, name: str, columns: Mapping[str, Callable[[pa.Array], pa.ChunkedArray]]) -> pa.Table:
    """Columns of a table of the last run, each in a form that takes little memory; no rows where none can be read."""
    empty = {column: pa.array([], pa.int64() if column == "row" else fingerprint.PACKED) for column in columns}
    tables = [pa.table(empty)]
    try:
        with pq.ParquetFile(recipe.folders.metadata / f"{name}.parquet") as file:
            tables += [
                pa.table({column: form(batch[column]) for column, form in columns.items()})
                for batch in file.iter_batches(columns=list(columns))
            ]
    except (OSError, pa.ArrowException):
        return tables[0]
    return pa.concat_tables(tables)
