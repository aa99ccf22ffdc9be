"""What a GPU encodes per second: bare, in ways that may be faster or more exact (`models.acceleration`,
`models.precision`), and as a run, beside what it could do.

python -m benchmarks.gpu            on one GPU, in less than eight minutes
python -m benchmarks.gpu --smoke    on a CPU, in tiny sizes: that it works, no figures

Autoencoders and text encoders have the sizes of SDXL's, Wan 2.1's and T5-XXL's, and random weights: as costly.
A run reads Parquet, decodes JPEGs or H.264, encodes and writes shards. "At most" is the roofline: the device's peak in
bfloat16 by the operations of one sample, counted without memory; unknown devices have none.
"""

import argparse
import contextlib
import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import diffusers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.encoding import recipe_of, tables_of
from benchmarks.video import clips
from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode import bucketing, embeds, latents
from hf_assets.engines.compute import Compute
from hf_assets.engines.this_process import ThisProcess
from hf_assets.engines.unit import HoldDevice
from hf_assets.errors import ModelError
from hf_assets.models import acceleration, load_vae
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import resolve_pipeline
from hf_assets.models.text import load_text
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets_tests import tiny_pipelines

# Operations per second in bfloat16 without sparsity, by what the device's name contains.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
FRAMES = 33


class Sizes(NamedTuple):
    """How much is encoded, and by how large models."""

    device: str
    dtype: str
    edges_px: tuple[int, ...]
    images: int
    batch_size: int
    clip: tuple[int, int, int]  # frames, height, width
    clips: int
    tokens: tuple[int, ...]
    captions: int
    sdxl: dict[str, Any]
    wan: dict[str, Any]
    t5: dict[str, Any]
    backend: str = "inductor"


WHOLE = Sizes(
    *("cuda", "bfloat16", (1024, 512), 384, 8, (FRAMES, 480, 832), 6, (128, 512), 512),
    sdxl={"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
    wan={},
    t5={"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
)
SMOKE = Sizes(
    *("cpu", "float32", (64,), 4, 2, (5, 64, 96), 2, (16,), 4),
    sdxl={"block_out_channels": (8,) * 4, "layers_per_block": 1, "norm_num_groups": 4},
    wan={"base_dim": 8},
    t5={"d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4},
    backend="eager",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny, on the CPU")
    sizes = SMOKE if parser.parse_args().smoke else WHOLE
    if sizes.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --smoke tries the script on a CPU")
    name = torch.cuda.get_device_name() if sizes.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {sizes.dtype}", flush=True)
    peak = next((value for part, value in PEAKS.items() if part in name), None)
    torch.manual_seed(0)
    for edge in sizes.edges_px:
        _images(sizes, edge, peak)
    _clips(sizes, peak)
    _captions(sizes, peak)


def _images(sizes: Sizes, edge: int, peak: float | None) -> None:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}

    def build() -> Any:
        return diffusers.AutoencoderKL(**blocks, latent_channels=4, scaling_factor=0.13025, **sizes.sdxl).eval()

    drawn = np.random.default_rng(0)
    files = [_jpeg(drawn, edge) for _ in range(8)]
    images = [{"bytes": files[at % 8] + at.to_bytes(4, "big"), "path": None} for at in range(sizes.images)]
    table = pa.table({"image": images, "caption": [str(at) for at in range(sizes.images)]})
    entry = {"resolution": edge, "resolution_type": "pixel", "minimum_image_size": 0}
    with _pipeline(sizes, "sdxl", "vae", build) as model, TemporaryDirectory() as folder:
        recipe = recipe_of(Path(folder), model, "sdxl", table, entry, dtype=sizes.dtype)
        media = (sizes.batch_size, 3, edge, edge)
        what = f"SDXL's VAE, {edge} x {edge}"
        _bare(sizes, recipe, media, f"{what}, images/s", 1, _most(build, (1, 3, edge, edge), peak))
        _run(sizes, recipe, f"{what}, from JPEG, images/s", 1)


def _clips(sizes: Sizes, peak: float | None) -> None:
    frames, height, width = sizes.clip

    def build() -> Any:
        return diffusers.AutoencoderKLWan(**sizes.wan).eval()

    media = [{"bytes": one, "path": None} for one in clips(sizes.clips, frames, width, height)]
    table = pa.table({"video": media, "caption": [str(at) for at in range(sizes.clips)]})
    entry = {
        "dataset_type": "video",
        "video": {"num_frames": frames, "min_frames": 1},
        "resolution": min(height, width),
        "resolution_type": "pixel",
        "minimum_image_size": 0,
    }
    with _pipeline(sizes, "wan", "vae", build) as model, TemporaryDirectory() as folder:
        recipe = recipe_of(Path(folder), model, "wan", table, entry, dtype=sizes.dtype)
        pixels = (1, 3, frames, height, width)
        most = _most(build, (1, 3, frames, height, width), peak, frames)
        what = f"Wan's VAE, {frames} frames of {width} x {height}"
        _bare(sizes, recipe, pixels, f"{what}, frames/s", frames, most)
        _run(sizes._replace(batch_size=1), recipe, f"{what}, from H.264, frames/s", frames)


def _captions(sizes: Sizes, peak: float | None) -> None:
    config = transformers.T5Config(vocab_size=384, feed_forward_proj="gated-gelu", is_encoder_decoder=False, **sizes.t5)
    with _pipeline(sizes, "pixart", "text_encoder", lambda: transformers.T5EncoderModel(config).eval()) as model:
        for count in sizes.tokens:
            with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
                transformers.T5EncoderModel(config)(input_ids=torch.zeros(1, count, dtype=torch.long))
            _captions_of(sizes, model, count, peak and peak / counter.get_total_flops())


def _captions_of(sizes: Sizes, model: Path, tokens: int, most: float | None) -> None:
    # longer than the limit, so that no token of a batch is padding
    captions = [" ".join(["a red cat"] * tokens) + f" {at}" for at in range(sizes.captions)]
    table = pa.table({"image": [{"bytes": b"", "path": None}], "caption": ["none"]})
    what = f"T5-XXL's shape, {tokens} tokens, captions/s"
    with TemporaryDirectory() as folder:
        arguments = {"max_sequence_length": tokens}
        recipe = recipe_of(Path(folder), model, "pixart", table, {}, dtype=sizes.dtype, encode_prompt=arguments)
        batch = captions[: 4 * sizes.batch_size]
        with load_text(resolve_pipeline(recipe.model.pipeline), sizes.device, getattr(torch, sizes.dtype)) as text:
            _print(what, "bare", _rate(lambda: text.encode(batch), len(batch), sizes.device), most)
        rows_of = pa.table([range(len(captions)), [[one] for one in captions]], schema=schema.CAPTIONS)
        facts = embeds.encode(recipe, tables_of(rows_of), None, _engine(sizes), lambda line: None).facts
        _print_run(what, facts, 1)


@contextlib.contextmanager
def _pipeline(sizes: Sizes, family: str, part: str, build: Callable[[], Any]) -> Iterator[Path]:
    """A tiny pipeline with one part as large as a real one, in the type that is computed in."""
    with TemporaryDirectory() as folder:
        model = tiny_pipelines.build(family, Path(folder) / "model")
        shutil.rmtree(model / part)
        with torch.device(sizes.device):
            made = build().to(getattr(torch, sizes.dtype))
        transformers.utils.logging.disable_progress_bar()
        made.save_pretrained(model / part)
        del made
        yield model


# Without and with each of what may be faster or more exact: settings that keys have, and what a worker asks for.
WAYS: dict[str, tuple[LatentSettings, dict[str, bool]]] = {
    "bare": (LatentSettings(), {}),
    "channels last": (LatentSettings(), {"channels_last": True}),
    "compiled": (LatentSettings(), {"compiled": True}),
    "norms float32": (LatentSettings(norms="float32"), {}),
    "weights float8": (LatentSettings(weights="float8"), {}),
    "CUDA graphs": (LatentSettings(), {"recorded": True}),
}


def _bare(sizes: Sizes, recipe: Recipe, shape: tuple[int, ...], what: str, amount: int, most: float | None) -> None:
    """The encoder on media that lie on the device, in each way; how far its latents are from those in float32."""
    media = torch.randint(0, 256, shape, dtype=torch.uint8, device=sizes.device)
    pipeline = resolve_pipeline(recipe.model.pipeline)
    with load_vae(pipeline, sizes.device, torch.float32) as vae:
        exact = vae.encode(media[:1]).cpu()
    for name, (settings, asked) in WAYS.items():
        if sizes.device == "cpu" and "recorded" in asked:
            print(f"{what:60} {name:14} needs a GPU", flush=True)
            continue
        with load_vae(pipeline, sizes.device, getattr(torch, sizes.dtype), settings) as vae:
            if sizes.device == "cpu" and "compiled" in asked:
                acceleration.compile_encoder(vae.model, backend=sizes.backend)
            elif asked:
                vae.accelerate(**asked)
            near = vae.encode(media[:1]).float().cpu()
            try:
                rate = _rate(lambda vae=vae: vae.encode(media), len(media) * amount, sizes.device)
            except ModelError as error:  # time on a device is short: the other ways go on
                print(f"{what:60} {name:14} {error}", flush=True)
                continue
        _print(what, name, rate, most, f"; PSNR of latents {_psnr_db(near, exact):.1f} dB")


def _psnr_db(near: torch.Tensor, exact: torch.Tensor) -> float:
    """The peak is the range of the exact values."""
    error = (near - exact).square().mean().clamp(min=1e-20)
    return float(20 * torch.log10(exact.max() - exact.min()) - 10 * torch.log10(error))


def _run(sizes: Sizes, recipe: Recipe, what: str, amount: int) -> None:
    source = source_of(recipe.source, recipe.folders.metadata / "sources")
    wanted = WantedColumns(recipe.media_column, recipe.required_columns)
    raw = rows.read(source, source.resolve(), wanted, recipe.folders.metadata / "columns", lambda line: None).table
    rows_of = tables_of(raw)
    made = bucketing.assign(recipe, rows_of, rows_of, source, 8, lambda line: None).table
    made.publish()
    buckets = tables_of(pq.read_table(made.path))
    facts = latents.encode(recipe, buckets, rows_of, source, _engine(sizes), lambda line: None).facts
    _print_run(what, facts, amount)


def _engine(sizes: Sizes) -> HoldDevice:
    threads = 2 if sizes is SMOKE else 16
    compute = Compute(
        device=sizes.device, batch_size=sizes.batch_size, text_batch_size=4 * sizes.batch_size, decode_threads=threads
    )
    return lambda say: contextlib.nullcontext(ThisProcess(compute))


def _rate(encode: Callable[[], Any], amount: int, device: str) -> float:
    """Samples per second of the best of some rounds, the first of which isn't counted."""
    best = float("inf")
    for number in range(2 if device == "cpu" else 6):
        started = time.perf_counter()
        encode()
        if device == "cuda":
            torch.cuda.synchronize()
        if number:
            best = min(best, time.perf_counter() - started)
    return amount / best


def _most(build: Callable[[], Any], shape: tuple[int, ...], peak: float | None, amount: int = 1) -> float | None:
    """Samples per second that the device's peak allows."""
    if peak is None:
        return None
    with torch.device("meta"):
        model, media = build(), torch.empty(shape)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.encode(media)
    return amount * peak / counter.get_total_flops()


def _print(what: str, how: str, rate: float, most: float | None = None, also: str = "") -> None:
    beside = f" (at most {most:,.0f})" if most else ""
    print(f"{what:60} {how:14} {rate:10,.1f}{beside}{also}", flush=True)


def _print_run(what: str, facts: dict[str, Any], amount: int) -> None:
    _print(what, "run", facts["samples_per_second"] * amount)
    waited = {name.removeprefix("waited_"): value for name, value in facts.items() if name.startswith("waited_")}
    print(f"{'':60} busy {facts['device_busy']:.2f}; waited {waited}", flush=True)


def _jpeg(drawn: np.random.Generator, edge: int) -> bytes:
    """Noise over gradients: decoding takes what it does of a photograph."""
    coarse = Image.fromarray(drawn.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((edge, edge))
    noisy = np.asarray(coarse, np.int16) + drawn.integers(-12, 13, (edge, edge, 3))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
