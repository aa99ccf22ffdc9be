"""A dataset on the local Hub, a config, and a Dagster instance that lasts: what a user has."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hf_assets import blobs, files, fingerprint
from hf_assets.blobs.location import parse
from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets.training import TrainingSet
from hf_assets_tests.contract import oracle
from hf_assets_tests.contract.image_rows import Row, files_of
from hf_assets_tests.contract.media import MEDIA, Medium
from hf_assets_tests.instances import History
from hf_assets_tests.local_hub import LocalHub

TOLERANCE = 1e-5
STAGES = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")


class Counts(NamedTuple):
    """What a run computed, by stage, and the versions of the tables that it made."""

    computed: dict[str, int]
    metadata: dict[str, dict[str, Any]]
    versions: dict[str, str]

    @property
    def encoded(self) -> tuple[int, int]:
        """(latents, embeds) computed."""
        return self.computed["vae_latents"], self.computed["text_embeds"]

    @property
    def bytes_read(self) -> int:
        return sum(stage["bytes_read"] for stage in self.metadata.values())


class World:
    """One user with one dataset. `model` maps the names used in the config to the folders that the oracle loads."""

    def __init__(
        self,
        folder: Path,
        hub: LocalHub,
        dataset: str,
        config: Mapping[str, Any],
        rows: list[Row],
        medium: Medium = MEDIA["image"],
    ) -> None:
        self.folder = folder
        self.hub = hub
        self.dataset = dataset
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        self.rows = rows
        self.medium = medium
        self.pipeline_folder = ""
        self.vae_folder = ""
        self.resources: dict[str, Any] = {}
        self.run_config: dict[str, Any] = {}
        self.address: str | None = None
        self.runs: list[Counts] = []
        self.history = History()

    @property
    def entry(self) -> dict[str, Any]:
        """The dataset's entry in the config, to edit."""
        entry: dict[str, Any] = self.config["datasets"][0]
        return entry

    @property
    def model(self) -> dict[str, Any]:
        model: dict[str, Any] = self.config["model"]
        return model

    @property
    def metadata_folder(self) -> Any:
        cache_dir: str = self.entry.get("cache_dir", f"cache/{self.entry['id']}")
        return parse(cache_dir, self.folder) / "huggingface_metadata" / self.entry["id"]

    def push(self, *parts: list[Row], **extra: bytes) -> str:
        """Commit the dataset anew: its only Parquet files are then these parts."""
        old = dict.fromkeys(self.data_files())
        self.rows = [row for part in parts for row in part]
        return self.hub.commit(self.dataset, {**old, **files_of(*parts), **extra})

    def commit(self, files: Mapping[str, bytes | None]) -> str:
        """Commit files as they are."""
        return self.hub.commit(self.dataset, dict(files))

    def data_files(self) -> list[str]:
        from huggingface_hub import HfApi

        return [
            path for path in HfApi().list_repo_files(self.dataset, repo_type="dataset") if path.startswith("data/train")
        ]

    def definitions(self) -> dg.Definitions:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "datasets.json"
        file.write_text(json.dumps(self.config))
        return build_definitions(loading.load(file))

    def materialize(self, *, selection: str | None = None, run_config: Mapping[str, Any] | None = None) -> Counts:
        """Materialize the graph in this process, on an instance that remembers earlier runs."""
        defs = self.definitions()
        done = dg.materialize(
            list(defs.assets or ()),
            instance=self.history.instance,
            resources=defs.resources,
            run_config=dict(self.run_config if run_config is None else run_config),
            selection=selection,
        )
        assert done.success
        events = {
            event.asset_key.path[-1]: event.step_materialization_data.materialization
            for event in done.get_asset_materialization_events()
        }
        metadata = {
            stage: {name: value.value for name, value in event.metadata.items()} for stage, event in events.items()
        }
        counts = Counts(
            {stage: values["computed"] for stage, values in metadata.items()},
            metadata,
            {stage: str((event.tags or {})["dagster/data_version"]) for stage, event in events.items()},
        )
        self.runs.append(counts)
        return counts

    def table(self, name: str) -> pa.Table:
        return pq.read_table(files.parquet(self.metadata_folder / f"{name}.parquet"))

    @property
    def num_empty(self) -> int:
        """Embeds of the empty caption: one, or one for each duration with which texts are encoded."""
        return self.table("text_embeds")["caption"].to_pylist().count("")

    def training_set(self) -> TrainingSet:
        return TrainingSet.open(self.metadata_folder)

    def copy(self, folder: Path) -> "World":
        """The same user's files elsewhere: config, tables, tensors and run history."""
        shutil.copytree(self.folder, folder)
        twin = World(folder, self.hub, self.dataset, self.config, list(self.rows), self.medium)
        twin.pipeline_folder, twin.vae_folder = self.pipeline_folder, self.vae_folder
        twin.history = self.history.copy()
        return twin

    def move_to(self, address: str) -> "World":
        """Move the cache into a bucket."""
        target, cache = blobs.at(blobs.ObjectPath(address)), self.folder / "cache"
        for path in sorted(cache.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                target.put(str(path.relative_to(cache)), path.read_bytes())
        shutil.rmtree(cache, ignore_errors=True)
        self.address = address
        self.name_folders("photos", "text")
        return self

    def name_folders(self, cache: str, texts: str) -> None:
        """Let results lie in these folders of the bucket, or of the user's folder, and embeds in the other."""
        here = f"{self.address}/" if self.address else ""
        self.entry["cache_dir"] = f"{here}{cache}"
        named = {"id": "texts", "dataset_type": "text_embeds", "cache_dir": f"{here}{texts}", "default": True}
        self.config["datasets"] = [self.entry, named]

    def move_cache(self, folder: str) -> None:
        """Move all that is stored, within the bucket or the user's folder."""
        if self.address is None:
            (self.folder / "cache").rename(self.folder / folder)
        else:
            bucket = blobs.at(blobs.ObjectPath(self.address))
            for blob in list(bucket.list(recursive=True)):
                bucket.put(f"{folder}/{blob.name}", bucket.get(blob.name))
                bucket.delete(blob.name)
        self.name_folders(f"{folder}/photos", f"{folder}/text")

    def from_scratch(self, folder: Path) -> "World":
        """Another user with the same config, on a disk, and nothing computed yet."""
        fresh = World(folder, self.hub, self.dataset, self.config, list(self.rows), self.medium)
        if "://" in fresh.entry.get("cache_dir", ""):
            del fresh.entry["cache_dir"]
            fresh.config["datasets"] = fresh.config["datasets"][:1]
        fresh.pipeline_folder, fresh.vae_folder = self.pipeline_folder, self.vae_folder
        fresh.materialize()
        return fresh

    def check(self) -> None:
        """Every sample is its own row's: media, caption, geometry, and tensors equal to fresh ones."""
        training = self.training_set()
        table = training.table.to_pylist()
        buckets = {row["row"]: row for row in self.table("buckets").to_pylist()}
        vae, pipeline = oracle.vae_of(self.vae_folder), oracle.pipeline_of(self.pipeline_folder)
        for index, sample in enumerate(table):
            row = self.rows[sample["row"]]
            item = training[index]
            assert row.image is not None
            assert row.caption is not None
            assert sample["media_hash"] == fingerprint.of_bytes(row.image)
            assert sample["captions"] == [item["caption"]] == [row.caption.strip()]
            assert item["file"] == f"{sample['row']}.{self.medium.extension}"
            fresh = self.medium.latent(row.image, buckets[sample["row"]], vae)
            assert torch.allclose(item["latents"].float(), fresh, atol=self.tolerance, rtol=0)
            for name, text in self.medium.embed(row, buckets[sample["row"]], pipeline).items():
                assert torch.allclose(item[name].float(), text.float(), atol=self.tolerance * 10, rtol=0)

    @property
    def tolerance(self) -> float:
        return TOLERANCE if self.model["dtype"] == "float32" else 0.1

    def contents(self) -> dict[str, list[Any]]:
        """The training set's table by column: equal for equal training sets."""
        columns: dict[str, list[Any]] = self.table("training_set").to_pydict()
        return columns
