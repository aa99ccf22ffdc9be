"""Metadata that lie beside an archive of media and name its members, as people make them; `datasets` reads neither."""

import posixpath
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from hf_assets.sources.formats import csv_text
from hf_assets.sources.unicode_names import composed

NAME = "file_name"


def joiner(archive: Path, column: str, metadata: Sequence[Path]) -> Callable[[pa.Table], pa.Table] | None:
    """What adds the columns of metadata to an archive's rows; None where the archive has metadata of its own.

    Args:
        column: of the media, structs of bytes and path.
    """
    with zipfile.ZipFile(archive) as members:
        names = [posixpath.basename(name) for name in members.namelist()]
    table = pa.concat_tables([_read(one) for one in metadata], promote_options="permissive")
    if NAME not in table.column_names or any(name.startswith("metadata.") for name in names):
        return None
    rows: dict[str, int] = {}
    for row, name in enumerate(table[NAME].to_pylist()):
        if name is not None:
            path = composed(str(name).replace("\\", "/").removeprefix("./"))
            rows.setdefault(path, row)
            # alone where names are distinct, as the archive's folder may be part of the path
            if names.count(posixpath.basename(str(name))) == 1:
                rows.setdefault(posixpath.basename(path), row)

    def join(part: pa.Table) -> pa.Table:
        paths = [composed(one["path"] or "") for one in part[column].to_pylist()]
        at = [rows.get(path, rows.get(posixpath.basename(path))) for path in paths]
        found = table.take(pa.array(at, pa.int64()))
        for name in found.column_names:
            if name != NAME and name not in part.column_names:
                part = part.append_column(name, found[name])
        return part

    return join


def _read(path: Path) -> pa.Table:
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"PAR1"):
        return csv_text.with_file_name(pq.read_table(path))
    if start.startswith(b"{"):
        return csv_text.with_file_name(pyarrow.json.read_json(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "metadata.parquet"
        csv_text.metadata_table(path, copy)
        return pq.read_table(copy)
