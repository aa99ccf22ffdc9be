"""What the page shows of each asset: numbers to follow, small charts and tables, and a contact sheet.

Pictures are made of what was kept while media were read (`thumbnails`, `showcase`): showing them reads no media.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import draw, files, fingerprint, folder, inert, schema
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.draw import charts, numbers, sheets
from hf_assets.draw.numbers import Chosen, Counts, Crops
from hf_assets.draw.sheets import Layout, Tile
from hf_assets.kinds.audio import SHOWN_SECONDS
from hf_assets.previews import decoded, pictures
from hf_assets.previews.thumbnails import First, Pictured, Thumbnails
from hf_assets.previews.token_counts import Counted
from hf_assets.stages import naming
from hf_assets.store import spot_checks
from hf_assets.store.remaking import Remaking
from hf_assets.store.tensors import TensorStore

# Bump when a sheet is drawn in another way.
VERSION = 5
# Of a caption below a picture; what is still too wide is cut there.
NOTE_CHARACTERS = 80
# As Dagster's page shows it in its overview, which is narrow.
OVERVIEW = Layout(columns=4, font_px=15, note_lines=2)
# What each asset's sheet shows.
SHEETS = {
    "filtered": "kept and dropped",
    "buckets": "samples with their crops",
    "vae_latents": "originals and decoded latents",
    "training_set": "samples with their crops",
}
NOT_YET = "This asset reads no media. Its images are on the page of `buckets`, which does, and here the next time."
EXAMPLES = 10
KEPT_TILES, DROPPED_TILES, BUCKET_TILES, SAMPLE_TILES = 6, 12, 12, 12


class View(NamedTuple):
    """Numbers, which the page plots over time, and Markdown."""

    numbers: dict[str, int | float]
    texts: dict[str, str]


class Filtered:
    """The funnel, examples of what was dropped, and pictures of both sorts as far as media were read."""

    def __init__(self, recipe: Recipe, thumbnails: Thumbnails) -> None:
        self._num_rows = 0
        self._dropped: Counter[str] = Counter()
        self._examples = Chosen(EXAMPLES, _by_row)
        self._sheet = FilteredSheet(recipe, thumbnails)

    def add(self, judged: pa.Table, dropped: pa.Table) -> None:
        """Rows of the split with `dropped_for`, and those of them that are dropped."""
        self._num_rows += len(judged)
        self._dropped.update(dict(draw.drop_counts(dropped)))
        self._examples.add(dropped)
        self._sheet.add(judged)

    def view(self) -> View:
        drop_counts = numbers.by_count(self._dropped)
        kept = self._num_rows - self._dropped.total()
        colours = (charts.BAR, charts.DROPPED)
        texts = {
            "funnel": draw.funnel(self._num_rows, drop_counts),
            "kept_and_dropped": charts.inline_bars([("kept", kept), *drop_counts], "kept and dropped", colours),
        }
        if drop_counts:
            texts["dropped_examples"] = draw.dropped_examples(self._examples.rows)
        data = self._sheet.data()
        texts["contact_sheet"] = NOT_YET if data is None else sheets.inline(data, SHEETS["filtered"])
        return View({"kept_share": kept / max(self._num_rows, 1)}, texts)


class FilteredSheet:
    """The contact sheet of `filtered`: some kept rows, and some dropped ones with their reasons."""

    def __init__(self, recipe: Recipe, thumbnails: Thumbnails) -> None:
        self._recipe, self._thumbnails = recipe, thumbnails
        self._kept = Pictured(thumbnails, KEPT_TILES)
        self._pictured = Pictured(thumbnails, DROPPED_TILES)
        self._others = First(DROPPED_TILES)

    def add(self, judged: pa.Table) -> None:
        """
        Args:
            judged: `row`, `schema.LOCATION`, `schema.SOURCE_PATH` and `dropped_for`, null for a kept row.
        """
        place = judged.select(["row", *schema.LOCATION.names, schema.SOURCE_PATH.name, "dropped_for"])
        is_kept = pc.is_null(place["dropped_for"])
        dropped = place.filter(pc.invert(is_kept))
        self._kept.add(place.filter(is_kept))
        self._pictured.add(dropped)
        self._others.add(dropped)

    def view(self) -> View:
        """For the first asset that has read media."""
        data = self.data()
        return View({}, {} if data is None else {"filtered_sheet": sheets.inline(data, SHEETS["filtered"])})

    def data(self) -> bytes | None:
        """None while no media was read."""
        kept, pictured = self._kept.rows, self._pictured.rows
        if not kept and not pictured:
            return None
        if len(pictured) < KEPT_TILES:  # then some of which there is no picture
            seen = {row["row"] for row in pictured}
            others = self._others.rows.to_pylist()
            pictured += [row for row in others if row["row"] not in seen][: KEPT_TILES - len(pictured)]
        shown = [*kept, *pictured]
        key = [[row["file_hash"], row["file_row"], naming.short_name_of(row), row["dropped_for"]] for row in shown]

        def tiles() -> list[Tile]:
            return [
                Tile(
                    self._thumbnails.get((row["file_hash"], row["file_row"])),
                    naming.short_name_of(row),
                    row["dropped_for"] or "kept",
                    is_bad=row["dropped_for"] is not None,
                )
                for row in shown
            ]

        return _sheet(self._recipe, "filtered", key, tiles)


class Captions:
    """How long captions are, some of them, and how many rows have none."""

    def __init__(self) -> None:
        self._num_rows = 0
        self._without: Counter[str] = Counter()
        self._lengths = Counts()
        self._examples = Chosen(EXAMPLES, _by_row)

    def add(self, table: pa.Table, without: pa.Table) -> None:
        """Rows with captions, and those without."""
        self._num_rows += len(table) + len(without)
        self._without.update(dict(draw.drop_counts(without)))
        self._lengths.add(numbers.lengths(table))
        self._examples.add(table)

    def view(self, distinct: int) -> View:
        lengths = self._lengths
        return View(
            {
                "distinct": distinct,
                "without_caption_share": self._without.total() / max(self._num_rows, 1),
                "mean_characters": lengths.mean,
            },
            {
                "funnel": draw.funnel(self._num_rows, numbers.by_count(self._without)),
                "lengths": charts.inline_histogram(
                    lengths.values, "characters per caption", " characters", lengths.counts
                ),
                "examples": draw.examples(self._examples.rows.sort_by("row")),
            },
        )


class Buckets:
    """How many samples each bucket has, what crops leave out, and some samples with their crop drawn."""

    def __init__(self, recipe: Recipe, thumbnails: Thumbnails) -> None:
        self._recipe, self._thumbnails = recipe, thumbnails
        self._sizes: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._crops: Crops | None = None
        self._shown = Pictured(thumbnails, BUCKET_TILES)

    def add(self, table: pa.Table, place: pa.Table, dropped: pa.Table) -> None:
        """Rows of `buckets`, of each where it lies and which file it is, and rows that were left out, with reasons."""
        self._dropped.update(dict(draw.drop_counts(dropped)))
        self._sizes.update(dict(draw.sizes(table)))
        if {"resized_size", "target_size", "original_size"} <= set(table.column_names):
            self._crops = self._crops or Crops()
            self._crops.add(table)
        self._shown.add(
            pa.table({**_columns(table), **_columns(place.select([*schema.LOCATION.names, schema.SOURCE_PATH.name]))})
        )

    def view(self, num_failed: int) -> View:
        sizes, dropped = numbers.by_count(self._sizes), numbers.by_count(self._dropped)
        num_rows = self._sizes.total() + self._dropped.total() + num_failed
        texts = {
            "funnel": draw.funnel(num_rows, dropped, num_failed),
            "buckets": draw.buckets(sizes),
            "samples_per_bucket": charts.inline_bars(sizes, "samples per bucket"),
        }
        facts: dict[str, int | float] = {"num_buckets": len(sizes)}
        if self._crops is not None:
            facts |= {"crop_loss": self._crops.loss, "upscaled_share": self._crops.upscaled}
        if (data := self._data()) is not None:
            texts["contact_sheet"] = sheets.inline(data, SHEETS["buckets"])
        return View(facts, texts)

    def _data(self) -> bytes | None:
        """Some samples with the part that is encoded in a frame; None while no media was read."""
        shown = self._shown.rows
        if not shown:
            return None
        geometry = ("crop_top_left", "resized_size", "first_sample", "num_samples")
        key = [
            [
                *(row["file_hash"], row["file_row"], row["bucket"], naming.short_name_of(row)),
                *(row.get(name) for name in geometry),
            ]
            for row in shown
        ]

        def tiles() -> list[Tile]:
            drawn = []
            for row in shown:
                picture = self._thumbnails.get((row["file_hash"], row["file_row"]))
                crops = () if picture is None else crops_of(row, picture.size)
                drawn.append(Tile(picture, naming.short_name_of(row), f"{row['bucket']}{_size(row)}", crops))
            return drawn

        return _sheet(self._recipe, "buckets", key, tiles)


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def latents(recipe: Recipe, least: pa.ChunkedArray) -> View:
    """Some originals beside their decoded latents, and how the latents' channels are distributed.

    Args:
        least: the first keys of latents in their order.
    """
    facts: dict[str, int | float] = {}
    texts = {}
    pairs = decoded.pairs(recipe.folders.metadata, decoded.chosen_keys(least))
    if pairs:
        facts["psnr_db"] = float(np.mean([pair.psnr_db for pair in pairs]))
        facts["psnr_db_worst"] = min(pair.psnr_db for pair in pairs)
        data = _sheet(
            recipe, "vae_latents", [pair.key for pair in pairs], lambda: list(map(_pair, pairs)), Layout(columns=4)
        )
        texts["contact_sheet"] = sheets.inline(data, SHEETS["vae_latents"])
    means, deviations = channel_statistics(recipe, least)
    if len(means):
        facts |= {"latents_mean": float(means.mean()), "latents_std": float(deviations.mean())}
        texts["channels"] = draw.channels(means.tolist(), deviations.tolist())
    return View(facts, texts)


def channel_statistics(recipe: Recipe, least: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, over some stored latents; they are remembered with their keys."""
    keys = spot_checks.first(pc.unique(least))
    path = folder.channels(recipe.folders.metadata)
    try:
        known = json.loads(path.read_bytes())
        if known["keys"] == keys.to_pylist():
            return np.array(known["mean"]), np.array(known["std"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    sampled = spot_checks.sample(TensorStore(recipe.folders.latents), keys)
    values = [
        one.values.reshape(one.values.shape[0], -1)
        for one in sampled
        if one.name == "latents" and one.values is not None and one.values.ndim >= 2
    ]
    if not values or len({len(one) for one in values}) > 1:
        return np.empty(0), np.empty(0)
    joined = np.concatenate(values, axis=1).astype(np.float64)
    mean, std = joined.mean(axis=1), joined.std(axis=1)
    content = {"keys": keys.to_pylist(), "mean": mean.tolist(), "std": std.tolist()}
    files.write_atomically(path, json.dumps(content).encode())
    return mean, std


def embeds(
    recipe: Recipe, num_captions: int, distinct: int, num_embeds: int, stored_bytes: int, counted: Counted
) -> View:
    """What sharing embeds among equal captions saves, and how long captions are for the tokenizer.

    Args:
        distinct: captions, without the empty one.
        num_embeds: of these, and of the empty one.
        stored_bytes: of the embeds that the table names.
    """
    facts: dict[str, int | float] = {
        "distinct_share": distinct / max(num_captions, 1),
        "bytes_stored": stored_bytes,
        "bytes_saved": round(stored_bytes / max(num_embeds, 1) * max(num_captions - distinct, 0)),
    }
    texts = {}
    tokens = counted.tokens
    if len(tokens):
        facts |= {"mean_tokens": float(tokens.mean()), "most_tokens": int(tokens.max())}
        texts["tokens"] = charts.inline_histogram(tokens, "tokens per caption", " tokens")
        cuts = counted.cuts()
        facts["captions_cut"] = cuts.num_cut
        facts |= {f"captions_cut_by_{name.replace(' ', '_at_')}": count for name, count in cuts.by.items()}
        if cuts.longest:
            texts["longest_cut_captions"] = draw.cut_captions(cuts.longest)
    return View(facts, texts)


class TrainingSet:
    """What a trainer gets: some samples, and how many each bucket has."""

    def __init__(self, recipe: Recipe, remaking: Remaking) -> None:
        """
        Args:
            remaking: whose first output is the training set.
        """
        self._sheet = SamplesSheet(recipe, remaking)

    def add(self, samples: pa.Table, number: int | None = None) -> None:
        """The next rows of the training set: see `SamplesSheet.add`."""
        self._sheet.add(samples, number)

    def view(self, samples: Counter[str], num_media: int) -> View:
        """
        Args:
            samples: by bucket.
            num_media: different ones.
        """
        texts = {}
        if (data := self._sheet.data()) is not None:
            texts["contact_sheet"] = sheets.inline(data, SHEETS["training_set"])
        sizes, num_samples = numbers.by_count(samples), samples.total()
        return View(
            {
                "num_buckets": len(sizes),
                "duplicates_share": 1 - num_media / num_samples if num_samples else 0.0,
            },
            {
                **texts,
                "buckets": draw.buckets(sizes),
                "samples_per_bucket": charts.inline_bars(sizes, "samples per bucket"),
            },
        )


class SamplesSheet:
    """Some samples with the part that is encoded in a frame, and their captions."""

    def __init__(self, recipe: Recipe, remaking: Remaking) -> None:
        self._recipe, self._remaking = recipe, remaking
        self._known = pictures.known(recipe.folders.metadata)
        self._pictured = self._rows_with_pictures()
        self._samples = Chosen(SAMPLE_TILES, _by_row)

    def _rows_with_pictures(self) -> pa.Array:
        found = [pa.array([], pa.int64())]
        for shapes in _shapes(self._recipe) if len(self._known) else ():
            at = pc.index_in(pictures.keys_of(shapes), value_set=self._known["key"].combine_chunks())
            found.append(shapes["row"].filter(at.is_valid()).combine_chunks())
        return pa.concat_arrays(found)

    def add(self, samples: pa.Table, number: int | None = None) -> None:
        """The next rows of the training set.

        Args:
            number: of the piece that they are, where they are taken over; then their numbers are enough.
        """
        columns = ["row", "file", naming.NAME, "captions"]
        pictured = samples.filter(pc.is_in(samples["row"], value_set=self._pictured))
        if number is not None:  # few of them, if any, are read
            wanted = self._samples.candidates(pictured)["row"].combine_chunks()
            pictured = self._remaking.old_rows(self._remaking.outputs[0], number if len(wanted) else -1, columns)
            pictured = pictured.filter(pc.is_in(pictured["row"], value_set=wanted))
        self._samples.add(pictured.select(columns))

    def data(self) -> bytes | None:
        """None where none was pictured."""
        chosen = self._samples.rows.sort_by("row")
        if not len(chosen):
            return None
        root = self._recipe.folders.metadata
        wanted = chosen["row"].combine_chunks()
        shapes = pa.concat_tables(
            [some.filter(pc.is_in(some["row"], value_set=wanted)) for some in _shapes(self._recipe)]
        )
        tiles = self._known.take(pc.index_in(pictures.keys_of(shapes), value_set=self._known["key"].combine_chunks()))
        rows = list(zip(chosen.to_pylist(), shapes.to_pylist(), tiles.to_pylist(), strict=True))
        key = [[row["row"], row["file"], row[naming.NAME], row["captions"][:1], tile["key"]] for row, _, tile in rows]
        key += [[shape.get(name) for name in ("bucket", "crop_top_left", "resized_size")] for _, shape, _ in rows]

        def draw_tiles() -> list[Tile]:
            found = []
            for row, shape, tile in rows:
                picture = pictures.crop(root, tile)
                is_sound = "original_num_samples" in shape  # the picture is of the part that is encoded
                crops = () if picture is None or is_sound else crops_of(shape, picture.size)
                caption = next(iter(row["captions"]), "")
                said = f": {inert.text(caption[:NOTE_CHARACTERS])}" if caption.isascii() else ""  # of the font
                name = naming.short_name_of({**row, "source_path": row[naming.NAME] or row["file"]})
                found.append(Tile(picture, name, f"{shape['bucket']}{said}", crops))
            return found

        return _sheet(self._recipe, "training_set", key, draw_tiles, OVERVIEW)


def _shapes(recipe: Recipe) -> Iterator[pa.Table]:
    """The rows of `buckets`, which a training set is made of."""
    tables = files.read_tables(folder.table(recipe.folders.metadata, "buckets"))
    assert tables is not None, "a training set was made of it"
    return tables


def kept_sheet(root: Location, name: str) -> bytes | None:
    """A sheet as it was last drawn."""
    try:
        data = folder.sheet(root, name).read_bytes()
    except OSError:
        return None
    return data if sheets.key_of(data) is not None else None


def _sheet(
    recipe: Recipe, name: str, key: Any, tiles: Callable[[], Sequence[Tile]], layout: Layout = sheets.USUAL
) -> bytes:
    """The sheet that shows what `key` says: the one that is kept, if it does, else it is drawn."""
    wanted = fingerprint.of_value([VERSION, key])
    kept = kept_sheet(recipe.folders.metadata, name)
    if kept is not None and sheets.key_of(kept) == wanted:
        return kept
    data = sheets.sheet(tiles(), layout, wanted)
    files.write_atomically(folder.sheet(recipe.folders.metadata, name), data)
    return data


def _pair(pair: decoded.Pair) -> Tile:
    return Tile(
        pair.original, "original, and decoded from its latent", f"PSNR {pair.psnr_db:.1f} dB", beside=pair.decoded
    )


def _size(sample: dict[str, Any]) -> str:
    if "original_num_samples" in sample:
        return f" of {sample['original_num_samples'] / sample['original_sample_rate_hz']:.1f} s"
    return f" of {'x'.join(map(str, sample['original_size']))}" if "original_size" in sample else ""


def _stretch(sample: dict[str, Any]) -> sheets.Box:
    """The part of a clip of audio that is encoded, as far as its picture shows it."""
    shown_s = min(sample["original_num_samples"] / sample["original_sample_rate_hz"], SHOWN_SECONDS)
    start_s = sample["first_sample"] / sample["sample_rate_hz"]
    stop_s = start_s + sample["num_samples"] / sample["sample_rate_hz"]
    return min(start_s / shown_s, 1.0), 0.0, min(stop_s / shown_s, 1.0), 1.0


def crops_of(sample: dict[str, Any], shown: tuple[int, int]) -> tuple[sheets.Box, ...]:
    """The part that is encoded, in each of the frames that a thumbnail shows.

    Args:
        shown: size of the thumbnail: one picture, or some frames of a clip in a row or a column.
    """
    if "original_num_samples" in sample:
        return (_stretch(sample),)
    if not {"original_size", "resized_size", "target_size", "crop_top_left"} <= sample.keys():
        return ()
    (across, down), (width, height) = sample["resized_size"], sample["target_size"]
    top, left = sample["crop_top_left"]
    box = left / across, top / down, (left + width) / across, (top + height) / down
    elongation = shown[0] / shown[1] * sample["original_size"][1] / sample["original_size"][0]
    right, below = max(round(elongation), 1), max(round(1 / elongation), 1)
    return tuple(
        ((box[0] + x) / right, (box[1] + y) / below, (box[2] + x) / right, (box[3] + y) / below)
        for x in range(right)
        for y in range(below)
    )


def _by_row(rows: pa.Table) -> np.ndarray:
    """A draw for each row, of its number alone."""
    values = rows["row"].to_numpy().astype(np.uint64)
    return numbers.draws(np.zeros(len(values), np.uint64), values)
