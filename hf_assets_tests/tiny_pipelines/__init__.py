"""Tiny random pipelines in the Hub's layout, made offline in about a second each.

    folder = tiny_pipelines.build("sdxl", tmp_path / "sdxl", seed=1)

The classes, file names and tokenizers are those of the real families; only the sizes are small. Each VAE has the real
factors of compression. The same seed gives the same weights, another seed others.
"""

import inspect
import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file

from hf_assets.models import model_loading
from hf_assets_tests.tiny_pipelines import audio, images, videos

FAMILIES: dict[str, Callable[[], Any]] = {
    "acestep": audio.acestep,
    "auraflow": images.auraflow,
    "chroma": images.chroma,
    "cogvideox": videos.cogvideox,
    "cogview4": images.cogview4,
    "flux": images.flux,
    "flux2": images.flux2,
    "flux2_klein": images.flux2_klein,
    "hidream": images.hidream,
    "hunyuandit": images.hunyuandit,
    "hunyuanimage": images.hunyuanimage,
    "hunyuanvideo": videos.hunyuanvideo,
    "hunyuanvideo15": videos.hunyuanvideo15,
    "kandinsky3": images.kandinsky3,
    "kolors": images.kolors,
    "krea2": images.krea2,
    "ltx": videos.ltx,
    "ltx2": videos.ltx2,
    "lumina2": images.lumina2,
    "mochi": videos.mochi,
    "ovis": images.ovis,
    "pixart": images.pixart,
    "qwenimage": images.qwenimage,
    "sana": images.sana,
    "sd15": images.sd15,
    "sd3": images.sd3,
    "sdxl": images.sdxl,
    "stableaudio": audio.stableaudio,
    "wan": videos.wan,
    "zimage": images.zimage,
}
# The families with a working denoiser; the others have a stand-in for it (see `_stand_in`).
COMPLETE = ("flux", "sd15", "sd3", "sdxl")


def build(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Save the family's tiny pipeline into a folder, and return the folder.

    Args:
        family: a key of `FAMILIES`.
    """
    with torch.random.fork_rng(devices=[]), model_loading.quiet():
        torch.manual_seed(seed)
        pipeline = FAMILIES[family]()
        pipeline.save_pretrained(folder)
        index = json.loads((folder / "model_index.json").read_text())
        for name in ("transformer", "unet"):
            if index.get(name) == [None, None]:
                index[name] = ["diffusers", _stand_in(type(pipeline), name, folder)]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


def _stand_in(pipeline: type, name: str, folder: Path) -> str:
    """Write what looks like the denoiser, and return its class: the configuration of the class, weights of no model.

    Nothing of it is to be loaded but single settings.
    """
    annotation = inspect.signature(pipeline.__init__).parameters[name].annotation
    kind = next(iter(typing.get_args(annotation)), annotation)  # some may be None
    kind = getattr(diffusers, kind) if isinstance(kind, str) else kind
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    config = {parameter.name: parameter.default for parameter in parameters}
    (folder / name).mkdir()
    (folder / name / "config.json").write_text(json.dumps({"_class_name": kind.__name__, **config}))
    save_file({"weight": torch.randn(64, 64)}, folder / name / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    return str(kind.__name__)
