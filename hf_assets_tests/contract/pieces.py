"""Pieces of a few rows, as tables of millions have pieces of many."""

from typing import Any

import pytest

from hf_assets import files
from hf_assets.encode import embedded, lookup
from hf_assets.store import spilling
from hf_assets_tests.contract.world import World

TABLES = ("raw_dataset", "filtered", "filtered_dropped", "captions", "buckets", "vae_latents", "text_embeds")


def make_small(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    """Let no table pass through in one piece, and nothing stay in memory that needn't."""
    for module, name in (
        (files, "READ_ROWS"),
        (spilling, "WRITTEN_ROWS"),
        (lookup, "LOOKED_UP_ROWS"),
        (embedded, "FEW_CAPTIONS"),
    ):
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, num_rows)


def tables_of(world: World) -> dict[str, dict[str, list[Any]]]:
    """What its tables hold, but for what differs between two builds: in which shards tensors lie, and when it was."""
    return {
        name: {
            column: values
            for column, values in world.table(name).to_pydict().items()
            if column not in ("shard", "first_seen", "last_seen")
        }
        for name in TABLES
    }
