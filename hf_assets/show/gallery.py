"""Every sample of a dataset as the report's gallery shows it: what it is, what became of it, and its picture.

The report holds what all samples share; the samples themselves lie beside it, a thousand to a file, and so do the
sheets of pictures (`previews.pictures`). A page loads both when it needs them, from a disk too. The files are named by
their content: one that is there already isn't written again.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import blobs, draw, files, fingerprint, folder, inert, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import quarantine
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.encode.probe import recall
from hf_assets.engines.ahead import map_ahead
from hf_assets.kinds.medium import medium_of
from hf_assets.previews import pictures
from hf_assets.previews.pictures import Pictures
from hf_assets.previews.thumbnails import Thumbnails, first
from hf_assets.show import likeness
from hf_assets.show.views import crops_of
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import WHOLE_FILE
from hf_assets.stages import naming

# Of larger datasets, so many rows are shown, by a draw.
MOST = 100_000
# Samples of one file.
AT_A_TIME = 1_000
CAPTIONS, CAPTION_CHARACTERS, FACT_CHARACTERS, NAME_CHARACTERS = 4, 400, 200, 200
# Of a folder on this machine, so many pictures are made for the gallery alone, of what no run has decoded.
DRAWN = 2_000
THREADS = 8

KEPT, DUPLICATE, DROPPED, FAILED, INCOMPLETE = STATES = ("kept", "duplicate", "dropped", "quarantined", "left out")
# Why a sample may be worth a look; the bits of a sample's `unusual`.
UNUSUAL = ("size", "aspect ratio", "brightness", "caption length")


class Gallery(NamedTuple):
    """What the page needs to know before it loads samples: all of it is JSON.

    Attributes:
        num_rows: of the dataset, of which some are shown.
        counts: samples by state.
        chunks: names of the files that hold them, in the split's order.
        sheets: names of the sheets of pictures.
    """

    num_rows: int
    num_samples: int
    counts: dict[str, int]
    buckets: list[str]
    sheets: list[str]
    chunks: list[str]
    num_groups: int
    num_pictured: int
    unusual: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {**self._asdict(), "states": STATES, "unusual": [[name, self.unusual[name]] for name in UNUSUAL]}


class _Rows(NamedTuple):
    """The rows to show, with what is known of each.

    Attributes:
        located: `row`, `schema.LOCATION` and `schema.SOURCE_PATH`.
        media: of those whose media are known, `row`, `media_hash`, `original_size` and others.
        tiles: of each, the position in `pictures`, null where there is none.
        pictures: `pictures.SCHEMA`.
    """

    located: pa.Table
    media: pa.Table
    tiles: pa.ChunkedArray
    pictures: pa.Table


def write(recipe: Recipe, training_set: pa.Table) -> Gallery | None:
    """Write the gallery's files; those that are there already stay. None without a table of rows.

    No byte is fetched for it. Of a folder on this machine, it reads some media that no run has decoded.
    """
    root = recipe.folders.metadata
    raw_dataset = files.read_table(folder.table(root, "raw_dataset"))
    if raw_dataset is None:
        return None
    located = raw_dataset.select(["row", *schema.LOCATION.names, schema.SOURCE_PATH.name])
    shown = located if len(located) <= MOST else first(located, MOST).sort_by("row")
    snapshot = snapshot_of(raw_dataset.schema)
    media = recall(recipe, shown.filter(pc.is_valid(shown["file_hash"])), snapshot).media
    _draw_local(recipe, raw_dataset, shown, media)
    known = pictures.known(root)
    at = pc.index_in(shown["row"], value_set=media["row"].combine_chunks())
    tiles = pc.index_in(pictures.keys_of(media), value_set=known["key"].combine_chunks()).take(at)
    rows = _Rows(shown, media.take(at), tiles, known)
    return _write(recipe, training_set, rows, len(located))


def _draw_local(recipe: Recipe, raw_dataset: pa.Table, shown: pa.Table, media: pa.Table) -> None:
    """Make pictures of media on this machine of which none were made while they were encoded."""
    if not Path(recipe.source.dataset_name).is_absolute():
        return
    root = recipe.folders.metadata
    known = pictures.known(root)["key"].combine_chunks()
    lacking = media.filter(pc.invert(pc.is_in(pictures.keys_of(media), value_set=known)))
    failed = quarantine.failed_samples(recipe)["row"].combine_chunks()
    lacking = lacking.filter(pc.invert(pc.is_in(lacking["row"], value_set=failed)))
    wanted = first(shown.filter(pc.is_in(shown["row"], value_set=lacking["row"].combine_chunks())), DRAWN)
    if not len(wanted):
        return
    wanted = wanted.sort_by("row")
    at = pc.index_in(wanted["row"], value_set=lacking["row"].combine_chunks())
    keys = dict(zip(wanted["row"].to_pylist(), pictures.keys_of(lacking.take(at)).to_pylist(), strict=True))
    snapshot, medium, made = snapshot_of(raw_dataset.schema), medium_of(recipe), Pictures(root)
    source = source_of(recipe.source, folder.sources(root))

    def make(one: Any) -> None:
        try:
            picture = medium.thumbnail(one.data) if one.data else None
        except Exception:  # decoration: whatever is wrong with it, probing and encoding say it
            return
        if picture is not None:
            made.add(keys[one.row], np.asarray(picture.convert("RGB")))

    read = media_of(by_file(wanted, snapshot), source, snapshot, recipe.media_column)
    threads = min(os.cpu_count() or 1, THREADS)
    for _ in map_ahead(make, read, threads=threads, ahead=2 * threads):
        pass
    made.flush()


def _write(recipe: Recipe, training_set: pa.Table, rows: _Rows, num_rows: int) -> Gallery:
    root = recipe.folders.metadata
    place = folder.gallery(root)
    there = {blob.name for blob in blobs.at(place).list()}
    shown = rows.located["row"].combine_chunks()
    texts = _captions(root, shown)
    became = _states(recipe, training_set, shown)
    buckets = files.read_table(folder.table(root, "buckets"))
    assert buckets is not None, "a training set was made of it"
    names = pc.unique(buckets["bucket"]).sort().to_pylist()
    groups, unusual = _compared(rows, training_set)
    named = _only(training_set.select(["row", "file"]), shown)
    files_of = dict(zip(named["row"].to_pylist(), named["file"].to_pylist(), strict=True))
    thumbnails = _Others(recipe, rows)
    counts, num_pictured = dict.fromkeys(STATES, 0), 0
    sheets: dict[str, int] = {}
    chunks: list[str] = []
    for start in range(0, len(rows.located), AT_A_TIME):
        part = rows.located.slice(start, AT_A_TIME).to_pylist()
        facts = rows.media.slice(start, AT_A_TIME).to_pylist()
        at = rows.tiles.slice(start, AT_A_TIME)
        tiles = rows.pictures.take(at).to_pylist()
        shapes = _rows_of(buckets, [row["row"] for row in part])
        written = []
        for number, (row, fact, tile, shape) in enumerate(zip(part, facts, tiles, shapes, strict=True), start):
            state, reason = became.get(row["row"], (INCOMPLETE, ""))
            counts[state] += 1
            one = {**fact, **(shape or {}), "row": row["row"]}
            picture = None
            if tile["key"] is not None:
                sheet = sheets.setdefault(tile["sheet"], len(sheets))
                picture = [sheet, tile["left"], tile["top"], tile["width"], tile["height"]]
            elif (drawn := thumbnails.tile(row)) is not None:
                sheet = sheets.setdefault(drawn.name, len(sheets))
                picture = [sheet, *drawn.box]
            num_pictured += picture is not None
            is_whole = row["file_row"] == WHOLE_FILE
            path = row["file_path"] or ""
            written.append(
                [
                    row["row"],
                    _inert(row[naming.NAME] or files_of.get(row["row"]) or naming.name_of(row), NAME_CHARACTERS),
                    STATES.index(state),
                    _inert(reason, FACT_CHARACTERS),
                    names.index(shape["bucket"]) if shape else -1,
                    _size(one),
                    picture,
                    _crops(one, picture),
                    [_inert(text, CAPTION_CHARACTERS) for text in texts(row["row"])],
                    int(groups[number]),
                    int(unusual[number]),
                    "" if is_whole else _inert(f"{path}#{row['file_row']}", NAME_CHARACTERS),
                    pictures.sound_name(tile["key"]) if tile["is_heard"] else "",
                    _outline(one),
                ]
            )
        chunks.append(_put(place, there, len(chunks), written))
    return Gallery(
        num_rows,
        len(rows.located),
        counts,
        [_inert(name, FACT_CHARACTERS) for name in names],
        list(sheets),
        chunks,
        int(groups.max(initial=0)),
        num_pictured,
        {name: int(np.count_nonzero(unusual >> at & 1)) for at, name in enumerate(UNUSUAL)},
    )


def _put(place: Location, there: set[str], number: int, samples: Sequence[Any]) -> str:
    """Write samples as a script that hands them to the page: a page on a disk may load nothing else. Its name."""
    content = json.dumps(samples, separators=(",", ":"))  # ASCII: no character of a dataset is one of JavaScript's
    data = f"gallery_samples({number},{content});\n".encode()
    name = f"{fingerprint.of_bytes(data)[:32]}.js"
    if name not in there:
        files.write_atomically(place / name, data)
    return name


class _Tile(NamedTuple):
    """A picture in a file of its own."""

    name: str
    box: tuple[int, int, int, int]


class _Others:
    """The pictures that were made of a few rows while only their headers were wanted: dropped ones above all."""

    def __init__(self, recipe: Recipe, rows: _Rows) -> None:
        self.thumbnails = Thumbnails(recipe)
        self.places = self.thumbnails.places
        self.prefix = os.path.relpath(str(self.thumbnails.folder), str(folder.gallery(recipe.folders.metadata)))

    def tile(self, row: Mapping[str, Any]) -> _Tile | None:
        place = (row["file_hash"], row["file_row"])
        picture = self.thumbnails.get(place) if place in self.places else None
        if picture is None:
            return None
        return _Tile(f"{self.prefix}/{place[0]}.{place[1]}.jpg", (0, 0, *picture.size))


def _only(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Those of a table's rows that are shown: only of these, Python's objects are made."""
    return table.filter(pc.is_in(table["row"], value_set=rows))


def _states(recipe: Recipe, training_set: pa.Table, shown: pa.Array) -> dict[int, tuple[str, str]]:
    """What became of each row that is shown, and why."""
    root = recipe.folders.metadata
    found: dict[int, tuple[str, str]] = {}
    for stage in ("filtered", "captions", "buckets"):
        table = files.read_table(folder.dropped(root, stage))
        if table is None:
            continue
        for row in _only(table.select(_names(table, "row", "dropped_for", "columns")), shown).to_pylist():
            values = draw.named_values(row.get("columns") or {})
            reason = str(row["dropped_for"]).replace("_", " ")
            found[row["row"]] = (DROPPED, f"{reason}: {values}" if values else reason)
    failed = quarantine.failed_samples(recipe).select(["row", "reason", "message"])
    for row in _only(failed, shown).to_pylist():
        found[row["row"]] = (FAILED, f"{row['reason']}: {row['message']}")
    hashes = training_set["media_hash"].combine_chunks()
    firsts = training_set["row"].take(pc.index_in(hashes, value_set=hashes))
    samples = _only(pa.table({"row": training_set["row"], "first": firsts}), shown)
    for number, earlier in zip(samples["row"].to_pylist(), samples["first"].to_pylist(), strict=True):
        found[number] = (KEPT, "") if earlier == number else (DUPLICATE, f"the same file as row {earlier:,}")
    return found


def _names(table: pa.Table, *wanted: str) -> list[str]:
    return [name for name in wanted if name in table.column_names]


def _captions(root: Location, shown: pa.Array) -> Callable[[int], list[str]]:
    """What gives the captions of a row."""
    table = files.read_table(folder.table(root, "captions"), columns=["row", "captions"])
    assert table is not None, "a training set was made of it"
    table = _only(table, shown)
    at = {row: position for position, row in enumerate(table["row"].to_pylist())}

    def captions(row: int) -> list[str]:
        position = at.get(row)
        if position is None:
            return []
        found: list[str] = pc.list_slice(table["captions"].slice(position, 1), 0, CAPTIONS)[0].as_py()
        return found

    return captions


def _rows_of(table: pa.Table, rows: list[int]) -> list[dict[str, Any] | None]:
    at = pc.index_in(pa.array(rows, pa.int64()), value_set=table["row"].combine_chunks())
    found = table.take(at).to_pylist()
    return [one if one["row"] is not None else None for one in found]


def _compared(rows: _Rows, training_set: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The group of samples that look alike, and how each is unlike the others; only of what is trained on."""
    number = len(rows.located)
    groups, unusual = np.zeros(number, np.int32), np.zeros(number, np.int32)
    at = pc.index_in(rows.located["row"], value_set=training_set["row"].combine_chunks())
    is_kept = np.asarray(at.is_valid())
    measured = rows.pictures.take(rows.tiles)
    is_seen = is_kept & np.asarray(rows.tiles.is_valid())
    if is_seen.any():
        groups[is_seen] = likeness.clusters(measured["likeness"].filter(pa.array(is_seen)).to_numpy())
    lengths = np.full(number, np.nan)
    kept = training_set.take(at.drop_null())
    firsts = pc.list_slice(kept["captions"], 0, 1)  # a sample may have none, where latents are made alone
    with_caption = np.flatnonzero(is_kept)[schema.list_parents(firsts)]
    lengths[with_caption] = np.log1p(pc.utf8_length(pc.list_flatten(firsts)).to_numpy().astype(np.float64))
    values = [np.full(number, np.nan), np.full(number, np.nan), np.full(number, np.nan), lengths]
    if "original_size" in rows.media.column_names:
        width, height = (
            np.log(np.maximum(pc.list_element(kept["original_size"], index).to_numpy().astype(np.float64), 1))
            for index in (0, 1)
        )
        values[0][is_kept], values[1][is_kept] = width + height, width - height
    brightness = measured["brightness"].to_numpy(zero_copy_only=False).astype(np.float64)
    values[2] = np.where(is_kept, brightness, np.nan)
    for bit, one in enumerate(values):
        unusual |= likeness.outliers(one).astype(np.int32) << bit
    return groups, unusual


def _inert(text: str, characters: int) -> str:
    return inert.text(inert.cut(text, characters))


def _size(one: Mapping[str, Any]) -> str:
    """How large it is, in words."""
    if one.get("original_num_samples") is not None:
        seconds = f"{one['original_num_samples'] / one['original_sample_rate_hz']:.1f} s"
        if one.get("num_samples") is None:
            return seconds
        start = one["first_sample"] / one["sample_rate_hz"]
        return f"{seconds}, {start:.1f} to {start + one['num_samples'] / one['sample_rate_hz']:.1f} s encoded"
    if one.get("original_size") is None:
        return ""
    size = " × ".join(map(str, one["original_size"]))
    frames = one.get("original_num_frames")
    return size if frames is None else f"{size}, {frames:,} frames"


def _outline(one: Mapping[str, Any]) -> list[int] | None:
    """Width and height of what is drawn where there is no picture: the original's, else the bucket's."""
    size = one.get("original_size") or one.get("target_size")
    return list(size) if size else None


def _crops(one: Mapping[str, Any], picture: Sequence[int] | None) -> list[list[int]]:
    """Left, top, right and bottom of what is encoded, in thousandths of the picture."""
    if one.get("target_size") is None:
        return []
    shown = (picture[3], picture[4]) if picture is not None else tuple(one["original_size"])
    return [[round(1000 * edge) for edge in box] for box in crops_of(dict(one), shown)]
