"""Tables too large for memory, kept on the disk in parts: by the first bits of a key, so that equal keys lie together,
or by the place that rows have in another table.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from hf_assets import files, fingerprint

# Keys are hashes, so parts are of one size. As many files are open while a table is filled.
PARTS = 32
# So many rows are written at once: a part gets a thousandth of a whole of a million.
WRITTEN_ROWS = 65_536


class SpilledRows:
    """Rows by the part that their key lies in. Write all (`add`), then read part by part.

    Two of them with the same parts agree about which one a key lies in.

    Attributes:
        num_rows: that were added.
    """

    def __init__(self, folder: Path, arrow: pa.Schema, key: str, part_of: "PartOf | None" = None) -> None:
        """
        Args:
            folder: of this table alone; its maker removes it.
            key: a column without nulls.
            part_of: gives each key's part, below `PARTS`. If it isn't given, keys are `fingerprint.PACKED`, and go by
                their first bits.
        """
        self.folder = folder
        self.schema = arrow
        self.key = key
        self.num_rows = 0
        self._part_of = part_of or by_first_bits
        self._counts = np.zeros(PARTS, np.int64)
        self._writers: dict[int, pa.RecordBatchStreamWriter | None] = {}
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self._few: list[pa.Table] | None = None

    def add(self, rows: pa.Table) -> None:
        """Write some rows.

        Raises:
            StoreError: there is no room for them.
        """
        assert self._few is None, "nothing is added once parts were read"
        self.num_rows += len(rows)
        self._num_waiting += len(rows)
        self._waiting.append(rows.select(self.schema.names).cast(self.schema))
        if self._num_waiting >= WRITTEN_ROWS:
            self._write()

    def _write(self) -> None:
        with files.explain_refusals(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for part, rows in enumerate(self._divide()):
                if not len(rows):
                    continue
                if part not in self._writers:
                    self._writers[part] = pa.ipc.new_stream(str(self._path(part)), self.schema)
                writer = self._writers[part]
                assert writer is not None, "nothing is added once parts were read"
                writer.write_table(rows.combine_chunks())

    def _divide(self) -> Iterator[pa.Table]:
        """What waits, by parts."""
        rows = pa.concat_tables([self.schema.empty_table(), *self._waiting])
        self._waiting, self._num_waiting = [], 0
        part_of_row = self._part_of(rows[self.key])
        order = np.argsort(part_of_row, kind="stable")
        ordered = rows.take(pa.array(order))
        counts = np.bincount(part_of_row, minlength=PARTS)
        self._counts += counts
        stops = np.cumsum(counts)
        return (ordered.slice(stop - count, count) for stop, count in zip(stops, counts, strict=True))

    def part(self, number: int) -> pa.Table:
        """One of `PARTS`, its rows in the order of writing. Nothing is added after that."""
        self.close()
        if self._few is not None:
            return self._few[number]
        if number not in self._writers:
            return self.schema.empty_table()
        with pa.OSFile(str(self._path(number))) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_all()

    def parts(self) -> Iterator[pa.Table]:
        """All rows, part by part. Nothing is added after that."""
        return map(self.part, range(PARTS))

    def pieces(self, num_rows: int) -> Iterator[pa.Table]:
        """All rows: of a few small parts one table with up to so many, and of a large one all.

        There is at least one.
        """
        self.close()
        start, total = 0, 0
        for number, count in enumerate(self._counts.tolist()):
            if total and total + count > num_rows:
                yield self._between(start, number)
                start, total = number, 0
            total += count
        yield self._between(start, PARTS)

    def _between(self, start: int, stop: int) -> pa.Table:
        return pa.concat_tables(map(self.part, range(start, stop)))

    def close(self) -> None:
        """Nothing is added any more. So few rows that none were written stay in memory."""
        if self._few is not None:
            return
        if not self._writers:
            self._few = list(self._divide())
            return
        if self._waiting:
            self._write()
        for number, writer in self._writers.items():
            if writer is not None:
                writer.close()
                self._writers[number] = None

    def _path(self, part: int) -> Path:
        return self.folder / f"{part}.arrow"


class RowsInOrder:
    """Rows that are written to the disk (`add`), then read in the same order, in the same tables."""

    def __init__(self, path: Path, arrow: pa.Schema) -> None:
        """
        Args:
            path: of a file of this table alone; its maker removes it.
        """
        self.path, self.schema = path, arrow
        self.num_rows = 0
        self._writer = pa.ipc.new_stream(str(path), arrow)

    def add(self, rows: pa.Table) -> None:
        """Write some rows.

        Raises:
            StoreError: there is no room for them.
        """
        self.num_rows += len(rows)
        batch, *more = rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=self.schema)]
        assert not more, "chunks were combined"
        with files.explain_refusals(self.path):
            self._writer.write_batch(batch)

    def tables(self) -> Iterator[pa.Table]:
        """All rows, in the tables in which they were added, of which there is at least one. Nothing is added after
        that.
        """
        self.close()
        with pa.OSFile(str(self.path)) as file, pa.ipc.open_stream(file) as stream:
            is_empty = True
            for batch in stream:
                is_empty = False
                yield pa.Table.from_batches([batch])
            if is_empty:
                yield self.schema.empty_table()

    def close(self) -> None:
        """Nothing is added any more."""
        self._writer.close()


PartOf = Callable[[pa.ChunkedArray], np.ndarray]


def by_position(num_rows: int) -> PartOf:
    """Parts of rows that lie together in a table of so many: their keys are positions in it."""
    rows_per_part = max(-(-num_rows // PARTS), 1)
    return lambda positions: (positions.to_numpy() // rows_per_part).astype(np.uint8)


def by_first_bits(keys: pa.ChunkedArray) -> np.ndarray:
    """The part of each key: its first byte's upper five bits."""
    found: list[np.ndarray] = [np.empty(0, np.uint8)]
    for chunk in keys.chunks:
        if len(chunk):
            data = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, 16)
            found.append(data[chunk.offset : chunk.offset + len(chunk), 0] >> 3)
    return np.concatenate(found)


def _by_upper_bits(numbers: pa.ChunkedArray) -> np.ndarray:
    parts: np.ndarray = (numbers.to_numpy() >> np.uint64(59)).astype(np.uint8)
    return parts


class DistinctTexts(contextlib.AbstractContextManager["DistinctTexts"]):
    """How many different texts there are, of any number: their hashes lie in a temporary folder."""

    _SCHEMA = pa.schema([pa.field("hash", pa.uint64())])

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hf-assets-distinct-")
        self._hashes = SpilledRows(Path(self._folder.name) / "hashes", self._SCHEMA, "hash", _by_upper_bits)
        return self

    def add(self, texts: pa.Array | pa.ChunkedArray) -> None:
        """
        Args:
            texts: without nulls; one may come several times.
        """
        for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
            found = map(hash, chunk.cast(pa.large_binary()).to_pylist())  # of this process alone, as are these files
            numbers = np.fromiter(found, np.int64, len(chunk)).view(np.uint64)
            self._hashes.add(pa.table([numbers], schema=self._SCHEMA))

    def add_hashes(self, hashes: pa.ChunkedArray) -> None:
        """As `add`, of texts that are hashes (`fingerprint.of_bytes`): their first bytes are as good as a number."""
        for chunk in fingerprint.pack(hashes).chunks:
            if len(chunk):
                data = np.frombuffer(chunk.buffers()[1], np.uint64)[2 * chunk.offset :][: 2 * len(chunk) : 2]
                self._hashes.add(pa.table([data], schema=self._SCHEMA))

    def count(self) -> int:
        """Nothing is added after that."""
        return sum(len(np.unique(part["hash"].to_numpy())) for part in self._hashes.parts())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hashes.close()
        self._folder.cleanup()
