"""Audio: what files say, which samples come out, and what can't be used."""

import io
import re
import struct
import tracemalloc
from collections.abc import Callable

import av
import numpy as np
import pytest
import soundfile

from hf_assets.errors import MediaError
from hf_assets.media import audio
from hf_assets_tests.audio_files import RATE, contained, encoded, pitch_hz, tone, wav

SECOND = tone(440, 1.0)
NUM = len(SECOND)


def streamed_wav(size: int) -> bytes:
    """As a recorder writes it that can't go back to fill in the length."""
    data = bytearray(encoded(SECOND, "WAV"))
    struct.pack_into("<I", data, data.index(b"data") + 4, size)
    return bytes(data)


def all_of(data: bytes, rate: int, channels: int) -> np.ndarray:
    facts = audio.probe(data)
    num_samples = audio.num_resampled(facts.num_samples, facts.sample_rate, rate)
    return audio.waveform(data, sample_rate=rate, channels=channels, first_sample=0, num_samples=num_samples)


def level(samples: np.ndarray) -> float:
    """RMS of the middle, in dB below a sine of amplitude 0.5."""
    middle = samples[..., samples.shape[-1] // 4 : -samples.shape[-1] // 4]
    return float(20 * np.log10(np.sqrt((middle.astype(np.float64) ** 2).mean()) / (0.5 / np.sqrt(2))))


# Lossy codecs pad: AAC to whole frames, MP3 without a header that gives the padding by a start and an end.
@pytest.mark.parametrize(
    ("data", "num_samples", "error"),
    [
        (encoded(SECOND, "WAV"), NUM, 4e-5),
        (encoded(SECOND, "WAV", subtype="PCM_24"), NUM, 2e-7),
        (encoded(SECOND, "WAV", subtype="FLOAT"), NUM, 0),
        (encoded(SECOND, "WAV", subtype="PCM_U8"), NUM, 8e-3),
        (encoded(SECOND, "FLAC"), NUM, 4e-5),
        (encoded(SECOND, "AIFF"), NUM, 4e-5),
        (encoded(SECOND, "OGG", subtype="VORBIS"), NUM, 2e-2),
        (encoded(tone(440, 1.0, rate=48_000), "OGG", rate=48_000, subtype="OPUS"), 48_000, 2e-2),
        (contained(SECOND, "mp3", "libmp3lame"), NUM, 5e-2),
        (contained(SECOND, "mp3", "libmp3lame", write_xing="0", id3v2_version="0"), 46_080, None),
        (contained(SECOND, "ipod", "aac"), 45_056, 5e-2),
        (contained(SECOND, "adts", "aac"), 46_080, None),
        (contained(SECOND, "ipod", "alac"), NUM, 4e-5),
        (contained(SECOND, "matroska", "flac"), NUM, 4e-5),
        (contained(tone(440, 1.0, rate=48_000), "webm", "libopus", rate=48_000), 48_000, 2e-2),
        (streamed_wav(0xFFFFFFFF), NUM, 4e-5),
    ],
    ids=[
        *["wav 16", "wav 24", "wav float", "wav 8", "flac", "aiff", "ogg vorbis", "ogg opus", "mp3", "mp3, no header"],
        *["m4a aac", "adts aac", "m4a alac", "mka flac", "webm opus", "wav of unknown length"],
    ],
)
def test_every_format_has_its_length_and_decodes_to_it(data: bytes, num_samples: int, error: float | None) -> None:
    facts = audio.probe(data)
    rate = facts.sample_rate
    assert facts == audio.AudioFacts(rate, 2, num_samples)
    samples = audio.waveform(data, sample_rate=rate, channels=2, first_sample=0, num_samples=num_samples)
    assert samples.shape == (2, num_samples)
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    assert abs(pitch_hz(samples[0], rate) - 440) < 0.5
    if error is not None:  # where the codec adds no delay
        assert np.abs(samples[:, :40_000] - tone(440, 1.0, rate=rate).T[:, :40_000]).max() <= error
    with pytest.raises(MediaError, match="the audio ends after"):
        audio.waveform(data, sample_rate=rate, channels=2, first_sample=0, num_samples=num_samples + 1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_099, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("wanted", [16_000, 44_100, 48_000])
def test_resampling_keeps_tone_and_level_and_adds_no_clicks(rate: int, wanted: int) -> None:
    data = encoded(tone(1000, 1.0, rate=rate, channels=1), "WAV", rate=rate, subtype="FLOAT")
    samples = all_of(data, wanted, 1)
    assert samples.shape == (1, wanted)
    exact = tone(1000, 1.0, rate=wanted, channels=1).T
    reach = 64 * max(1, wanted // rate + 1)  # of the filter: at the ends it also sees the silence outside
    assert np.abs(samples - exact)[:, reach:-reach].max() < 2e-6
    assert np.abs(samples).max() < 0.56  # at the ends too: 1 dB above the tone
    assert np.array_equal(samples, all_of(data, wanted, 1))


@pytest.mark.parametrize(("rate", "wanted"), [(48_000, 44_100), (96_000, 44_100), (48_000, 16_000), (44_100, 8_000)])
def test_what_the_lower_rate_holds_is_kept_and_what_would_alias_is_gone(rate: int, wanted: int) -> None:
    kept, gone = (
        all_of(encoded(tone(hz, 1.0, rate=rate, channels=1), "WAV", rate=rate, subtype="FLOAT"), wanted, 1)
        for hz in (0.9 * wanted / 2, 1.06 * wanted / 2)
    )
    assert abs(level(kept)) < 0.05
    assert level(gone) < -100


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("wanted", [RATE, 48_000, 16_000])
@pytest.mark.parametrize("first", [1, 777, 20_000, 130_000])
def test_a_part_is_what_the_whole_has_there(format: str, wanted: int, first: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (3 * RATE, 2)).astype(np.float32)
    data = encoded(noise, format)
    first = first * wanted // RATE
    part = audio.waveform(data, sample_rate=wanted, channels=2, first_sample=first, num_samples=500)
    assert np.array_equal(part, all_of(data, wanted, 2)[:, first : first + 500])


@pytest.mark.parametrize("wanted", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("num_samples", [2, 3, 50, 1_000])
def test_a_short_clip_has_its_whole_length_at_any_rate(num_samples: int, wanted: int) -> None:
    data = encoded(np.full((num_samples, 1), 0.5, np.float32), "WAV", rate=44_100)
    if audio.num_resampled(num_samples, 44_100, wanted):
        assert all_of(data, wanted, 2).shape == (2, num_samples * wanted // 44_100)


def test_channels_are_mixed_without_a_change_of_level() -> None:
    left = np.stack([tone(440, 0.5, channels=1)[:, 0], np.zeros(RATE // 2, np.float32)], axis=1)
    data = encoded(left, "WAV", subtype="FLOAT")
    mono = all_of(data, RATE, 1)
    assert np.allclose(mono[0], left[:, 0] / 2)
    assert np.allclose(all_of(data, RATE, 2), left.T)
    doubled = all_of(encoded(tone(440, 0.5, channels=1), "WAV", subtype="FLOAT"), RATE, 2)
    assert np.array_equal(doubled[0], doubled[1])
    assert np.array_equal(doubled[0], tone(440, 0.5, channels=1)[:, 0])


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_surround_sound_is_mixed_by_its_layout_and_cannot_clip(format: str) -> None:
    front_left, centre = np.zeros((2, RATE // 2, 6), np.float32)
    front_left[:, 0] = centre[:, 2] = 0.9
    everywhere = np.full_like(centre, 0.99)
    left, middle, loud = (all_of(encoded(one, format), RATE, 2)[:, 1000] for one in (front_left, centre, everywhere))
    assert left[0] > 0.3
    assert left[1] == 0
    assert middle[0] == middle[1] > 0.2
    assert 0.9 < loud[0] <= 1
    assert audio.probe(encoded(centre, format)).channels == 6


def test_a_high_rate_a_low_rate_and_silence_are_fine() -> None:
    assert audio.probe(wav(440, 0.5, rate=96_000)) == audio.AudioFacts(96_000, 2, 48_000)
    assert audio.probe(wav(440, 0.5, rate=8_000, channels=1)).duration_s == 0.5
    silence = all_of(encoded(np.zeros((RATE, 1), np.float32), "FLAC"), 48_000, 2)
    assert silence.shape == (2, 48_000)
    assert not silence.any()


def test_the_sound_of_a_video_is_read() -> None:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=10)
        video.width = video.height = 64
        sound = container.add_stream("aac", rate=RATE, layout="stereo")
        for number in range(10):
            pixels = np.full((64, 64, 3), 20 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels)))
        samples = np.ascontiguousarray(SECOND.T)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(sound.encode(frame))
        container.mux([*video.encode(None), *sound.encode(None)])
    facts = audio.probe(stream.getvalue())
    assert abs(facts.duration_s - 1) < 0.05
    assert abs(pitch_hz(all_of(stream.getvalue(), RATE, 2)[0], RATE) - 440) < 0.5


def silent_video() -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=10)
        video.width = video.height = 64
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(video.encode(None))
    return stream.getvalue()


def cut(data: bytes, share: float) -> bytes:
    return data[: int(share * len(data))]


LONG = tone(440, 3.0) * np.linspace(0.5, 1, 3 * RATE, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", "empty", "no bytes"),
        (encoded(SECOND[:0], "WAV"), "empty", "no samples"),
        (encoded(SECOND[:1], "WAV"), "too_short", "single sample"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "undecodable", "known format"),
        (bytes(5_000), "undecodable", "known format"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "undecodable", "known format"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n/etc/passwd\n", "undecodable", "known format"),
        (silent_video(), "no_audio", "only video"),
        (cut(encoded(LONG, "WAV"), 0.5), "truncated", "header announces"),
        (cut(encoded(LONG, "AIFF"), 0.9), "truncated", "header announces"),
        (cut(encoded(LONG, "OGG"), 0.8), "truncated", "cut off"),
        (cut(encoded(LONG, "FLAC"), 0.5), "truncated", "header announces"),
        (cut(contained(LONG, "matroska", "flac"), 0.5), "truncated", "header says"),
        (cut(contained(LONG, "ipod", "aac"), 0.5), "undecodable", "Invalid data"),
        (encoded(SECOND, "WAV", rate=900), "unsupported", "900 Hz"),
        (encoded(np.zeros((100, 9), np.float32), "WAV"), "unsupported", "9 channels"),
    ],
)
def test_bad_media_are_refused_with_a_reason(data: bytes, reason: str, says: str) -> None:
    with pytest.raises(MediaError, match=says) as caught:
        audio.probe(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("samples", "reason"),
    [([0.1, np.nan, 0.1], "non_finite"), ([0.1, np.inf, 0.1], "non_finite"), ([0.1, -20_000.0, 0.1], "out_of_range")],
)
@pytest.mark.parametrize("wanted", [RATE, 48_000])
def test_samples_that_are_no_sound_are_refused(samples: list[float], reason: str, wanted: int) -> None:
    data = encoded(np.array(samples * 1000, np.float32)[:, None], "WAV", subtype="FLOAT")
    with pytest.raises(MediaError) as caught:
        all_of(data, wanted, 1)
    assert caught.value.reason == reason


def test_overshoot_is_clipped() -> None:
    data = encoded(np.full((1000, 1), 1.2, np.float32), "WAV", subtype="FLOAT")
    assert (all_of(data, RATE, 1) == 1).all()


PIECE = tone(440, 2.0, channels=2)


def patched(data: bytes, at: int, kind: str, *values: int) -> bytes:
    return data[:at] + struct.pack(kind, *values) + data[at + struct.calcsize(kind) :]


def flac_of_length(num_samples: int) -> bytes:
    data = encoded(PIECE, "FLAC")
    return patched(data, 18, ">Q", struct.unpack_from(">Q", data, 18)[0] >> 36 << 36 | num_samples)


def wav_of_sizes(riff: int | None, samples: int) -> bytes:
    data = encoded(PIECE, "WAV")
    data = patched(data, data.index(b"data") + 4, "<I", samples)
    return data if riff is None else patched(data, 4, "<I", riff)


def big_endian_wav_of_sizes(size: int) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, PIECE, RATE, format="WAV", endian="BIG")
    data = patched(stream.getvalue(), 4, ">I", size)
    return patched(data, data.index(b"data") + 4, ">I", size)


TITLE = struct.pack("<4sI4s4sI6s", b"LIST", 18, b"INFO", b"INAM", 6, b"a song")


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (flac_of_length(0), 0),
        (flac_of_length(10 * RATE), 0),
        (flac_of_length(RATE), 0),
        (encoded(PIECE, "FLAC")[:-1], 4096),
        (wav_of_sizes(0, 0), 0),
        (wav_of_sizes(None, 0), 0),
        (big_endian_wav_of_sizes(0), 0),
        (big_endian_wav_of_sizes(0xFFFFFFFF), 0),
        (patched(encoded(PIECE, "RF64"), 20, "<QQQ", 0, 0, 0), 0),
        (wav_of_sizes(0xFFFFFFFF, 0xFFFFFFFF), 0),
        (wav_of_sizes(0, 0) + TITLE, 0),
        (wav_of_sizes(None, 0xFFFFFFFF) + b"ID3 " + struct.pack("<I", 3) + b"ID3\0" + TITLE, 0),
        (b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + encoded(PIECE, "WAV"), 0),
        (encoded(PIECE, "WAV")[:-1], 1),
        (encoded(PIECE, "AIFF")[:-1], 1),
    ],
    ids=[
        "FLAC from a pipe",
        "FLAC that counts too much",
        "FLAC that counts too little",
        "FLAC, cut",
        "WAV of 0",
        "WAV data of 0",
        "RIFX of 0",
        "RIFX of -1",
        "RF64 of 0",
        "WAV of -1",
        "WAV of 0 with a title",
        "WAV of -1 with titles",
        "WAV with ID3 in front",
        "WAV -1",
        "AIFF -1",
    ],
)
def test_what_players_play_is_read_as_far_as_it_goes(data: bytes, missing: int) -> None:
    facts = audio.probe(data)
    assert len(PIECE) - missing <= facts.num_samples <= len(PIECE)
    whole = all_of(encoded(PIECE, "WAV"), RATE, 2)
    assert np.abs(all_of(data, RATE, 2) - whole[:, : facts.num_samples]).max() < 1e-4
    part = audio.waveform(data, sample_rate=RATE, channels=2, first_sample=RATE, num_samples=RATE // 2)
    assert np.abs(part - whole[:, RATE : RATE * 3 // 2]).max() < 1e-4


def test_each_piece_of_an_ogg_is_read() -> None:
    first, second = (encoded(tone(pitch, 1.0, channels=2), "OGG", subtype="VORBIS") for pitch in (440, 880))
    assert audio.probe(first).decoding is None
    facts = audio.probe(first + second)
    assert (abs(facts.duration_s - 2) < 0.05, facts.decoding) == (True, "links-1")
    whole = all_of(first + second, RATE, 2)[0]
    assert [abs(pitch_hz(part, RATE) - pitch) < 2 for part, pitch in ((whole[:RATE], 440), (whole[-RATE:], 880))] == [
        True,
        True,
    ]


def test_an_mp3_within_a_wav_is_as_long_as_its_frames() -> None:
    data = contained(PIECE, "wav", "libmp3lame")
    facts = audio.probe(data)
    assert (abs(facts.duration_s - 2) < 0.1, all_of(data, RATE, 2).shape[1]) == (True, facts.num_samples)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_an_mp3_is_as_long_as_its_frames_whatever_its_header_says(factor: float) -> None:
    data = contained(PIECE, "mp3", "libmp3lame")
    assert audio.probe(data).decoding is None
    at = re.search(b"Xing|Info", data).end() + 4  # type: ignore[union-attr]
    frames, num_bytes = struct.unpack_from(">II", data, at)
    false = patched(data, at, ">II", round(frames * factor), round(num_bytes * factor))
    facts = audio.probe(false)
    assert (abs(facts.duration_s - 2) < 0.1, facts.decoding) == (True, "delay-1")
    assert np.abs(all_of(false, RATE, 2)[:, : len(PIECE)] - all_of(data, RATE, 2)).max() < 1e-3
    without = patched(false, at + 100 + 12, "4s", b"none")  # what says of which encoder it is
    assert audio.probe(without).decoding == "xing-1"
    assert abs(pitch_hz(all_of(without, RATE, 2)[0], RATE) - 440) < 0.5


def test_an_mp3_of_small_frames_is_read_without_clicks() -> None:
    samples = tone(440, 4.0, channels=1)
    data = encoded(samples, "MP3")
    assert audio.probe(data).decoding == "mpeg-1"
    assert np.abs(all_of(data, RATE, 1)[0] - samples[:, 0]).max() < 0.02
    assert audio.probe(encoded(samples[:RATE], "MP3")).decoding is None
    assert audio.probe(contained(LONG, "mp3", "libmp3lame")).decoding is None  # of 128 kbit/s: large ones


@pytest.mark.parametrize("lost", [1, 100, 500])
def test_an_mp3_that_ends_early_is_as_long_as_it_goes(lost: int) -> None:
    data = encoded(PIECE, "MP3")[:-lost]
    there = all_of(data, RATE, 2)
    assert (len(PIECE) - 3 * 1152 < there.shape[1] <= len(PIECE), there.shape[1]) == (
        True,
        audio.probe(data).num_samples,
    )
    assert np.abs(there[0] - PIECE[: there.shape[1], 0]).max() < 0.02


@pytest.mark.parametrize(("format", "codec"), [("ipod", "aac"), ("adts", "aac"), ("matroska", "flac"), ("ac3", "ac3")])
def test_a_file_that_lacks_a_byte_lacks_its_last_packet_at_most(format: str, codec: str) -> None:
    data = contained(PIECE, format, codec)
    if format == "ipod":  # with the header in front
        data = moved(data)
    there, whole = all_of(data[:-1], RATE, 2), all_of(data, RATE, 2)
    assert 0 <= whole.shape[1] - there.shape[1] <= 4608
    assert np.abs(there - whole[:, : there.shape[1]])[:, :-2048].max() < 1e-4
    if format in ("ipod", "matroska"):
        with pytest.raises(MediaError) as raised:
            audio.probe(data[: len(data) * 2 // 3])
        assert raised.value.reason == "truncated"


def moved(data: bytes) -> bytes:
    """An MP4 whose header stands in front of its audio."""
    start, header = data.index(b"mdat") - 4, data.index(b"moov") - 4
    moov = bytearray(data[header:])
    at = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, at)
    offsets = struct.unpack_from(f">{count}I", moov, at + 4)
    struct.pack_into(f">{count}I", moov, at + 4, *(offset + len(moov) for offset in offsets))
    return data[:start] + bytes(moov) + data[start:header]


def test_a_duration_in_a_matroska_that_is_whole_is_not_believed() -> None:
    data = contained(PIECE, "matroska", "flac")
    at = data.index(b"\x44\x89\x88") + 3
    facts = audio.probe(patched(data, at, ">d", 20_000.0))
    assert facts == audio.probe(data)


def with_last_page(data: bytes, samples: int | None = None, *, is_end: bool = True) -> bytes:
    """An Ogg whose last page says that so many samples are there by its end."""
    at = data.rindex(b"OggS")
    page = bytearray(data[at:])
    page[5] = page[5] & ~4 | 4 * is_end
    if samples is not None:
        struct.pack_into("<q", page, 6, samples)
    page[22:26] = bytes(4)
    value = 0
    for byte in page:  # RFC 3533: a CRC of 32 bits, not reflected
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    struct.pack_into("<I", page, 22, value)
    return data[:at] + bytes(page)


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", RATE), ("OPUS", 48_000)])
def test_an_ogg_is_as_long_as_its_packets_whatever_its_last_page_says(subtype: str, rate: int) -> None:
    data = encoded(tone(440, 2.0, rate=rate), "OGG", rate=rate, subtype=subtype)
    false = [with_last_page(data, 4 * rate), with_last_page(data, is_end=False)]
    assert [round(audio.probe(one).duration_s, 1) for one in false] == [2.0, 2.0]
    plain = all_of(data, rate, 2)[:, : rate * 3 // 2]
    assert [np.abs(all_of(one, rate, 2)[:, : rate * 3 // 2] - plain).max() < 1e-4 for one in false] == [True, True]


def test_a_piece_that_was_cut_out_of_an_mp3_is_read() -> None:
    data = contained(LONG, "mp3", "libmp3lame")
    facts = audio.probe(data[: len(data) // 2])
    assert 1.2 < facts.duration_s < 1.7
    assert abs(pitch_hz(all_of(data[: len(data) // 2], RATE, 2)[0], RATE) - 440) < 0.5


def test_an_empty_wav_with_other_chunks_behind_its_data_is_empty() -> None:
    data = encoded(PIECE[:0], "WAV") + struct.pack("<4sI4s", b"LIST", 4, b"INFO")
    with pytest.raises(MediaError, match="no samples"):
        audio.probe(data)


def test_a_flac_that_is_cut_gives_what_is_whole_and_refuses_the_rest() -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (6 * RATE, 1)).astype(np.float32)
    data = cut(encoded(noise, "FLAC"), 0.5)
    start = audio.waveform(data, sample_rate=RATE, channels=1, first_sample=0, num_samples=RATE)
    assert np.abs(start[0] - noise[:RATE, 0]).max() < 2e-5
    with pytest.raises(MediaError):
        audio.waveform(data, sample_rate=RATE, channels=1, first_sample=0, num_samples=6 * RATE)


@pytest.mark.parametrize("limit", ["MAX_SECONDS", "MAX_VALUES"])
def test_more_than_the_limit_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, limit, 1)
    for data in (wav(440, 2.0), contained(tone(440, 2.0), "adts", "aac")):
        with pytest.raises(MediaError) as caught:
            all_of(data, RATE, 2)
        assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "write",
    [
        lambda samples: encoded(samples, "FLAC"),
        lambda samples: contained(samples, "matroska", "flac"),
    ],
    ids=["soundfile", "PyAV"],
)
def test_of_a_long_file_little_is_in_memory(write: Callable[[np.ndarray], bytes]) -> None:
    data = write(np.zeros((120 * RATE, 2), np.float32))  # 42 MB decoded
    audio.probe(data)
    tracemalloc.start()
    try:
        audio.probe(data)
        audio.waveform(data, sample_rate=48_000, channels=2, first_sample=100 * 48_000, num_samples=48_000)
        assert tracemalloc.get_traced_memory()[1] < 6e6
    finally:
        tracemalloc.stop()


def test_soundfile_and_pyav_agree() -> None:
    """A format that both read: one sample is one sample."""
    with soundfile.SoundFile(io.BytesIO(encoded(LONG, "FLAC"))) as file:
        by_soundfile = file.read(dtype="float32").T
    by_pyav = all_of(contained(LONG, "matroska", "flac"), RATE, 2)
    assert np.abs(by_soundfile - by_pyav).max() < 4e-5


@pytest.mark.parametrize("format", ["RF64", "W64", "CAF"])
def test_half_of_a_file_with_long_sizes_is_refused_and_a_byte_may_be_missing(format: str) -> None:
    data = encoded(tone(440, 1), format, subtype="PCM_16")
    assert audio.probe(data[:-1]).num_samples in (44_099, 44_100)
    with pytest.raises(MediaError, match=r"s are there of the 1\.000 s") as caught:
        audio.probe(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


def test_pieces_of_mp3_put_together_and_a_hole_in_one_are_read() -> None:
    data = contained(tone(440, 1), "mp3", "libmp3lame")
    one = audio.probe(data).num_samples
    assert abs(audio.probe(data + data).num_samples - 2 * one) < 4 * 1152
    assert abs(audio.probe(data[:3000] + data[3300:]).num_samples - one) < 6 * 1152


@pytest.mark.parametrize("announced", [0, 44_000, 44_200])
def test_a_flac_is_as_long_as_its_frames_whatever_its_header_says(announced: int) -> None:
    data = encoded(tone(440, 1), "FLAC")
    (packed,) = struct.unpack_from(">Q", data, 18)
    wrong = data[:18] + struct.pack(">Q", packed >> 36 << 36 | announced) + data[26:]
    assert audio.probe(wrong).num_samples == 44_100
    if not announced:  # what was streamed and cut is read as far as it goes
        assert 10_000 < audio.probe(wrong[: len(wrong) // 2]).num_samples < 44_100


def test_an_au_without_its_size_is_read_to_its_end() -> None:
    data = encoded(tone(440, 1), "AU", subtype="PCM_16")
    assert audio.probe(data[:8] + bytes(4) + data[12:]).num_samples == 44_100
