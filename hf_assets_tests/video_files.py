"""Small clips that can be distinguished, frame by frame."""

import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

MILLISECOND = Fraction(1, 1000)


def pattern(seed: int, number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Frame `number` of the clip `seed`: four plain quarters in colours of their own. (H, W, 3)"""
    colours = np.random.default_rng([seed, number]).integers(16, 240, (2, 2, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    return np.ascontiguousarray(colours[rows[:, None], columns[None, :]])


@cache
def clip(
    seed: int = 0,
    num_frames: int = 9,
    width: int = 64,
    height: int = 48,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    pixels: str = "yuv444p",
    rate: int = 24,
    crf: str | None = "1",
    rotation: int = 0,
    mirrored: bool = False,
    times: tuple[int, ...] = (),
    alpha: tuple[int, int] | None = None,
    sample_aspect: tuple[int, int] = (1, 1),
    options: tuple[tuple[str, str], ...] = (),
    settings: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A clip as a file.

    Args:
        rotation: degrees counterclockwise that the container asks players for.
        times: of its frames in 1/1000 s, for a variable rate.
        alpha: of the left and the right half.
        sample_aspect: width to height of a pixel as displayed.
        options: of the container.
        settings: of the codec.
    """
    usual = {"crf": crf, "preset": "ultrafast"} if crf and codec == "libx264" else {}
    # A file, since the header that stands in front of all else is put there by reading the rest again.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "clip"
        with av.open(str(file), "w", format=container, options=dict(options)) as written:
            stream: Any = written.add_stream(codec, rate=rate, options={**usual, **dict(settings)})
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.thread_count = 1
            stream.codec_context.sample_aspect_ratio = Fraction(*sample_aspect)
            if rotation or mirrored:
                stream.set_display_rotation(rotation, hflip=mirrored)
            if times:
                stream.codec_context.time_base = MILLISECOND
            for number in range(num_frames):
                frame = _frame(pattern(seed, number, width, height), alpha)
                if times:
                    frame.pts, frame.time_base = times[number], MILLISECOND
                written.mux(stream.encode(frame))
            written.mux(stream.encode())
        return file.read_bytes()


def _frame(pixels: np.ndarray, alpha: tuple[int, int] | None) -> Any:
    if alpha is None:
        return av.VideoFrame.from_ndarray(pixels, "rgb24")
    halves = np.repeat(np.array(alpha, np.uint8), (pixels.shape[1] + 1) // 2)[: pixels.shape[1]]
    layer = np.broadcast_to(halves[None, :, None], (*pixels.shape[:2], 1))
    return av.VideoFrame.from_ndarray(np.concatenate([pixels, layer], axis=2), "rgba")
