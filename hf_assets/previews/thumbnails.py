"""Small pictures of a few rows, made while their media are read anyway: showing them costs no byte of the dataset.

Which rows is decided by a draw from the file's hash and the row's place in it, so that the same ones are shown from run
to run. More are kept than are shown, so that enough are left when a filter becomes tighter; those that it drops are
then shown with their reason.
"""

import functools
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from hf_assets import blobs, files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import ImageSettings
from hf_assets.draw import numbers, sheets
from hf_assets.draw.numbers import Chosen
from hf_assets.kinds.medium import medium_of

# Bump when a thumbnail looks different.
VERSION = 1
KEPT = 48

Place = tuple[str, int]  # hash of the file, row in the file


class Thumbnails:
    """The thumbnails of one dataset's media.

    Attributes:
        expected: rows of which there will be one when all media were read.
    """

    def __init__(self, recipe: Recipe) -> None:
        composite = recipe.settings.composite if isinstance(recipe.settings, ImageSettings) else None
        cut = None if composite is None else composite.model_dump(mode="json", exclude={"enabled"})
        made_of = [VERSION, recipe.kind, recipe.media_column, cut]
        self.folder = folder.thumbnails(recipe.folders.metadata, fingerprint.of_value(made_of)[:8])
        self.medium = medium_of(recipe)
        self.expected: set[Place] = set()

    def add(self, place: Place, data: bytes) -> None:
        """Make a row's thumbnail. It is decoration: what can't be drawn or written has none, and the run goes on."""
        try:
            picture = self.medium.thumbnail(data)
            if picture is not None:
                stream = BytesIO()
                sheets.thumbnail(picture).save(stream, "JPEG", quality=85)
                files.write_atomically(self._path(place), stream.getvalue())
        except Exception:  # whatever a decoder or a disk does: probing says what is wrong with the bytes
            return

    def get(self, place: Place) -> Image.Image | None:
        """A row's thumbnail, if there is a whole one."""
        try:
            with Image.open(BytesIO(self._path(place).read_bytes())) as image:
                image.load()
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            return None

    @property
    def places(self) -> set[Place]:
        """The rows that have one."""
        names = (blob.name.split(".") for blob in blobs.at(self.folder).list())
        return {
            (name[0], int(name[1]))
            for name in names
            if len(name) == 3 and name[2] == "jpg" and name[1].lstrip("-").isdecimal()
        }

    def expect(self, first_rows: pa.Table) -> None:
        """Make the thumbnails of these rows, as far as they are read and have none yet.

        Args:
            first_rows: `schema.LOCATION` of these rows (`First`).
        """
        self.expected |= set(_places(first_rows)) - self.places

    def _path(self, place: Place) -> Location:
        return self.folder / f"{place[0]}.{place[1]}.jpg"


class Pictured:
    """Of rows that come in several tables, the first few that have a thumbnail, in the order of their draws.

    Rows that are only expected to get one may be added before they do.
    """

    def __init__(self, thumbnails: Thumbnails, count: int) -> None:
        self._thumbnails, self._count = thumbnails, count
        self._there = thumbnails.places
        self._candidates: list[pa.Table] = []

    def add(self, located: pa.Table) -> None:
        """
        Args:
            located: `row`, `schema.LOCATION`, and what else is wanted of the rows that are chosen.
        """
        places = self._there | self._thumbnails.expected
        found_in = pa.array(sorted({file_hash for file_hash, _ in places}), pa.string())
        candidates = located.filter(pc.is_in(located["file_hash"].cast(pa.string()), value_set=found_in))
        rows = pa.array(sorted({file_row for _, file_row in places}), pa.int64())
        self._candidates.append(_among(candidates.filter(pc.is_in(candidates["file_row"], value_set=rows)), places))

    @property
    def rows(self) -> list[dict[str, Any]]:
        if not self._candidates:
            return []
        chosen = First(self._count)
        chosen.add(_among(pa.concat_tables(self._candidates), self._thumbnails.places))
        found: list[dict[str, Any]] = chosen.rows.to_pylist()
        return found


def _among(located: pa.Table, places: set[Place]) -> pa.Table:
    return located.filter(pa.array([place in places for place in _places(located)], pa.bool_()))


class First(Chosen):
    """Of rows that come in several tables with `schema.LOCATION`, the first few in the order of their draws."""

    def __init__(self, count: int) -> None:
        super().__init__(count, _draws)

    def add(self, rows: pa.Table) -> None:
        there = rows["file_hash"]
        super().add(
            rows.filter(there.is_valid()) if there.null_count else rows
        )  # null: it names a file that isn't there


def first(located: pa.Table, count: int) -> pa.Table:
    """`First` of one table."""
    chosen = First(count)
    chosen.add(located)
    return chosen.rows


def _draws(located: pa.Table) -> np.ndarray:
    """A number for each row, from what its file is and where in it the row lies."""
    seeds = [np.empty(0, np.uint64)]
    for chunk in located["file_hash"].chunks:
        coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        if len(coded):
            seeds.append(np.array(list(map(_seed, coded.dictionary.to_pylist())), np.uint64)[coded.indices.to_numpy()])
    return numbers.draws(np.concatenate(seeds), located["file_row"].to_numpy().astype(np.uint64))


@functools.lru_cache(maxsize=65_536)
def _seed(file_hash: str) -> int:
    return int(fingerprint.of_bytes(file_hash.encode())[:16], 16)


def _places(located: pa.Table) -> list[Place]:
    return list(zip(located["file_hash"].to_pylist(), located["file_row"].to_pylist(), strict=True))
