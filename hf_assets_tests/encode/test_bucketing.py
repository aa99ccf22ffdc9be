"""Rows whose size no column gives are judged by their header; the others are not judged again."""

import json
from pathlib import Path

import pyarrow as pa

from hf_assets import schema
from hf_assets.config import loading
from hf_assets.encode.bucketing import fit


def test_only_rows_whose_size_no_column_gives_are_judged_by_their_header(tmp_path: Path) -> None:
    photos = {"id": "a", "type": "huggingface", "dataset_name": "user/a", "filter_func": {"min_width": 500}}
    file = tmp_path / "datasets.json"
    file.write_text(json.dumps({"model": {"pretrained_model_name_or_path": "user/model"}, "datasets": [photos]}))
    (recipe,) = loading.load(file).recipes
    media = pa.table(
        [[1, 2, 3], ["m1", "m2", "m3"], [[400, 400], [400, 400], [500, 400]], [None] * 3], schema=schema.MEDIA
    )
    # columns said that row 1 is wide enough; headers say that only row 3 is
    table, dropped = fit(recipe, media, pa.chunked_array([[2, 3]]))
    assert table["row"].to_pylist() == [1, 3]
    assert dropped.select(["row", "dropped_for"]).to_pylist() == [{"row": 2, "dropped_for": "too_narrow"}]
