"""Captions per second of a run, against the bare text encoders on the same captions in the same batches.

python -m benchmarks.text [--captions 96] [--batch-size 16] [--device cpu] [--sides clip,t5]

CLIP is of the size of SD 1.5's, T5 of T5-base's, both with random weights: what they compute costs the same. The bare
encoder is timed before and after the run, since other work on the machine changes its speed. On a busy machine the
clock says little, so processor time is given too: from the moment when the encoder is loaded until all is stored. Both
encode the empty caption as well.
"""

import argparse
import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import transformers

from benchmarks.encoding import recipe_of, tables_of
from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import embed_stage, embeds
from hf_assets.engines.compute import Compute
from hf_assets.engines.this_process import ThisProcess
from hf_assets.engines.unit import HoldDevice
from hf_assets.models.pipeline import resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets_tests import tiny_pipelines

WORDS = ("a", "photo", "of", "cat", "red", "sofa", "near", "the", "window", "portrait", "woman", "light", "on", "old")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", default="clip,t5")
    given = parser.parse_args()
    compute = Compute(device=given.device, text_batch_size=given.batch_size)
    draw = np.random.default_rng(0)
    captions = [" ".join(draw.choice(WORDS, draw.integers(4, 40))) + f" {at}" for at in range(given.captions)]
    for side in given.sides.split(","):
        with TemporaryDirectory() as folder:
            recipe = _recipe(Path(folder), side)
            before = _bare(recipe, [*captions, ""], compute)
            table = pa.table([range(len(captions)), [[one] for one in captions]], schema=schema.CAPTIONS)
            embed_stage.EmbedModel = Metered  # type: ignore[misc]
            facts = embeds.encode(recipe, tables_of(table), None, _engine(compute), lambda line: None).facts
            used_s = Metered.stored_at - Metered.loaded_at
            after = _bare(recipe, [*captions, ""], compute)
        bare, run = 2 * (len(captions) + 1) / (before[0] + after[0]), facts["samples_per_second"]
        print(
            f"{side}: bare {bare:.1f} captions per second ({before[0]:.1f} s before, {after[0]:.1f} s after), "
            f"the run {run:.1f}: {run / bare:.2f}; device busy {facts['device_busy']:.2f}; "
            f"of processors {before[1]:.1f} s and {after[1]:.1f} s, the run {used_s:.1f} s: "
            f"{(before[1] + after[1]) / 2 / used_s:.2f}",
            flush=True,
        )


class Metered(embed_stage.EmbedModel):
    """It notes the processor time at which it is there, and at which all is stored."""

    loaded_at = stored_at = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        Metered.loaded_at = time.process_time()
        super().__init__(*arguments, **named)

    def finish(self, say: Callable[[str], None]) -> None:
        Metered.stored_at = time.process_time()
        super().finish(say)


def _engine(compute: Compute) -> HoldDevice:
    return lambda say: contextlib.nullcontext(ThisProcess(compute))


def _recipe(folder: Path, side: str) -> Recipe:
    """A pipeline whose text encoder is as large as a real one."""
    family = {"clip": "sd15", "t5": "pixart"}[side]
    model = tiny_pipelines.build(family, folder / "model")
    part = model / "text_encoder"
    config = transformers.AutoConfig.from_pretrained(part)
    torch.manual_seed(0)
    encoder: transformers.PreTrainedModel
    if side == "clip":
        config.update({"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12})
        config.update({"num_attention_heads": 12, "projection_dim": 768})
        encoder = transformers.CLIPTextModel(config)
    else:
        config.update({"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12})
        encoder = transformers.T5EncoderModel(config)
    shutil.rmtree(part)
    transformers.utils.logging.disable_progress_bar()
    encoder.save_pretrained(part)
    table = pa.table({"image": [{"bytes": b"", "path": None}], "caption": ["none"]})
    return recipe_of(folder, model, family, table, {})


def _bare(recipe: Recipe, captions: list[str], compute: Compute) -> tuple[float, float]:
    """Seconds that encoding takes, in batches of captions of like length: by the clock, and of processors."""
    ordered = sorted(captions, key=len, reverse=True)
    dtype = getattr(torch, recipe.model.dtype)
    with load_text(resolve_pipeline(recipe.model.pipeline), compute.device, dtype) as text:
        text.encode(ordered[:1])
        started, used = time.perf_counter(), time.process_time()
        for start in range(0, len(ordered), compute.text_batch_size):
            text.encode(ordered[start : start + compute.text_batch_size])
        return time.perf_counter() - started, time.process_time() - used


if __name__ == "__main__":
    main()
