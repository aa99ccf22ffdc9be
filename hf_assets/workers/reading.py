"""The media of chosen rows, read from the files they lie in."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_assets.sources.parquet import read_media
from hf_assets.sources.source import Source
from hf_assets.sources.spec import DataFile, Snapshot


class FileRows(NamedTuple):
    """Some rows of one file of the split."""

    file: DataFile
    rows: np.ndarray  # positions in the split, ascending
    file_rows: np.ndarray  # the same rows' positions in the file


class Media(NamedTuple):
    """One row's media."""

    file: DataFile
    row: int
    file_row: int
    data: bytes | None  # None: the row holds none

    @property
    def address(self) -> str:
        return f"{self.file.path}#{self.file_row}"


def by_file(located: pa.Table, snapshot: Snapshot) -> Iterator[FileRows]:
    """Split rows (`row`, `file_path`, `file_row`, in the split's order) by the file that holds them."""
    if not len(located):
        return
    files = {file.path: file for file in snapshot.files}
    paths = located["file_path"].cast(pa.string()).combine_chunks().dictionary_encode()
    codes = paths.indices.to_numpy()
    rows = located["row"].to_numpy()
    file_rows = located["file_row"].to_numpy()
    # A file may be listed twice in a row: then only its rows tell where it begins again.
    is_border = (np.diff(codes) != 0) | (np.diff(file_rows) <= 0)
    edges = [0, *(np.flatnonzero(is_border) + 1).tolist(), len(codes)]
    for start, stop in itertools.pairwise(edges):
        yield FileRows(files[paths.dictionary[int(codes[start])].as_py()], rows[start:stop], file_rows[start:stop])


def media_of(parts: Iterator[FileRows], source: Source, snapshot: Snapshot, column: str) -> Iterator[Media]:
    """The media of these rows, in order. A file is fetched when its first row is wanted."""
    for part in parts:
        path = source.fetch(snapshot, part.file)
        for (file_row, data), row in zip(read_media(path, column, part.file_rows), part.rows.tolist(), strict=True):
            yield Media(part.file, row, file_row, data)
