"""The demo's folder: a project as a user has it, and beside it the Hub that stands in for the real one."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from hf_assets_tests.local_hub import LocalHub, hub_environment

ROOT = Path(__file__).parents[2]
DATASET = "demo/photographs"
MODEL = "demo/tiny-sdxl"
ID = "photographs"  # its group of assets has this name too

CONFIG: dict[str, Any] = {
    "model": {"pretrained_model_name_or_path": MODEL, "dtype": "float32"},
    "datasets": [
        {
            "id": ID,
            "type": "huggingface",
            "dataset_name": DATASET,
            "caption_column": "caption",
            "width_column": "width",
            "height_column": "height",
            "filter_func": {"min_width": 128, "min_height": 128, "quality_thresholds": {"focus": 2.0}},
            "resolution": 256,
            "resolution_type": "pixel_area",
            "crop": False,
            "crop_style": "center",
            "checks": {"decode_back": {"severity": "off"}},  # a toy's latents decode to noise
        }
    ],
}
# What distinguishes the demo's folder from another one of the same name.
MARKER = ".hf_assets_demo"


class DemoError(Exception):
    """What stops the demo, and what to do."""


class UsageError(DemoError):
    """The command line asks for what can't be done."""


class Project:
    """The demo's folder. `datasets.json` and all that hf_assets writes lie in it as they would lie in a user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.config = self.folder / "datasets.json"
        self.results = self.folder / "cache" / ID
        self.latents = self.results / "vae" / ID
        self.tables = self.results / "huggingface_metadata" / ID
        self.embeds = self.folder / "cache" / "text"
        self.logs = self.folder / "logs"
        self.contact_sheet = self.folder / "contact_sheet.png"

    @property
    def hub(self) -> LocalHub:
        """A Hub over the demo's repositories, on another free port each time: nothing remembers its address."""
        return LocalHub(self.folder / "hub")

    @property
    def is_made(self) -> bool:
        return (self.folder / MARKER).exists()

    def start_over(self) -> None:
        """Make the folder anew.

        Raises:
            UsageError: something else lies there.
        """
        if self.folder.exists() and not self.is_made and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UsageError(f"{self.folder} was not made by this demo, so it is left alone: name another --folder")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.logs.mkdir(parents=True)
        (self.folder / MARKER).touch()
        shutil.copy(ROOT / "dagster.yaml", self.folder)
        self.write_config()

    def write_config(self, **edits: Any) -> None:
        """Write `datasets.json`, with some keys of the dataset edited."""
        dataset = {**CONFIG["datasets"][0], **edits}
        self.config.write_text(json.dumps({**CONFIG, "datasets": [dataset]}, indent=2) + "\n")

    def environment(self, endpoint: str) -> dict[str, str]:
        """The environment of a command that is to work on this project with this Hub, and with nothing else."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "HF_"))}
        return {
            **inherited,
            **hub_environment(endpoint, self.folder / "home"),
            "HF_ASSETS_CONFIG": str(self.config),
            "HF_ASSETS_DEVICE": "cpu",
            "PYTHONWARNINGS": "ignore",
        }


def tail(log: Path, num_lines: int = 25) -> str:
    """The last lines of a command's output."""
    lines = log.read_text(errors="replace").splitlines()[-num_lines:]
    return "\n".join([f"The end of {log}:", *lines])
