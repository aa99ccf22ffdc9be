"""The worked example of getting started as a person runs it, with few steps: `python -m examples.toy`."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

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


def test_a_folder_that_it_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = [sys.executable, "-m", "examples.toy", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "left alone: name another --folder" in done.stderr
    assert (tmp_path / "mine.txt").exists()
