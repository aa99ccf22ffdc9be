"""A table too large for memory, kept on the disk by the first bits of a packed key, so that equal keys lie together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from hf_assets import files

# Keys are hashes, so parts are of one size. As many files are open while a table is filled.
PARTS = 32
# So many rows are written at once: a part gets a thousandth of a whole of a million.
WRITTEN_ROWS = 65_536


class SpilledRows:
    """Rows by the first bits of their key. Write all (`add`), then read part by part.

    Two of them agree about which part a key lies in.

    Attributes:
        num_rows: that were added.
    """

    def __init__(self, folder: Path, arrow: pa.Schema, key: str) -> None:
        """
        Args:
            folder: of this table alone; its maker removes it.
            key: a column of `fingerprint.PACKED` without nulls.
        """
        folder.mkdir(parents=True)
        self.folder = folder
        self.schema = arrow
        self.key = key
        self.num_rows = 0
        self._writers: dict[int, pa.RecordBatchStreamWriter | None] = {}
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Write some rows.

        Raises:
            StoreError: there is no room for them.
        """
        self.num_rows += len(rows)
        self._waiting.append(rows.select(self.schema.names).cast(self.schema))
        if sum(map(len, self._waiting)) >= WRITTEN_ROWS:
            self._write()

    def _write(self) -> None:
        with files.explain_refusals(self.folder):
            self._write_waiting()

    def _write_waiting(self) -> None:
        rows = pa.concat_tables(self._waiting)
        self._waiting.clear()
        part_of_row = _parts(rows[self.key])
        order = np.argsort(part_of_row, kind="stable")
        ordered = rows.take(pa.array(order))
        edges = np.searchsorted(part_of_row[order], np.arange(PARTS + 1))
        for part in np.unique(part_of_row).tolist():
            if part not in self._writers:
                self._writers[part] = pa.ipc.new_stream(str(self._path(part)), self.schema)
            writer = self._writers[part]
            assert writer is not None, "nothing is added once parts were read"
            start, stop = edges[part], edges[part + 1]
            writer.write_table(ordered.slice(start, stop - start).combine_chunks())

    def part(self, number: int) -> pa.Table:
        """One of `PARTS`, its rows in the order of writing. Nothing is added after that."""
        self.close()
        if number not in self._writers:
            return self.schema.empty_table()
        with pa.OSFile(str(self._path(number))) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_all()

    def parts(self) -> Iterator[pa.Table]:
        """All rows, part by part. Nothing is added after that."""
        return map(self.part, range(PARTS))

    def close(self) -> None:
        """Nothing is added any more."""
        if self._waiting:
            self._write()
        for number, writer in self._writers.items():
            if writer is not None:
                writer.close()
                self._writers[number] = None

    def _path(self, part: int) -> Path:
        return self.folder / f"{part}.arrow"


def _parts(keys: pa.ChunkedArray) -> np.ndarray:
    """The part of each key: its first byte's upper five bits."""
    found: list[np.ndarray] = [np.empty(0, np.uint8)]
    for chunk in keys.chunks:
        if len(chunk):
            data = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, 16)
            found.append(data[chunk.offset : chunk.offset + len(chunk), 0] >> 3)
    return np.concatenate(found)
