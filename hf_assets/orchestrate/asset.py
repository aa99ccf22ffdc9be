"""How the function of one stage becomes an asset: key, group, inputs, code version, resources, and how it fails.

The function says what its result follows from and how it is made. Where the result of an earlier run follows from just
the same, it is taken as it is: no table is opened.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from hf_assets.blobs import listings
from hf_assets.config.recipe import Recipe
from hf_assets.encode import versions
from hf_assets.orchestrate.lineage import matching_versions, require_unchanged
from hf_assets.orchestrate.prefixes import with_resource_prefix
from hf_assets.orchestrate.results import Step, fail_in_one_line, made_before, made_now
from hf_assets.resources.tables import FOLDER, TABLE_FILE, Draft
from hf_assets.store.table_file import TableFile, recall

Body = Callable[..., Step]


def stage_asset(
    recipe: Recipe,
    *,
    code_version: str,
    inputs: Iterable[str] = (),
    side_tables: Iterable[str] = (),
    revisions: Iterable[str] = (),
    pool: str | None = None,
    kinds: Iterable[str] = ("parquet",),
) -> Callable[[Body], dg.AssetsDefinition]:
    """Make an asset of one dataset out of its body: its name is the function's, its description the docstring.

    The body gets what its parameters name: `context`, tables (`TableFile`), resources. It reads only tables that belong
    together, and fails with one line.

    Args:
        code_version: of just what this asset reads; see `config.recipe.code_version`.
        inputs: names of the assets whose tables it reads.
        side_tables: names of the assets of which it reads what they dropped.
        revisions: names of the observed assets (`encode.revisions`) whose change makes its result stale.
        pool: of Dagster, that limits how many such assets run at once.
        kinds: what the page shows beside the asset's name.
    """
    read = tuple(inputs)

    def asset(body: Body) -> dg.AssetsDefinition:
        return dg.asset(
            key_prefix=recipe.key_prefix,
            group_name=recipe.group,
            ins={name: dg.AssetIn(recipe.key(name), dagster_type=TABLE_FILE) for name in read},
            deps=[recipe.key(name) for name in (*side_tables, *revisions)],
            code_version=code_version,
            metadata={FOLDER: str(recipe.folders.metadata)},
            io_manager_key=recipe.resource("tables"),
            pool=pool,
            kinds=set(kinds),
            owners=list(recipe.owners),
        )(with_resource_prefix(recipe.resource_prefix)(fail_in_one_line(_make_or_reuse(recipe, code_version, body))))

    return asset


def _make_or_reuse(recipe: Recipe, code_version: str, body: Body) -> Callable[..., dg.MaterializeResult[Draft]]:
    """A body as Dagster calls it: its result is made, or taken from the run that made it."""

    @functools.wraps(body)
    @listings.held()
    def run(context: dg.AssetExecutionContext, **arguments: Any) -> dg.MaterializeResult[Draft]:
        name, folder = context.asset_key.path[-1], recipe.folders.metadata
        recipe.folders.require(writable=True)
        inputs = [value for value in arguments.values() if isinstance(value, TableFile)]
        read_versions = matching_versions(inputs)
        states = {one.name: one.state() for one in inputs}
        step = body(context, **arguments)
        basis = versions.follows_from(recipe, code_version, step.follows_from)
        with step.in_use():
            before = recall(folder, name, basis, inputs)
        if before is not None:
            return made_before(recipe, name, before, step)
        made = step.make(basis)
        require_unchanged(inputs, read_versions)
        noted = {table: (version, states[table]) for table, version in read_versions.items()}
        return made_now(recipe, name, step, made, basis, noted)

    signature = inspect.signature(body)
    run.__signature__ = signature.replace(return_annotation=dg.MaterializeResult[Draft])  # type: ignore[attr-defined]
    run.__annotations__ = {**body.__annotations__, "return": dg.MaterializeResult[Draft]}
    return run
