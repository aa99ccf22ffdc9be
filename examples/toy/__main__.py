"""`python -m examples.toy`: photographs, latents and embeds, a denoiser trained on them, and what it draws."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from examples.demo.photographs import Photograph, photo_bytes
from examples.train.project import ROOT

# What distinguishes this example's folder from another one of the same name.
MARKER = ".hf_assets_toy"
SIDE_PX = 64
PHOTOS = {
    "astronaut.jpg": Photograph("astronaut.png", "an astronaut", (100, 0, 340, 240)),
    "cat.jpg": Photograph("chelsea.png", "a ginger cat", (80, 0, 380, 300)),
    "coffee.jpg": Photograph("coffee.png", "a cup of coffee", (120, 0, 520, 400)),
    "coins.jpg": Photograph("coins.png", "ancient coins", (0, 0, 160, 160)),
    "cameraman.jpg": Photograph("camera.png", "a man with a camera", (80, 40, 340, 300)),
    "rocket.jpg": Photograph("rocket.jpg", "a rocket at dusk", (160, 30, 500, 370)),
    "moon.jpg": Photograph("moon.png", "the surface of the moon", (0, 0, 500, 500)),
    "motorcycle.jpg": Photograph("motorcycle_left.png", "a red motorcycle", (240, 0, 740, 500)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.toy", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "toy_data", help="where all of it lies")
    parser.add_argument("--vae-steps", type=int, default=400)
    parser.add_argument("--unet-steps", type=int, default=400)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    say(f"Eight photographs with captions, and a config, in {folder} …")
    make(folder)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import torch

    from examples.toy import autoencoder, denoiser
    from hf_assets.training import TrainingSet, collate

    torch.manual_seed(0)
    say("A VAE that knows these photographs …")
    vae = autoencoder.train(_pixels(folder), arguments.vae_steps, say)
    autoencoder.save(vae, folder / "model/vae")
    say("Latents and embeds: hf-assets run …")
    run(folder)
    training_set = TrainingSet.open(folder / "cache/huggingface_metadata/photos")
    say(f"A denoiser learns from {training_set!r} …")
    unet = denoiser.train(training_set, arguments.unet_steps, say)
    samples = collate([training_set[index] for index in range(len(training_set))])
    with torch.no_grad():
        drawn, known = (
            vae.decode(latents / vae.config.scaling_factor).sample
            for latents in (denoiser.draw(unet, samples["prompt_embeds"]), samples["latents"])
        )
    _sheet(known, drawn).save(folder / "samples.png")
    say(f"{folder / 'samples.png'}: above, what the latents hold; below, what the denoiser draws from noise")
    say(f"{folder / 'cache/huggingface_metadata/photos/report.html'}: the dataset")


def make(folder: Path) -> None:
    """Write photographs, captions, a tiny pipeline and the config anew."""
    if folder.exists() and not (folder / MARKER).exists():
        raise SystemExit(f"{folder} was not made by this example, so it is left alone: name another --folder")
    from hf_assets_tests import tiny_pipelines  # loads torch and diffusers

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "photos").mkdir(parents=True)
    (folder / MARKER).touch()
    tiny_pipelines.build("sd15", folder / "model")
    for name, photograph in PHOTOS.items():
        (folder / "photos" / name).write_bytes(photo_bytes(photograph).data)
        (folder / "photos" / name).with_suffix(".txt").write_text(f"{photograph.caption}\n")
    photos = {
        "id": "photos",
        "type": "local",
        "instance_data_dir": "photos",
        "caption_strategy": "textfile",
        "resolution": SIDE_PX,
        "resolution_type": "pixel",
        "cache_dir": "cache",
    }
    config = {"model": {"pretrained_model_name_or_path": "./model", "dtype": "float32"}, "datasets": [photos]}
    (folder / "datasets.json").write_text(json.dumps(config, indent=2) + "\n")


def run(folder: Path) -> None:
    """`hf-assets run`, as a person starts it."""
    command = [sys.executable, "-c", "from hf_assets.cli.program import program; program()", "run"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")},
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HF_ASSETS_DEVICE": "cpu",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}\nmaking the training set failed")
    say("\n".join(f"  {line}" for line in done.stdout.splitlines() if line.startswith("photos")))


def _pixels(folder: Path) -> "torch.Tensor":  # type: ignore[name-defined]  # noqa: F821
    """The photographs as the config shapes them, (B, 3, H, W), -1 to 1."""
    import numpy as np
    import torch

    paths = sorted((folder / "photos").glob("*.jpg"))
    pictures = [Image.open(BytesIO(path.read_bytes())).convert("RGB").resize((SIDE_PX, SIDE_PX)) for path in paths]
    return torch.from_numpy(np.stack([np.asarray(one) for one in pictures])).permute(0, 3, 1, 2) / 127.5 - 1


def _sheet(*rows: "torch.Tensor") -> Image.Image:  # type: ignore[name-defined]  # noqa: F821
    """Pictures in rows, each twice as large as it is."""
    import torch

    lines = [torch.cat(list((row.clamp(-1, 1) + 1) * 127.5), dim=2) for row in rows]
    page = torch.cat(lines, dim=1).round().to(torch.uint8).permute(1, 2, 0)
    picture = Image.fromarray(page.numpy())
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST)


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
