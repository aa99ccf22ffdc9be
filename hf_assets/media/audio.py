"""Turn an audio file's bytes into facts and into a waveform.

What a clip sounds like is settled here, once: floats of -1 to 1, one or two channels, at the wanted sample rate.
soundfile reads what it knows with up to two channels (WAV, FLAC, Ogg, MP3 and the like), PyAV everything else that is
in `CONTAINERS`: M4A, WebM, the audio of a video. Files are streamed: of a long one, what is before and behind the
wanted part is at most decoded, never kept.

- Mono to stereo: both channels are the same. Stereo to mono: their mean. More than two channels are mixed to stereo by
  their layout's standard coefficients, scaled so that nothing can exceed full scale.
- Another sample rate: FFmpeg's band-limited resampler with a Kaiser window of 128 taps: what lies 5 % below both
  Nyquist frequencies and more keeps its level, what would alias is 120 dB down. Outside of a file there is silence.

Shape letters: C channels, S samples. A position is counted in samples from the file's start.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np

from hf_assets.errors import MediaError
from hf_assets.media import audio_headers, containers, signatures, steps

# Bump where a change lets other files be read, or finds other facts; see `media.image.VERSION`.
VERSION = 5
# Part of each latent's key. Bump when a change to this module changes a plain clip's samples, one to which the
# decoder does nothing special: all of them are then encoded anew.
PLAIN_VERSION = 1

RATES_HZ = range(1_000, 768_001)
# A file that unpacks to more is taken for a decompression bomb.
MAX_SECONDS = 24 * 3600
# Floats of one decoded clip: 1 GiB, 46 minutes of stereo at 48 kHz.
MAX_VALUES = 2**28
# Lossy codecs and resampling overshoot full scale a little; no audio is 12 dB above it.
MAX_PEAK = 4.0

# FFmpeg's demuxers that may read a file: those that hold media. Others (playlists, lists of files) open other files.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,avi,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
# Those of which `duration` is a fact. Elsewhere it is derived from a bit rate.
MATROSKA = "matroska,webm"
TELLS_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", MATROSKA)

RESAMPLER = "aresample={rate}:filter_size=128:kaiser_beta=12:cutoff=0.95"
TAPS = 128
# soundfile's formats in which a jump to a sample lands on exactly that sample.
SEEKS_EXACTLY = ("AIFF", "AU", "CAF", "FLAC", "RF64", "W64", "WAV", "WAVEX")
BLOCK_SAMPLES = 1 << 16
# Of an MP3, and one of 50 of its packets.
MAX_BAD_PACKETS = 4


@dataclass(frozen=True)
class AudioFacts:
    """What an audio file holds.

    Attributes:
        num_samples: of each channel, at `sample_rate`.
        decoding: what is done beyond plain decoding (`media.steps`).
    """

    sample_rate: int
    channels: int
    num_samples: int
    decoding: str | None = None

    @property
    def duration_s(self) -> float:
        return self.num_samples / self.sample_rate


def probe(data: bytes) -> AudioFacts:
    """Read a file's length, sample rate and channels from its header; where that doesn't say, decode it and count.

    Raises:
        MediaError: `empty` (no bytes, or no samples), `undecodable`, `no_audio`, `truncated` (fewer samples than the
            header says), `too_short` (one sample is no audio), `too_large` (more than `MAX_SECONDS`), `unsupported`
            (an absurd sample rate).
    """
    with _open(data) as file:
        facts = file.facts()
    if facts.num_samples == 0:
        raise MediaError("empty", "the audio has no samples")
    if facts.num_samples == 1:
        raise MediaError("too_short", "the audio is a single sample long")
    if facts.duration_s > MAX_SECONDS:
        raise MediaError("too_large", f"{facts.duration_s:,.0f} s of audio are more than the limit of {MAX_SECONDS:,d}")
    return facts


def num_resampled(num_samples: int, sample_rate: int, wanted_rate: int) -> int:
    """How many samples a clip has at another rate."""
    return num_samples * wanted_rate // sample_rate


def waveform(data: bytes, *, sample_rate: int, channels: int, first_sample: int, num_samples: int) -> np.ndarray:
    """Decode a part of a file.

    Args:
        sample_rate, channels: those that are wanted, 1 or 2 channels.
        first_sample, num_samples: the part, counted at the wanted rate.

    Returns:
        (C, S) float32, -1 to 1, contiguous.

    Raises:
        MediaError: as `probe`; `truncated`: the file ends before the part does; `non_finite`: there is NaN or infinity;
            `out_of_range`: samples are far above full scale, as of floats that were scaled like integers.
    """
    assert channels in (1, 2), f"{channels} channels"
    assert num_samples > 0
    if num_samples * channels > MAX_VALUES:
        raise MediaError("too_large", f"{num_samples:,d} samples are wanted at once; set max_duration_seconds")
    with _open(data) as file:
        if file.sample_rate == sample_rate:
            blocks = file.blocks(first_sample)
        else:
            blocks = _resample(file, sample_rate, first_sample, num_samples)
        taken = np.empty((channels, num_samples), np.float32)
        position = 0
        for block in blocks:
            stop = min(position + block.shape[1], num_samples)
            taken[:, position:stop] = _mix(block[:, : stop - position], channels)
            position = stop
            if position == num_samples:
                break
    if position < num_samples:
        raise MediaError(
            "truncated",
            f"the audio ends after {(first_sample + position) / sample_rate:.3f} s, but "
            f"{(first_sample + num_samples) / sample_rate:.3f} s are wanted of it",
        )
    peak = float(max(taken.max(), -taken.min()))
    if not math.isfinite(peak):
        raise MediaError("non_finite", "the audio's samples hold NaN or infinity")
    if peak > MAX_PEAK:
        raise MediaError("out_of_range", f"samples reach {peak:g}, but full scale is -1 to 1: scale them when storing")
    return np.clip(taken, -1, 1, out=taken)


@contextmanager
def _open(data: bytes) -> "Iterator[_SoundFile | _Container]":
    """The file, read by what can read it."""
    if not data:
        raise MediaError("empty", "the audio has no bytes")
    import soundfile

    data, mended = audio_headers.without_false_length(audio_headers.with_sizes(data))
    if mended is not None:
        with _container(data) as container:
            yield _Container(container, data, mended)
        return
    data, announced = _with_true_length(data)
    try:
        file = _in_one_go()(_Seekable(data))
    except (soundfile.LibsndfileError, TypeError, ValueError):
        with _container(data) as container:
            yield _Container(container, data, sizes=audio_headers.long_announced_and_there(data))
        return
    with file, _errors(f"{file.format} audio"):
        # what was streamed out as FLAC it can't read; of an MP3 that doesn't say how long it is, it reads a guess
        is_misjudged = file.format == "MP3" and audio_headers.is_longer(data, file.frames)
        is_misjudged |= file.format != "MP3" and file.subtype.startswith("MPEG")  # within a WAV
        # of several pieces it reads the first
        is_chained = file.format == "OGG" and (audio_headers.is_chained(data) or audio_headers.has_false_end(data))
        if file.channels > 2 or is_misjudged or is_chained or (file.format == "FLAC" and file.frames >= 2**48):
            with _container(data) as container:
                yield _Container(
                    container, data, *(["xing"] if is_misjudged else []), *(["links"] if is_chained else [])
                )
        else:
            yield _SoundFile(file, data, announced)


@contextmanager
def _container(data: bytes) -> Iterator[Any]:
    import av

    if containers.has_too_many_samples(data):
        raise MediaError("too_large", f"its header counts more samples than {len(data):,d} bytes can hold")
    other = signatures.other_kind(data, "audio")
    with _errors(f"not audio of a known format: {signatures.describe(data)}", other):
        container = av.open(BytesIO(data), options={"format_whitelist": CONTAINERS, "protocol_whitelist": "none"})
    with container, _errors(f"{container.format.name} audio"):
        if not container.streams.audio:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no"
            raise MediaError(
                "no_audio", f"the {container.format.name} file has no audio stream, only {kinds} streams{other}"
            )
        yield container


@contextmanager
def _errors(name: str, remedy: str = "") -> Iterator[None]:
    """Turn whatever is raised at broken bytes into a MediaError."""
    try:
        yield
    except (MediaError, AssertionError):
        raise
    except Exception as error:
        raise MediaError("undecodable", f"{name}: {signatures.words(error)}{remedy}") from error


@cache
def _in_one_go() -> Any:
    """`SoundFile`, but of an MP3 without the jump to where it is anyway that it makes behind each block: where frames
    are small, libsndfile reads wrong samples behind it, since it doesn't go back as far as these refer to.
    """
    import soundfile

    class InOneGo(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return bool(self.format != "MP3")

    return InOneGo


class _Seekable(BytesIO):
    """Bytes in which a damaged header can't make libsndfile seek to before the start: soundfile would print that."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class _SoundFile:
    """A file that soundfile reads, with one or two channels."""

    def __init__(self, file: Any, data: bytes, announced: int | None) -> None:
        """
        Args:
            announced: samples that the header had, where `data` was given another.
        """
        self.sample_rate = _plausible(file.samplerate)
        self._file = file
        self._data = data
        self._announced = announced

    def facts(self) -> AudioFacts:
        num_samples = int(self._file.frames)
        if self._file.format == "OGG":
            audio_headers.require_whole_pages(self._data)
        elif self._file.format == "MP3" and audio_headers.xing(self._data) is None:
            num_samples = _count(self.blocks(0), self.sample_rate)
        elif self._announced is not None:
            _require_most(self._announced, num_samples, self.sample_rate)
        elif found := (
            audio_headers.announced_and_there(self._file.extra_info)
            or audio_headers.long_announced_and_there(self._data)
        ):
            announced, there = found
            _require_most(num_samples * announced // max(there, 1), num_samples, self.sample_rate)
        if self._file.format == "MP3" and not _has(self._data, num_samples - 1, 1):
            num_samples = _count(self.blocks(0), self.sample_rate)
        is_changed = self._file.format == "MP3" and num_samples > BLOCK_SAMPLES
        is_changed = is_changed and audio_headers.has_small_frames(self._data)
        return AudioFacts(
            self.sample_rate, self._file.channels, num_samples, steps.note(*["mpeg"] if is_changed else [])
        )

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """The samples from position `first` to the end. (C, S) float32"""
        skip, left = first, int(self._file.frames)
        if first and self._file.format in SEEKS_EXACTLY and first <= left:
            self._file.seek(first)
            skip, left = 0, left - first
        while len(block := self._file.read(min(left, BLOCK_SAMPLES), dtype="float32", always_2d=True)):
            left -= len(block)
            if skip < len(block):
                yield block[skip:].T
            skip = max(skip - len(block), 0)


def _require_most(announced: int, there: int, sample_rate: int) -> None:
    """
    Args:
        announced, there: samples.
    """
    if announced - there > audio_headers.SLACK_S * sample_rate:
        raise MediaError(
            "truncated",
            f"{there / sample_rate:.3f} s are there of the {announced / sample_rate:.3f} s that the header announces",
        )


def _with_true_length(data: bytes) -> tuple[bytes, int | None]:
    """A FLAC up to the last frame that can be decoded, with its length in the header; and what the header had.

    Any other file, or one whose header is right, as it is.
    """
    end = audio_headers.flac_end(data)
    if end is None or (end.first + end.num_samples == end.announced and _has(data, end.first, end.num_samples)):
        return data, None
    if not end.announced and _is_whole(data):
        return data, None
    whole = audio_headers.with_flac_length(data, len(data), end.first + end.num_samples)
    if _has(whole, end.first, end.num_samples):
        return whole, None  # nothing was cut: the header is wrong
    if not end.first:
        return data, None
    if not end.announced:
        return audio_headers.with_flac_length(data, end.start, end.first), None
    return audio_headers.with_flac_length(data, end.start, end.first), end.announced


def _is_whole(data: bytes) -> bool:
    """Whether a FLAC that doesn't say how long it is can be decoded to its end."""
    try:
        with _container(data) as container:
            return all(True for _ in container.decode(audio=0))
    except MediaError:
        return False


def _has(data: bytes, first: int, num_samples: int) -> bool:
    """Whether soundfile can decode a part."""
    import soundfile

    try:
        with soundfile.SoundFile(_Seekable(data)) as file:
            file.seek(first)
            return len(file.read(num_samples, dtype="float32")) == num_samples
    except soundfile.LibsndfileError:
        return False


class _Container:
    """A file that PyAV reads: its first audio stream."""

    def __init__(self, container: Any, data: bytes, *steps_done: str, sizes: tuple[int, int] | None = None) -> None:
        """
        Args:
            data: the file's.
            sizes: bytes of audio that the header announces, and that are there, where these are fewer.
        """
        self._sizes = sizes
        self._data = data
        self._container = container
        self._steps = steps_done
        self._stream = container.streams.audio[0]
        # of fragments, the header knows those that are there
        is_cut = containers.is_cut(data) and (b"moof" in data or not self._header_duration_s())
        self._frames = (frame for frame in _decoded(container, self._stream, is_cut) if frame.samples)
        # Decoded, since a header can say half the rate of what comes out (HE-AAC).
        self._ahead = next(self._frames, None)
        if self._ahead is None:
            raise MediaError("empty", "the audio has no samples")
        self.sample_rate = _plausible(self._ahead.sample_rate)

    def facts(self) -> AudioFacts:
        assert self._ahead is not None
        channels = len(self._ahead.layout.channels)
        num_samples = _count(self.blocks(0), self.sample_rate)
        if self._sizes is not None:
            announced, there = self._sizes
            _require_most(num_samples * announced // max(there, 1), num_samples, self.sample_rate)
        told_s = self._header_duration_s()
        if num_samples / self.sample_rate < told_s - max(0.5, told_s / 100):
            raise MediaError(
                "truncated",
                f"{num_samples / self.sample_rate:.3f} s are there of the {told_s:.3f} s that the header says",
            )
        return AudioFacts(self.sample_rate, channels, num_samples, steps.note(*self._steps))

    def _header_duration_s(self) -> float:
        """The duration that the header gives; 0 where it is derived from a bit rate, or is that of a video, or is
        contradicted by a file that is whole.
        """
        name = self._container.format.name
        if name not in TELLS_DURATION or (name == MATROSKA and not containers.is_cut(self._data)):
            return 0
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / 1e6 if len(self._container.streams) == 1 else 0

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """The samples from position `first` to the end. (C, S) float32"""
        assert self._ahead is not None
        frame, self._ahead = self._ahead, None
        layout, skip = frame.layout.name, first
        mix = ":ochl=stereo:rematrix_maxval=1" if len(frame.layout.channels) > 2 else ""
        try:
            graph = _Graph(f"aresample=osf=fltp{mix}", self.sample_rate, frame.format.name, layout)
        except ValueError:
            raise MediaError("unsupported", f'nothing is known about how to mix its channels ("{layout}")') from None
        while frame is not None:
            if (frame.sample_rate, frame.layout.name) != (self.sample_rate, layout):
                raise MediaError("undecodable", "the sample rate or the channels change within the audio")
            for block in graph.push(frame):
                if skip < block.shape[1]:
                    yield block[:, skip:]
                skip = max(skip - block.shape[1], 0)
            frame = next(self._frames, None)
        for block in graph.push(None):
            yield block[:, skip:]


def _decoded(container: Any, stream: Any, is_cut: bool) -> Iterator[Any]:
    """The frames of a stream. Packets that can't be decoded are passed over, as players do: the last one, of a file of
    which an end is missing; and of MP3 few others, where two pieces were put together, and where a byte is broken.

    Args:
        is_cut: whether nothing says how much is missing behind the last one, but that it is.
    """
    import av

    num_packets = num_frames = num_bad = 0
    failed: Exception | None = None
    for packet in container.demux(stream):
        if failed is not None and packet.size:
            raise failed
        num_packets += 1
        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            num_bad += 1
            if container.format.name != "mp3" or num_bad > MAX_BAD_PACKETS + num_packets // 50:
                failed = error
            continue
        num_frames += len(frames)
        yield from frames
    if failed is not None and is_cut:
        raise MediaError("truncated", "the file ends within its audio, before its container does") from failed
    if failed is not None and not num_frames:
        raise failed


class _Graph:
    """FFmpeg filters over planar or packed audio."""

    def __init__(self, filters: str, sample_rate: int, sample_format: str, layout: str) -> None:
        from av.filter import Graph

        self._graph = Graph()
        source = self._graph.add_abuffer(
            sample_rate=sample_rate, format=sample_format, layout=layout, time_base=Fraction(1, sample_rate)
        )
        name, _, arguments = filters.partition("=")
        node = self._graph.add(name, arguments)
        sink = self._graph.add("abuffersink")
        source.link_to(node)
        node.link_to(sink)
        self._graph.configure()

    def push(self, frame: Any) -> Iterator[np.ndarray]:
        """What comes out once a frame has gone in; None is the end. (C, S)"""
        import av

        self._graph.push(frame)
        while True:
            try:
                yield self._graph.pull().to_ndarray()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


def _resample(
    file: _SoundFile | _Container, sample_rate: int, first_sample: int, num_samples: int
) -> Iterator[np.ndarray]:
    """A part of a file at another rate. (C, S)

    The resampler is fed from a position that falls on a whole sample of the wanted rate, so that it doesn't matter
    where the reading begins, with as much before and behind the part as its filter reaches.
    """
    import av

    step = file.sample_rate // math.gcd(file.sample_rate, sample_rate)
    reach = TAPS * max(1, math.ceil(file.sample_rate / sample_rate))
    start = (first_sample * file.sample_rate // sample_rate - reach) // step * step
    end = -(-(first_sample + num_samples) * file.sample_rate // sample_rate)
    graph: _Graph | None = None
    layout, position = "", start
    lead = first_sample - start * sample_rate // file.sample_rate
    for block in _pad(file.blocks(max(start, 0)), start, end, reach):
        if graph is None:
            layout = "mono" if len(block) == 1 else "stereo"
            graph = _Graph(RESAMPLER.format(rate=sample_rate), file.sample_rate, "fltp", layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = file.sample_rate, position, Fraction(1, file.sample_rate)
        position += block.shape[1]
        for made in graph.push(frame):
            if lead < made.shape[1]:
                yield made[:, lead:]
            lead = max(lead - made.shape[1], 0)


def _pad(blocks: Iterator[np.ndarray], start: int, end: int, reach: int) -> Iterator[np.ndarray]:
    """The samples from position `start` to a little behind `end`, with silence where the file has none.

    Where the file ends before `end`, they do too.
    """
    channels, position, stop = 0, max(start, 0), end + 2 * reach
    for block in blocks:
        if not channels and start < 0:
            yield np.zeros((len(block), -start), np.float32)
        channels = len(block)
        yield block
        position += block.shape[1]
        if position >= stop:
            return
    if channels and position >= end:
        yield np.zeros((channels, stop - position), np.float32)


def _mix(block: np.ndarray, channels: int) -> np.ndarray:
    """(1 or 2, S) with the wanted number of channels; assigning one to two repeats it."""
    return block.mean(axis=0, keepdims=True) if channels < len(block) else block


def _plausible(sample_rate: int) -> int:
    if sample_rate not in RATES_HZ:
        raise MediaError(
            "unsupported", f"a sample rate of {sample_rate:,d} Hz is not within {RATES_HZ[0]:,d} to {RATES_HZ[-1]:,d}"
        )
    return sample_rate


def _count(blocks: Iterator[np.ndarray], sample_rate: int) -> int:
    """How many samples there are, or as many as are too many."""
    num_samples = 0
    for block in blocks:
        num_samples += block.shape[1]
        if num_samples > MAX_SECONDS * sample_rate:
            break
    return num_samples
