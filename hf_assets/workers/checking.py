"""Hold a recipe against the real dataset and model, before anything is encoded."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc

from hf_assets.config.recipe import Recipe
from hf_assets.models.components import text_components, vae_component
from hf_assets.models.source import resolve_pipeline
from hf_assets.sources import rows
from hf_assets.sources.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.stages import captions, filtering
from hf_assets.workers.medium import medium_of


def check(recipe: Recipe) -> Iterator[str]:
    """What was found, line by line. Columns are read, media are not; nothing is kept.

    Raises:
        DatasetError, ModelError: the first thing that would stop a run.
    """
    with TemporaryDirectory() as folder:
        memory = Path(folder)
        source = source_of(recipe.source, memory / "sources")
        snapshot = source.resolve()
        yield f"dataset {snapshot.repository} at {snapshot.commit}"
        yield f"split {recipe.source.split}: {len(snapshot.files):,} files"
        wanted = WantedColumns(recipe.media_column, recipe.required_columns, recipe.optional_columns)
        table = rows.read(source, snapshot, wanted, memory / "columns", lambda line: None).table
    judged = filtering.judge(table, recipe.filter)
    kept, dropped = filtering.kept(judged), filtering.dropped(judged)
    yield f"rows: {len(table):,}; columns {', '.join((recipe.media_column, *recipe.required_columns))} found"
    yield f"filter keeps {len(kept):,} ({_share(len(kept), len(table))})"
    for entry in pc.value_counts(dropped["dropped_for"]).to_pylist():
        yield f"  dropped, {entry['values']}: {entry['counts']:,}"
    captioned, without = captions.extract(kept, recipe.captions)
    num_distinct = len(captions.distinct(captioned))
    yield f"rows with captions: {len(captioned):,}, without: {len(without):,}; distinct captions: {num_distinct:,}"
    pipeline = resolve_pipeline(recipe.model.pipeline)
    encoders = ", ".join(component.class_name for component in text_components(pipeline) if component.is_model)
    yield f"model {pipeline.name} at {pipeline.sha or 'local folder'}: {vae_component(pipeline).class_name}; {encoders}"
    yield medium_of(recipe).examples(pipeline)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "of none"
