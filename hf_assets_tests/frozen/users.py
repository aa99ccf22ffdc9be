"""Three users' folders: a config, a dataset, a model, and the stores that the first release filled for them.

`python -m hf_assets_tests.frozen.users FOLDER` made them once. They are never made anew: that every later version finds
all of it again is what they are for.
"""

import io
import json
import shutil
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from PIL import Image

from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.audio_files import wav
from hf_assets_tests.video_files import clip

GEOMETRY = {"resolution": 64, "resolution_type": "pixel_area", "aspect_bucket_alignment": 8, "crop_style": "center"}
ENTRIES: dict[str, dict[str, Any]] = {
    "image": {"crop": True, **GEOMETRY},
    "video": {"video": {"num_frames": 9}, **GEOMETRY, "aspect_bucket_alignment": 32, "resolution_type": "pixel"},
    "audio": {"audio": {"duration_interval": 0.4}},
}
FAMILIES = {"image": "sd15", "video": "ltx", "audio": "stableaudio"}
# Stored results, and nothing that says what was seen of media: that may be found out anew.
STORES = ("vae", "text")


def config(kind: str) -> dict[str, Any]:
    entry = {
        "id": kind,
        "type": "local",
        "dataset_type": kind,
        "instance_data_dir": "data",
        "caption_strategy": "textfile",
        "cache_dir": "cache",
        **ENTRIES[kind],
    }
    embeds = {"id": "text", "dataset_type": "text_embeds", "default": True, "cache_dir": "cache/text"}
    return {"model": {"pretrained_model_name_or_path": "model", "dtype": "float32"}, "datasets": [entry, embeds]}


def materialize(folder: Path) -> dict[str, int]:
    """How many each stage computed."""
    defs = build_definitions(loading.load(folder / "datasets.json"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(list(defs.assets or ()), instance=instance, resources=defs.resources)
    assert done.success
    events = [event.step_materialization_data.materialization for event in done.get_asset_materialization_events()]
    return {event.asset_key.path[-1]: int(event.metadata["computed"].value) for event in events}  # type: ignore[arg-type]


def _image(fmt: str, **options: Any) -> bytes:
    values = np.random.default_rng(7).integers(0, 256, (9, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).resize((96, 72), Image.Resampling.BICUBIC).save(file, fmt, **options)
    return file.getvalue()


def _media(kind: str) -> dict[str, tuple[bytes, str]]:
    """Name -> (bytes, captions)."""
    turned = Image.Exif()
    turned[0x112] = 6
    deep = io.BytesIO()
    Image.fromarray((np.arange(64 * 80, dtype=np.uint16) * 12).reshape(64, 80)).save(deep, "PNG")
    return {
        "image": {
            "plain.png": (_image("PNG"), "a plain picture\nthe same, said otherwise"),
            "turned.jpg": (_image("JPEG", exif=turned), "a turned picture, größer"),
            "gray.png": (deep.getvalue(), "a plain picture"),
            "gamma.png": (_with_gamma(_image("PNG")), "a picture with a curve of its own"),
        },
        "video": {"clip.mp4": (clip(3, 12, 96, 64), "a clip")},
        "audio": {"tone.wav": (wav(440, 0.5, rate=44_100, channels=1), "a tone")},
    }[kind]


def _with_gamma(png: bytes) -> bytes:
    """With a chunk gAMA that says linear light: something that the decoder does beyond the plain case."""
    chunk = b"gAMA" + struct.pack(">I", 100_000)
    return png[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def make(root: Path) -> None:
    for kind, family in FAMILIES.items():
        folder = root / kind
        tiny_pipelines.build(family, folder / "model")
        for part in ("unet", "transformer"):
            for weights in (folder / "model" / part).glob("*.safetensors"):
                weights.unlink()  # never loaded
        (folder / "data").mkdir()
        for name, (data, captions) in _media(kind).items():
            (folder / "data" / name).write_bytes(data)
            (folder / "data" / name).with_suffix(".txt").write_text(captions)
        (folder / "datasets.json").write_text(json.dumps(config(kind), indent=2) + "\n")
        print(kind, materialize(folder))
        for made in (folder / "cache").iterdir():
            if made.name not in STORES:
                shutil.rmtree(made)
        for rest in (folder / "cache").rglob(".*"):
            if rest.is_file():
                rest.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
