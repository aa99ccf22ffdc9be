"""What a run changed in the training set, for the report's head."""

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.plan import changes
from hf_assets.stages import naming

NAMES = 5
WORDS = {
    "added": "added",
    "recaptioned": "with other captions",
    "recropped": "cut in another way",
}


def since_last(recipe: Recipe, training_set: pa.Table) -> list[str]:
    """A line for each kind of change between the training set that is on the disk and the new one."""
    before = files.read_table(folder.table(recipe.folders.metadata, "training_set"))
    if before is None:
        return [f"This is the first training set: {_number(len(training_set))}."]
    columns = changes.geometry_of(before.column_names, training_set.column_names)
    has_paths = schema.SOURCE_PATH.name in before.column_names  # an earlier release noted none
    old, new = (changes.Samples(columns, has_paths=has_paths) for _ in range(2))
    old.add(before)
    new.add(training_set)
    found = changes.compare(old, new, {})
    lines = [
        f"{_number(len(rows))} {WORDS[kind]}: {_names(training_set, rows)}"
        for kind, rows in found.by_kind.items()
        if len(rows) and kind in WORDS
    ]
    lines += [f"{_number(len(rows))} gone: {_names(before, rows)}" for rows in found.removed.values()]
    if "latent_key" in before.column_names:
        is_new = pc.invert(pc.is_in(training_set["latent_key"], value_set=before["latent_key"].combine_chunks()))
        if count := pc.sum(is_new).as_py():
            lines.append(f"{count:,} samples have a latent that the last training set didn't have.")
    return lines or ["Nothing: the training set is the one of the last run."]


def _number(count: int) -> str:
    return f"{count:,} sample" if count == 1 else f"{count:,} samples"


def _names(table: pa.Table, rows: "changes.Numbers") -> str:
    shown = table.filter(pc.is_in(table["row"], value_set=pa.array(rows[:NAMES])))
    some = [naming.name_of(row) for row in shown.to_pylist()]
    more = f" and {len(rows) - len(some):,} more" if len(rows) > len(some) else ""
    return f"{', '.join(some)}{more}"
