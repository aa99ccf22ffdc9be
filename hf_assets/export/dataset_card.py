"""The card of an exported dataset: what it holds, how to read it, and what it was made from."""

import contextlib
import json
import os
from typing import Any

import pyarrow.compute as pc

from hf_assets import inert
from hf_assets.blobs.location import SCHEMES
from hf_assets.encode import versions
from hf_assets.export.view import View
from hf_assets.store import memo, shards
from hf_assets.store.tensor_reader import TensorReader
from hf_assets.store.tensors import shard_name

# In place of what is this machine's own business.
PRIVATE = "a local folder"

HOW_TO_READ = """```python
import torch
from datasets import load_dataset

row = load_dataset(NAME, split="train")[0]  # NAME: this repository, or the folder
dtype = getattr(torch, row["latents_dtype"])
latents = torch.frombuffer(bytearray(row["latents"]), dtype=dtype).view(row["latents_shape"])
```

With all tensors by name, and buckets by shape: `hf_assets.training.ExportedSet.open(NAME)`."""


def card(view: View, num_rows: int) -> str:
    """The card as Markdown, with the metadata that the Hub and `datasets` read in front.

    Names of this machine's folders are left out: a card is published.
    """
    recipe = view.recipe
    tensors = {**view.training.latents[0], **view.training.embeds[0]}
    listed = [
        f"| `{name}` | {str(one.dtype).removeprefix('torch.')} | {' x '.join(map(str, one.shape))} |"
        for name, one in tensors.items()
    ]
    made = {
        "source": _public(recipe.source.dataset_name),
        "source_revision": _source_revision(view) or "none",
        "training_set": view.version,
        "vae": _made_by(view.training.latents),
        "text_encoders": _made_by(view.training.embeds),
        "config": _without_paths(
            {
                "model": recipe.model.model_dump(mode="json", exclude_defaults=True),
                "settings": recipe.settings.model_dump(mode="json", exclude_defaults=True),
                "filter": recipe.filter.model_dump(mode="json", exclude_defaults=True),
            }
        ),
        "hf_assets": versions.release(),
    }
    # Without `configs`: `datasets` 5.2 names its cache of a local folder by these patterns alone where it finds them,
    # and so gives what it read of a former generation; without, by the files and their times.
    front = {
        "pretty_name": f"{recipe.id}, encoded",
        "tags": ["latents", "text-embeddings", "diffusion"],
    }
    return "\n".join(
        [
            *("---", json.dumps(front, indent=2), "---", ""),  # JSON is YAML
            *(f"# {recipe.id}, encoded", ""),
            f"{num_rows:,} samples: latents of a VAE, normalised as the denoiser expects, beside the embeds of their",
            "captions. A sample with several captions is several rows. Numbers of a tensor lie in one column as bytes,",
            "little-endian, in rows; its shape and type in two more.",
            *("", "| tensor | type | shape of the first sample |", "|--|--|--|", *listed, ""),
            *(HOW_TO_READ, "", "## How it was made", ""),
            *("```json", inert.text(json.dumps(made, indent=2, sort_keys=True)), "```", ""),
        ]
    )


def _source_revision(view: View) -> str | None:
    """The commit of the dataset that the rows were read from; None of a folder."""
    noted = memo.load(view.recipe.folders.metadata, "raw_dataset")
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        revision = json.loads((noted.facts if noted else {})["metadata"]).get("revision")
        return revision if isinstance(revision, str) else None
    return None


def _made_by(tensors: TensorReader) -> dict[str, str]:
    """What a shard says of the encoder that made it."""
    shard = pc.cast(tensors.places.rows["shard"][:1], "string")[0].as_py()
    _, entries = shards.header(tensors.store.blobs, shard_name(shard))
    noted = entries.get(shards.METADATA, {})
    return {
        "model": _public(noted.get("pipeline", "")),
        "revision": noted.get("revision", ""),
        "fingerprint": noted.get("encoder", ""),
        "dtype": noted.get("dtype", ""),
    }


def _public(name: str) -> str:
    return PRIVATE if os.path.isabs(name) or name.startswith(SCHEMES) else name


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(one) for one in value]
    return _public(value) if isinstance(value, str) else value
