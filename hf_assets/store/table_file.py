"""A dataset's table where it lies: what it says of itself is in its last bytes, its rows are read when asked for.

Every table notes its data version, and those of the tables that it was made from.
"""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files
from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.folder import table as table_path
from hf_assets.store import memo

# Keys of a table's schema metadata: the data version under which it was written; name -> data version of each table
# that it was made from.
DATA_VERSION = b"hf_assets.data_version"
MADE_FROM = b"hf_assets.made_from"


class Facts(NamedTuple):
    """What a table says about itself."""

    version: str
    made_from: dict[str, str]


class TableFile:
    """The table of one asset.

    Attributes:
        made_by: the asset, as a person writes it.
    """

    def __init__(self, folder: Location, name: str, made_by: str) -> None:
        self.folder = folder
        self.name = name
        self.made_by = made_by
        self.path = table_path(folder, name)

    def facts(self) -> Facts:
        """What the table says about itself.

        Raises:
            StoreError: there is none, or its end is damaged.
        """
        found = facts_of(self.path)
        if found is None:
            raise self._refusal()
        return found

    def state(self) -> memo.State:
        """The file's size and time.

        Raises:
            StoreError: there is none.
        """
        found = memo.state_of(self.path)
        if found is None:
            raise self._refusal()
        return found

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its rows.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        table = files.read_table(self.path, columns)
        if table is None:
            raise self._refusal()
        return table

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Its rows in tables of bounded size, of which there is at least one.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        tables = files.read_tables(self.path, columns)
        if tables is None:
            raise self._refusal()
        return tables

    def num_rows(self) -> int:
        """How many rows it has, of which none is read.

        Raises:
            StoreError: there is none, or its end is damaged.
        """
        try:
            return int(pq.read_metadata(files.parquet(self.path)).num_rows)
        except (OSError, ValueError, pa.ArrowException):
            raise self._refusal() from None

    def _refusal(self) -> StoreError:
        memo.forget(self.folder, self.name)
        state = "is damaged" if self.path.exists() else "does not exist"
        return StoreError(f"the table {self.path} {state}: materialize {self.made_by} again")


def facts_of(path: Location) -> Facts | None:
    """What a table says about itself; None where there is none, or none that can be read."""
    try:
        known = files.metadata_of(path)
        return Facts(known.get(DATA_VERSION, b"").decode(), json.loads(known.get(MADE_FROM, b"{}")))
    except (OSError, ValueError, pa.ArrowException):
        return None


def recall(folder: Location, name: str, follows_from: str, inputs: Sequence[TableFile]) -> memo.Memo | None:
    """The memo of a table that would come out the same if it were made again.

    Args:
        follows_from: hash of all that decides the table besides its inputs.
        inputs: the tables that it is made from.
    """
    found = memo.load(folder, name)
    versions = {one.name: one.facts().version for one in inputs}
    if (
        found is None
        or found.follows_from != follows_from
        or {table: version for table, (version, _) in found.inputs.items()} != versions
        or facts_of(table_path(folder, name)) != Facts(found.version, versions)
        or not found.is_intact(folder)
    ):
        return None
    states = {one.name: memo.state_of(one.path) for one in inputs}
    if all(states[table] == state for table, (_, state) in found.inputs.items()):
        return found
    if found.is_exact:
        return None
    # written anew with the same content, or damaged: its own hash shows which
    noted = {}
    for one in inputs:
        state = states[one.name]
        if state is None or not files.is_whole_file(one.path):
            return None
        noted[one.name] = (versions[one.name], state)
    renewed = found._replace(inputs=noted)
    memo.save(folder, name, renewed)
    return renewed
