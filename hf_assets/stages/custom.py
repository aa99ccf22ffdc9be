"""Filters that are Python functions of the user's own."""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError

BATCH_ROWS = 1_024


class CustomRule(BaseModel):
    """A function that says which rows are kept.

    Attributes:
        module, function: its name.
        columns: what it gets, as dotted paths: a dict of a row's values, or, `batched`, a `pyarrow.RecordBatch`.
        source: hash of the module's source, so that an edited function is another rule.
        file: the module's file. Where it lies changes nothing.
    """

    model_config = ConfigDict(frozen=True)

    module: str
    function: str
    columns: tuple[str, ...]
    batched: bool = False
    source: str
    file: Path = Field(exclude=True)

    @property
    def name(self) -> str:
        return f"{self.module}:{self.function}"


def find(module: str, folder: Path) -> Path | None:
    """The file of a module or package: beside the config file, else where Python finds it. Nothing is run."""
    parts = module.split(".")
    for base in (folder, *map(Path, sys.path)):
        place = base.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def source_of(file: Path) -> str:
    """Hash of a module's source, of a package that of all its modules."""
    root = file.parent
    files = sorted(root.rglob("*.py")) if file.name == "__init__.py" else [file]
    return fingerprint.of_value(
        [[str(path.relative_to(root)), fingerprint.of_bytes(path.read_bytes())] for path in files]
    )


def load(rule: CustomRule) -> Callable[..., Any]:
    """Import the module and take the function from it.

    Raises:
        DatasetError: the module fails to import, has no such function, or is not what it was when the config was read.
    """
    if not rule.file.is_file() or source_of(rule.file) != rule.source:
        raise DatasetError(f"{rule.file} has changed since the config was read: reload the code location, or run again")
    try:
        with _importable(rule):
            module = importlib.import_module(rule.module)
    except (Exception, SystemExit) as error:
        raise DatasetError(f"{rule.file} can't be imported: {_message_of(error)}") from error
    function = getattr(module, rule.function, None)
    if not callable(function):
        raise DatasetError(f'{rule.file} has no function "{rule.function}"')
    made: Callable[..., Any] = function
    return made


def evaluate(rows: pa.Table, rule: CustomRule) -> npt.NDArray[np.bool_]:
    """Which rows the function keeps. Python objects exist for one batch at a time.

    Raises:
        DatasetError: the function raised, or returned something that is neither true nor false; the row is named.
    """
    function = load(rule)
    parts = [_of_batch(numbers, batch, function, rule) for numbers, batch in _batches(rows, rule)]
    return np.concatenate([np.empty(0, bool), *parts])


@contextlib.contextmanager
def _importable(rule: CustomRule) -> Iterator[None]:
    """Let the module be found in its own place, and leave no trace: another config may have one of the same name."""
    parts = rule.module.split(".")
    place = rule.file.parent if rule.file.name == "__init__.py" else rule.file.with_suffix("")
    base = place.parents[len(parts) - 1]
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == parts[0]}
    writes_bytecode = sys.dont_write_bytecode
    sys.path.insert(0, str(base))
    # a cached .pyc is taken for current by its second and size, which isn't exact
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        sys.path.remove(str(base))
        for name in [name for name in sys.modules if name.split(".")[0] == parts[0]]:
            del sys.modules[name]
        sys.modules.update(kept)


def _batches(rows: pa.Table, rule: CustomRule) -> Iterator[tuple[list[int], pa.RecordBatch]]:
    table = pa.table({column: schema.column(rows, column) for column in rule.columns})
    for start in range(0, len(rows), BATCH_ROWS):
        part = table.slice(start, BATCH_ROWS).combine_chunks()
        yield rows["row"].slice(start, BATCH_ROWS).to_pylist(), part.to_batches()[0]


def _of_batch(
    numbers: list[int], batch: pa.RecordBatch, function: Callable[..., Any], rule: CustomRule
) -> npt.NDArray[np.bool_]:
    if not rule.batched:
        results = [
            _check(number, functools.partial(function, row), rule)
            for number, row in zip(numbers, batch.to_pylist(), strict=True)
        ]
        return np.array(results, bool)
    rows = f"rows {numbers[0]} to {numbers[-1]}"
    try:
        returned = function(batch)
        values = returned.to_pylist() if isinstance(returned, pa.Array | pa.ChunkedArray) else list(returned)
    except (Exception, SystemExit) as error:
        raise DatasetError(f"{rule.name} failed on {rows}: {_message_of(error)}") from error
    if len(values) != len(numbers):
        raise DatasetError(f"{rule.name} returned {len(values)} values for the {len(numbers)} of {rows}")
    wrong = [at for at, value in enumerate(values) if not _is_boolean(value)]
    if wrong:
        raise DatasetError(f"{rule.name} returned {values[wrong[0]]!r} for row {numbers[wrong[0]]}, not true or false")
    return np.array(values, bool)


def _check(number: int, call: Callable[[], Any], rule: CustomRule) -> bool:
    try:
        value = call()
    except (Exception, SystemExit) as error:
        raise DatasetError(f"{rule.name} failed on row {number}: {_message_of(error)}") from error
    if not _is_boolean(value):
        raise DatasetError(f"{rule.name} returned {value!r} for row {number}, not true or false")
    return bool(value)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _message_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
