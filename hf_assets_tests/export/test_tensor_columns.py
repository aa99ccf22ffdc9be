"""Tensors as columns of Parquet, and samples as row groups."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_assets.export import fastvideo_shards, tensor_columns
from hf_assets.export.sharding import Sample
from hf_assets.export.tensor_columns import column_of, row_groups


def sample(number: int, num_bytes: int) -> Sample:
    facts = {"target_size": [8, 8], "media_hash": "ab", "num_frames": 9, "fps": 8.0}
    tensors = {"latents": torch.full((num_bytes // 8,), float(number)), "prompt_embeds": torch.ones(num_bytes // 8, 1)}
    return Sample(f"{number}", number, f"photo {number}", facts, tensors)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([64, 64, 64], [2, 1]),  # full where exactly so many bytes are there
        ([120, 64, 8], [2, 1]),
        ([1000, 8, 1000], [1, 2]),
        ([], []),
    ],
)
def test_a_row_group_is_full_by_its_bytes(sizes: list[int], groups: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_columns, "GROUP_BYTES", 128)
    samples = [sample(number, size) for number, size in enumerate(sizes)]
    found = list(row_groups(iter(samples)))
    assert [len(group) for group in found] == groups
    assert [one.serial for group in found for one in group] == list(range(len(sizes)))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_column_holds_each_tensor_s_numbers_in_order(kind: pa.DataType) -> None:
    tensors = [torch.arange(6.0).view(2, 3).T, torch.empty(0, 4), torch.ones(2, dtype=torch.bfloat16)]
    column = column_of(tensors, kind)
    assert column.type == kind
    assert column.to_pylist() == [tensors[0].contiguous().numpy().tobytes(), b"", b"\x80\x3f\x80\x3f"]


class Numbers(np.ndarray):
    """Memory of a tensor, of which one can see whether somebody still has it."""


def test_what_was_written_is_let_go(tmp_path: Path) -> None:
    kept: list[weakref.ref[Numbers]] = []

    def samples() -> Iterator[Sample]:
        for number in range(3):
            one = sample(number, 64)
            numbers = one.tensors["latents"].numpy().view(Numbers)
            kept.append(weakref.ref(numbers))
            yield one._replace(tensors={**one.tensors, "latents": torch.from_numpy(numbers)})

    fastvideo_shards._write(lambda latents: latents, "video", tmp_path / "a.parquet", samples())
    assert [one() for one in kept] == [None] * 3
    rows = pq.read_table(tmp_path / "a.parquet")["vae_latent_bytes"].to_pylist()
    assert rows == [torch.full((8,), float(number)).numpy().tobytes() for number in range(3)]
