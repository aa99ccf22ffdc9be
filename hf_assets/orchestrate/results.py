"""What an asset hands to Dagster: its table, data version and metadata; and the side tables of what was left out."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import dagster as dg
import pyarrow as pa

from hf_assets import files, fingerprint, folder
from hf_assets.config.recipe import Recipe
from hf_assets.draw import columns
from hf_assets.encode.outcome import Outcome
from hf_assets.errors import HfAssetsError
from hf_assets.resources.tables import DATA_VERSION, written_version

P = ParamSpec("P")
R = TypeVar("R")


def result(
    context: dg.AssetExecutionContext,
    recipe: Recipe,
    outcome: Outcome,
    metadata: Mapping[str, Any] | None = None,
    data_version: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.MaterializeResult[pa.Table]:
    """Wrap a stage's outcome.

    Args:
        metadata: more than the counts that every stage has.
        data_version: where it isn't the content of the table.
        tags: see `observations.record_used`.
    """
    name = context.asset_key.path[-1]
    root = recipe.folders.metadata
    version = data_version or fingerprint.of_table(outcome.table, outcome.identity)
    computed, reused = outcome.computed, outcome.reused
    if computed is None:
        is_unchanged = written_version(folder.table(root, name)) == version
        computed, reused = (0, len(outcome.table)) if is_unchanged else (len(outcome.table), 0)
    if isinstance(outcome.dropped, pa.Table):
        files.write_table(folder.dropped(root, name), outcome.dropped)
    if outcome.quarantined is not None:
        files.write_table(folder.quarantined(root, name), outcome.quarantined)
    existing = outcome.table.schema.metadata or {}
    return dg.MaterializeResult(
        value=outcome.table.replace_schema_metadata({**existing, DATA_VERSION: version}),
        data_version=dg.DataVersion(version),
        tags=tags,
        metadata={
            "dagster/row_count": len(outcome.table),
            "dagster/column_schema": _column_schema(outcome.table.schema),
            "computed": computed,
            "reused": reused,
            "dropped": outcome.dropped if isinstance(outcome.dropped, int) else len(outcome.dropped),
            "quarantined": 0 if outcome.quarantined is None else len(outcome.quarantined),
            "bytes_read": outcome.bytes_read,
            **{name: columns.short(value) for name, value in (metadata or {}).items()},
        },
    )


def fail_in_one_line(asset: Callable[P, R]) -> Callable[P, R]:
    """Let an asset fail with the one line that says what to do, in place of a stack of Dagster's and our own frames."""

    @functools.wraps(asset)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return asset(*args, **kwargs)
        except HfAssetsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None

    return run


def _column_schema(arrow: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(field.name, columns.kind(field.type), description=columns.MEANING.get(field.name))
            for field in arrow
        ]
    )
