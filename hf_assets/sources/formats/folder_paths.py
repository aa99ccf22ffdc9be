"""What metadata of a folder name: files below it. `datasets` refuses metadata of which one row names anything else."""

import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from hf_assets.errors import DatasetError
from hf_assets.media import signatures
from hf_assets.sources.formats import csv_text
from hf_assets.sources.formats.faults import Fault


def only_below(table: pa.Table, path: str, found: list[Fault]) -> pa.Table:
    """The rows of metadata that name files below their folder.

    Args:
        path: of the metadata, for messages.
        found: is given the other rows.

    Raises:
        DatasetError: no row is left.
    """
    wrong: dict[int, str] = {}
    for name in table.column_names:
        if name.endswith(csv_text.FILE_NAMES):
            for row, given in enumerate(table[name].to_pylist()):
                why = next(filter(None, map(_why_not, _texts(given))), "")
                if why:
                    wrong.setdefault(row, f'its "{name}" {why}')
    if not wrong:
        return table
    bad = [Fault(f"row {row + 1:,}", "missing", why) for row, why in sorted(wrong.items())]
    if len(bad) == len(table):
        raise DatasetError(f'"{path}" names no file that can be read ({bad[0].member}: {bad[0].message})')
    found += bad
    is_left = np.ones(len(table), bool)
    is_left[sorted(wrong)] = False
    return table.filter(pa.array(is_left))


def _texts(given: Any) -> Iterator[str]:
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, str):
            yield one


def _why_not(name: str) -> str:
    if what := signatures.describe_text(name):
        return f"holds {what}"
    plain = posixpath.normpath(name.replace("\\", "/"))
    if "://" in name or plain.startswith("/") or plain.split("/")[0] == "..":
        return f'names "{name[:200]}", which lies outside of the folder: write the path of a file below it'
    return ""
