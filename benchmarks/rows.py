"""Rows per second of what no encoder does: filtering, captions, and media's headers. Of one core's processor time.

python -m benchmarks.rows [--rows 2000000] [--pictures 16384] [--rounds 5]

A filter has five rules that every row satisfies or breaks by chance: a collection, two scores, width and height; each
rule also looks for missing values. Headers are those of JPEGs in a Parquet file as `datasets` writes it, of about 12
and 300 kB: read, hashed (a media hash is part of each latent's key), looked at, and noted in the ledger. Beside it,
what reading the file and hashing its media alone take. The best of some rounds: other work on the machine only adds.
"""

import argparse
import functools
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from skimage import data as photographs

from benchmarks.encoding import recipe_of
from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode.probe import Probe
from hf_assets.previews.thumbnails import Thumbnails
from hf_assets.sources import rows as rows_read
from hf_assets.sources.formats.parquet import WantedColumns, read_media
from hf_assets.sources.source import source_of
from hf_assets.stages import captions, filtering
from hf_assets.stages.captions import CaptionRules

PIECE_ROWS = 65_536
RULES = filtering.FilterRules(
    collection=("photos", "paintings"),
    quality_column="quality",
    quality_thresholds=(("clarity", 0.2), ("aesthetics", 5.0)),
    min_width=512,
    min_height=512,
)
# (size in pixels, quality of JPEG): about 12 and 300 kB
PICTURES = ((256, 78), (1600, 93))
NUM_DISTINCT = 64
MAX_FILE_KB = 5e5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--pictures", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    pa.set_cpu_count(1)
    table = _table(given.rows)
    pieces = [table.slice(start, PIECE_ROWS) for start in range(0, given.rows, PIECE_ROWS)]
    used_s = _best_s(lambda: [filtering.judge(piece, RULES) for piece in pieces], given.rounds)
    print(f"a filter of five rules   {given.rows / used_s / 1e6:8.1f} M rows per second", flush=True)
    kept = [filtering.kept(filtering.judge(piece, filtering.FilterRules())) for piece in pieces]
    rules = CaptionRules(column="caption")
    used_s = _best_s(lambda: [captions.extract(piece, rules) for piece in kept], given.rounds)
    print(f"a plain caption column   {given.rows / used_s / 1e6:8.1f} M rows per second", flush=True)
    for edge, quality in PICTURES:
        with TemporaryDirectory() as folder:
            _time_headers(Path(folder), _jpegs(edge, quality), given.pictures, given.rounds)


def _time_headers(folder: Path, pictures: list[bytes], count: int, rounds: int) -> None:
    kb = sum(map(len, pictures)) / len(pictures) / 1000
    count = min(count, int(MAX_FILE_KB / kb))
    each = [pictures[number % len(pictures)] for number in range(count)]
    num_bytes = sum(map(len, each))
    recipe = _recipe(folder, each)
    path = folder / "data/train.parquet"
    alone_s = _best_s(lambda: [_hash(data) for _, data in read_media(path, "image", range(count))], rounds)
    used_s = min(_look_s(recipe, number) for number in range(rounds))
    print(
        f"headers, {kb:5.1f} kB each    {count / used_s:8,.0f} rows per second, {num_bytes / used_s / 1e9:.2f} GB/s; "
        f"reading and hashing alone {count / alone_s:8,.0f}, {num_bytes / alone_s / 1e9:.2f} GB/s",
        flush=True,
    )


def _hash(data: bytes | None) -> str:
    assert data is not None
    return fingerprint.of_bytes(data)


def _look_s(recipe: Recipe, number: int) -> float:
    """Processor time of a look at all media, with an empty ledger."""
    metadata = recipe.folders.metadata / str(number)
    recipe = recipe.model_copy(update={"folders": recipe.folders.model_copy(update={"metadata": metadata})})
    source = source_of(recipe.source, metadata / "sources")
    snapshot = source.resolve()
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    located = rows_read.read(source, snapshot, wanted, metadata / "columns", _say_nothing).table
    started = time.process_time()
    look = Probe(recipe, source, snapshot, Thumbnails(recipe), 1, _say_nothing)
    answer = look.facts(located, lambda: iter([located.slice(0, 0)]))  # no row is chosen for a thumbnail
    look.close()
    used_s = time.process_time() - started
    assert len(answer.media) == len(located)
    return used_s


def _best_s(work: Callable[[], Any], rounds: int) -> float:
    """Processor time of this process; the least of some rounds."""
    found = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def _table(num_rows: int) -> pa.Table:
    """Rows as `raw_dataset` has them."""
    draw = np.random.default_rng(0)
    columns = {
        "collection": pa.array(np.array(["photos", "paintings", "drawings"])[draw.integers(0, 3, num_rows)]),
        "quality": pa.StructArray.from_arrays(
            [pa.array(draw.random(num_rows)), pa.array((draw.random(num_rows) * 10).astype(np.float32))],
            names=["clarity", "aesthetics"],
        ),
        "width": pa.array(draw.integers(256, 2048, num_rows)),
        "height": pa.array(draw.integers(256, 2048, num_rows)),
        "caption": pa.array([f"a photo of cat {number % 1000} near the window" for number in range(num_rows)]),
    }
    rows = {"row": pa.array(np.arange(num_rows)), "file": pa.array([f"{number}.jpg" for number in range(num_rows)])}
    return pa.table({**rows, schema.COLUMNS: pa.StructArray.from_arrays([*columns.values()], names=[*columns])})


@functools.cache
def _photograph() -> Image.Image:
    return Image.fromarray(photographs.coffee())


def _jpegs(edge: int, quality: int) -> list[bytes]:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(NUM_DISTINCT):
        left, top = draw.integers(0, [344, 144]).tolist()
        file = BytesIO()
        _photograph().crop((left, top, left + 256, top + 256)).resize((edge, edge)).save(file, "JPEG", quality=quality)
        found.append(file.getvalue())
    return found


def _recipe(folder: Path, pictures: list[bytes]) -> Recipe:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": data, "path": None} for data in pictures], kind)
    table = pa.table({"image": images, "caption": pa.array(["a photo"] * len(pictures))})
    return recipe_of(folder, None, "sd15", table, {"resolution": 64, "resolution_type": "pixel"})


def _say_nothing(line: str) -> None:
    pass


if __name__ == "__main__":
    main()
