"""Where decoding's time goes: milliseconds of one core for each medium, from its bytes to what an encoder takes.

python -m benchmarks.decoding [--rounds 12]

Images are a photograph of 1600 x 1200, clips 25 frames of it that move, sound 9 s of tones in noise; the best of some
rounds, by processor time of one thread. Each line says what the file's decoder takes, what comes after it, and what the
way from bytes to what the encoder gets takes in all.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable
from io import BytesIO
from typing import Any

import av
import numpy as np
import soundfile
import torch
from PIL import Image
from skimage import data as photographs

from hf_assets.media import audio, image, turbo_jpeg, video

SIZE, TARGETS = (1600, 1200), ((341, 256), (683, 512))
NUM_FRAMES, CLIP_PX, CLIP_TO = 25, (1280, 720), (832, 468)
CODECS = (
    ("H.264", "libx264", {"preset": "veryfast"}),
    ("H.265", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    ("VP9", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
)
SOUND_S, RATE_HZ, WANTED_HZ = 9, 48_000, 44_100


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
    _videos(photograph, max(rounds // 4, 2))
    _sounds(max(rounds // 2, 2))


def _videos(photograph: Image.Image, rounds: int) -> None:
    """A frame: the decoder, to RGB, resized."""
    for name, codec, options in CODECS:
        data = _clip(photograph.resize(CLIP_PX), codec, options)

        def decoder(data: bytes = data) -> None:
            with av.open(BytesIO(data)) as clip:
                clip.streams.video[0].codec_context.thread_count = 1
                for _ in clip.decode(video=0):
                    pass

        decode_ms = _best_ms(decoder, rounds) / NUM_FRAMES
        rgb_ms = _best_ms(lambda data=data: deque(video.frames_of(data), 0), rounds) / NUM_FRAMES
        whole_ms = (
            _best_ms(lambda data=data: video.to_pixels(data, CLIP_TO, (0, 0), CLIP_TO, 0, NUM_FRAMES), rounds)
            / NUM_FRAMES
        )
        print(
            f"{f'{name}, a frame of {CLIP_PX[0]} x {CLIP_PX[1]}':<32} {len(data) / NUM_FRAMES / 1000:6.0f} kB  "
            f"decoder {decode_ms:5.2f} ms; to RGB {rgb_ms - decode_ms:5.2f}; to {CLIP_TO[0]} x {CLIP_TO[1]} "
            f"{whole_ms - rgb_ms:5.2f}; in all {whole_ms:5.2f} ms",
            flush=True,
        )


def _clip(photograph: Image.Image, codec: str, options: dict[str, str]) -> bytes:
    file, noise = BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format="mp4") as written:
        stream: Any = written.add_stream(codec, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = *CLIP_PX, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(NUM_FRAMES):
            moved = np.roll(np.asarray(photograph, np.int16), 4 * number, axis=1) + noise.integers(
                -4, 5, (*CLIP_PX[::-1], 3)
            )
            frame = av.VideoFrame.from_ndarray(moved.clip(0, 255).astype(np.uint8), "rgb24")
            written.mux(stream.encode(frame))
        written.mux(stream.encode())
    return file.getvalue()


def _sounds(rounds: int) -> None:
    """A second of stereo: the decoder; resampled."""
    time_s = np.arange(SOUND_S * RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(0).normal(0, 0.02, (len(time_s), 2))
    samples = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220, 330, 470))[:, None] / 8 + noise
    for kind, options in (("FLAC", {}), ("MP3", {}), ("OGG", {"subtype": "VORBIS"}), ("WAV", {})):
        file = BytesIO()
        soundfile.write(file, samples, RATE_HZ, format=kind, **options)
        own_ms, whole_ms = (_of_sound(file.getvalue(), rate_hz, rounds) for rate_hz in (RATE_HZ, WANTED_HZ))
        what = f"{kind}, a second at {RATE_HZ:,} Hz"
        print(
            f"{what:<32} {len(file.getvalue()) / SOUND_S / 1000:6.0f} kB  decoder {own_ms:5.2f} ms; "
            f"to {WANTED_HZ:,} Hz {whole_ms - own_ms:5.2f}; in all {whole_ms:5.2f} ms: "
            f"{1000 / whole_ms:,.0f} times real time",
            flush=True,
        )


def _of_sound(data: bytes, rate_hz: int, rounds: int) -> float:
    """Milliseconds that a second takes at this rate."""
    part = {"sample_rate": rate_hz, "channels": 2, "first_sample": 0, "num_samples": (SOUND_S - 1) * rate_hz}
    return _best_ms(lambda: audio.waveform(data, **part), rounds) / (SOUND_S - 1)


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
