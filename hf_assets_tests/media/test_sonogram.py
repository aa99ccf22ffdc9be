"""What a person sees of a clip."""

import numpy as np
import pytest

from hf_assets.media import sonogram
from hf_assets.media.sonogram import BANDS, PAPER, WAVE_PX, WIDTH_PX
from hf_assets_tests.audio_files import tone

RATE = 16_000


def drawn(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of the waveform are its line, (WAVE_PX, T), and the spectrogram's brightness, (BANDS, T)."""
    picture = sonogram.picture(samples.astype(np.float32), RATE)
    assert (picture.mode, picture.size) == ("RGB", (WIDTH_PX, WAVE_PX + BANDS))
    pixels = np.asarray(picture).astype(int)
    wave, spectrogram = pixels[:WAVE_PX], pixels[WAVE_PX:]
    return (wave != PAPER).any(axis=-1), spectrogram.sum(axis=-1)


def test_a_louder_clip_has_a_taller_waveform_and_the_quiet_half_is_flat() -> None:
    loud, soft = (drawn(tone(440, 1, rate=RATE, amplitude=level)[:, 0])[0].sum(axis=0) for level in (0.9, 0.3))
    assert (loud > 2 * soft).all()
    half = tone(440, 1, rate=RATE)[:, 0]
    half[RATE // 2 :] = 0
    heights = drawn(half)[0].sum(axis=0)
    assert (heights[: WIDTH_PX // 2 - 1] > 10).all()
    assert (heights[WIDTH_PX // 2 + 1 :] <= 2).all()


def test_a_higher_tone_is_drawn_higher_and_at_its_time() -> None:
    both = np.concatenate([tone(hz, 1, rate=RATE)[:, 0] for hz in (300, 3000)])
    brightest = drawn(both)[1].argmax(axis=0)
    first, second = brightest[5 : WIDTH_PX // 2 - 5], brightest[WIDTH_PX // 2 + 5 : -5]
    assert np.ptp(first) <= 1
    assert np.ptp(second) <= 1
    assert first[0] > second[0] + 20  # rows are counted from the top


@pytest.mark.parametrize("num_samples", [1, 7, 161, 5_000])
def test_silence_and_short_clips_are_drawn(num_samples: int) -> None:
    wave, spectrogram = drawn(np.zeros(num_samples))
    assert wave.sum(axis=0).max() <= 2
    assert np.ptp(spectrogram) == 0


def test_the_same_clip_looks_the_same() -> None:
    clip = tone(440, 0.5, rate=RATE)[:, 0]
    assert sonogram.picture(clip, RATE).tobytes() == sonogram.picture(clip, RATE).tobytes()
