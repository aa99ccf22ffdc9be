"""Everything worth seeing of a dataset, in one HTML file beside its tables; its gallery lies in a folder beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from hf_assets import blobs, draw, files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.draw import html, numbers
from hf_assets.draw.html import (
    Bars,
    Details,
    Gallery,
    Group,
    Head,
    Histogram,
    Jpeg,
    Lines,
    Pair,
    Pairs,
    Part,
    Section,
    Table,
)
from hf_assets.encode import quarantine
from hf_assets.previews import decoded, pictures
from hf_assets.previews.token_counts import Counted
from hf_assets.show import changed, gallery, views, words
from hf_assets.sources.rows import snapshot_of
from hf_assets.stages import naming
from hf_assets.store import memo
from hf_assets.store.memo import Rest

# Bump when the page is made in another way.
VERSION = 2
# Of more samples, the captions of so many are counted.
COUNTED = 100_000
PAIR_QUALITY = 90
# The sheet of the asset that writes the report: it is drawn with it.
OWN_SHEET = "training_set"


def path(recipe: Recipe) -> Location:
    """Where the report lies."""
    return folder.report(recipe.folders.metadata)


def write(recipe: Recipe, training_set: pa.Table, version: str) -> None:
    """Write the report and its gallery, unless those that are there show the same.

    Args:
        version: data version of the training set.
    """
    if _shows(path(recipe), _key(recipe, version)):
        return
    shown = gallery.write(recipe, training_set)
    model = recipe.model.pipeline.repository
    head = Head(
        f"{recipe.id}: {len(training_set):,} {'sample' if len(training_set) == 1 else 'samples'}",
        f"{recipe.source.dataset_name}, split {recipe.source.split}, for {model} in {recipe.model.dtype}",
        _facts(recipe, training_set),
        [Lines("Since the last run", changed.since_last(recipe, training_set)), Details("Config", [_config(recipe)])],
    )
    page = html.page(head, list(_sections(recipe, training_set, shown)))
    files.write_atomically(path(recipe), f"{page}<!-- {_key(recipe, version)} -->\n".encode())


def rests(recipe: Recipe) -> tuple[Rest, ...]:
    """The files that the report shows, beside the tables that a training set is made from."""
    root = recipe.folders.metadata
    beside = {
        name: state
        for name, state in memo.states_of(root).items()
        if name.endswith(("_dropped.parquet", "_quarantined.parquet"))
    }
    drawn = folder.sheets(root)
    own = folder.sheet(root, OWN_SHEET).name
    return Rest(root, beside), Rest(
        drawn, {name: state for name, state in memo.states_of(drawn).items() if name != own}
    )


def _key(recipe: Recipe, version: str) -> str:
    """Of all that the report shows: what tables say of themselves, and the files that say nothing."""
    root = recipe.folders.metadata
    tables = {
        name: fingerprint.of_bytes(repr(sorted(files.metadata_of(table).items())).encode())
        for name in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds")
        if (table := folder.table(root, name)).exists()
    }
    own = folder.sheet(root, OWN_SHEET).name
    names = [blob.name for blob in blobs.at(root).list()]
    others = [root / name for name in names if name.endswith(("_dropped.parquet", "_quarantined.parquet"))]
    others += [folder.sheets(root) / blob.name for blob in blobs.at(folder.sheets(root)).list() if blob.name != own]
    seen = {file.name: fingerprint.of_bytes(file.read_bytes()) for file in others}
    drawn = sorted(blob.name for blob in blobs.at(folder.gallery(root)).list() if not blob.name.endswith(".parquet"))
    return fingerprint.of_value([VERSION, version, tables, seen, drawn])


def _shows(page: Location, key: str) -> bool:
    try:
        return page.read_bytes().endswith(f"<!-- {key} -->\n".encode())
    except FileNotFoundError:
        return False


def _facts(recipe: Recipe, training_set: pa.Table) -> dict[str, str]:
    root = recipe.folders.metadata
    snapshot = snapshot_of(pq.read_schema(files.parquet(folder.table(root, "raw_dataset"))))
    captions = pc.sum(pc.list_value_length(training_set["captions"])).as_py() or 0
    return {
        "revision": f"{snapshot.commit} (a folder on this machine)" if snapshot.is_local else snapshot.commit,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "rows of the split": f"{pq.read_metadata(files.parquet(folder.table(root, 'raw_dataset'))).num_rows:,}",
        "captions": f"{captions:,}",
        "buckets": f"{pc.count_distinct(training_set['bucket']).as_py():,}",
        "training set": str(folder.table(root, "training_set")),
    }


def _config(recipe: Recipe) -> Table:
    """What the recipe says that isn't as it is by default."""
    parts = {"source", "media_column", "filter", "captions", "settings", "model", "error_budget"}
    said = recipe.model_dump(mode="json", exclude_defaults=True, include=parts)
    return Table(["setting", "value"], [[name, str(value)] for name, value in draw.flat(said)])


def _sections(recipe: Recipe, training_set: pa.Table, shown: gallery.Gallery | None) -> Iterator[Section]:
    root = recipe.folders.metadata
    if shown is not None:
        yield Section("Samples", list(_samples(root, shown)), is_wide=True)
    yield Section("What is left at each step", list(_steps(recipe, training_set)))
    captions, embeds = (files.read_table(folder.table(root, name)) for name in ("captions", "text_embeds"))
    if captions is not None and embeds is not None:
        yield Section("Captions", list(_captions(recipe, training_set, embeds)))
    yield Section("Buckets", [Bars(draw.sizes(training_set))])
    if latents := list(_latents(recipe, training_set)):
        yield Section("Latents", latents, is_wide=True)
    failed = quarantine.failed_samples(recipe)
    if len(failed):
        rows = [[naming.name_of(row), row["stage"], row["reason"], row["message"]] for row in failed.to_pylist()]
        table = Table(["where", "stage", "reason", "message"], rows)
        yield Section("Quarantined", [table], is_wide=True)


def _samples(root: Location, shown: gallery.Gallery) -> Iterator[Part]:
    if shown.num_samples < shown.num_rows:
        yield f"{shown.num_samples:,} of {shown.num_rows:,} rows, by a draw that is the same from run to run."
    if shown.num_pictured < shown.num_samples:
        lacking = shown.num_samples - shown.num_pictured
        number = "1 sample has" if lacking == 1 else f"{lacking:,} samples have"
        yield f"{number} no picture: nothing is fetched for this page, and what wasn't decoded has an outline."
    yield Gallery(shown.as_json(), _kept_sheet(root, OWN_SHEET, "samples with their crops"))


def _steps(recipe: Recipe, training_set: pa.Table) -> Iterator[Part]:
    root = recipe.folders.metadata
    rows: list[tuple[str, int]] = []
    for name in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents"):
        table = folder.table(root, name)
        if table.exists():
            rows.append((name, pq.read_metadata(files.parquet(table)).num_rows))
    rows.append(("training_set", len(training_set)))
    yield Bars(rows, title="Rows after each asset")
    counts: dict[str, int] = {}
    for stage in ("filtered", "captions", "buckets"):
        dropped = files.read_table(folder.dropped(root, stage), columns=["dropped_for"])
        for reason, count in () if dropped is None else draw.drop_counts(dropped):
            counts[reason] = counts.get(reason, 0) + count
    if counts:
        yield Bars(sorted(counts.items(), key=lambda one: -one[1]), is_bad=True, title="Dropped for")


def _captions(recipe: Recipe, training_set: pa.Table, embeds: pa.Table) -> Iterator[Part]:
    lengths: list[Part] = [Histogram(numbers.lengths(training_set), " characters", "Characters per caption")]
    counted = Counted(recipe.folders.metadata)
    counted.add(embeds)
    if len(tokens := counted.tokens):
        lengths.append(Histogram(tokens, " tokens", f"Tokens per caption, of {len(tokens):,} of them"))
    some = training_set["captions"].slice(0, COUNTED)
    found = words.count((one.as_py() for one in some), recipe.captions.instance_prompt)
    if found.trigger is not None:
        title = "Samples whose captions have the instance prompt"
        lengths.append(Bars([found.trigger], title=title, total=found.num_samples))
    yield Group(lengths)
    yield Bars(found.words, title=f"Words, of {found.num_distinct:,}: samples that have them", total=found.num_samples)
    if found.tags:
        yield Bars(found.tags, title="Tags: samples that have them", total=found.num_samples)


def _latents(recipe: Recipe, training_set: pa.Table) -> Iterator[Part]:
    keys = training_set["latent_key"]
    found = decoded.pairs(recipe.folders.metadata, decoded.chosen_keys(keys))
    if found:
        yield "Originals beside what their latents decode to: PSNR in dB, higher is nearer."
        yield Pairs([_pair(training_set, pair) for pair in found])
    mean, std = views.channel_statistics(recipe, keys)
    if len(mean):
        rows = [[at, one, other] for at, (one, other) in enumerate(zip(mean.tolist(), std.tolist(), strict=True))]
        yield Details("Channels", [Table(["channel", "mean", "standard deviation"], rows)])


def _pair(training_set: pa.Table, pair: decoded.Pair) -> Pair:
    where = training_set.filter(pc.equal(training_set["latent_key"], pair.key)).slice(0, 1).to_pylist()
    of = f"{naming.name_of(where[0])}, {where[0]['bucket']}: " if where else ""
    original, again = Jpeg(_jpeg(pair.original), "original"), Jpeg(_jpeg(pair.decoded), "decoded")
    return Pair(original, again, f"{of}{pair.psnr_db:.1f} dB")


def _jpeg(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=PAIR_QUALITY)
    return stream.getvalue()


def _kept_sheet(root: Location, name: str, alt: str) -> Jpeg | None:
    data = views.kept_sheet(root, name)
    return None if data is None else Jpeg(data, alt)


def beside(recipe: Recipe) -> Rest:
    """The files that the report loads."""
    place = folder.gallery(recipe.folders.metadata)
    named = set(pictures.NAMES.findall(path(recipe).read_bytes().decode()))
    return Rest(place, {name: state for name, state in memo.states_of(place).items() if name in named})
