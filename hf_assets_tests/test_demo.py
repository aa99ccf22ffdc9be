"""The demo as a person runs it: `python -m examples.demo`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


class Line(NamedTuple):
    """A line of the printed table."""

    latents_computed: int
    latents_reused: int
    embeds_computed: int
    embeds_reused: int
    media_read: str


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.demo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def table_of(output: str) -> list[Line]:
    lines = re.findall(r"^\d  \S.*?  +(\d+) +(\d+) +(\d+) +(\d+) +([\d.]+ \w+) +\d+$", output, re.MULTILINE)
    return [Line(int(a), int(b), int(c), int(d), media) for a, b, c, d, media in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo_data"


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    return demo("--folder", str(folder))


def test_it_ends_well_and_quietly(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")
    assert "Warning" not in done.stdout


def test_it_prints_what_each_run_computed_and_reused(done: subprocess.CompletedProcess[str]) -> None:
    first, again, revision, edit = table_of(done.stdout)
    # 28 rows: less 2 filtered and 1 without a caption; the damaged one has an embed, but no latent; and the empty one
    assert first[:4] == (24, 0, 26, 0)
    assert again == (0, 24, 0, 26, "0 B")
    # 4 photographs are new and 1 is edited; 3 captions are new and 1 is edited, whose old embed is out of use
    assert revision[:4] == (5, 23, 4, 25)
    # 12 of the 28 were encoded as squares of 256 before
    assert edit[:4] == (16, 12, 0, 29)


def test_the_contact_sheet_shows_all_samples(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert len(sheet.convert("RGB").getcolors(sheet.width * sheet.height) or []) > 10_000
        assert sheet.width > 1_000


def test_a_folder_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    refused = demo("--folder", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "was not made by this demo" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_page_without_results_says_to_run_the_demo_first(tmp_path: Path) -> None:
    refused = demo("page", "--folder", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "run the demo first" in refused.stderr
