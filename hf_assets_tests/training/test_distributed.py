"""Two real processes in one process group."""

import os
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp
from torch import distributed
from torch.utils.data import DataLoader

from hf_assets.training import Mixture, TrainingSet, collate
from hf_assets_tests.training import sets

CAPTIONS = [[str(number)] for number in range(11)]
SHAPES = [[4, 8, 8]] * 7 + [[4, 8, 16]] * 4


def test_processes_share_an_epoch_without_being_given_their_ranks(tmp_path: Path) -> None:
    for name in ("photos", "drawings"):
        sets.write(tmp_path / name, name, CAPTIONS, SHAPES)
    mp.spawn(_rank, (tmp_path,), nprocs=2)


def _rank(rank: int, folder: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'group'}", rank=rank, world_size=2)
    mixture = Mixture(
        {name: TrainingSet.open(folder / name / "huggingface_metadata" / name) for name in ("photos", "drawings")}
    )
    loader = DataLoader(mixture, batch_sampler=mixture.batches(batch_size=3), collate_fn=collate)
    mine = [[(name, row) for name, row in zip(batch["dataset"], batch["row"], strict=True)] for batch in loader]
    gathered: list[Any] = [None, None]
    distributed.all_gather_object(gathered, mine)
    first, second = gathered
    assert len(first) == len(second) == len(loader)
    assert all(a[0][0] == b[0][0] for a, b in zip(first, second, strict=True))  # of one dataset at each step
    seen = sorted(sample for batches in gathered for batch in batches for sample in batch)
    assert seen == sorted((name, row * 10) for name in ("photos", "drawings") for row in range(11))
    distributed.destroy_process_group()
