"""The worked example of getting started as a person runs it, with few steps: `python -m examples.toy`."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import DDPMScheduler
from PIL import Image

from examples.toy import denoiser
from examples.toy.__main__ import PHOTOS, SIDE_PX

ROOT = Path(__file__).parents[1]


def test_it_goes_from_photographs_to_a_picture_of_samples(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    command = [sys.executable, "-m", "examples.toy", "--folder", str(folder), "--vae-steps", "8", "--unet-steps", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"photos  training_set  {len(PHOTOS)} rows" in done.stdout
    assert Image.open(BytesIO((folder / "samples.png").read_bytes())).size == (
        2 * SIDE_PX * len(PHOTOS),
        2 * 2 * SIDE_PX,
    )
    assert (folder / "cache/huggingface_metadata/photos/report.html").exists()


def test_what_a_denoiser_without_error_draws_are_the_latents_it_knows() -> None:
    known = torch.full((2, 4, 8, 8), 1.5) * torch.tensor([1.0, -1.0])[:, None, None, None]
    kept = DDPMScheduler().alphas_cumprod

    class Knows:
        """Gives `sqrt(kept) * noise - sqrt(1 - kept) * latent`, as `denoiser.train` asks of its UNet."""

        config = SimpleNamespace(sample_size=8)

        def __call__(self, noisy: torch.Tensor, time: torch.Tensor, **_: Any) -> SimpleNamespace:
            noise = (noisy - kept[time].sqrt() * known) / (1 - kept[time]).sqrt()
            return SimpleNamespace(sample=kept[time].sqrt() * noise - (1 - kept[time]).sqrt() * known)

    drawn = denoiser.draw(Knows(), torch.randn(2, 77, 32))  # type: ignore[arg-type]
    torch.testing.assert_close(drawn, known, atol=1e-3, rtol=0)


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = [sys.executable, "-m", "examples.toy", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "left alone: name another --folder" in done.stderr
    assert (tmp_path / "mine.txt").exists()
