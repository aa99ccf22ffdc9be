"""Training sets to export: real captions by a tiny pipeline's text encoders, and latents made of names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hf_assets import files, fingerprint, folder, schema
from hf_assets.config import loading
from hf_assets.config.export_rules import ExportRules
from hf_assets.config.recipe import Recipe
from hf_assets.encode import embeds
from hf_assets.encode.revisions import hash_cache
from hf_assets.export import exporting
from hf_assets.export.exporting import Exported
from hf_assets.kinds.medium import medium_of
from hf_assets.models.components import vae_fingerprint
from hf_assets.models.pipeline import resolve_pipeline
from hf_assets.resources.gpu import GpuResource
from hf_assets.store import layout
from hf_assets.store.table_file import DATA_VERSION
from hf_assets.store.tensors import Sample, TensorStore
from hf_assets_tests import tiny_pipelines

GPU = GpuResource(device="cpu")


class Photo(NamedTuple):
    """A sample: equal names have equal latents."""

    name: str
    captions: tuple[str, ...] = ("a photo",)
    shape: tuple[int, ...] = (4, 8, 8)
    size: tuple[int, int] = (64, 64)


def photos(*names: str) -> list[Photo]:
    """Samples, each with a caption of its own."""
    return [Photo(name, (f"a photo of {name}",)) for name in names]


def latents_of(photo: Photo, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int.from_bytes(photo.name.encode(), "big") % 2**31)
    return torch.randn(photo.shape, generator=generator).to(dtype)


class TinySet:
    """A dataset of a config with a tiny model, whose training set is written again and again."""

    def __init__(self, root: Path, family: str = "sdxl", *, dtype: str = "float32", **entry: object) -> None:
        self.root = root
        model = entry.pop("model", {})
        assert isinstance(model, dict)
        if not (root / "model").exists():
            tiny_pipelines.build(family, root / "model")
        self.config = {
            "model": {"pretrained_model_name_or_path": "./model", "dtype": dtype, **model},
            "datasets": [{"id": "photos", "type": "huggingface", "dataset_name": "me/photos", **entry}],
        }
        self.dtype = getattr(torch, dtype)
        self.write_config()

    @property
    def recipe(self) -> Recipe:
        return loading.load(self.root / "datasets.json").recipes[0]

    def write_config(self) -> None:
        (self.root / "datasets.json").write_text(json.dumps(self.config))

    def write(
        self, samples: Sequence[Photo], first_row: int = 0, gaps: Sequence[int] = (), *, has_empty: bool = True
    ) -> None:
        """Let these be the training set: rows from `first_row` on, without those in `gaps`.

        Args:
            has_empty: whether the empty caption has an embed.
        """
        recipe = self.recipe
        rows = [row for row in range(first_row, first_row + len(samples) + len(gaps)) if row not in gaps]
        keys = self._embed(recipe, samples)
        store = TensorStore(recipe.folders.latents)
        latent_keys = [fingerprint.of_value(["test", photo.name, photo.shape]) for photo in samples]
        for shape in sorted({photo.shape for photo in samples}):
            chosen = {key: photo for key, photo in zip(latent_keys, samples, strict=True) if photo.shape == shape}
            store.write([Sample(key, self._latents(photo)) for key, photo in chosen.items()], self._header(recipe))
        medium = medium_of(recipe)
        made = pa.schema([*schema.TRAINING_SET, *medium.training])
        table = pa.Table.from_pylist(
            [
                {
                    "row": row,
                    "file": f"{row}.{medium.extension}",
                    "source_path": f"photos/{row}.png",
                    "media_hash": fingerprint.of_value(photo.name),
                    "captions": list(photo.captions),
                    "original_size": list(photo.size),
                    "intermediary_size": list(photo.size),
                    "target_size": None if recipe.kind == "audio" else list(photo.size),
                    "crop_top_left": [0, 0],
                    "bucket": f"{photo.shape[-1]}s" if recipe.kind == "audio" else "x".join(map(str, photo.size)),
                    "latent_key": key,
                    "latent_shape": list(photo.shape),
                    "embed_keys": [keys[caption] for caption in photo.captions],
                    "empty_caption_key": keys[schema.EMPTY_CAPTION] if has_empty else None,
                    **self._facts(recipe.kind, photo),
                }
                for row, photo, key in zip(rows, samples, latent_keys, strict=True)
            ],
            schema=made,
        )
        stores = layout.Stores(recipe.folders.latents, recipe.folders.embeds)
        metadata = layout.to_metadata(stores, recipe.folders.metadata)
        metadata[DATA_VERSION] = fingerprint.of_table(table).encode()
        files.write_table(
            folder.table(recipe.folders.metadata, "training_set"), table.replace_schema_metadata(metadata)
        )

    def export(self, format: str, to: Path, names: str | None = None) -> Exported:
        rules = ExportRules.model_validate({"format": format, "to": str(to), "names": names})
        return exporting.export(self.recipe, rules, lambda _: None)

    @staticmethod
    def _header(recipe: Recipe) -> dict[str, str]:
        pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=hash_cache(recipe))
        return {"encoder": vae_fingerprint(pipeline, recipe.model.latents)}

    def _latents(self, photo: Photo) -> dict[str, torch.Tensor]:
        made = {"latents": latents_of(photo, self.dtype)}
        if self.recipe.model.latents.kind == "moments":
            made["latents_std"] = latents_of(photo._replace(name=f"{photo.name}+"), self.dtype).abs() + 0.1
        return made

    def _embed(self, recipe: Recipe, samples: Sequence[Photo]) -> dict[str, str]:
        rows = [{"row": number, "captions": list(photo.captions)} for number, photo in enumerate(samples)]
        captions = pa.Table.from_pylist(rows, schema=schema.CAPTIONS)
        buckets = None
        if recipe.kind == "audio":
            rows = [{"row": row["row"], "num_samples": 48_000, "sample_rate_hz": 48_000} for row in rows]
            buckets = pa.Table.from_pylist(rows)
        clips = None if buckets is None else lambda: iter([buckets])
        draft = embeds.encode(recipe, lambda: iter([captions]), clips, GPU.hold_device, lambda _: None).outcome.table
        draft.publish()
        table = pq.read_table(draft.path)
        return dict(zip(table["caption"].to_pylist(), table["embed_key"].to_pylist(), strict=True))

    @staticmethod
    def _facts(kind: str, photo: Photo) -> dict[str, object]:
        if kind == "video":
            return {"num_frames": 9, "original_num_frames": 12, "fps": 8.0, "first_frame": 0}
        if kind == "audio":
            return {"sample_rate_hz": 48_000, "num_samples": 48_000, "num_channels": 2, "first_sample": 0}
        return {}
