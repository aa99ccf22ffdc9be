"""A small picture of each sample, made while it is decoded for the encoder anyway, and what people compare them by.

They are named by what they show (the media's hash, and the cell that is taken of it): another crop, resolution or VAE
makes no new one. Some dozens lie on one sheet, a JPEG whose comment says what lies where, so that a sheet is either
wholly there or not at all; its name is the hash of its content. Of sound, some seconds lie beside it.
"""

import io
import json
import logging
import re
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from hf_assets import blobs, files, fingerprint, folder, schema
from hf_assets.blobs import Location
from hf_assets.previews.thumbnails import First

logger = logging.getLogger("hf_assets")

# Bump when a picture, or what is measured on it, changes: older sheets are then as if they weren't there.
VERSION = 1
# Of larger datasets, so many rows have pictures, by a draw; and so many of them sound.
MOST = 100_000
MOST_HEARD = 2_000
# The longer edge of a picture.
SIDE_PX = 160
# A sheet is so wide, and holds so many pictures: a browser keeps those of a page in 6 MB each.
SHEET_PX, SHEET_PICTURES = 1280, 64
QUALITY = 78
HEARD_SECONDS, HEARD_RATE_HZ = 10, 22_050
# Bits of the perceptual hash: 8 x 8.
LIKENESS_EDGE = 8

# `left`, `top`, `width` and `height` in pixels of the sheet; `brightness`: 0 to 1; `likeness`: a perceptual hash.
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("sheet", pa.string()),
        *(pa.field(name, pa.int32()) for name in ("left", "top", "width", "height")),
        pa.field("brightness", pa.float32()),
        pa.field("likeness", pa.uint64()),
        pa.field("is_heard", pa.bool_()),
    ]
)
NONE, SEEN, HEARD = 0, 1, 2
KEY_CHARACTERS = 32
# The files that a report names: sheets, and what it says of samples.
NAMES = re.compile(r"\b[0-9a-f]{32}\.(?:js|jpg)\b")


def key_of(media_hash: str, cell: Sequence[int] | None = None) -> str:
    """The name of a picture.

    Args:
        cell: of a composite image, the part that is taken.
    """
    return (media_hash if cell is None else fingerprint.of_value([media_hash, list(cell)]))[:KEY_CHARACTERS]


def keys_of(rows: pa.Table) -> pa.ChunkedArray:
    """The names of the pictures of rows with `media_hash`, and of composite images `cell`."""
    if schema.CELL.name not in rows.column_names:
        return pc.utf8_slice_codeunits(rows["media_hash"], 0, KEY_CHARACTERS)
    pairs = zip(rows["media_hash"].to_pylist(), rows[schema.CELL.name].to_pylist(), strict=True)
    return pa.chunked_array([pa.array([key_of(*pair) for pair in pairs], pa.string())])


class Chosen(NamedTuple):
    """The rows of a dataset that are to have a picture, and those that are to be heard, too."""

    seen: pa.Array
    heard: pa.Array


def chosen(tables: Iterable[pa.Table]) -> Chosen:
    """Choose among all rows of a dataset, which come in several tables with `row` and `schema.LOCATION`."""
    seen, heard = First(MOST), First(MOST_HEARD)
    for located in tables:
        seen.add(located)
        heard.add(located)
    return Chosen(*(one.rows["row"].combine_chunks() for one in (seen, heard)))


def wanted(jobs: pa.Table, among: Chosen, root: Location) -> pa.Array:
    """Which samples are to have a picture that they lack, and which of them also sound.

    Args:
        jobs: samples that are encoded now: `row`, `media_hash` and maybe `cell`.
        root: metadata folder of the dataset.

    Returns:
        `NONE`, `SEEN` or `HEARD` for each job.
    """
    found = np.full(len(jobs), NONE, np.int8)
    for rows, what in ((among.seen, SEEN), (among.heard, HEARD)):
        is_drawn = pc.is_in(jobs["row"], value_set=rows)
        found[is_drawn.to_numpy()] = what
    has_one = pc.is_in(keys_of(jobs), value_set=known(root)["key"].combine_chunks())
    found[has_one.to_numpy(zero_copy_only=False)] = NONE
    return pa.array(found)


def sound_name(key: str) -> str:
    """The file with what is heard of a sample."""
    return f"{key}.mp3"


class _Drawn(NamedTuple):
    """A picture that waits for its sheet."""

    key: str
    picture: Image.Image
    brightness: float
    likeness: int
    is_heard: bool


class Pictures:
    """Makes pictures, in any number of threads, and writes a sheet whenever there are enough for one.

    It is decoration: what can't be drawn or written has none, which the log says once, and the run goes on. It can be
    pickled, empty.

    Args:
        root: metadata folder of the dataset.
    """

    def __init__(self, root: Location) -> None:
        self.folder = folder.gallery(root)
        self._root = root
        self._waiting: list[_Drawn] = []
        self._lock = threading.Lock()
        self._has_warned = False

    def __getstate__(self) -> Location:
        return self._root

    def __setstate__(self, state: Location) -> None:
        self.__init__(state)  # type: ignore[misc]

    def add(self, key: str, picture: np.ndarray, sound: tuple[np.ndarray, int] | None = None) -> None:
        """Make a sample's picture.

        Args:
            picture: (H, W, 3) uint8, RGB, of any size; it isn't kept.
            sound: (S,) samples, -1 to 1, and their rate.
        """
        try:
            small = _small(picture)
            drawn = _Drawn(key, small, _brightness(small), _likeness(small), sound is not None)
            if sound is not None:
                files.write_atomically(self.folder / sound_name(key), _mp3(*sound))
            with self._lock:
                self._waiting.append(drawn)
                full = len(self._waiting) >= SHEET_PICTURES
                ready, self._waiting = (self._waiting, []) if full else ([], self._waiting)
            _write(self.folder, ready)
        except ImportError:  # it is no matter of this picture
            raise
        except Exception as error:  # whatever a library does to a picture that nobody tried
            self._warn(error)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            ready, self._waiting = self._waiting, []
        try:
            _write(self.folder, ready)
        except Exception as error:  # a disk without room: the run will say so where it matters
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        with self._lock:
            is_first, self._has_warned = not self._has_warned, True
        if is_first:
            logger.warning("a picture for the gallery is not made: %s: %s", type(error).__name__, error)


def known(root: Location) -> pa.Table:
    """All pictures of a dataset (`SCHEMA`), each once. Only sheets that nobody looked at before are opened."""
    place = folder.gallery(root)
    names = sorted(blob.name for blob in blobs.at(place).list() if blob.name.endswith(".jpg"))
    listed = place / "pictures.parquet"
    before = files.read_table(listed)
    if before is None or before.schema != SCHEMA:
        before = SCHEMA.empty_table()
    there = before.filter(pc.is_in(before["sheet"], value_set=pa.array(names, pa.string())))
    seen = set(pc.unique(before["sheet"]).to_pylist())
    added = [tile for name in names if name not in seen for tile in _tiles(place / name)]
    if added or len(there) < len(before):
        there = pa.concat_tables([there, pa.Table.from_pylist(added, schema=SCHEMA)])
        files.write_table(listed, there)
    keys = there["key"].combine_chunks()
    firsts = pc.index_in(pc.unique(keys), value_set=keys)
    return there.take(firsts)


def crop(root: Location, tile: dict[str, Any]) -> Image.Image | None:
    """A picture of its own, from the sheet on which it lies (a row of `SCHEMA`); None where that isn't whole."""
    try:
        with Image.open(io.BytesIO((folder.gallery(root) / tile["sheet"]).read_bytes())) as page:
            page.load()
            left, top = tile["left"], tile["top"]
            return page.crop((left, top, left + tile["width"], top + tile["height"]))
    except (OSError, SyntaxError, ValueError):
        return None


def _small(picture: np.ndarray) -> Image.Image:
    """At most `SIDE_PX` on an edge. Of a large one only every n-th pixel is looked at: four for each that is shown.

    Squares of pixels are averaged before the filter, which takes a third of the time.
    """
    step = max(min(picture.shape[:2]) // (2 * SIDE_PX), 1)
    small = Image.fromarray(np.ascontiguousarray(picture[::step, ::step]))
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=1.0)
    return small


def _brightness(picture: Image.Image) -> float:
    return round(float(np.asarray(picture.convert("L"), np.float32).mean()) / 255, 4)


def _likeness(picture: Image.Image) -> int:
    """Pictures that look alike have hashes of which few bits differ."""
    import imagehash

    bits = imagehash.phash(picture, hash_size=LIKENESS_EDGE).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _mp3(samples: np.ndarray, rate_hz: int) -> bytes:
    """The beginning, in one channel."""
    import soundfile

    step = max(rate_hz // HEARD_RATE_HZ, 1)
    part = samples[: HEARD_SECONDS * rate_hz]
    part = part[: len(part) // step * step].reshape(-1, step).mean(axis=1)
    part = np.interp(np.arange(0, len(part), rate_hz / step / HEARD_RATE_HZ), np.arange(len(part)), part)
    stream = io.BytesIO()
    soundfile.write(stream, np.clip(part, -1, 1), HEARD_RATE_HZ, format="MP3", subtype="MPEG_LAYER_III")
    return stream.getvalue()


def _write(place: Location, drawn: Sequence[_Drawn]) -> None:
    """Lay pictures in rows, on one sheet."""
    if not drawn:
        return
    tiles: list[list[Any]] = []
    left = top = height = 0
    for one in drawn:
        if left + one.picture.width > SHEET_PX:
            left, top, height = 0, top + height, 0
        measured = [one.brightness, f"{one.likeness:016x}", int(one.is_heard)]
        tiles.append([one.key, left, top, *one.picture.size, *measured])
        left, height = left + one.picture.width, max(height, one.picture.height)
    page = Image.new("RGB", (max(tile[1] + tile[3] for tile in tiles), top + height))
    for one, tile in zip(drawn, tiles, strict=True):
        page.paste(one.picture, (tile[1], tile[2]))
    comment = json.dumps({"version": VERSION, "tiles": tiles}, separators=(",", ":"))
    stream = io.BytesIO()
    page.save(stream, "JPEG", quality=QUALITY, comment=comment.encode())
    data = stream.getvalue()
    files.write_atomically(place / f"{fingerprint.of_bytes(data)[:32]}.jpg", data)


def _tiles(sheet: Location) -> list[dict[str, Any]]:
    """What lies on a sheet: rows of `SCHEMA`."""
    try:
        with Image.open(io.BytesIO(sheet.read_bytes())) as page:
            said = json.loads(page.info["comment"])
            if said["version"] != VERSION:
                return []
            return [
                {
                    "key": str(key),
                    "sheet": sheet.name,
                    **dict(zip(("left", "top", "width", "height"), map(int, box), strict=True)),
                    "brightness": float(brightness),
                    "likeness": int(likeness, 16),
                    "is_heard": bool(is_heard),
                }
                for key, *box, brightness, likeness, is_heard in said["tiles"]
            ]
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        return []


def sounds_of(root: Location, sheets: Collection[str]) -> set[str]:
    """The files of sound that belong to pictures on some sheets."""
    every = known(root)
    heard = every.filter(pc.and_(every["is_heard"], pc.is_in(every["sheet"], value_set=pa.array(sorted(sheets)))))
    return set(map(sound_name, heard["key"].to_pylist()))
