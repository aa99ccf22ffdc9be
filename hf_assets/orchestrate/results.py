"""What an asset hands to Dagster: its table, data version and metadata; and the side tables of what was left out."""

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import dagster as dg
import pyarrow as pa

from hf_assets import files, folder, inert
from hf_assets.config.recipe import Recipe
from hf_assets.draw import columns, sheets
from hf_assets.encode.outcome import Outcome
from hf_assets.errors import HfAssetsError
from hf_assets.orchestrate import column_lineage
from hf_assets.orchestrate.metadata import arranged
from hf_assets.resources.tables import Draft
from hf_assets.show import views
from hf_assets.store import pieces
from hf_assets.store.draft import DraftTable
from hf_assets.store.memo import Memo, State, state_of
from hf_assets.store.table_file import DATA_VERSION, MADE_FROM, facts_of

P = ParamSpec("P")
R = TypeVar("R")

# How the names begin of what is measured while samples are computed.
MEASURED = ("samples_per_second", "seconds", "device_", "waited_", "bytes_written")


class Made(NamedTuple):
    """What came of a stage.

    Attributes:
        metadata: more than the counts that every stage has.
        version: data version, where it isn't the content of the table.
    """

    outcome: Outcome
    metadata: Mapping[str, Any] = {}
    version: str | None = None


class Step(NamedTuple):
    """An asset's work, which is done only if its result isn't there already.

    Attributes:
        follows_from: JSON of all that decides the result, besides the input tables, what the code version says, and
            the files that the outcome names as read (`Outcome.rests`). `make` is given its hash with all else but these
            tables and files (`versions.follows_from`).
        tags: of the materialization; see `observations.record_used`.
        in_use: keeps what the result rests on as it is while it is looked at.
    """

    make: Callable[[str], Made]
    follows_from: Any = None
    tags: Mapping[str, str] | None = None
    in_use: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def made_now(
    recipe: Recipe, name: str, step: Step, made: Made, basis: str, inputs: Mapping[str, tuple[str, State]]
) -> dg.MaterializeResult[Draft]:
    """Wrap what came of a stage, with the memo by which it is known again.

    Args:
        basis: see `versions.follows_from`.
        inputs: data version and state of each table that it was made from.
    """
    outcome, root = made.outcome, recipe.folders.metadata
    table = outcome.table
    version = made.version or table.version
    computed, reused = outcome.computed, outcome.reused
    if computed is None:
        last = facts_of(folder.table(root, name))
        is_unchanged = last is not None and last.version == version
        computed, reused = (0, table.num_rows) if is_unchanged else (table.num_rows, 0)
    beside = [outcome.dropped] if isinstance(outcome.dropped, DraftTable) else []
    if outcome.quarantined is not None:
        beside.append(DraftTable.of(folder.quarantined(root, name), outcome.quarantined))
    written = {draft.path.name: state for draft in beside if (state := _write_beside(draft)) is not None}
    metadata = {
        "dagster/row_count": table.num_rows,
        "dagster/column_schema": _column_schema(table.schema),
        "computed": computed,
        "reused": reused,
        "dropped": outcome.dropped if isinstance(outcome.dropped, int) else outcome.dropped.num_rows,
        "quarantined": 0 if outcome.quarantined is None else len(outcome.quarantined),
        "bytes_read": outcome.bytes_read,
        **{key: columns.short(value) for key, value in made.metadata.items()},
    }
    if (lineage := column_lineage.of(recipe, name, table.schema.names)) is not None:
        metadata["dagster/column_lineage"] = lineage
    memo = None
    if outcome.rests is not None:
        facts = {
            "metadata": dg.serialize_value(metadata),
            "rows": table.num_rows,
            "samples": computed + reused,
            "quarantined": metadata["quarantined"],
        }
        memo = Memo(basis, inputs, version, written, outcome.rests, facts, is_exact=bool(metadata["quarantined"]))
    table.note({DATA_VERSION: version, MADE_FROM: json.dumps({input: seen for input, (seen, _) in inputs.items()})})
    return dg.MaterializeResult(
        value=Draft(table, memo), data_version=dg.DataVersion(version), tags=step.tags, metadata=arranged(metadata)
    )


def _write_beside(draft: DraftTable) -> State | None:
    """Write a table of what was left out; one that is the same stays, and so does what was made of it.

    Returns:
        the file's state.
    """
    before = state_of(draft.path)
    if before is not None and (known := pieces.open_pieces(draft.path)) is not None:
        with known:
            if known.schema.equals(draft.schema) and list(known.pieces.values()) == draft.pieces:
                draft.discard()
                return before
    draft.publish()
    return state_of(draft.path)


def made_before(recipe: Recipe, name: str, memo: Memo, step: Step) -> dg.MaterializeResult[Draft]:
    """Wrap the result of an earlier run, of which nothing was computed now."""
    metadata: dict[str, Any] = dg.deserialize_value(memo.facts["metadata"], dict)
    metadata = {key: value for key, value in metadata.items() if not key.startswith(MEASURED)}
    metadata |= {"computed": 0, "reused": metadata["computed"] + metadata["reused"], "bytes_read": 0}
    sheet = views.kept_sheet(recipe.folders.metadata, name) if "contact_sheet" in metadata else None
    if sheet is not None:  # that of `filtered` is drawn once media were read
        metadata["contact_sheet"] = dg.MetadataValue.md(sheets.inline(sheet, views.SHEETS[name]))
    return dg.MaterializeResult(
        value=Draft(None, memo),
        data_version=dg.DataVersion(memo.version),
        tags=step.tags,
        metadata=arranged(metadata),
    )


def fail_in_one_line(asset: Callable[P, R]) -> Callable[P, R]:
    """Let an asset fail with the one line that says what to do, in place of a stack of Dagster's and our own frames.

    Another library's error is a bug, shown with its stack; where its message quotes controls of a terminal, as text.
    """

    @functools.wraps(asset)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return asset(*args, **kwargs)
        except HfAssetsError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        except Exception as error:
            if (full := files.full_disk(error)) is not None:
                raise dg.Failure(description=str(full), allow_retries=False) from None
            if inert.is_inert(error):
                raise
            line = inert.text(f"{type(error).__name__}: {error}")
            raise dg.Failure(line, {"traceback": dg.MetadataValue.text(inert.trace(error))}) from None

    return run


def _column_schema(arrow: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(field.name, columns.kind(field.type), description=columns.MEANING.get(field.name))
            for field in arrow
        ]
    )
