"""Which rows are encoded, and with which captions: `stages.filtering` and `stages.captions`, piece by piece."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode.outcome import Outcome
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import filtering
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile

# Where a row lies, and which file it is.
PLACE = ["row", *schema.LOCATION.names, schema.SOURCE_PATH.name]


def filtered(
    recipe: Recipe,
    raw_dataset: TableFile,
    basis: str,
    show: Callable[[pa.Table, pa.Table], None],
    say: Callable[[str], None],
) -> Outcome:
    """The rows that pass the filters, and those that don't, each with its reason.

    Args:
        basis: hash of all that decides the table beside `raw_dataset`.
        show: is given rows of the split with `dropped_for`, and those of them that are dropped.
    """
    root, rules = recipe.folders.metadata, recipe.filter
    paths = folder.table(root, "filtered"), folder.dropped(root, "filtered")
    of_rows_alone = basis if rules.max_num_samples is None else None
    seen = filtering.Lacking(rules, is_folder=recipe.source.folder is not None)
    with Remaking(of_rows_alone, [raw_dataset], paths) as remaking:
        kept, dropped = map(remaking.draft, paths)
        for number in remaking.kept:
            without = remaking.old_rows(paths[1], number)
            show(_judged(remaking.rows_of(raw_dataset, number, PLACE), without), without)
            if seen.is_open:
                seen.add(remaking.rows_of(raw_dataset, number))
        for judged in filtering.judge_tables(lambda: remaking.tables(raw_dataset), rules):
            seen.add(judged)
            passed, without = (part(judged).replace_schema_metadata() for part in (filtering.kept, filtering.dropped))
            kept.add(passed)
            dropped.add(without)
            show(judged, without)
    for line in seen.lines():
        say(line)
    return Outcome(kept, dropped=dropped)


def _judged(rows: pa.Table, dropped: pa.Table) -> pa.Table:
    at = pc.index_in(rows["row"], value_set=dropped["row"].combine_chunks())
    return rows.append_column("dropped_for", dropped["dropped_for"].take(at))


def captions(recipe: Recipe, filtered: TableFile, basis: str, show: Callable[[pa.Table, pa.Table], None]) -> Outcome:
    """The rows with a caption, and those without.

    Args:
        basis: hash of all that decides the table beside `filtered`.
        show: is given rows of either.
    """
    root = recipe.folders.metadata
    paths = folder.table(root, "captions"), folder.dropped(root, "captions")
    with Remaking(basis, [filtered], paths) as remaking:
        table, dropped = map(remaking.draft, paths)
        for number in remaking.kept:
            show(*(remaking.old_rows(path, number) for path in paths))
        for rows in remaking.tables(filtered):
            captioned, without = captions_stage.extract(rows, recipe.captions)
            table.add(captioned)
            dropped.add(without)
            show(captioned, without)
    return Outcome(table, dropped=dropped)
