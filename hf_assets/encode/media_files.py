"""The media of chosen rows, read from the files they lie in."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from hf_assets.encode.spool import Spool
from hf_assets.engines.ahead import map_ahead
from hf_assets.errors import MediaError
from hf_assets.sources.formats.parquet import (
    READ_BUFFER_BYTES,
    STREAM_BUFFER_BYTES,
    CountedFile,
    media_bytes,
    read_media,
)
from hf_assets.sources.near_names import Missing
from hf_assets.sources.source import Source
from hf_assets.sources.spec import MAX_MEDIA_BYTES, WHOLE_FILE, DataFile, Snapshot

# So many media files are fetched, and held, at a time.
FETCH_THREADS = 8
# A larger one isn't held before it is its turn.
FETCH_BYTES = 32 << 20
# Smaller files are fetched whole in any case: to find out costs requests, too.
RANGES_FROM_BYTES = 4 << 20
# How often media are read of a file that isn't kept.
READS = 2


class FileRows(NamedTuple):
    """Some rows of one file of the split; or one row whose media is the file (`WHOLE_FILE`)."""

    file: DataFile
    rows: np.ndarray  # positions in the split, ascending
    file_rows: np.ndarray  # the same rows' positions in the file

    @property
    def is_whole(self) -> bool:
        return bool(self.file_rows[0] == WHOLE_FILE)


class Media(NamedTuple):
    """One row's media."""

    file: DataFile
    row: int
    file_row: int
    data: bytes | None  # None: the row holds none

    num_bytes: int  # that were read for it
    error: MediaError | None = None  # why it isn't read

    @property
    def address(self) -> str:
        return self.file.path if self.file_row == WHOLE_FILE else f"{self.file.path}#{self.file_row}"


def by_file(located: pa.Table, snapshot: Snapshot) -> Iterator[FileRows]:
    """Split rows (`row` and `schema.LOCATION`, in the split's order) by the file that holds them."""
    if not len(located):
        return
    files = {file.path: file for file in snapshot.files}
    paths, hashes = (located[name].cast(pa.string()).combine_chunks() for name in ("file_path", "file_hash"))
    codes = paths.dictionary_encode().indices.to_numpy()
    rows = located["row"].to_numpy()
    file_rows = located["file_row"].to_numpy()
    # A file may be listed twice in a row: then only its rows show where it begins again.
    is_border = (np.diff(codes) != 0) | (np.diff(file_rows) <= 0)
    edges = [0, *(np.flatnonzero(is_border) + 1).tolist(), len(codes)]
    for start, stop in itertools.pairwise(edges):
        path = paths[start].as_py()
        file = DataFile(path, hashes[start].as_py(), 0) if file_rows[start] == WHOLE_FILE else files[path]
        yield FileRows(file, rows[start:stop], file_rows[start:stop])


def media_of(
    parts: Iterator[FileRows], source: Source, snapshot: Snapshot, column: str, *, keeps: bool = False
) -> Iterator[Media]:
    """The media of these rows, in order. A file is fetched when its first row is wanted, or shortly before.

    Args:
        keeps: what is streamed now is kept, within a bound, for who wants it next (`spool`).
    """
    spool = Spool() if source.spec.streaming else None
    missing = Missing(source, snapshot, column)
    for is_whole, group in itertools.groupby(parts, key=lambda part: part.is_whole):
        if is_whole:
            yield from _whole(group, source, snapshot, spool, keeps)
        else:
            for part in group:
                if spool is None:
                    found = _rows(part, source, snapshot, column)
                else:
                    found = _spooled_rows(part, source, snapshot, column, spool, keeps)
                for one in found:
                    if one.data is None and one.error is None:
                        yield one._replace(error=missing.error_of(one.file, one.file_row))
                    else:
                        yield one


def _whole(
    parts: Iterator[FileRows], source: Source, snapshot: Snapshot, spool: Spool | None, keeps: bool
) -> Iterator[Media]:
    """Media that are files of their own: some are fetched at a time, since each takes its requests. A large one is read
    when it is its turn, so that of these only what the consumer has is held.
    """

    def read(part: FileRows, at_most: int) -> Media | FileRows:
        row, kept = int(part.rows[0]), None if spool is None else spool.find(part.file.hash, "")
        if kept is not None and WHOLE_FILE in kept and (data := kept.read(WHOLE_FILE)) is not None:
            return Media(part.file, row, WHOLE_FILE, data, 0)
        try:
            data = source.read(snapshot, part.file, at_most)
        except MediaError as error:
            return Media(part.file, row, WHOLE_FILE, None, 0, error)
        if data is None:
            return part
        if spool is not None and keeps:
            with spool.keep(part.file.hash, "") as keeping:
                keeping.add(WHOLE_FILE, data)
        return Media(part.file, row, WHOLE_FILE, data, len(data))

    ahead = map_ahead(lambda part: read(part, FETCH_BYTES), parts, threads=FETCH_THREADS, ahead=FETCH_THREADS)
    for found in ahead:
        media = read(found, MAX_MEDIA_BYTES) if isinstance(found, FileRows) else found
        assert isinstance(media, Media), "a file that is larger than any may be is a MediaError"
        yield media


def _spooled_rows(
    part: FileRows, source: Source, snapshot: Snapshot, column: str, spool: Spool, keeps: bool
) -> Iterator[Media]:
    """Media that lie in the rows of a remote file, of which this machine may keep some."""
    kept = spool.find(part.file.hash, column)
    numbers = part.file_rows.tolist()
    is_kept = np.array([file_row in kept for file_row in numbers], bool)
    lacking = FileRows(part.file, part.rows[~is_kept], part.file_rows[~is_kept])
    fetched = _rows(lacking, source, snapshot, column) if len(lacking.rows) else iter(())
    with spool.keep(part.file.hash, column) as keeping:
        for position, (row, file_row) in enumerate(zip(part.rows.tolist(), numbers, strict=True)):
            if not is_kept[position]:
                media = next(fetched)
                if keeps and media.data is not None:
                    keeping.add(file_row, media.data)
                yield media
            elif (data := kept.read(file_row)) is not None:
                yield Media(part.file, row, file_row, data, 0)
            else:
                at = slice(position, position + 1)
                yield from _rows(FileRows(part.file, part.rows[at], part.file_rows[at]), source, snapshot, column)


def bytes_by_range(part: FileRows, source: Source, snapshot: Snapshot, column: str) -> int | None:
    """The bytes of the row groups with wanted rows, where just these are fetched of a file, since they are a small part
    of it; None: it isn't read by range.

    What is fetched so isn't kept, and media are read `READS` times, to be looked at and to be encoded.
    """
    is_small = part.file.num_bytes < RANGES_FROM_BYTES
    if is_small or source.spec.whole_files or not source.fetches(snapshot, part.file):
        return None
    with source.open_ranges(snapshot, part.file) as handle:
        wanted_bytes = media_bytes(handle, column, part.file_rows, part.file.path)
    return wanted_bytes if READS * wanted_bytes <= part.file.num_bytes else None


def _rows(part: FileRows, source: Source, snapshot: Snapshot, column: str) -> Iterator[Media]:
    """Media that lie in the rows of a file."""
    is_remote = source.spec.streaming or bytes_by_range(part, source, snapshot, column) is not None
    with source.open_ranges(snapshot, part.file) if is_remote else source.open_media(snapshot, part.file) as handle:
        counted = CountedFile(handle)
        before = 0
        buffer_bytes = STREAM_BUFFER_BYTES if is_remote else READ_BUFFER_BYTES
        # Arrow reads a file on the disk by itself, several times as fast as by way of Python
        path = None if is_remote else getattr(handle, "name", None)
        place = Path(path) if isinstance(path, str) else counted
        found = read_media(place, column, part.file_rows, part.file.path, buffer_bytes)
        for (file_row, data), row in zip(found, part.rows.tolist(), strict=True):
            # of a remote file every byte counts, of a local one those that are of use
            num_bytes = counted.num_bytes - before if is_remote else len(data or b"")
            before = counted.num_bytes
            yield Media(part.file, row, file_row, data, num_bytes)
