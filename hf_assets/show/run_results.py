"""What a run left behind of a dataset, put together for its closing summary."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from hf_assets import files, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.draw.run_text import ROWS, SHOWN_FAILURES, Failure, Result, Stage
from hf_assets.encode import quarantine
from hf_assets.stages import naming

# The assets of a graph, as a person reads them.
ORDER = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")
# The assets that leave rows out by a rule, in their order.
DROPPING = ("filtered", "captions", "buckets")


def of_dataset(recipe: Recipe, stages: Sequence[Stage], checks: Sequence[str]) -> Result:
    """What came of a dataset in a run.

    Args:
        stages: that the run made.
        checks: that failed.

    Raises:
        StoreError: a table is damaged.
    """
    root = recipe.folders.metadata
    # exports come behind, as the config lists them
    stages = sorted(stages, key=lambda stage: ORDER.index(stage.name) if stage.name in ORDER else len(ORDER))
    last = next((stage for stage in stages if stage.name == "training_set"), None)
    failed = quarantine.failed_samples(recipe)
    shown = [Failure(naming.name_of(row), row["reason"], row["message"]) for row in failed[:SHOWN_FAILURES].to_pylist()]
    places = {"training set": place(folder.table(root, "training_set")), "report": place(folder.report(root))}
    return Result(
        recipe.id,
        stages,
        last and last.count(ROWS),
        _dropped(root, {stage.name for stage in stages}),
        len(failed),
        shown,
        checks,
        places if last else {},
    )


def _dropped(root: Location, made: set[str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name in DROPPING:
        table = files.read_table(folder.dropped(root, name), columns=["dropped_for"]) if name in made else None
        for entry in pc.value_counts(table["dropped_for"]).to_pylist() if table is not None else ():
            counts[entry["values"]] += entry["counts"]
    return dict(counts.most_common())


def place(path: Location) -> str:
    """Relative to the working directory where that is shorter."""
    if not isinstance(path, Path):
        return str(path)
    return min(str(path), os.path.relpath(path), key=len)
