"""A reader of SimpleTuner's caches, written from their documented form: what its trainer does before each batch."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import torch

Json = dict[str, Any]


class Caches:
    """One dataset of a `multidatabackend.json`."""

    def __init__(self, config: Path, id: str, family: str) -> None:
        entries = {entry["id"]: entry for entry in json.loads(config.read_text())}
        self.entry: Json = entries[id]
        self.text: Json = entries[self.entry["text_embeds"]]
        self.family = family
        folder = Path(self.entry["cache_dir"]) / "huggingface_metadata" / id
        name = f"aspect_ratio_bucket_indices_{id}.json"
        self.indices: Json = json.loads((folder / name).read_text())
        self.metadata: Json = json.loads((folder / f"aspect_ratio_bucket_metadata_{id}.json").read_text())
        self.captions: Json = json.loads((folder / f"{name}_captions.json").read_text())

    @property
    def buckets(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self.indices["aspect_ratio_bucket_indices"]
        return found

    def rows(self, cache: Path) -> datasets.Dataset:
        """The data set that gives the numbers."""
        return datasets.load_dataset(self.entry["dataset_name"], split=self.entry["split"], cache_dir=str(cache))

    def latents(self, file: str) -> Any:
        index = file.split(".")[0]
        return load(Path(self.entry["cache_dir_vae"]) / f"{hashlib.sha256(index.encode()).hexdigest()}.pt")

    def embeds(self, caption: str) -> Json:
        name = f"{hashlib.md5(caption.encode()).hexdigest()}-{self.family}.pt"
        found: Json = load(Path(self.text["cache_dir"]) / name)
        return found

    def batches(self, batch_size: int) -> Iterator[tuple[list[str], torch.Tensor, dict[str, torch.Tensor]]]:
        """Files, latents (B, …) and text (B, …), bucket after bucket; the last samples of each in a smaller batch."""
        for files in self.buckets.values():
            for start in range(0, len(files), batch_size):
                some = files[start : start + batch_size]
                latents = [self.latents(file) for file in some]
                latents = [one["latents"] if isinstance(one, dict) else one for one in latents]
                texts = [self.embeds(self.caption(file)) for file in some]
                yield (
                    some,
                    torch.stack(latents),
                    {
                        name: torch.cat([text[name] for text in texts])
                        if texts[0][name].dim() == 3
                        else torch.stack([text[name] for text in texts])
                        for name in texts[0]
                    },
                )

    def caption(self, file: str) -> str:
        found = self.captions[file]
        return found[0] if isinstance(found, list) else str(found)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)
