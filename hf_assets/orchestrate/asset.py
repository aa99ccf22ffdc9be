"""How the function of one stage becomes an asset: key, group, inputs, code version, resources, and how it fails."""

from collections.abc import Callable, Iterable

import dagster as dg
import pyarrow as pa

from hf_assets.config.recipe import Recipe
from hf_assets.orchestrate.lineage import require_matching_inputs
from hf_assets.orchestrate.prefixes import with_resource_prefix
from hf_assets.orchestrate.results import fail_in_one_line
from hf_assets.resources.tables import FOLDER

Body = Callable[..., dg.MaterializeResult[pa.Table]]


def stage_asset(
    recipe: Recipe,
    *,
    code_version: str,
    inputs: Iterable[str] = (),
    side_tables: Iterable[str] = (),
    revisions: Iterable[str] = (),
    pool: str | None = None,
    kinds: Iterable[str] = ("arrow",),
) -> Callable[[Body], dg.AssetsDefinition]:
    """Make an asset of one dataset out of its body: its name is the function's, its description the docstring.

    The body gets what its parameters name: `context`, tables, resources. It reads only tables that belong together, and
    fails with one line.

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
        checked = require_matching_inputs(body) if read else body
        return dg.asset(
            key_prefix=recipe.key_prefix,
            group_name=recipe.group,
            ins={name: dg.AssetIn(recipe.key(name)) for name in read},
            deps=[recipe.key(name) for name in (*side_tables, *revisions)],
            code_version=code_version,
            metadata={FOLDER: str(recipe.folders.metadata)},
            io_manager_key=recipe.resource("tables"),
            pool=pool,
            kinds=set(kinds),
            owners=list(recipe.owners),
        )(with_resource_prefix(recipe.resource_prefix)(fail_in_one_line(checked)))

    return asset
