"""The training example as a person runs it: `python -m examples.train`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def example(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.train", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = example("--folder", str(tmp_path_factory.mktemp("train") / "train_data"), "--steps", "60")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_loss_falls_also_after_the_checkpoint(output: str) -> None:
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", output)]
    assert len(losses) == 3
    assert losses[0] > 1.3 * losses[1] > 1.3 * losses[2]


def test_each_dataset_has_its_share_of_the_samples(output: str) -> None:
    shares = re.findall(r"samples so far: things \d+ \((\d+)%\), textures \d+ \((\d+)%\)", output)
    assert len(shares) == 3
    assert shares[-1] == ("70", "30")


def test_it_says_what_it_mixes(output: str) -> None:
    assert "26 samples, 9 steps an epoch:\n  things    probability 0.7, batches of 4: 14 of 4x16x16, " in output
    assert "saved and loaded: epoch 4 after 3 of 9 steps" in output


def test_a_folder_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    refused = example("--folder", str(tmp_path))
    assert (refused.returncode, refused.stdout.count("\n")) == (1, 1)
    assert "was not made by this example" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
