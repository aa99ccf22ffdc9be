"""Pieces of a few rows, as tables of millions have pieces of many."""

import pytest

from hf_assets import files
from hf_assets.encode import lookup, trainable
from hf_assets.store import spilling


def make_small(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    """Let no table pass through in one piece, and nothing stay in memory that needn't."""
    for module, name in (
        (files, "READ_ROWS"),
        (spilling, "WRITTEN_ROWS"),
        (lookup, "LOOKED_UP_ROWS"),
        (trainable, "NAMED_ROWS"),
    ):
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, num_rows)
