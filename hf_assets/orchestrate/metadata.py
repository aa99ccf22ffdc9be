"""What an asset shows in the page, as Dagster's metadata."""

from typing import Any

import dagster as dg
import pyarrow as pa

from hf_assets import files
from hf_assets.config.recipe import Recipe
from hf_assets.draw import sheets
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.resources.tables import table_path
from hf_assets.show import views
from hf_assets.show.views import View


def as_metadata(view: View) -> dict[str, Any]:
    """Numbers are plotted over time; texts are Markdown."""
    return {**view.numbers, **{name: dg.MetadataValue.md(text) for name, text in view.texts.items()}}


def show_filtered(context: dg.AssetExecutionContext, recipe: Recipe, raw_dataset: pa.Table) -> None:
    """Give `filtered` its contact sheet once media were read, which it doesn't do itself: as an observation of it."""
    dropped = files.read_table(table_path(recipe.folders.metadata, "filtered_dropped"))
    if dropped is None:
        return
    before = views.kept_sheet(recipe.folders.metadata, "filtered")
    data = views.filtered_sheet(recipe, Thumbnails(recipe), raw_dataset, dropped)
    if data is not None and data != before:
        sheet = dg.MetadataValue.md(sheets.inline(data, "kept and dropped"))
        context.log_event(dg.AssetObservation(recipe.key("filtered"), metadata={"contact_sheet": sheet}))
