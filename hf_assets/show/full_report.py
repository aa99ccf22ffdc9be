"""Everything worth seeing of a dataset, in one HTML file beside its tables; its gallery lies in a folder beside it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

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
from hf_assets.show import changed, gallery, piece_facts, views
from hf_assets.show.piece_facts import LEAST, Facts
from hf_assets.show.words import Words
from hf_assets.sources.rows import snapshot_of
from hf_assets.stages import naming
from hf_assets.store import memo, pieces
from hf_assets.store.memo import Rest
from hf_assets.store.pieces import Piece
from hf_assets.store.remaking import Remaking

# Bump when the page is made in another way.
VERSION = 3
# Of more samples, the words of so many are counted.
COUNTED = 10_000
PAIR_QUALITY = 90
# So many words of one sample each have bars, too.
FEW = 3
# The sheet of the asset that writes the report: it is drawn with it.
OWN_SHEET = "training_set"


def path(recipe: Recipe) -> Location:
    """Where the report lies."""
    return folder.report(recipe.folders.metadata)


class Report:
    """The report and its gallery, gathered while the training set is made: no row of it is kept that isn't shown."""

    def __init__(self, recipe: Recipe, remaking: Remaking) -> None:
        """
        Args:
            remaking: whose first output is the training set.
        """
        self._recipe = recipe
        self._remaking, self._path = remaking, remaking.outputs[0]
        self._of_piece: dict[int, Facts] = {}
        self._all = Facts()
        self._known = piece_facts.load(recipe.folders.metadata)
        self._words = Words(recipe.captions.instance_prompt)
        self._changed = changed.SinceLast(recipe, remaking.replaced(self._path, but=changed.NOT_COMPARED))
        self._gallery = gallery.Shown(recipe)

    def add(self, samples: pa.Table, number: int | None = None) -> None:
        """The next rows of the training set that is being made, while the last one is still there.

        Args:
            number: of the piece of it that they are, where they are taken over; then the gallery's columns are enough.
        """
        if number is None:
            for at, rows in pieces.cut(samples):
                self._of_piece.setdefault(at, Facts()).add(rows)
            self._changed.add(samples)
        else:
            self._of_piece[number] = self._facts_of_kept(number)
        if (lacking := COUNTED - self._words.num_samples) > 0:
            captions = samples if number is None else self._remaking.old_rows(self._path, number, ["captions"])
            self._words.add(captions["captions"].slice(0, lacking).to_pylist())
        self._gallery.add(samples)

    def _facts_of_kept(self, number: int) -> Facts:
        known = self._known.get(self._remaking.kept_piece(self._path, number).hash)
        if known is None:
            known = Facts()
            known.add(self._remaking.old_rows(self._path, number, [*LEAST.names, "captions"]))
        return known

    def settle(self, made: Sequence[Piece]) -> Facts:
        """What is known of all rows. Nothing is added after that.

        Args:
            made: the pieces of the new training set, of which it is kept for the next report.
        """
        piece_facts.save(self._recipe.folders.metadata, self._of_piece, made)
        for number in sorted(self._of_piece):
            self._all.include(self._of_piece[number])
        return self._all

    def write(self, version: str) -> None:
        """Write the report and its gallery, unless those that are there show the same. All is settled before.

        Args:
            version: data version of the training set.
        """
        recipe = self._recipe
        if _shows(path(recipe), _key(recipe, version)):
            return
        shown = self._gallery.write()
        number, model = self._all.num_samples, recipe.model.pipeline.repository
        head = Head(
            f"{recipe.id}: {number:,} {'sample' if number == 1 else 'samples'}",
            f"{recipe.source.dataset_name}{_split(recipe)}, for {model} in {recipe.model.dtype}",
            self._facts(),
            [Lines("Since the last run", self._changed.lines()), Details("Config", [_config(recipe)])],
        )
        page = html.page(head, list(self._sections(shown)))
        files.write_atomically(path(recipe), f"{page}<!-- {_key(recipe, version)} -->\n".encode())

    def _facts(self) -> dict[str, str]:
        root = self._recipe.folders.metadata
        snapshot = snapshot_of(pq.read_schema(files.parquet(folder.table(root, "raw_dataset"))))
        return {
            "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            ("rows" if self._recipe.source.folder else "rows of the split"): f"{self._gallery.num_rows:,}",
            "captions": f"{self._all.lengths.counts.sum():,}",
            "buckets": f"{len(self._all.sizes):,}",
            "revision": f"{snapshot.commit} (a folder on this machine)" if snapshot.is_local else snapshot.commit,
            "training set": str(folder.table(root, "training_set")),
        }

    def _sections(self, shown: gallery.Gallery) -> Iterator[Section]:
        root = self._recipe.folders.metadata
        yield Section("Samples", list(_samples(root, shown)), is_wide=True)
        yield Section("What is left at each step", list(_steps(root, self._all.num_samples)))
        embeds = files.read_tables(folder.table(root, "text_embeds"), ["caption", "embed_key"])
        if embeds is not None:
            yield Section("Captions", list(self._captions(embeds)))
        yield Section("Buckets", [Bars(numbers.by_count(self._all.sizes))])
        if latents := list(self._latents()):
            yield Section("Latents", latents, is_wide=True)
        failed = quarantine.failed_samples(self._recipe)
        if len(failed):
            rows = [[naming.name_of(row), row["stage"], row["reason"], row["message"]] for row in failed.to_pylist()]
            table = Table(["where", "stage", "reason", "message"], rows)
            yield Section("Quarantined", [table], is_wide=True)

    def _captions(self, embeds: Iterator[pa.Table]) -> Iterator[Part]:
        characters = self._all.lengths
        lengths: list[Part] = [Histogram(characters.values, " characters", "Characters per caption", characters.counts)]
        counted = Counted(self._recipe.folders.metadata)
        for some in embeds:
            counted.add(some)
        if len(tokens := counted.tokens):
            number = f"{len(tokens):,} encoded caption{'' if len(tokens) == 1 else 's'}"
            lengths.append(Histogram(tokens, " tokens", f"Tokens of {number}"))
        found = self._words.frequencies()
        if found.trigger is not None:
            title = "Samples whose captions have the instance prompt"
            lengths.append(Bars([found.trigger], title=title, total=found.num_samples))
        yield Group(lengths)
        shown = f"{len(found.words):,} of " if len(found.words) < found.num_distinct else ""
        title = f"Words, {shown}{found.num_distinct:,}: samples that have them"
        yield Group(list(_frequent(found.words, title, found.num_samples)))
        if found.tags:
            yield Group(list(_frequent(found.tags, "Tags: samples that have them", found.num_samples)))

    def _latents(self) -> Iterator[Part]:
        least = self._all.least
        keys = least["latent_key"]
        found = decoded.pairs(self._recipe.folders.metadata, decoded.chosen_keys(keys))
        if found:
            yield "Originals beside what their latents decode to: PSNR in dB, higher is nearer."
            yield Pairs([_pair(least, pair) for pair in found])
        mean, std = views.channel_statistics(self._recipe, keys)
        if len(mean):
            rows = [[at, one, other] for at, (one, other) in enumerate(zip(mean.tolist(), std.tolist(), strict=True))]
            channels = Table(["channel", "mean", "standard deviation"], rows)
            yield Details("Channels", [channels]) if found else channels


def _frequent(counts: Sequence[tuple[str, int]], title: str, num_samples: int) -> Iterator[Part]:
    """Bars of what several samples have; what one alone has is named, where there is more of it than a few."""
    alone = [name for name, count in counts if count == 1]
    if len(alone) <= FEW:
        alone = []
    yield Bars([one for one in counts if one[0] not in alone], title=title, total=num_samples)
    if alone:
        yield f"In one sample each: {', '.join(alone)}."


def _split(recipe: Recipe) -> str:
    """Which split; a folder of media has none."""
    return "" if recipe.source.folder is not None else f", split {recipe.source.split}"


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
    seen = {file.name: _hash(file) for file in others}
    drawn = sorted(blob.name for blob in blobs.at(folder.gallery(root)).list() if not blob.name.endswith(".parquet"))
    return fingerprint.of_value([VERSION, version, tables, seen, drawn])


def _hash(file: Location) -> str:
    return fingerprint.of_file(file) if isinstance(file, Path) else fingerprint.of_bytes(file.read_bytes())


def _shows(page: Location, key: str) -> bool:
    try:
        return page.read_bytes().endswith(f"<!-- {key} -->\n".encode())
    except FileNotFoundError:
        return False


def _config(recipe: Recipe) -> Table:
    """What the recipe says that isn't as it is by default."""
    parts = {"source", "media_column", "filter", "captions", "settings", "model", "error_budget"}
    said = recipe.model_dump(mode="json", exclude_defaults=True, include=parts)
    return Table(["setting", "value"], [[name, str(value)] for name, value in draw.flat(said)])


def _samples(root: Location, shown: gallery.Gallery) -> Iterator[Part]:
    if shown.num_samples < shown.num_rows:
        yield f"{shown.num_samples:,} of {shown.num_rows:,} rows, by a draw that is the same from run to run."
    if shown.num_pictured < shown.num_samples:
        lacking = shown.num_samples - shown.num_pictured
        number = "1 sample has" if lacking == 1 else f"{lacking:,} samples have"
        yield f"{number} no picture: nothing is fetched for this page, and what wasn't decoded has an outline."
    yield Gallery(shown.as_json(), _kept_sheet(root, OWN_SHEET, "samples with their crops"))


def _steps(root: Location, num_samples: int) -> Iterator[Part]:
    rows: list[tuple[str, int]] = []
    for name in ("raw_dataset", "filtered", "captions", "buckets", "vae_latents"):
        table = folder.table(root, name)
        if table.exists():
            rows.append((name, pq.read_metadata(files.parquet(table)).num_rows))
    rows.append(("training_set", num_samples))
    yield Bars(rows, title="Rows after each asset")
    counts: Counter[str] = Counter()
    for stage in ("filtered", "captions", "buckets"):
        for dropped in files.read_tables(folder.dropped(root, stage), ["dropped_for"]) or ():
            counts.update(dict(draw.drop_counts(dropped)))
    if counts:
        yield Bars(counts.most_common(), is_bad=True, title="Dropped for")


def _pair(samples: pa.Table, pair: decoded.Pair) -> Pair:
    where = samples.filter(pc.equal(samples["latent_key"], pair.key)).to_pylist()
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
