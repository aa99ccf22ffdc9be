"""Nothing empty is a success: whether a stage left anything of a dataset, and if not, why."""

from collections import Counter

import pyarrow as pa

from hf_assets import files, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.draw import empty_text
from hf_assets.encode import quarantine
from hf_assets.sources.spec import SourceSpec
from hf_assets.stages import filtering
from hf_assets.store.table_file import TableFile
from hf_assets.upkeep.check_results import CheckResult

NAME = "not_empty"
# The assets whose table is looked at.
ASSETS = ("filtered", "captions", "buckets", "training_set")


def not_empty(recipe: Recipe, asset: str) -> CheckResult:
    """Whether the table of one of `ASSETS` has rows. Of a table that has, only the end is read."""
    num_rows = _table(recipe, asset).num_rows()
    message = f"{num_rows:,} rows" if num_rows else WHY[asset](recipe)
    return CheckResult(NAME, num_rows > 0, message, {"rows": num_rows})


def no_row_kept(recipe: Recipe, raw_dataset: pa.Table, dropped: pa.Table) -> str:
    """Why the filters keep no row."""
    return empty_text.no_row_kept(len(raw_dataset), reasons(dropped), filtering.lacking(raw_dataset, recipe.filter))


def no_caption(recipe: Recipe, filtered: pa.Table, raw_dataset: pa.Table) -> str:
    """Why no row has a caption."""
    place, named = captions_of_folder(recipe.source), []
    columns = (*recipe.captions.columns, *recipe.captions.joined_if_there)
    if place:
        named = quarantine.addresses(filtered["row"].slice(0, 1000), raw_dataset).to_pylist()
        named += [""] * (len(filtered) - len(named))  # just counted
    return empty_text.no_caption(len(filtered), columns, named, place)


def captions_of_folder(source: SourceSpec) -> str:
    """Where the captions of a folder's media are looked for; empty where they lie in a dataset's columns."""
    if source.folder is None:
        return ""
    if source.folder.captions == "table" and source.folder.table is not None:
        return f'in "{source.folder.table.path}"'
    return "in their names" if source.folder.captions == "filename" else "in text files beside the media"


def reasons(rows: pa.Table | None) -> Counter[str]:
    """How many rows were left out, by reason."""
    return Counter([] if rows is None else rows["dropped_for"].to_pylist())


def _no_row_kept(recipe: Recipe) -> str:
    dropped = files.read_table(folder.dropped(recipe.folders.metadata, "filtered"))
    empty = pa.table({"dropped_for": pa.nulls(0, pa.string())})
    return no_row_kept(recipe, _table(recipe, "raw_dataset").read(), empty if dropped is None else dropped)


def _no_caption(recipe: Recipe) -> str:
    raw_dataset = _table(recipe, "raw_dataset").read(["row", *schema.LOCATION.names])
    return no_caption(recipe, _table(recipe, "filtered").read(), raw_dataset)


def _no_media(recipe: Recipe) -> str:
    root = recipe.folders.metadata
    dropped = reasons(files.read_table(folder.dropped(root, "buckets"), ["dropped_for"]))
    return empty_text.no_media(_table(recipe, "captions").num_rows(), dropped, _failed(recipe, "buckets"))


def _no_sample(recipe: Recipe) -> str:
    captions, latents, embeds = (_table(recipe, name).num_rows() for name in ("captions", "vae_latents", "text_embeds"))
    return empty_text.no_sample(captions, latents, embeds, _failed(recipe))


def _failed(recipe: Recipe, stage: str | None = None) -> Counter[str]:
    rows = quarantine.failed_samples(recipe).select(["stage", "reason"]).to_pylist()
    return Counter(row["reason"] for row in rows if stage in (None, row["stage"]))


def _table(recipe: Recipe, name: str) -> TableFile:
    return TableFile(recipe.folders.metadata, name, f"{recipe.id}/{name}")


WHY = {"filtered": _no_row_kept, "captions": _no_caption, "buckets": _no_media, "training_set": _no_sample}
