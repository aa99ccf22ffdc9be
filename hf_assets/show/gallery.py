"""Every sample of a dataset as the report's gallery shows it: what it is, what became of it, and its picture.

The report holds what all samples share; the samples themselves lie beside it, a thousand to a file, and so do the
sheets of pictures (`previews.pictures`). A page loads both when it needs them, from a disk too. The files are named by
their content: one that is there already isn't written again.
"""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import blobs, draw, files, fingerprint, folder, inert, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import quarantine
from hf_assets.encode.probe import recall
from hf_assets.kinds.medium import medium_of
from hf_assets.previews import pictures
from hf_assets.previews.thumbnails import First, Thumbnails
from hf_assets.show import likeness, local_pictures
from hf_assets.show.views import crops_of
from hf_assets.sources.rows import snapshot_of
from hf_assets.sources.spec import WHOLE_FILE
from hf_assets.stages import naming

# So many rows are shown at most; of larger datasets some, by a draw.
MOST, SOME = 100_000, 20_000
# Samples of one file.
AT_A_TIME = 1_000
CAPTIONS, CAPTION_CHARACTERS, FACT_CHARACTERS, NAME_CHARACTERS = 4, 400, 200, 200
# Of a folder on this machine, so many pictures are made for the gallery alone, of what no run has decoded; and where
# only some rows are shown.
DRAWN, DRAWN_OF_SOME = 2_000, 200

KEPT, DUPLICATE, DROPPED, FAILED, INCOMPLETE = STATES = ("kept", "duplicate", "dropped", "quarantined", "left out")
# What is read of `buckets`.
SHAPE = {*schema.VIDEO_BUCKETS.names, *schema.AUDIO_BUCKETS.names, schema.CELL.name} - {
    "aspect_ratio",
    "intermediary_size",
}
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


class Shown:
    """What the gallery shows, gathered while the training set is made: only what is shown stays in memory.

    Attributes:
        num_rows: of the dataset, of which some are shown.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        root = recipe.folders.metadata
        raw_dataset = folder.table(root, "raw_dataset")
        self._snapshot = snapshot_of(pq.read_schema(files.parquet(raw_dataset)))
        self.num_rows = int(pq.read_metadata(files.parquet(raw_dataset)).num_rows)
        self._located = _located(raw_dataset, self.num_rows)
        self._rows = self._located["row"].combine_chunks()
        every = _there(folder.table(root, "buckets"))
        names: set[str] = set()
        shapes = []
        for table in every:
            names.update(pc.unique(table["bucket"]).to_pylist())
            shapes.append(_only(table.select(_names(table, *sorted(SHAPE))), self._rows))
        self._shapes = pa.concat_tables(shapes)
        self._buckets = sorted(names)
        self._media = self._facts()
        self._hashes = pc.unique(self._media["media_hash"])
        self._first_rows = np.full(len(self._hashes) + 1, -1, np.int64)
        self._kept: list[pa.Table] = []

    def _facts(self) -> pa.Table:
        """What is known of the media: of those without a shape, by the ledger."""
        columns = medium_of(self._recipe).media.names
        of_shapes = self._shapes.select(columns)
        is_other = pc.invert(pc.is_in(self._rows, value_set=of_shapes["row"].combine_chunks()))
        others = self._located.filter(pc.and_(is_other, pc.is_valid(self._located["file_hash"])))
        if not len(others):
            return of_shapes
        return pa.concat_tables([of_shapes, recall(self._recipe, others, self._snapshot).media.cast(of_shapes.schema)])

    def add(self, samples: pa.Table) -> None:
        """The next rows of the training set: `row`, `file` and `media_hash` of them."""
        rows = samples["row"].to_numpy()
        at = pc.index_in(samples["media_hash"], value_set=self._hashes)
        is_asked = at.is_valid().to_numpy()
        asked, places = np.unique(at.drop_null().to_numpy(), return_index=True)
        is_new = self._first_rows[asked] < 0
        self._first_rows[asked[is_new]] = rows[is_asked][places[is_new]]
        is_shown = pc.is_in(samples["row"], value_set=self._rows)
        kept, firsts = samples.filter(is_shown), self._first_rows[at.fill_null(0).to_numpy()]
        firsts = np.where(is_asked, firsts, rows)[is_shown.to_numpy()]
        self._kept.append(pa.table({"row": kept["row"], "file": kept["file"], "first": firsts}))

    def write(self) -> Gallery:
        """Write the gallery's files; those that are there already stay.

        No byte is fetched for it. Of a folder on this machine, it reads some media that no run has decoded.
        """
        root = self._recipe.folders.metadata
        count = DRAWN if self.num_rows <= MOST else DRAWN_OF_SOME
        hashed = local_pictures.draw(self._recipe, self._snapshot, self._located, self._media, count)
        known = pictures.known(root)
        every = pa.concat_tables([self._media, pa.Table.from_pylist(hashed, schema=self._media.schema)])
        media = every.take(pc.index_in(self._rows, value_set=every["row"].combine_chunks()))
        tiles = pc.index_in(pictures.keys_of(media), value_set=known["key"].combine_chunks())
        kept = pa.concat_tables(self._kept)
        return _write(
            self._recipe,
            _Rows(
                self._located,
                media,
                self._shapes.take(pc.index_in(self._rows, value_set=self._shapes["row"].combine_chunks())),
                kept.take(pc.index_in(self._rows, value_set=kept["row"].combine_chunks())),
                known.take(tiles),
            ),
            self._buckets,
            self.num_rows,
        )


class _Rows(NamedTuple):
    """The rows to show, with what is known of each; a row that has no media, shape and so on is of nulls.

    Attributes:
        located: `row`, `schema.LOCATION` and `schema.SOURCE_PATH`.
        media: `row`, `media_hash`, `original_size` and others.
        shapes: of `buckets`.
        kept: of samples that are trained on, `row`, `file`, and the `first` row with the same file.
        tiles: `pictures.SCHEMA`.
    """

    located: pa.Table
    media: pa.Table
    shapes: pa.Table
    kept: pa.Table
    tiles: pa.Table


def _there(table: Location, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    tables = files.read_tables(table, columns)
    assert tables is not None, "a training set was made of it"
    return tables


def _located(raw_dataset: Location, num_rows: int) -> pa.Table:
    """The rows that are shown, and where each lies."""
    tables = _there(raw_dataset, ["row", *schema.LOCATION.names, schema.SOURCE_PATH.name])
    if num_rows <= MOST:
        return pa.concat_tables(tables)
    chosen = First(SOME)
    for table in tables:
        chosen.add(table)
    return chosen.rows.sort_by("row")


def _write(recipe: Recipe, rows: _Rows, buckets: list[str], num_rows: int) -> Gallery:
    root = recipe.folders.metadata
    place = folder.gallery(root)
    there = {blob.name for blob in blobs.at(place).list()}
    became = _states(recipe, rows)
    captions, characters = _captions(root, rows.located["row"].combine_chunks())
    groups, unusual = _compared(rows, characters)
    number_of = {name: number for number, name in enumerate(buckets)}
    thumbnails = _Others(recipe)
    counts, num_pictured = Counter(dict.fromkeys(STATES, 0)), 0
    sheets: dict[str, int] = {}
    chunks: list[str] = []
    for start in range(0, len(rows.located), AT_A_TIME):
        part = _Rows(*(table.slice(start, AT_A_TIME) for table in rows))
        numbers = part.located["row"].to_pylist()
        states = [became.get(row, there) for row, there in zip(numbers, _usual_states(part), strict=True)]
        paths, file_rows = _texts(part.located["file_path"]), part.located["file_row"].to_pylist()
        names = zip(_texts(part.located[naming.NAME]), _texts(part.kept["file"]), numbers, strict=True)
        placed = list(_placed(part, thumbnails, sheets))
        counts.update(state for state, _ in states)
        num_pictured += sum(one is not None for one in placed)
        written = zip(
            numbers,
            _inert([name or file or naming.name_of({"row": row}) for name, file, row in names], NAME_CHARACTERS),
            [STATES.index(state) for state, _ in states],
            _inert([reason for _, reason in states], FACT_CHARACTERS),
            [number_of.get(name, -1) for name in part.shapes["bucket"].to_pylist()],
            _sizes(part),
            placed,
            _crops(part, placed),
            _caption_lists(captions.slice(start, AT_A_TIME)),
            groups[start : start + AT_A_TIME].tolist(),
            unusual[start : start + AT_A_TIME].tolist(),
            _inert(
                ["" if at == WHOLE_FILE else f"{path or ''}#{at}" for path, at in zip(paths, file_rows, strict=True)],
                NAME_CHARACTERS,
            ),
            [
                pictures.sound_name(key) if is_heard else ""
                for key, is_heard in zip(part.tiles["key"].to_pylist(), part.tiles["is_heard"].to_pylist(), strict=True)
            ],
            _outlines(part),
            strict=True,
        )
        chunks.append(_put(place, there, len(chunks), list(written)))
    return Gallery(
        num_rows,
        len(rows.located),
        dict(counts),
        _inert(buckets, FACT_CHARACTERS),
        list(sheets),
        chunks,
        int(groups.max(initial=0)),
        num_pictured,
        {name: int(np.count_nonzero(unusual >> at & 1)) for at, name in enumerate(UNUSUAL)},
    )


def _usual_states(part: _Rows) -> list[tuple[str, str]]:
    return [(KEPT, "") if is_kept else (INCOMPLETE, "") for is_kept in part.kept["row"].is_valid().to_pylist()]


def _placed(part: _Rows, thumbnails: "_Others", sheets: dict[str, int]) -> Iterator[list[int] | None]:
    """Sheet, left, top, width and height of each row's picture; None where there is none.

    Args:
        sheets: their names and numbers; more are added.
    """
    if part.tiles["key"].null_count == len(part.tiles) and not thumbnails.places:
        yield from itertools.repeat(None, len(part.tiles))
        return
    places = zip(_texts(part.located["file_hash"]), part.located["file_row"].to_pylist(), strict=True)
    for tile, row in zip(part.tiles.to_pylist(), places, strict=True):
        if tile["key"] is not None:
            box = (tile["left"], tile["top"], tile["width"], tile["height"])
            yield [sheets.setdefault(tile["sheet"], len(sheets)), *box]
        elif (drawn := thumbnails.tile(row)) is not None:
            yield [sheets.setdefault(drawn.name, len(sheets)), *drawn.box]
        else:
            yield None


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    found: list[str | None] = column.cast(pa.string()).to_pylist()
    return found


def _facts(part: _Rows) -> list[dict[str, Any]]:
    """What is known of each row's media and shape; null where it isn't."""
    columns = {**_columns(part.media), **_columns(part.shapes.drop_columns(part.media.column_names))}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _columns(table: pa.Table) -> dict[str, list[Any]]:
    return {name: _number_lists(table, name) or table[name].to_pylist() for name in table.column_names}


def _number_lists(table: pa.Table, name: str) -> list[list[int] | None]:
    """A column of lists of a few numbers, by way of numpy: it takes a tenth of the time. Empty where it is none."""
    if name not in table.column_names or not pa.types.is_fixed_size_list(table.schema.field(name).type):
        return []
    column = table[name]
    values: list[list[int] | None] = pc.list_flatten(column).to_numpy().reshape(-1, column.type.list_size).tolist()
    if not column.null_count:
        return values
    found: list[list[int] | None] = [None] * len(column)
    for at, value in zip(np.flatnonzero(column.is_valid().to_numpy()).tolist(), values, strict=True):
        found[at] = value
    return found


def _sizes(part: _Rows) -> list[str]:
    """How large each is, in words."""
    if {"original_num_frames", "original_num_samples"} & set(part.media.column_names):
        return list(map(_size, _facts(part)))
    sizes = _number_lists(part.media, "original_size")
    return ["" if size is None else f"{size[0]} × {size[1]}" for size in sizes]


def _outlines(part: _Rows) -> Sequence[list[int] | None]:
    """Width and height of what is drawn where there is no picture."""
    return _number_lists(part.media, "original_size") or [None] * len(part.media)


def _crops(part: _Rows, placed: Sequence[Sequence[int] | None]) -> list[list[list[int]]]:
    """Left, top, right and bottom of what is encoded, in thousandths of each frame of a picture."""
    if "target_size" not in part.shapes.column_names:
        return [[]] * len(placed)
    found: list[list[list[int]]] = [[] for _ in placed]
    at = np.flatnonzero(part.shapes["target_size"].is_valid().to_numpy())
    if not len(at):
        return found
    shapes = part.shapes.take(pa.array(at))
    original, resized, target, corner = (
        np.stack(schema.halves(shapes[name]), axis=1).astype(np.float64)
        for name in ("original_size", "resized_size", "target_size", "crop_top_left")
    )
    shown = original.copy()
    for number, row in enumerate(at.tolist()):
        if (one := placed[row]) is not None:
            shown[number] = one[3:]
    elongation = shown[:, 0] / shown[:, 1] * original[:, 1] / original[:, 0]
    num_frames = np.rint(np.maximum(elongation, 1 / elongation))
    start = corner[:, ::-1]
    boxes = np.rint(1000 * np.concatenate([start / resized, (start + target) / resized], axis=1)).astype(np.int64)
    for row, box in zip(at.tolist(), boxes.tolist(), strict=True):
        found[row] = [box]
    several = np.flatnonzero(num_frames > 1)
    for number, sample in zip(several.tolist(), shapes.take(pa.array(several)).to_pylist(), strict=True):
        frames = crops_of(sample, tuple(shown[number]))
        found[int(at[number])] = [[round(1000 * edge) for edge in box] for box in frames]
    return found


def _caption_lists(captions: pa.ChunkedArray) -> Iterator[list[str]]:
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_pylist()
    texts = iter(_inert(pc.list_flatten(captions).to_pylist(), CAPTION_CHARACTERS))
    return (list(itertools.islice(texts, length)) for length in lengths)


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

    def __init__(self, recipe: Recipe) -> None:
        self.thumbnails = Thumbnails(recipe)
        self.places = self.thumbnails.places
        self.prefix = os.path.relpath(str(self.thumbnails.folder), str(folder.gallery(recipe.folders.metadata)))

    def tile(self, place: tuple[str | None, int]) -> _Tile | None:
        picture = self.thumbnails.get(place) if place in self.places else None
        if picture is None:
            return None
        return _Tile(f"{self.prefix}/{place[0]}.{place[1]}.jpg", (0, 0, *picture.size))


def _only(table: pa.Table, rows: pa.Array) -> pa.Table:
    """Those of a table's rows that are shown: only of these, Python's objects are made."""
    return table.filter(pc.is_in(table["row"], value_set=rows))


def _states(recipe: Recipe, rows: _Rows) -> dict[int, tuple[str, str]]:
    """What became of each row that is shown, and why; of those that aren't named, nothing is to be said."""
    root, shown = recipe.folders.metadata, rows.located["row"].combine_chunks()
    found: dict[int, tuple[str, str]] = {}
    for stage in ("filtered", "captions", "buckets"):
        for table in files.read_tables(folder.dropped(root, stage)) or ():
            for row in _only(table.select(_names(table, "row", "dropped_for", "columns")), shown).to_pylist():
                values = draw.named_values(row.get("columns") or {})
                reason = str(row["dropped_for"]).replace("_", " ")
                found[row["row"]] = (DROPPED, f"{reason}: {values}" if values else reason)
    failed = quarantine.failed_samples(recipe).select(["row", "reason", "message"])
    for row in _only(failed, shown).to_pylist():
        found[row["row"]] = (FAILED, f"{row['reason']}: {row['message']}")
    kept = rows.kept.filter(pc.is_valid(rows.kept["row"]))
    for number in kept["row"].to_pylist() if found else ():
        found.pop(number, None)
    doubles = kept.filter(pc.not_equal(kept["first"], kept["row"]))
    firsts = _only(rows.located.select(["row", naming.NAME]), doubles["first"].combine_chunks())
    names = {row["row"]: naming.name_of(row) for row in firsts.to_pylist()}
    for row in doubles.to_pylist():  # of very many rows, the first of two may not be shown
        first = names.get(row["first"]) or naming.name_of({"row": row["first"]})
        found[row["row"]] = (DUPLICATE, f"the same file as {first}")
    return found


def _names(table: pa.Table, *wanted: str) -> list[str]:
    return [name for name in wanted if name in table.column_names]


def _captions(root: Location, shown: pa.Array) -> tuple[pa.ChunkedArray, np.ndarray]:
    """The first captions of each row, as far as they are shown; null for a row without. And how many characters the
    first one has; NaN where there is none.
    """
    found = []
    for table in _there(folder.table(root, "captions"), ["row", "captions"]):
        table = _only(table, shown)
        some = pc.list_slice(table["captions"], 0, CAPTIONS).combine_chunks()
        # one character more, by which it is seen to be cut
        texts = pc.utf8_slice_codeunits(some.flatten(), 0, CAPTION_CHARACTERS + 1)
        lengths = pc.list_value_length(some).to_numpy()
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        first = pc.list_slice(table["captions"], 0, 1)  # a sample may have none, where latents are made alone
        characters = np.full(len(table), np.nan)
        characters[schema.list_parents(first)] = pc.utf8_length(pc.list_flatten(first)).to_numpy()
        columns = {"captions": pa.ListArray.from_arrays(offsets, texts), "characters": pa.array(characters)}
        found.append(pa.table({"row": table["row"], **columns}))
    every = pa.concat_tables(found)
    of_shown = every.take(pc.index_in(shown, value_set=every["row"].combine_chunks()))
    return of_shown["captions"], of_shown["characters"].to_numpy()


def _compared(rows: _Rows, characters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group of samples that look alike, and how each is unlike the others; only of what is trained on.

    Args:
        characters: (N,) of each one's first caption; NaN where there is none.
    """
    number = len(rows.located)
    groups, unusual = np.zeros(number, np.int32), np.zeros(number, np.int32)
    is_kept = rows.kept["row"].is_valid().to_numpy()
    is_seen = is_kept & rows.tiles["key"].is_valid().to_numpy()
    if is_seen.any():
        groups[is_seen] = likeness.clusters(rows.tiles["likeness"].filter(pa.array(is_seen)).to_numpy())
    none = np.full(number, np.nan)
    values = [none.copy(), none.copy(), none, np.where(is_kept, np.log1p(characters), np.nan)]
    if "original_size" in rows.media.column_names:
        kept = rows.media["original_size"].filter(pa.array(is_kept))
        width, height = (
            np.log(np.maximum(pc.list_element(kept, index).to_numpy().astype(np.float64), 1)) for index in (0, 1)
        )
        values[0][is_kept], values[1][is_kept] = width + height, width - height
    brightness = rows.tiles["brightness"].to_numpy().astype(np.float64)
    values[2] = np.where(is_kept, brightness, np.nan)
    for bit, one in enumerate(values):
        unusual |= likeness.outliers(one).astype(np.int32) << bit
    return groups, unusual


def _inert(texts: list[str], characters: int) -> list[str]:
    is_short = max(map(len, texts), default=0) <= characters
    short = texts if is_short else [inert.cut(text, characters) for text in texts]
    # what can be printed holds no controls
    return short if "".join(short).isprintable() else list(map(inert.text, short))


def _size(one: Mapping[str, Any]) -> str:
    """How large a clip is, in words."""
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
