"""Files of plain numbers and of Arrow tables that are written bit by bit and then mapped: what processes share."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa


class NumbersFile:
    """A file of numbers, one after the other."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> "NumbersFile":
        return self

    def add(self, numbers: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(numbers).data.cast("B") if len(numbers) else b"")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def numbers(path: Path, kind: np.dtype[Any], *, in_memory: bool = False) -> np.ndarray:
    """The numbers of a file. Nobody may write to them.

    Raises:
        OSError, ValueError: there is no such file, or it isn't whole.
    """
    if in_memory or not path.stat().st_size:
        return np.fromfile(path, kind)
    return np.asarray(np.memmap(path, kind, "r"))


def table(path: Path, *, in_memory: bool = False) -> pa.Table:
    """A table that was written as a stream, which needn't know all values of a dictionary before its end.

    Raises:
        OSError, pa.ArrowException: there is no such file, or it isn't whole.
    """
    source = pa.BufferReader(path.read_bytes()) if in_memory else pa.memory_map(str(path))
    return pa.ipc.open_stream(source).read_all()
