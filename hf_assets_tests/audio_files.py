"""Small clips that can be distinguished by their tone."""

import io
from typing import Any

import av
import numpy as np
import soundfile

RATE = 44_100


def tone(
    frequency_hz: float, duration_s: float, *, rate: int = RATE, channels: int = 2, amplitude: float = 0.5
) -> np.ndarray:
    """(S, C) float32: the same sine in every channel."""
    time_s = np.arange(round(duration_s * rate)) / rate
    sine = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    return np.repeat(sine[:, None], channels, axis=1).astype(np.float32)


def encoded(samples: np.ndarray, format: str, *, rate: int = RATE, subtype: str | None = None) -> bytes:
    """A file that soundfile writes."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=format, subtype=subtype)
    return stream.getvalue()


def wav(frequency_hz: float, duration_s: float, *, rate: int = RATE, channels: int = 2) -> bytes:
    return encoded(tone(frequency_hz, duration_s, rate=rate, channels=channels), "WAV", rate=rate)


def contained(samples: np.ndarray, format: str, codec: str, *, rate: int = RATE, **options: str) -> bytes:
    """A file that FFmpeg writes."""
    stream = io.BytesIO()
    layout = "stereo" if samples.shape[1] == 2 else "mono"
    with av.open(stream, "w", format=format, options=options) as container:
        output: Any = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=output.codec_context.format, layout=layout, rate=rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(output.encode(part))
        container.mux(output.encode(None))
    return stream.getvalue()


def pitch_hz(samples: np.ndarray, rate: int) -> float:
    """The loudest frequency of one channel, to 1 Hz. (S,)"""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=max(rate, len(samples))))
    return float(spectrum.argmax() * rate / max(rate, len(samples)))
