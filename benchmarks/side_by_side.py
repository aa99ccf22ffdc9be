"""The same pictures and captions through this project and through what people write otherwise, and again after edits.

python -m benchmarks.side_by_side [--samples 1000] [--px 128] [--model FOLDER] [--device cpu] [--only "…,…"]

Each way is a process of its own: all pictures and captions; once more after one caption was edited; once more after one
picture was. Wall and processor time, peak memory (with Python's and torch's own), and how many latents and captions
were encoded. The model is a tiny SDXL by default, so that what surrounds the encoders shows; give a real one with a
GPU. What a way gives is kept as that way keeps it: shards and tables, a file per sample, an Arrow file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

STEPS = ("first run", "a caption edited", "a picture edited", "nothing edited")


def picture(number: int) -> Image.Image:
    small = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC)


def write(folder: Path, captions: list[str]) -> None:
    """Write the captions, as an imagefolder has them."""
    lines = [{"file_name": f"{number:05}.jpg", "text": text} for number, text in enumerate(captions)]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def read(folder: Path) -> tuple[list[Path], list[str]]:
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    return [folder / line["file_name"] for line in lines], [line["text"] for line in lines]


# What each way does with a folder of work: `data`, `model` and a place of its own. Returns latents, captions encoded.


def ours(work: Path, given: argparse.Namespace) -> tuple[int, int]:
    from hf_assets.config import loading
    from hf_assets.store.index import stored_keys
    from hf_assets.store.tensors import TensorStore

    entry = {
        "id": "photos",
        "type": "huggingface",
        "dataset_name": str(work / "data"),
        "caption_column": "text",
        "resolution": given.px,
        "resolution_type": "pixel",
        "crop": True,
        "crop_aspect": "square",
        "crop_style": "center",
        "cache_dir": "cache",
    }
    embeds = {"id": "text", "dataset_type": "text_embeds", "default": True, "cache_dir": "cache/text"}
    model = {"pretrained_model_name_or_path": str(given.model or work / "model"), "dtype": "float32"}
    own = work / "ours"
    own.mkdir(exist_ok=True)
    (own / "datasets.json").write_text(json.dumps({"model": model, "datasets": [entry, embeds]}))
    folders = loading.load(own / "datasets.json").recipes[0].folders

    def stored() -> tuple[int, int]:
        counts = [len(stored_keys(TensorStore(folder).index())) for folder in (folders.latents, folders.embeds)]
        return counts[0], counts[1]

    before = stored()
    command = "from hf_assets.cli.program import program; program()"
    run = [sys.executable, "-c", command, "run", "--config", str(own / "datasets.json")]
    subprocess.run(run, check=True, env={**os.environ, "HF_ASSETS_DEVICE": given.device})
    after = stored()
    return after[0] - before[0], after[1] - before[1]


def loop(batch_size: int) -> Callable[[Path, argparse.Namespace], tuple[int, int]]:
    """What a script does: every picture and every caption, and a file for each."""

    def run(work: Path, given: argparse.Namespace) -> tuple[int, int]:
        import torch

        own = work / f"loop{batch_size}"
        own.mkdir(exist_ok=True)
        encode = Encoders(work, given)
        paths, captions = read(work / "data")
        for start in range(0, len(paths), batch_size):
            some = range(start, min(start + batch_size, len(paths)))
            latents = encode.pictures([Image.open(paths[number]) for number in some])
            texts = encode.captions([captions[number] for number in some])
            for at, number in enumerate(some):
                torch.save(latents[at].clone(), own / f"{number}.latent.pt")
                torch.save([tensor[at].clone() for tensor in texts], own / f"{number}.text.pt")
        return len(paths), len(captions)

    return run


def datasets_map(work: Path, given: argparse.Namespace) -> tuple[int, int]:
    """`datasets.map` over a folder of images, as training scripts precompute: batches of 8 pictures, 1,000 captions."""
    from datasets import load_dataset

    encode: list[Encoders] = []
    counts = {"latents": 0, "captions": 0}

    def encoders() -> Encoders:
        if not encode:
            encode.append(Encoders(work, given))
        return encode[0]

    def pictures(batch: dict[str, Any]) -> dict[str, Any]:
        counts["latents"] += len(batch["image"])
        return {"latents": encoders().pictures(batch["image"]).numpy()}

    def captions(batch: dict[str, Any]) -> dict[str, Any]:
        counts["captions"] += len(batch["text"])
        return {f"embeds_{at}": one.numpy() for at, one in enumerate(encoders().captions(batch["text"]))}

    data = load_dataset("imagefolder", data_dir=str(work / "data"), cache_dir=str(work / "map"), split="train")
    data.map(captions, batched=True, new_fingerprint=f"{data._fingerprint}text")
    data.map(pictures, batched=True, batch_size=8, new_fingerprint=f"{data._fingerprint}vae")
    return counts["latents"], counts["captions"]


class Encoders:
    """SDXL's encoders, without its UNet."""

    def __init__(self, work: Path, given: argparse.Namespace) -> None:
        import torch
        from diffusers import StableDiffusionXLPipeline

        self.device, self.px = given.device, given.px
        pipeline = StableDiffusionXLPipeline.from_pretrained(given.model or work / "model", unet=None)
        self.pipeline: Any = pipeline.to(given.device, torch.float32)

    def pictures(self, pictures: list[Image.Image]) -> Any:
        """(B, C, h, w), on the CPU."""
        import torch

        pixels = []
        for one in pictures:
            scale = self.px / min(one.size)
            resized = one.convert("RGB").resize(
                (round(one.width * scale), round(one.height * scale)), Image.Resampling.BICUBIC
            )
            left, top = (resized.width - self.px) // 2, (resized.height - self.px) // 2
            cropped = np.array(resized.crop((left, top, left + self.px, top + self.px)))
            pixels.append(torch.from_numpy(cropped).permute(2, 0, 1).float() / 127.5 - 1)
        with torch.no_grad():
            latents = self.pipeline.vae.encode(torch.stack(pixels).to(self.device)).latent_dist.mode()
        return (latents * self.pipeline.vae.config.scaling_factor).cpu()

    def captions(self, captions: list[str]) -> list[Any]:
        """Tensors of (B, …), on the CPU."""
        import torch

        with torch.no_grad():
            found = self.pipeline.encode_prompt(captions, device=self.device, do_classifier_free_guidance=False)
        return [tensor.cpu() for tensor in found if tensor is not None]


WAYS: dict[str, Callable[[Path, argparse.Namespace], tuple[int, int]]] = {
    "this project": ours,
    "a diffusers loop, batch 1": loop(1),
    "a diffusers loop, batch 8": loop(8),
    "datasets.map": datasets_map,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--px", type=int, default=128)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default=";".join(WAYS), help="names of ways, with ; between them")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way is not None:
        print(json.dumps(WAYS[given.way](given.work, given)))
        return
    for line in measure(given):
        print(line, flush=True)


def measure(given: argparse.Namespace) -> Iterator[str]:
    """A line for each step of each way."""
    from hf_assets_tests import tiny_pipelines

    yield f"{given.samples:,} pictures of 640 x 480 and captions, to {given.px} x {given.px} on {given.device}"
    for way in given.only.split(";"):
        with TemporaryDirectory() as made:
            work = Path(made)
            if given.model is None:
                tiny_pipelines.build("sdxl", work / "model")
            (work / "data").mkdir()
            for number in range(given.samples):
                picture(number).save(work / "data" / f"{number:05}.jpg", quality=90)
            captions = [f"a photograph of thing number {number}" for number in range(given.samples)]
            for step in STEPS:
                if step == "a caption edited":
                    captions[given.samples // 2] = "another caption"
                if step == "a picture edited":
                    picture(given.samples).save(work / "data" / f"{given.samples // 3:05}.jpg", quality=90)
                if step != "nothing edited":
                    write(work / "data", captions)
                yield f"{way:<26} {step:<18} {_measured(way, work, given)}"


def _measured(way: str, work: Path, given: argparse.Namespace) -> str:
    options = ["--px", str(given.px), "--device", given.device, *(["--model", given.model] if given.model else [])]
    started = time.perf_counter()
    environment = {**os.environ, "HF_ASSETS_CACHE": str(work / "machine"), "HF_HUB_OFFLINE": "1"}
    with (work / "out.txt").open("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side_by_side", "--way", way, "--work", str(work), *map(str, options)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - started
        out.seek(0)
        printed = out.read()
    if process.returncode:
        raise RuntimeError(f"{way} failed:\n{printed[-3000:]}")
    latents, captions = json.loads(printed.strip().splitlines()[-1])
    cpu_s = used.ru_utime + used.ru_stime
    return (
        f"{wall_s:7.1f} s, {cpu_s:7.1f} s of processors, {used.ru_maxrss / 1024:6,.0f} MB at most; "
        f"{latents:,} latents and {captions:,} captions encoded"
    )


if __name__ == "__main__":
    main()
