"""What a run would do, found without computing and without reading any media.

A plan takes the steps of a run as far as they go without media: it resolves the revision, reads the columns of files
that are new (and keeps them, for the run), filters, takes captions, asks the ledger for media facts, computes geometry
and keys, and looks these up in the stores. It differs from a run only in what it can't know: what lies in files that no
run has read.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, folder, schema
from hf_assets.blobs import Location, listings
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, embeds, encoders, latents, probe, rates, versions
from hf_assets.encode.lookup import Lookup
from hf_assets.encode.media_files import FileRows, by_file
from hf_assets.kinds.medium import medium_of
from hf_assets.models import prompt
from hf_assets.models.components import text_components, vae_component
from hf_assets.models.pipeline import Component
from hf_assets.plan import changes, estimates, reasons, training_diff, unchanged
from hf_assets.plan.changes import Changes
from hf_assets.sources import rows
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import Snapshot
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import filtering, joining
from hf_assets.store.tensors import TensorStore
from hf_assets.upkeep import reachability

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
        seconds: to encode, at the rates last measured for this dataset, else on this machine for another one with the
            same model; downloads and loading come on top. None where no rate is known.
        device_hours: of all devices together, likewise.
        bytes_per_caption: of a caption's embeds, as stored; 0 where none is encoded.
        embed_bytes_per_second: what storing them takes at the rate last measured; None where none is known.
    """

    revision: str
    rows: int
    vae_latents: StagePlan
    text_embeds: StagePlan
    bytes_to_fetch: int
    model_bytes_to_fetch: int
    bytes_to_store: int
    seconds: float | None
    device_hours: float | None
    training_set: Changes
    bytes_per_caption: int = 0
    embed_bytes_per_second: int | None = None
    names: dict[str, list[str]] | None = None

    def as_json(self) -> dict[str, Any]:
        """The plan as other programs read it."""
        stages = {name: getattr(self, name)._asdict() for name in ("vae_latents", "text_embeds")}
        made = {**self._asdict(), **stages, "training_set": self.training_set.as_json()}
        made["seconds"] = None if self.seconds is None else round(self.seconds, 3)
        made["device_hours"] = None if self.device_hours is None else round(self.device_hours, 6)
        return {key: value for key, value in made.items() if key != "names" or value is not None}


@listings.held()
def plan(recipe: Recipe, say: Callable[[str], None], *, with_names: bool = False) -> Plan:
    """Say what materializing a dataset would compute, fetch and store. Each dataset is planned as if it ran alone.

    Rows pass through in tables of bounded size. Keys wait on the disk, and are looked up in the stores' part by
    part: what is up to date takes no memory that grows with the rows.

    Raises:
        DatasetError, ModelError: what would stop a run.
    """
    recipe.folders.require()
    source = source_of(recipe.source, folder.sources(recipe.folders.metadata))
    snapshot = source.resolve()
    for line in reachability.outages(recipe, ["raw_dataset"]):
        say(line)
    if (last := unchanged.last_run(recipe, snapshot)) is not None:
        reused = StagePlan(last.latents, {}), StagePlan(last.embeds, {})
        if (same := training_diff.unchanged(recipe)) is not None:
            return Plan(snapshot.commit, last.rows, *reused, 0, 0, 0, 0, 0, same, names={} if with_names else None)
    wanted = versions.wanted_columns(recipe)
    scan = rows.Scan(source, snapshot, wanted, folder.columns(recipe.folders.metadata), say, recipe.key_of_column)
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(TemporaryDirectory(prefix="hf-assets-plan-")))
        found = stack.enter_context(_Needs(recipe, snapshot))
        for table in filtering.judge_tables(scan.tables, recipe.filter):
            found.add(table)
        latents_side = _latents(recipe, found, temporary)
        texts = _embeds(recipe, found, temporary)
    changed = found.diff.settle(latents_side.failed, texts.failed)
    missing = _locations(scan, latents_side.rows, snapshot)
    return Plan(
        snapshot.commit,
        found.num_rows,
        latents_side.stage,
        texts.stage,
        estimates.bytes_to_fetch(source, snapshot, recipe.media_column, found.unknown, missing),
        latents_side.model_bytes + texts.model_bytes,
        round(latents_side.num_bytes + texts.num_bytes),
        estimates.seconds((side.stage.total, side.rate) for side in (latents_side, texts)),
        estimates.device_hours((side.stage.total, side.device_s) for side in (latents_side, texts)),
        changed,
        round(texts.num_bytes / texts.stage.total) if texts.stage.total else 0,
        round(texts.num_bytes / texts.stage.total * texts.rate) if texts.stage.total and texts.rate else None,
        training_diff.names_of(recipe, changed, scan.tables) if with_names else None,
    )


class _Needs(contextlib.AbstractContextManager["_Needs"]):
    """What the rows need, gathered table by table; their keys are asked for as a run asks (`lookup.Lookup`).

    Attributes:
        num_rows: of the split.
        unknown: the rows whose media no run has read.
        num_media, volume: of the media that are known, and the sum of their volumes.
        num_unknown_texts: the captions of which it isn't known how long the clips are that they are encoded with.
        latents: the latents that are needed.
        embeds: of each caption that comes by, the embed; one may come several times.
    """

    def __init__(self, recipe: Recipe, snapshot: Snapshot) -> None:
        self.recipe, self.snapshot = recipe, snapshot
        self.medium = medium_of(recipe)
        self.known = probe.Known(recipe)
        self.vae = latents.vae_of(recipe)
        self.text = encoders.text_of(recipe, embeds.VERSION)
        self.companions = embeds.companions(recipe, self.text)
        self.num_rows = self.num_media = self.volume = self.num_texts = self.num_unknown_texts = 0
        self.unknown: list[FileRows] = []
        self.diff = training_diff.Diff(recipe, self.medium)
        self.latents = Lookup(TensorStore(recipe.folders.latents), self.vae, _MEDIA)
        self.embeds = Lookup(TensorStore(recipe.folders.embeds), self.text, _TEXT, of_texts=True)

    def __enter__(self) -> Self:
        self.latents.__enter__()
        self.embeds.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.latents.__exit__(kind, error, trace)
        self.embeds.__exit__(kind, error, trace)

    def add(self, judged: pa.Table) -> None:
        """Rows of the split, each with why it is dropped (`filtering.judge`)."""
        self.num_rows += len(judged)
        captions, uncaptioned = captions_stage.extract(filtering.kept(judged), self.recipe.captions)
        located = bucketing.locations(captions, judged)
        recalled = probe.recall(self.recipe, located, self.snapshot, self.known)
        self.unknown += recalled.unknown
        sizeless = filtering.sizeless(judged, self.recipe.filter)
        buckets, dropped = bucketing.fit(self.recipe, recalled.media, sizeless, self.medium)
        others = (judged.filter(pc.is_valid(judged["dropped_for"])), uncaptioned, dropped)
        self.diff.add(judged, captions, buckets, recalled, others, lambda rows: self._media_of(rows, judged))
        self._add_captions(captions, buckets, recalled.unknown)
        keyed = latents.latent_keys(self.recipe, buckets, self.vae)
        volume = self.medium.volume(buckets)
        self.num_media += len(buckets)
        self.volume += int(volume.sum())
        self.latents.add(buckets["row"], keyed, more=[volume, fingerprint.pack(buckets["media_hash"])])

    def _media_of(self, rows: pa.ChunkedArray, judged: pa.Table) -> pa.Table:
        """Media hashes of rows that are left out, as far as they are known."""
        located = judged.filter(pc.is_in(judged["row"], value_set=rows.combine_chunks()))
        located = located.select(["row", *schema.LOCATION.names])
        return probe.recall(self.recipe, located, self.snapshot, self.known).media.select(["row", "media_hash"])

    def _add_captions(self, captions: pa.Table, buckets: pa.Table, unknown: list[FileRows]) -> None:
        rows = joining.with_companions(captions, buckets, self.companions)
        if schema.DURATION.name in self.companions and unknown:
            is_unknown = pc.is_in(rows["row"], value_set=pa.array(np.concatenate([part.rows for part in unknown])))
            of_unknown = rows["captions"].filter(is_unknown)
            # each clip may be the only one of its duration, with which the empty caption is encoded, too
            self.num_unknown_texts += len(pc.list_flatten(of_unknown)) + len(of_unknown)
        needed = embeds.with_keys(rows, self.text)
        numbers = pa.chunked_array([pa.array(np.arange(self.num_texts, self.num_texts + len(needed)))])
        self.num_texts += len(needed)
        second = fingerprint.packed_second_of_strings(needed["caption"])
        self.embeds.add(numbers, needed["embed_key"], second, [reasons.hash_texts(needed)])


_MEDIA = pa.schema([pa.field("volume", pa.int64()), pa.field("media_hash", fingerprint.PACKED)])
_TEXT = pa.schema([pa.field("text_hash", fingerprint.PACKED)])


_NOTHING = np.empty(0, np.int64)


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


class _Side(NamedTuple):
    """One stage's part of a plan.

    Attributes:
        device_s: seconds of a device for each sample.
        rows: of the samples that are missing.
        failed: rows of latents, or hashes of captions, that are known to fail.
    """

    stage: StagePlan
    rate: float | None
    device_s: float | None
    num_bytes: float
    model_bytes: int
    rows: np.ndarray
    failed: np.ndarray


class _Tally:
    """A stage's parts, each looked up in the store, summed up.

    Attributes:
        sampled_bytes, sampled: of some stored samples, the bytes, and their number or volume.
        num_missing, amount_missing: what is to be encoded, and its number or volume.
    """

    def __init__(self, missing: reasons.Missing) -> None:
        self.missing = missing
        self.reuse = self.quarantined = self.sampled_bytes = self.sampled = self.num_missing = self.amount_missing = 0
        self.rows = [_NOTHING]
        self.failed = [_NOTHING]

    def add(self, number: int, work: encoders.Work) -> None:
        missing = work.missing
        self.missing.add(number, work, missing)
        self.reuse += work.num_stored
        failed = work.lacking.filter(pc.invert(pc.is_in(work.lacking[work.key], value_set=_chunk(missing[work.key]))))
        self.quarantined += pc.count_distinct(failed[work.key]).as_py()
        is_text = "text_hash" in failed.column_names
        self.failed.append(changes.first_halves(failed["text_hash"]) if is_text else failed["row"].to_numpy())
        self.num_missing += len(missing)
        stored_bytes, stored = estimates.stored_sizes(work)
        self.sampled_bytes += stored_bytes
        self.sampled += stored
        self.amount_missing += estimates.amount(missing)
        if not is_text:
            self.rows.append(missing["row"].to_numpy())

    def stage(self, num_unknown: int) -> StagePlan:
        counts = self.missing.settle()
        assert sum(counts.values()) == self.num_missing, (
            f"{self.num_missing} are missing, of which {counts} have a reason"
        )
        return StagePlan(self.reuse, counts | ({UNKNOWN: num_unknown} if num_unknown else {}), self.quarantined)

    def side(
        self,
        stage: StagePlan,
        table: Location,
        num_bytes: float,
        components: list[Component],
        usual_rate: float | None,
    ) -> _Side:
        last = encoders.read_record(table)
        rate = (last.samples_per_second if last else None) or usual_rate
        device_s = (last.device_seconds if last else None) or (1 / rate if rate else None)
        num_model_bytes = estimates.model_bytes_to_fetch(components)
        return _Side(stage, rate, device_s, num_bytes, num_model_bytes, np.concatenate(self.rows), self.all_failed)

    @property
    def all_failed(self) -> np.ndarray:
        """Of all parts, what is known to fail."""
        parts = self.failed[1:]
        return np.concatenate(parts) if parts else _NOTHING


def _tally(needed: Lookup, missing: reasons.Missing) -> _Tally:
    """Hold what is needed against the store, part by part."""
    tally = _Tally(missing)
    for number, work in enumerate(needed.works()):
        tally.add(number, work)
    return tally


def _latents(recipe: Recipe, found: _Needs, temporary: Path) -> _Side:
    table = folder.table(recipe.folders.metadata, latents.STAGE)
    tally = _tally(found.latents, reasons.of_latents(recipe, found.latents, temporary / "missing_latents"))
    num_unknown = sum(len(part.rows) for part in found.unknown)
    stage = tally.stage(num_unknown)
    if not stage.total:
        return _Side(stage, None, None, 0, 0, _NOTHING, tally.all_failed)
    vae = vae_component(found.vae.pipeline)
    mean = found.volume / found.num_media if found.num_media else found.medium.usual_volume
    if tally.sampled:
        per_volume = tally.sampled_bytes / tally.sampled
    else:
        per_volume = estimates.latent_bytes_per_volume(found.medium, found.vae, vae)
    num_bytes = per_volume * (tally.amount_missing + num_unknown * mean)
    return tally.side(stage, table, num_bytes, [vae], rates.known(found.vae, mean))


def _embeds(recipe: Recipe, found: _Needs, temporary: Path) -> _Side:
    table = folder.table(recipe.folders.metadata, embeds.STAGE)
    missing = reasons.of_embeds(recipe, found.text, found.companions, temporary / "missing_embeds")
    tally = _tally(found.embeds, missing)
    stage = tally.stage(found.num_unknown_texts)
    if not stage.total:
        return _Side(stage, None, None, 0, 0, _NOTHING, tally.all_failed)
    components = text_components(found.text.pipeline)
    arguments = prompt.remembered_usage(found.text.pipeline).calls[0].arguments
    if tally.sampled:
        per_caption = tally.sampled_bytes / tally.sampled
    else:
        per_caption = estimates.embed_bytes(found.text, components, arguments.get("max_sequence_length"))
    num_bytes = per_caption * (tally.amount_missing + found.num_unknown_texts)
    return tally.side(stage, table, num_bytes, components, rates.known(found.text))


def _locations(scan: rows.Scan, missing: np.ndarray, snapshot: Snapshot) -> list[FileRows]:
    """Where the media of these rows lie."""
    if not len(missing):
        return []
    wanted = pa.array(missing)
    places = (table.select(["row", *schema.LOCATION.names]) for table in scan.tables())
    return [part for place in places for part in by_file(place.filter(pc.is_in(place["row"], wanted)), snapshot)]
