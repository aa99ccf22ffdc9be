"""Tables that belong together: every table notes the data versions of the tables that it was made from.

Rows of different tables meet by their position in the split, so tables of different revisions must never meet. A run of
the whole graph can't mix them; one that materializes only some assets, or two runs at once, could.
"""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets import files, folder
from hf_assets.blobs import Location
from hf_assets.blobs.location import parse
from hf_assets.errors import StoreError
from hf_assets.resources.tables import DATA_VERSION, PATH

# Key of a table's schema metadata: name -> data version of each table that it was made from.
MADE_FROM = b"hf_assets.made_from"

Asset = Callable[..., dg.MaterializeResult[pa.Table]]


class Facts(NamedTuple):
    """What a table says about itself."""

    version: str
    made_from: dict[str, str]


def require_matching_inputs(asset: Asset) -> Asset:
    """Let an asset read only tables that belong together, and keep its result only if they still do when it is done.

    Raises:
        StoreError: an input was made from other tables than those that are there, or another run changed one meanwhile.
    """

    @functools.wraps(asset)
    def run(context: dg.AssetExecutionContext, **inputs: Any) -> dg.MaterializeResult[pa.Table]:
        tables = {name: value for name, value in inputs.items() if isinstance(value, pa.Table)}
        root = parse(next(iter(tables.values())).schema.metadata[PATH].decode(), Path()).parent
        read = {name: _facts(table.schema.metadata) for name, table in tables.items()}
        for name, facts in read.items():
            for made, source in _first_mismatch(root, name, facts):
                raise StoreError(
                    f"{root.name}/{made} was made from an earlier {root.name}/{source} than the one that is there: "
                    f"materialize {root.name}/{made} and what follows it, or the whole group"
                )
        result = asset(context, **inputs)
        for name, facts in read.items():
            if _facts_of(root, name).version != facts.version:
                raise StoreError(
                    f"another run changed {root.name}/{name} since this run read it, so what this run made of it is "
                    "not kept (tensors are): run again"
                )
        assert result.value is not None
        versions = json.dumps({name: facts.version for name, facts in read.items()})
        value = result.value.replace_schema_metadata({**(result.value.schema.metadata or {}), MADE_FROM: versions})
        return dg.MaterializeResult(
            value=value, data_version=result.data_version, metadata=result.metadata, tags=result.tags
        )

    return run


def _first_mismatch(root: Location, name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """(table, input) where a table isn't made from the input that lies there now, of a table and all before it."""
    for source, version in facts.made_from.items():
        there = _facts_of(root, source)
        if there.version != version:
            yield name, source
        yield from _first_mismatch(root, source, there)


def _facts_of(root: Location, name: str) -> Facts:
    try:
        return _facts(pq.read_schema(files.parquet(folder.table(root, name))).metadata)
    except (OSError, pa.ArrowException):
        raise StoreError(f"the table of {root.name}/{name} is missing or damaged: materialize it again") from None


def _facts(metadata: dict[bytes, bytes] | None) -> Facts:
    known = metadata or {}
    return Facts(known.get(DATA_VERSION, b"").decode(), json.loads(known.get(MADE_FROM, b"{}")))
