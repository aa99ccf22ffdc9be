"""Training sets as runs leave them behind, made of a few words."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch

from hf_assets import files, schema
from hf_assets.store import layout
from hf_assets.store.tensors import Sample, TensorStore


def latents_of(row: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.full(tuple(shape), float(row))


def embeds_of(caption: str) -> dict[str, torch.Tensor]:
    number = float(sum(caption.encode()))
    return {"prompt_embeds": torch.full((5, 3), number), "pooled_prompt_embeds": torch.full((3,), number).bfloat16()}


def write(
    cache: Path,
    name: str,
    captions: Sequence[Sequence[str]],
    shapes: Sequence[Sequence[int]],
    *,
    has_empty: bool = False,
) -> Path:
    """Write a training set with one row for each list of captions.

    Args:
        has_empty: whether the empty caption has an embed.

    Returns:
        its metadata folder.
    """
    stores = layout.Stores(cache / "vae" / name, cache / "text")
    metadata = cache / "huggingface_metadata" / name
    for shape in sorted({tuple(shape) for shape in shapes}):
        TensorStore(stores.latents).write(
            [
                Sample(f"{name}{row}", {"latents": latents_of(row, shape)})
                for row, own in enumerate(shapes)
                if tuple(own) == shape
            ],
            {},
        )
    empty = [schema.EMPTY_CAPTION] if has_empty else []
    if texts := sorted({*empty, *(text for texts in captions for text in texts)}):
        samples = [Sample(f"e-{text}", embeds_of(text)) for text in texts]
        TensorStore(stores.embeds).write(samples, {})
    rows = [
        {
            "row": row * 10,
            "file": f"{row * 10}.jpg",
            "media_hash": f"{name}{row}",
            "captions": list(captions[row]),
            "original_size": [100, 80],
            "intermediary_size": [100, 80],
            "target_size": [64, 64],
            "crop_top_left": [0, 8],
            "bucket": "64x64",
            "latent_key": f"{name}{row}",
            "latent_shape": list(shapes[row]),
            "embed_keys": [f"e-{text}" for text in captions[row]],
            "empty_caption_key": "e-" if has_empty else None,
        }
        for row in range(len(captions))
    ]
    table = pa.Table.from_pylist(rows, schema=schema.TRAINING_SET)
    files.write_table(
        metadata / "training_set.parquet", table.replace_schema_metadata(layout.to_metadata(stores, metadata))
    )
    return metadata
