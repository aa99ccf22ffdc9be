"""The card of an exported dataset: what it holds, how to read it, and what it was made from."""

import contextlib
import json
import os
from typing import Any

from hf_assets import folder, inert
from hf_assets.blobs.location import SCHEMES
from hf_assets.encode import made_with, versions
from hf_assets.export.view import View, made_by
from hf_assets.store import memo
from hf_assets.store.table_file import facts_of
from hf_assets.store.tensor_reader import TensorReader

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
    noted = made_with.noted(view.table.schema, recipe)
    made = {
        "source": _public(noted.pop("source")),
        "source_revision": _source_revision(view) or "not known",
        "training_set": view.version,
        "vae": _made_by(view.training.latents),
        "text_encoders": _made_by(view.training.embeds),
        "config": _without_paths(noted),
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
    """The commit of the dataset that the rows were read from; None of a folder, and where rows were read since."""
    root = view.recipe.folders.metadata
    noted, facts = memo.load(root, "raw_dataset"), facts_of(folder.table(root, "training_set"))
    if noted is None or facts is None or facts.made_from.get("raw_dataset") != noted.version:
        return None
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        revision = json.loads(noted.facts["metadata"]).get("revision")
        return revision if isinstance(revision, str) else None
    return None


def _made_by(tensors: TensorReader) -> dict[str, str]:
    """What a shard says of the encoder that made it."""
    noted = made_by(tensors)
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
