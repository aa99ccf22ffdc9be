"""Clips as people have them: turned, mirrored, cut off, with lying headers; each frame is known by its colours."""

import io
import random
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from hf_assets.errors import MediaError
from hf_assets.media import video
from hf_assets_tests.video_files import clip, pattern

# A codec keeps plain colours within so many levels; frames of the pattern differ by far more.
LEVELS = 3
SAME_SIZE = {"resized_size": (64, 48), "crop_top_left": (0, 0), "target_size": (64, 48)}


def is_frame(pixels: Any, seed: int, number: int, levels: int = LEVELS) -> bool:
    return int(np.abs(np.asarray(pixels, dtype=int) - pattern(seed, number)).max()) <= levels


def reason_of(read: Callable[[], Any]) -> str:
    with pytest.raises(MediaError) as raised:
        read()
    return raised.value.reason


def test_facts_come_from_the_header_and_the_packets() -> None:
    facts = video.probe(clip(num_frames=9, rate=24))
    assert facts == video.VideoFacts(64, 48, 9, 24.0, 9 / 24, 0, "h264")


CONTAINERS = [
    ("mp4", "libx264", "yuv444p"),
    ("mov", "libx264", "yuv444p"),
    ("matroska", "libx264", "yuv444p"),
    ("matroska", "libx264", "yuv444p10le"),  # 10 bits
    ("mpegts", "libx264", "yuv444p"),
    ("flv", "libx264", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv444p"),
    ("mov", "qtrle", "rgb24"),
]


@pytest.mark.parametrize(("container", "codec", "pixels"), CONTAINERS)
def test_every_frame_is_decoded_once_and_in_order(container: str, codec: str, pixels: str) -> None:
    data = clip(3, 9, container=container, codec=codec, pixels=pixels)
    assert video.probe(data).num_frames == 9
    decoded = list(video.frames_of(data))
    assert len(decoded) == 9
    # half the colour, or a bit rate in place of a quality, keeps colours worse; other frames' are 100 levels away
    levels = LEVELS if codec in ("libx264", "qtrle") and pixels != "yuv420p" else 60
    assert all(is_frame(frame, 3, number, levels) for number, frame in enumerate(decoded))


def test_vp8_frames_that_are_never_shown_are_not_counted() -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "arnr-maxframes": "7"}
    data = clip(1, 60, container="webm", codec="libvpx", pixels="yuv420p", settings=tuple(options.items()))
    assert video.probe(data).num_frames == len(list(video.frames_of(data))) == 60


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_clip_stands_upright_as_players_show_it(rotation: int, mirrored: bool) -> None:
    data = clip(rotation=rotation, mirrored=mirrored)
    shown = np.rot90(pattern(0, 0), rotation // 90)
    shown = shown[:, ::-1] if mirrored else shown
    facts, frame = video.probe(data), next(video.frames_of(data))
    assert (facts.height, facts.width) == frame.shape[:2] == shown.shape[:2]
    assert np.abs(frame.astype(int) - shown).max() <= LEVELS


def test_pixels_that_are_not_square_count_as_displayed() -> None:
    facts = video.probe(clip(width=64, height=48, sample_aspect=(4, 3)))
    assert (facts.width, facts.height) == (85, 48)


def test_odd_sizes_stay() -> None:
    data = clip(width=63, height=47)
    assert (video.probe(data).width, video.probe(data).height) == (63, 47)
    assert next(video.frames_of(data)).shape == (47, 63, 3)


def test_a_variable_rate_is_given_as_its_mean_and_every_frame_counts_once() -> None:
    data = clip(times=(0, 10, 500, 510, 520, 1500, 1600, 1700, 1800))
    facts = video.probe(data)
    assert (facts.num_frames, facts.fps) == (9, 4.444)  # 8 steps in 1.8 s
    assert all(is_frame(frame, 0, number) for number, frame in enumerate(video.frames_of(data)))


@pytest.mark.parametrize(
    ("container", "codec", "pixels"),
    [("mov", "qtrle", "argb"), ("matroska", "ffv1", "bgra"), ("webm", "libvpx-vp9", "yuva420p")],
)
def test_what_is_transparent_is_white(container: str, codec: str, pixels: str) -> None:
    data = clip(container=container, codec=codec, pixels=pixels, alpha=(255, 0))
    frame = next(video.frames_of(data)).astype(int)
    assert np.abs(frame[:, :24] - pattern(0, 0)[:, :24]).max() <= 60  # the left half is opaque
    assert frame[:, 40:].min() >= 250


@pytest.mark.parametrize("flags", ["", "faststart", "frag_keyframe+empty_moov"])
def test_the_header_may_stand_before_or_behind_the_frames(flags: str) -> None:
    data = clip(num_frames=20, options=(("movflags", flags),) if flags else ())
    assert (data.index(b"moov") < data.index(b"mdat")) == bool(flags)
    assert video.probe(data).num_frames == 20
    for size in (len(data) // 2, len(data) - 1, data.index(b"mdat") + 1000):
        if flags != "frag_keyframe+empty_moov" or size != len(data) - 1:  # its last box is no part of a frame
            assert reason_of(lambda size=size: video.probe(data[:size])) == "truncated", size


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4")])
def test_a_file_that_ends_early_is_truncated(container: str, codec: str) -> None:
    data = clip(num_frames=20, container=container, codec=codec, pixels="yuv420p")
    index = data.rindex(b"idx1" if container == "avi" else b"\x1c\x53\xbb\x6b")
    for size in (len(data) // 3, index - 10):
        assert reason_of(lambda size=size: video.probe(data[:size])) == "truncated"
    for size in (len(data) - 10, index):  # of which no frame is a part
        assert video.probe(data[:size]).num_frames == len(list(video.frames_of(data[:size]))) == 20


def with_size(data: bytes, at: int, kind: str, more: int) -> bytes:
    """A file in which a size is larger than it should be."""
    size = struct.unpack_from(kind, data, at)[0]
    return data[:at] + struct.pack(kind, size + more) + data[at + struct.calcsize(kind) :]


FASTSTART, FRAGMENTS = (
    clip(num_frames=12, options=(("movflags", flags),)) for flags in ("faststart", "frag_keyframe+empty_moov")
)
AVI = clip(num_frames=12, container="avi", codec="mpeg4", pixels="yuv420p")
MATROSKA = clip(num_frames=12, container="matroska")


@pytest.mark.parametrize(
    ("data", "at", "kind"),
    [
        (FASTSTART, FASTSTART.index(b"mdat") - 4, ">I"),
        (FRAGMENTS, FRAGMENTS.index(b"mdat") - 4, ">I"),
        (FASTSTART + struct.pack(">I4s", 12, b"udta") + b"name", len(FASTSTART), ">I"),
        (AVI, 4, "<I"),
        (MATROSKA, MATROSKA.index(b"\x18\x53\x80\x67") + 8, ">I"),
    ],
    ids=["MP4", "fragments of MP4", "behind an MP4", "AVI", "Matroska"],
)
@pytest.mark.parametrize("more", [1, 10_000])
def test_a_size_that_is_false_costs_no_frame_that_is_there(data: bytes, at: int, kind: str, more: int) -> None:
    false = with_size(data, at, kind, more)
    assert video.probe(false) == video.probe(data)
    assert np.array_equal(list(video.frames_of(false)), list(video.frames_of(data)))
    assert reason_of(lambda: video.probe(false[: len(data) * 2 // 3])) in ("truncated", "no_frames")


def moving_jpeg(**options: Any) -> bytes:
    """An AVI as cameras write it: a JPEG for each frame."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="avi") as written:
        track: Any = written.add_stream("mjpeg", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj444p"
        for number in range(3):
            file = io.BytesIO()
            Image.fromarray(pattern(3, number)).save(file, "JPEG", quality=100, subsampling=0, **options)
            packet = av.Packet(file.getvalue())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = track, number, number, True
            packet.time_base = Fraction(1, 10)
            written.mux(packet)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_what_a_camera_notes_beside_a_frame_does_not_stand_in_its_way(orientation: int | None) -> None:
    tags = Image.Exif()
    tags[0x010F] = "a maker"  # FFmpeg has a name for EXIF beside frames that PyAV lacks
    if orientation:
        tags[0x0112] = orientation
    frames = list(video.frames_of(moving_jpeg(exif=tags.tobytes())))
    upright = [np.rot90(frame) if orientation == 6 else frame for frame in frames]
    assert [is_frame(frame, 3, number, 6) for number, frame in enumerate(upright)] == [True] * 3


OPEN = "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0"


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_clip_that_was_cut_out_of_an_open_group_of_pictures_begins_with_its_key_frame(container: str) -> None:
    """As `ffmpeg -ss 0.5 -c copy` makes it: its first frames refer to some in front of the cut."""
    whole = clip(4, 60, container=container, pixels="yuv420p", crf=None, settings=(("x264-params", OPEN),))
    file, num_keys = io.BytesIO(), 0
    with av.open(io.BytesIO(whole)) as source, av.open(file, "w", format=container) as cut:
        stream = cut.add_stream_from_template(source.streams.video[0])
        start: Any = None
        for packet in source.demux(video=0):
            num_keys += packet.is_keyframe
            if packet.size and num_keys > 1:
                start = packet.dts if start is None else start
                packet.dts, packet.pts, packet.stream = packet.dts - start, packet.pts - start, stream
                cut.mux(packet)
    decoded = list(video.frames_of(file.getvalue()))
    assert is_frame(decoded[0], 4, 12, levels=60)
    assert video.probe(file.getvalue()).num_frames == len(decoded) == 48


def animation(image_format: str, **options: Any) -> bytes:
    frames = [Image.fromarray(pattern(3, number)) for number in range(5)]
    stream = io.BytesIO()
    frames[0].save(stream, image_format, save_all=True, append_images=frames[1:], duration=100, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("image_format", "options", "levels"),
    [("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 16), ("WEBP", {"lossless": True}, 0), ("GIF", {}, 40)],
)
def test_an_animation_is_a_clip_of_all_its_frames(image_format: str, options: dict[str, Any], levels: int) -> None:
    data = animation(image_format, **options)
    facts = video.probe(data)
    assert (facts.width, facts.height, facts.num_frames, facts.fps) == (64, 48, 5, 10)
    frames = list(video.frames_of(data))
    assert all(is_frame(frame, 3, number, levels) for number, frame in enumerate(frames))
    taken = video.to_pixels(data, (64, 48), (0, 0), (64, 48), 1, 3)
    assert is_frame(taken[2].permute(1, 2, 0).numpy(), 3, 3, levels)
    assert len(video.thumbnails(data)) == 3


@pytest.mark.parametrize(
    ("image_format", "options", "levels"),
    [("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 20), ("WEBP", {"lossless": True, "exact": True}, 1)],
)
def test_what_is_transparent_in_an_animation_is_white(image_format: str, options: dict[str, Any], levels: int) -> None:
    alpha = np.full((48, 64, 1), 128, np.uint8)
    frames = [Image.fromarray(np.concatenate([pattern(3, number), alpha], axis=2)) for number in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, image_format, save_all=True, append_images=frames[1:], duration=100, **options)
    facts = video.probe(stream.getvalue())
    assert (facts.num_frames, facts.fps, facts.decoding) == (3, 10, "alpha-1" if image_format == "AVIF" else None)
    for number, frame in enumerate(video.frames_of(stream.getvalue())):
        assert np.abs(frame - (pattern(3, number) * (128 / 255) + 127)).max() <= levels


@pytest.mark.parametrize("make", ["WebP", "Matroska"])
def test_frames_hours_apart_have_no_rate(make: str) -> None:
    hours_ms = 16_000_000
    data = bytearray(animation("WEBP", lossless=True))
    at = data.index(b"ANMF") + 8 + 12
    data[at : at + 3] = hours_ms.to_bytes(3, "little")
    if make == "Matroska":
        data = bytearray(clip(num_frames=2, container="matroska", times=(0, hours_ms)))
    facts = video.probe(bytes(data))
    assert (facts.fps, facts.duration_s, facts.num_frames) == (None, None, 2 if make == "Matroska" else 5)


def test_an_animated_webp_whose_header_says_that_it_is_still_is_a_clip() -> None:
    data = bytearray(animation("WEBP", lossless=True))
    assert data[12:16] == b"VP8X"
    data[20] &= ~2  # the flag "animation"
    facts = video.probe(bytes(data))
    assert facts.num_frames == len(list(video.frames_of(bytes(data)))) == 5


def test_a_still_in_front_of_an_animated_webp_is_no_frame_of_it() -> None:
    data = animation("WEBP", lossless=True)
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(stream, "WEBP", lossless=True)
    still = stream.getvalue()[12:]
    body = data[12:30] + still + data[30:]
    both = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    assert is_frame(next(video.frames_of(both)), 3, 0, 0)
    assert video.probe(both).num_frames == 5


def lying(data: bytes, claim: int) -> bytes:
    """An AVI whose header claims another number of frames."""
    at = data.index(b"avih") + 8 + 16
    stream = data.index(b"strh") + 8 + 32
    claimed = struct.pack("<I", claim)
    return data[:at] + claimed + data[at + 4 : stream] + claimed + data[stream + 4 :]


@pytest.mark.parametrize("claim", [0, 3, 5000])
def test_the_number_of_frames_that_a_header_claims_is_not_believed(claim: int) -> None:
    data = lying(clip(2, 12, container="avi", codec="mpeg4", pixels="yuv420p"), claim)
    facts = video.probe(data)
    assert (facts.num_frames, facts.duration_s) == (12, 0.5)
    assert len(list(video.frames_of(data))) == 12


def test_frames_that_were_promised_and_are_not_there_are_an_error() -> None:
    data = clip(num_frames=6)
    assert reason_of(lambda: video.to_pixels(data, **SAME_SIZE, first_frame=0, num_frames=7)) == "frames_missing"
    assert reason_of(lambda: video.to_pixels(data, **SAME_SIZE, first_frame=6, num_frames=1)) == "frames_missing"


def without_packets() -> bytes:
    """A file with a stream of which no frame was ever written."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as written:
        stream: Any = written.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        written.start_encoding()
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as written:
        stream: Any = written.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        written.mux(stream.encode(frame))
        written.mux(stream.encode())
    return file.getvalue()


def garbled() -> bytes:
    """The bits of all frames but the first few hundred bytes are noise."""
    data = bytearray(clip(num_frames=20))
    start = data.index(b"mdat") + 1000
    data[start : start + 2000] = random.Random(0).randbytes(2000)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 4000, "undecodable"),
        (b"no video at all, but a line of text", "undecodable"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "undecodable"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "undecodable"),
        (sound(), "no_video"),
        (without_packets(), "no_frames"),
        (garbled(), "undecodable"),
    ],
    ids=["empty", "zeros", "text", "playlist", "list of files", "sound", "no frames", "garbled"],
)
def test_bytes_that_are_no_video_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    def read() -> None:
        video.probe(data)
        for _ in video.frames_of(data):
            pass

    assert reason_of(read) == reason


def test_frames_above_the_limit_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = clip()
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 64 * 48)
    assert video.probe(data).width == 64
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(video.Clip, "__init__", None)
    assert reason_of(lambda: video.probe(data)) == "too_large"


def test_a_part_of_a_clip_is_resized_and_cropped() -> None:
    data = clip(5, 12)
    pixels = video.to_pixels(data, (32, 24), (0, 4), (24, 24), first_frame=2, num_frames=5)
    assert (pixels.shape, pixels.dtype) == ((5, 3, 24, 24), torch.uint8)
    for number, frame in enumerate(pixels, 2):
        expected = torch.from_numpy(pattern(5, number)).permute(2, 0, 1)[None]
        expected = torch.nn.functional.interpolate(expected, (24, 32), mode="bicubic", antialias=True)[0, :, :, 4:28]
        assert (frame.int() - expected.int()).abs().max() <= 2 * LEVELS


def test_what_lies_behind_the_wanted_frames_is_not_decoded() -> None:
    data = bytearray(clip(num_frames=12))
    end = data.index(b"moov") - 4
    data[end - 200 : end - 20] = bytes(180)
    assert video.to_pixels(bytes(data), **SAME_SIZE, first_frame=0, num_frames=3).shape[0] == 3
    assert reason_of(lambda: video.to_pixels(bytes(data), **SAME_SIZE, first_frame=0, num_frames=12)) == "undecodable"


def test_a_fine_pattern_is_averaged_when_it_gets_smaller() -> None:
    stripes = np.zeros((96, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    fitted = video.image.fit_pixels(stripes, (32, 24), (0, 0), (32, 24)).float()
    assert fitted[:, 2:-2, 2:-2].std() < 5  # without antialiasing: 127


def test_thumbnails_are_the_first_middle_and_last_frame_of_the_part_that_is_taken() -> None:
    data = clip(7, 40)
    for part, numbers in (((0, None), (0, 20, 39)), ((0, 17), (0, 8, 16)), ((0, 1), (0,)), ((3, 2), (3, 4))):
        found = video.thumbnails(data, *part)
        assert len(found) == len(numbers)
        assert all(is_frame(picture, 7, number) for picture, number in zip(found, numbers, strict=True)), part
