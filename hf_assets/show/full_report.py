"""Everything worth seeing of a dataset, in one HTML file beside its tables."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import blobs, draw, files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.draw import charts, html, numbers, sheets
from hf_assets.draw.html import Jpeg, Section, Svg, Table
from hf_assets.encode import quarantine
from hf_assets.previews import decoded, token_counts
from hf_assets.show import views
from hf_assets.stages import naming
from hf_assets.store import memo
from hf_assets.store.memo import Rest

# Bump when the page is made in another way.
VERSION = 1
EXAMPLES = 50
BARS = 60
BINS = 40


def path(recipe: Recipe) -> Location:
    """Where the report lies."""
    return folder.report(recipe.folders.metadata)


def write(recipe: Recipe, training_set: pa.Table, version: str) -> None:
    """Write the report, unless the one that is there shows the same.

    Args:
        version: data version of the training set.
    """
    key = _key(recipe, version)
    if not _shows(path(recipe), key):
        model = recipe.model.pipeline.repository
        subtitle = f"{recipe.source.dataset_name}, split {recipe.source.split}, for {model} in {recipe.model.dtype}"
        page = html.page(f"{recipe.id}: {len(training_set):,} samples", subtitle, list(_sections(recipe, training_set)))
        files.write_atomically(path(recipe), f"{page}<!-- {key} -->\n".encode())


def rests(recipe: Recipe) -> tuple[Rest, ...]:
    """The files that the report shows, beside the tables that a training set is made from."""
    root = recipe.folders.metadata
    beside = {
        name: state
        for name, state in memo.states_of(root).items()
        if name.endswith(("_dropped.parquet", "_quarantined.parquet"))
    }
    drawn = folder.sheets(root)
    return Rest(root, beside), Rest(drawn, memo.states_of(drawn))


def _key(recipe: Recipe, version: str) -> str:
    """Of all that the report shows: what tables say of themselves, and the files that say nothing."""
    root = recipe.folders.metadata
    tables = {
        name: fingerprint.of_bytes(repr(sorted((pq.read_schema(files.parquet(table)).metadata or {}).items())).encode())
        for name in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds")
        if (table := folder.table(root, name)).exists()
    }
    names = [blob.name for blob in blobs.at(root).list()]
    others = [root / name for name in names if name.endswith(("_dropped.parquet", "_quarantined.parquet"))]
    others += [folder.sheets(root) / blob.name for blob in blobs.at(folder.sheets(root)).list()]
    return fingerprint.of_value(
        [VERSION, version, tables, {file.name: fingerprint.of_bytes(file.read_bytes()) for file in others}]
    )


def _shows(page: Location, key: str) -> bool:
    try:
        return page.read_bytes().endswith(f"<!-- {key} -->\n".encode())
    except FileNotFoundError:
        return False


def _sections(recipe: Recipe, training_set: pa.Table) -> Iterator[Section]:
    root = recipe.folders.metadata
    yield _funnel(recipe, training_set)
    yield Section("Filtered", list(_filtered(recipe)))
    captions, embeds = (files.read_table(folder.table(root, name)) for name in ("captions", "text_embeds"))
    if captions is not None and embeds is not None:
        yield Section("Captions", list(_captions(recipe, captions, embeds)))
    yield Section("Buckets", list(_buckets(recipe, training_set)))
    yield Section("Latents", list(_latents(recipe, training_set)))
    failed = quarantine.failed_samples(recipe)
    if len(failed):
        rows = [[naming.name_of(row), row["stage"], row["reason"], row["message"]] for row in failed.to_pylist()]
        yield Section("Failed", [Table(["where", "stage", "reason", ""], rows)])


def _funnel(recipe: Recipe, training_set: pa.Table) -> Section:
    root = recipe.folders.metadata
    rows: list[tuple[str, int]] = []
    for name in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents"):
        table = folder.table(root, name)
        if table.exists():
            rows.append((name, pq.read_metadata(files.parquet(table)).num_rows))
    rows.append(("training_set", len(training_set)))
    return Section("What is left at each step", [Svg(charts.bars(rows)), Table(["after", "rows"], rows)])


def _filtered(recipe: Recipe) -> Iterator[str | Table | Svg | Jpeg]:
    root = recipe.folders.metadata
    dropped = files.read_table(folder.dropped(root, "filtered"))
    if dropped is None or not len(dropped):
        yield "The filters drop no row."
    else:
        drop_counts = draw.drop_counts(dropped)
        yield Svg(charts.bars(drop_counts, BARS, (charts.DROPPED,)))
        yield Table(["dropped for", "rows"], drop_counts)
        some = dropped.slice(0, EXAMPLES).to_pylist()
        facts = [[naming.name_of(row), row["dropped_for"], draw.named_values(row.get("columns") or {})] for row in some]
        yield Table(["row", "dropped for", "columns"], facts)
    yield from _kept_sheet(root, "filtered", "kept and dropped rows")


def _captions(recipe: Recipe, captions: pa.Table, embeds: pa.Table) -> Iterator[str | Table | Svg | Jpeg]:
    yield "Characters per caption:"
    yield Svg(charts.histogram(numbers.lengths(captions), BINS, " characters"))
    counted = token_counts.counts_of(recipe.folders.metadata, embeds)
    if len(counted):
        yield f"Tokens per caption, of {len(counted):,} of them:"
        yield Svg(charts.histogram(counted, BINS, " tokens"))
    evenly = np.linspace(0, max(len(captions) - 1, 0), min(EXAMPLES, len(captions))).astype(np.int64)
    some = captions.take(pa.array(np.unique(evenly), pa.int64())).to_pylist()
    yield Table(["row", "caption"], [[row["row"], text] for row in some for text in row["captions"]])


def _buckets(recipe: Recipe, training_set: pa.Table) -> Iterator[str | Table | Svg | Jpeg]:
    sizes = draw.sizes(training_set)
    yield Svg(charts.bars(sizes, BARS))
    yield Table(["bucket", "samples"], sizes)
    yield from _kept_sheet(recipe.folders.metadata, "buckets", "samples with their crops")


def _latents(recipe: Recipe, training_set: pa.Table) -> Iterator[str | Table | Svg | Jpeg]:
    keys = training_set["latent_key"]
    pairs = decoded.pairs(recipe.folders.metadata, decoded.chosen_keys(keys))
    for pair in pairs:
        both = sheets.sheet([sheets.Tile(pair.original, "", beside=pair.decoded)])
        yield Jpeg(both, "an original and its decoded latent")
        where = training_set.filter(pc.equal(keys, pair.key)).slice(0, 1).to_pylist()
        of = f"{naming.name_of(where[0])}, {where[0]['bucket']}" if where else ""
        yield f"{of}: decoded from its latent, PSNR {pair.psnr_db:.1f} dB"
    mean, std = views.channel_statistics(recipe, training_set)
    if len(mean):
        rows = [[at, one, other] for at, (one, other) in enumerate(zip(mean.tolist(), std.tolist(), strict=True))]
        yield Table(["channel", "mean", "standard deviation"], rows)


def _kept_sheet(root: Location, name: str, alt: str) -> Iterator[Jpeg]:
    if (data := views.kept_sheet(root, name)) is not None:
        yield Jpeg(data, alt)
