"""A picture of sound by which a person knows a clip: its waveform above its mel spectrogram.

Shape letters: S samples, T columns of the picture, B mel bands.
"""

import itertools

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

WIDTH_PX, WAVE_PX, BANDS = 160, 48, 96
WINDOW_SAMPLES = 1024
LOWEST_HZ = 30.0
# Of the spectrogram's loudest cell, how far down the darkest colour is.
RANGE_DB = 80.0
# From quiet to loud.
COLOURS = ((12, 10, 30), (68, 22, 110), (160, 42, 110), (232, 96, 70), (252, 180, 70), (252, 250, 190))
PAPER, WAVE, AXIS = (250, 250, 248), (40, 92, 140), (200, 200, 196)


def picture(samples: Floats, sample_rate: int) -> Image.Image:
    """Draw a clip. The whole width is the whole clip; each of the waveform's columns spans its samples' extremes.

    Args:
        samples: (S,) -1 to 1.

    Returns:
        mode RGB, `WIDTH_PX` x `WAVE_PX + BANDS` pixels.
    """
    drawn = np.concatenate([_waveform(samples), _spectrogram(samples, sample_rate)])
    return Image.fromarray(drawn)


def _waveform(samples: Floats) -> npt.NDArray[np.uint8]:
    """(WAVE_PX, T, 3)"""
    edges = np.linspace(0, len(samples), WIDTH_PX + 1).astype(int)
    parts = [samples[start : max(stop, start + 1)] for start, stop in itertools.pairwise(edges)]
    high, low = (np.array([reduce(part) if len(part) else 0 for part in parts]) for reduce in (np.max, np.min))
    level = 1 - (np.arange(WAVE_PX) + 0.5) * 2 / WAVE_PX  # of each row, 1 at the top
    half_row = 1 / WAVE_PX
    is_wave = (level[:, None] <= high + half_row) & (level[:, None] >= low - half_row)
    page = np.full((WAVE_PX, WIDTH_PX, 3), PAPER, np.uint8)
    page[WAVE_PX // 2] = AXIS
    page[is_wave] = WAVE
    return page


def _spectrogram(samples: Floats, sample_rate: int) -> npt.NDArray[np.uint8]:
    """(BANDS, T, 3), high tones at the top."""
    padded = np.pad(samples, WINDOW_SAMPLES // 2)
    starts = np.linspace(0, len(samples), WIDTH_PX, endpoint=False).astype(int)
    windows = np.stack([padded[start : start + WINDOW_SAMPLES] for start in starts])  # (T, WINDOW_SAMPLES)
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW_SAMPLES))) ** 2
    bands = power @ _mel_filters(sample_rate).T  # (T, B)
    level = 10 * np.log10(np.maximum(bands, 1e-10))
    # Noise far below what can be heard stays dark where there is nothing else.
    loudest = max(float(level.max()), 0.0)
    share = np.clip(1 + (level - loudest) / RANGE_DB, 0, 1).T[::-1]
    anchors = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(share, anchors, channel) for channel in zip(*COLOURS, strict=True)], axis=-1).astype(
        np.uint8
    )


def _mel_filters(sample_rate: int) -> npt.NDArray[np.float64]:
    """(B, frequencies): triangles of equal width on the mel scale (O'Shaughnessy, 1987)."""
    frequencies = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / sample_rate)
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, sample_rate / 2))
    centres = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    # Low bands are narrower than the distance of two frequencies: each sees at least the nearest one.
    width = np.maximum(np.diff(centres), sample_rate / WINDOW_SAMPLES)
    distance = frequencies[None] - centres[1:-1, None]
    share = 1 - np.where(distance < 0, -distance / width[:-1, None], distance / width[1:, None])
    filters: npt.NDArray[np.float64] = np.maximum(share, 0)
    return filters
