"""The small tables that travel between assets, as Parquet files in the dataset's metadata folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from hf_assets import folder
from hf_assets.blobs import Location
from hf_assets.blobs.location import parse
from hf_assets.errors import StoreError
from hf_assets.store import memo
from hf_assets.store.draft import DraftTable
from hf_assets.store.memo import Memo
from hf_assets.store.table_file import TableFile

# Key of an asset's definition metadata that names the folder of its table.
FOLDER = "hf_assets/folder"
# What our own assets take: a table as a file, which they may not need to open.
TABLE_FILE = dg.PythonObjectDagsterType(TableFile)


class Draft:
    """What an asset gives: a table that is about to be published.

    Attributes:
        table: None where the one that lies there is the same.
        memo: what it rests on; None where that isn't known for sure.
    """

    def __init__(self, table: DraftTable | None, memo: Memo | None) -> None:
        self.table = table
        self.memo = memo


class TablesIOManager(dg.ConfigurableIOManager):
    """Keeps the table of asset `[id, name]` as `{metadata folder}/{name}.parquet`."""

    def handle_output(self, context: dg.OutputContext, obj: Draft) -> None:
        root, name = _root(context.definition_metadata), context.asset_key.path[-1]
        path = folder.table(root, name)
        context.add_output_metadata({"dagster/uri": str(path)})
        if obj.table is None:
            assert obj.memo is not None
            if any(memo.state_of(root / file) != state for file, state in obj.memo.tables.items()):
                raise StoreError(f"another run changed {root.name}/{name} while this run looked at it: run again")
            return
        memo.forget(root, name)
        obj.table.publish()
        state = memo.state_of(path)
        if obj.memo is not None and state is not None:
            memo.save(root, name, obj.memo._replace(tables={**obj.memo.tables, path.name: state}))

    def load_input(self, context: dg.InputContext) -> Any:
        """A `TableFile` for our own assets, a `pyarrow.Table` for others."""
        assert context.upstream_output is not None
        root = _root(context.upstream_output.definition_metadata)
        table = TableFile(root, context.asset_key.path[-1], context.asset_key.to_user_string())
        return table if context.dagster_type is TABLE_FILE else table.read()


def _root(metadata: Mapping[str, Any] | None) -> Location:
    return parse((metadata or {})[FOLDER], Path())
