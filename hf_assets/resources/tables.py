"""The small tables that travel between assets, as Parquet files in the dataset's metadata folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from hf_assets import files, folder
from hf_assets.blobs import Location
from hf_assets.blobs.location import parse
from hf_assets.errors import StoreError

# Key of an asset's definition metadata that names the folder of its table.
FOLDER = "hf_assets/folder"
# Key of a table's schema metadata: the data version under which it was written.
DATA_VERSION = b"hf_assets.data_version"
# Key of a loaded table's schema metadata: the file that it was read from. It is not written.
PATH = b"hf_assets.path"


class TablesIOManager(dg.ConfigurableIOManager):
    """Keeps the table of asset `[id, name]` as `{metadata folder}/{name}.parquet`."""

    def handle_output(self, context: dg.OutputContext, obj: pa.Table) -> None:
        path = folder.table(_root(context.definition_metadata), context.asset_key.path[-1])
        metadata = {key: value for key, value in (obj.schema.metadata or {}).items() if key != PATH}
        files.write_table(path, obj.replace_schema_metadata(metadata))
        context.add_output_metadata({"dagster/uri": str(path)})

    def load_input(self, context: dg.InputContext) -> pa.Table:
        assert context.upstream_output is not None
        path = folder.table(_root(context.upstream_output.definition_metadata), context.asset_key.path[-1])
        table = files.read_table(path)
        if table is None:
            state = "is damaged" if path.exists() else "does not exist"
            raise StoreError(f"the table {path} {state}: materialize {context.asset_key.to_user_string()} again")
        return table.replace_schema_metadata({**(table.schema.metadata or {}), PATH: str(path)})


def _root(metadata: Mapping[str, Any] | None) -> Location:
    return parse((metadata or {})[FOLDER], Path())


def written_version(path: Location) -> str | None:
    """The data version of the table at `path`, if there is one."""
    table = files.read_table(path)
    if table is None or DATA_VERSION not in (table.schema.metadata or {}):
        return None
    version: bytes = table.schema.metadata[DATA_VERSION]
    return version.decode()
