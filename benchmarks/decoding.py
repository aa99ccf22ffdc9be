"""Where decoding's time goes: milliseconds of one core for each medium, from its bytes to what an encoder takes.

python -m benchmarks.decoding [--rounds 12]

Images are a photograph of 1600 x 1200; the best of some rounds, by processor time of one thread. Each line of an image
says what the file's decoder takes, and what the way from bytes to pixels of the target's size takes in all.
"""

import argparse
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs

from hf_assets.media import image, turbo_jpeg

SIZE, TARGETS = (1600, 1200), ((341, 256), (683, 512))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    photograph = Image.fromarray(photographs.coffee()).resize(SIZE, Image.Resampling.LANCZOS)
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("JPEG, quality 90, 4:2:0", "JPEG", {"quality": 90}),
        ("JPEG, quality 90, 4:4:4", "JPEG", {"quality": 90, "subsampling": 0}),
        ("JPEG, quality 90, progressive", "JPEG", {"quality": 90, "progressive": True}),
        ("PNG", "PNG", {}),
        ("WebP, quality 90", "WEBP", {"quality": 90}),
        ("WebP, lossless", "WEBP", {"lossless": True, "method": 0}),
    )
    for name, kind, options in kinds:
        file = BytesIO()
        photograph.save(file, kind, **options)
        print(f"{name:<32} {len(file.getvalue()) / 1000:6.0f} kB  {_of_image(file.getvalue(), rounds)}", flush=True)


def _of_image(data: bytes, rounds: int) -> str:
    def pillow() -> None:
        Image.open(BytesIO(data)).load()

    parts = [f"Pillow's decoder {_best_ms(pillow, rounds):5.1f} ms"]
    if turbo_jpeg.decode(data, SIZE) is not None:
        parts.append(f"simplejpeg {_best_ms(lambda: turbo_jpeg.decode(data, SIZE), rounds):5.1f} ms")
    page = np.array(Image.open(BytesIO(data)).convert("RGB"))
    for target in TARGETS:
        fit_ms = _best_ms(lambda target=target: image.fit_pixels(page, target, (0, 0), target), rounds)
        whole_ms = _best_ms(lambda target=target: image.to_pixels(data, target, (0, 0), target), rounds)
        parts.append(f"to {target[1]}: resizing {fit_ms:4.1f}, in all {whole_ms:5.1f} ms")
    return "; ".join(parts)


def _best_ms(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times) * 1000


if __name__ == "__main__":
    main()
