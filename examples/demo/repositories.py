"""What lies on the demo's Hub: the photographs as Parquet files, and a tiny pipeline."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, Value

from examples.demo.photographs import Photograph, photo_bytes
from examples.demo.project import DATASET, MODEL
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.local_hub import LocalHub

FEATURES = Features(
    {
        "image": Image(),
        "caption": Value("string"),
        "width": Value("int32"),
        "height": Value("int32"),
        "quality_assessment": {"focus": Value("float32")},
    }
)


def push_model(hub: LocalHub, workplace: Path) -> None:
    """Make a tiny SDXL with random weights, and put it on the Hub."""
    folder = tiny_pipelines.build("sdxl", workplace)
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    hub.commit(MODEL, files, repo_type="model")
    shutil.rmtree(folder)


def push_photographs(hub: LocalHub, files: Mapping[str, tuple[Photograph, ...]], message: str) -> None:
    """Put Parquet files with these rows on the Hub, in one commit; files that are there and not named stay."""
    hub.commit(DATASET, {path: _parquet(rows) for path, rows in files.items()}, message=message)


def _parquet(photographs: tuple[Photograph, ...]) -> bytes:
    pictures = [photo_bytes(one) for one in photographs]
    rows = [
        {
            "image": {"bytes": image.data, "path": one.file},
            "caption": one.caption,
            "width": image.width,
            "height": image.height,
            "quality_assessment": {"focus": one.focus},
        }
        for one, image in zip(photographs, pictures, strict=True)
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema), sink)
    return bytes(sink.getvalue())
