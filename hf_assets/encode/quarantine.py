"""Failed samples as rows that a person can act on."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode.probe import ledger_of
from hf_assets.errors import StoreError
from hf_assets.sources import rows
from hf_assets.sources.spec import WHOLE_FILE
from hf_assets.stages import aligning, naming
from hf_assets.stages.aligning import Tables
from hf_assets.store import memo
from hf_assets.store.tensors import TensorStore

# The stages in which samples can fail, each with a table `{stage}_quarantined.parquet`.
PROBING, LATENTS, EMBEDS = "buckets", "vae_latents", "text_embeds"


def failed_rows(failed: pa.Table, stage: str, raw_dataset: Tables | None = None) -> pa.Table:
    """The rows whose key failed, with address and reason (`schema.QUARANTINE`).

    Args:
        failed: see `lookup.FAILED`, in the split's order.
        raw_dataset: says in which file a row lies, and which file it is. Without it the address is the row's number.
    """
    rows, place = failed["row"], None
    if raw_dataset is not None:
        read = ["row", *schema.LOCATION.names, schema.SOURCE_PATH.name]
        place = pa.concat_tables([aligning.only(some, failed) for some in raw_dataset(read)]) if len(rows) else None
    columns = {
        "row": rows,
        "address": addresses(rows, place),
        "source_path": pa.nulls(len(rows), schema.SOURCE_PATH.type),
        "stage": pa.array([stage] * len(rows), pa.string()),
        "reason": failed["status"],
        "key": fingerprint.unpack(failed["key"]),
        **{name: failed[name] for name in ("message", "first_seen", "last_seen")},
    }
    table = pa.table([columns[name] for name in schema.QUARANTINE.names], schema=schema.QUARANTINE)
    return table if place is None else naming.with_source_paths(table, place)


def addresses(rows: pa.ChunkedArray, raw_dataset: pa.Table | None) -> pa.ChunkedArray:
    """Where each row lies, as a person writes it: its file, and its number in that where it isn't the whole.

    Args:
        raw_dataset: `row` and `schema.LOCATION`; without it the address is the row's number.
    """
    if raw_dataset is None:
        return pc.binary_join_element_wise("row", rows.cast(pa.string()), " ")
    place = raw_dataset.take(pc.index_in(rows, value_set=raw_dataset["row"].combine_chunks()))
    paths, file_rows = place["file_path"].cast(pa.string()), place["file_row"]
    in_rows = pc.binary_join_element_wise(paths, file_rows.cast(pa.string()), "#")
    return pc.if_else(pc.equal(file_rows, WHOLE_FILE), paths, in_rows)


def failed_samples(recipe: Recipe) -> pa.Table:
    """The samples that failed, as the last run of each stage left them (`schema.QUARANTINE`).

    Raises:
        StoreError: a stage's table is damaged.
    """
    tables = [schema.QUARANTINE.empty_table()]
    for stage in (rows.STAGE, PROBING, LATENTS, EMBEDS):
        path = folder.quarantined(recipe.folders.metadata, stage)
        table = files.read_table(path)
        if table is not None:
            if schema.SOURCE_PATH.name not in table.column_names:  # of an earlier release
                table = table.add_column(2, schema.SOURCE_PATH, pa.nulls(len(table), schema.SOURCE_PATH.type))
            tables.append(table.cast(schema.QUARANTINE))
        elif path.exists():
            memo.forget(path.parent, stage)
            raise StoreError(f"the table {path} is damaged: materialize {recipe.id}/{stage} again")
    return pa.concat_tables(tables)


def retry(recipe: Recipe, failed: pa.Table) -> None:
    """Let the next run try failed samples (`schema.QUARANTINE`) once more."""
    for stage, location in ((LATENTS, recipe.folders.latents), (EMBEDS, recipe.folders.embeds)):
        keys = failed.filter(pc.equal(failed["stage"], stage))["key"]
        if len(keys):
            TensorStore(location).retry(pc.unique(keys))
    wanted = failed.filter(pc.equal(failed["stage"], PROBING))["address"].to_pylist()
    if wanted:
        place = pq.read_table(
            files.parquet(folder.table(recipe.folders.metadata, "raw_dataset")), columns=["row", *schema.LOCATION.names]
        )
        place = place.filter(pc.is_in(addresses(place["row"], place), value_set=pa.array(wanted)))
        book, whole = ledger_of(recipe), []
        rows: dict[str, list[int]] = {}
        for row in place.to_pylist():  # failures of rows that are gone are gone with them
            if row["file_row"] == WHOLE_FILE:
                whole.append(row["file_hash"])
            else:
                rows.setdefault(row["file_hash"], []).append(row["file_row"])
        if whole:
            book.retry_whole(whole)
        for file_hash, file_rows in rows.items():
            book.retry(file_hash, file_rows)
