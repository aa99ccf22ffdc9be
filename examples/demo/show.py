"""The demo itself: four runs, and what came of them."""

import os
from collections.abc import Callable
from pathlib import Path

from examples.demo import contact_sheet, repositories, table
from examples.demo.photographs import FIRST, SECOND, photo_bytes
from examples.demo.project import ROOT, Project
from examples.demo.runs import SHOWN_COMMAND, Run, materialize
from hf_assets.training import TrainingSet

EXPLAINED = """\
1  All is new. Of 28 rows, 2 are filtered out (one is too small, one out of focus), 1 has no caption, and 1 picture is
   damaged: it is quarantined with its reason, after its caption was encoded. 24 are left. One embed more than captions
   is that of the empty caption, for trainers that leave captions out now and then.
2  Nothing changed: nothing is computed, and no picture is read.
3  The dataset has a new revision: 4 photographs in a new file; in an old one, a caption and a picture edited. These are
   5 latents, and 4 embeds, since one of the new photographs has the caption of an older one.
4  The config now crops to squares. What was encoded as 256 x 256 stays as it is, the other 16 are encoded again."""


def run(project: Project, say: Callable[[str], None]) -> None:
    """Fill a project just made, run it four times, and show the results."""
    number, folder = sum(map(len, FIRST.values())), display_path(project.folder)
    say(f"Making a Hub with {number} photographs and a tiny SDXL in {folder} …")
    with project.hub as hub:
        repositories.push_model(hub, project.folder / "tiny-sdxl")
        repositories.push_photographs(hub, FIRST, "Add photographs")
        say(f"Each run is: {SHOWN_COMMAND}")
        runs: list[tuple[str, Run]] = []

        def step(name: str) -> None:
            number = len(runs) + 1
            say(f"\nRun {number}: {name}")
            log = f"run-{number}.log"
            runs.append((name, materialize(project, hub.endpoint, log, lambda line: say(f"   {line}"))))

        step("the first")
        step("again, nothing changed")
        changed = {path: rows for path, rows in SECOND.items() if FIRST.get(path) != rows}
        repositories.push_photographs(hub, changed, "Add four photographs; edit one, and the caption of another")
        step("a new revision upstream")
        project.write_config(crop=True)
        step('"crop": true in the config')
    say(f"\n{table.of_runs(runs)}\n\n{EXPLAINED}")
    _draw(project)
    say(f"\n{_places(project)}\n\n{_first_sample(project)}\n\n{_next(project)}")


def _draw(project: Project) -> None:
    originals = [photo_bytes(one).data for rows in SECOND.values() for one in rows]
    table_file = project.tables / "training_set.parquet"
    contact_sheet.write(table_file, originals, "hf_assets demo: the training set", project.contact_sheet)


def _places(project: Project) -> str:
    places = [
        (project.config, "the config"),
        (project.latents, "latents, as safetensors, and their index"),
        (project.embeds, "text embeds, likewise"),
        (project.tables, "a Parquet table per asset; what was dropped or quarantined, with reasons"),
        (project.contact_sheet, "all samples with their crops, to look at"),
    ]
    width = max(len(display_path(path)) for path, _ in places)
    lines = [f"  {display_path(path):<{width}}  {table.size(_bytes(path)):>8}  {what}" for path, what in places]
    return "\n".join(["Where it lies:", *lines])


def _first_sample(project: Project) -> str:
    samples = TrainingSet.open(project.tables)
    first = samples[0]
    shapes = {name: "x".join(map(str, value.shape)) for name, value in first.items() if hasattr(value, "shape")}
    return "\n".join(
        [
            f'samples = TrainingSet.open("{display_path(project.tables)}")  # {len(samples)} samples; the first one:',
            f'  "{first["caption"]}"',
            "  " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
        ]
    )


def _next(project: Project) -> str:
    option = "" if project.folder == ROOT / "demo_data" else f" --folder {display_path(project.folder)}"
    page = "make page" if not option else f"python -m examples.demo page{option}"
    return (
        "The model is a toy with random weights, nothing to train on. Real ones go under `model` in the config.\n"
        f"The graph and its history in the browser:  {page}"
    )


def display_path(path: Path) -> str:
    """A path as it is shortest from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
