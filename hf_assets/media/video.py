"""Turn a video file's bytes into facts (no frame but the first is decoded) and into pixels, frame after frame.

What a clip looks like is settled here, once: upright, with square pixels, over white, 8 bits a channel, every coded
frame once, in the order of its display. Frames are counted and never timed: a variable frame rate changes nothing.
Interlaced frames stay woven. Colours are brought to sRGB from what the stream says they are, and HDR is tone-mapped
(`media.colour`).

What a container says about its number of frames, its duration and its rate is not used: `probe` counts the packets,
which costs no decoding. Where fewer frames can be decoded than were counted, `frames_of` ends early, and `to_pixels`
refuses the clip if it needed the missing ones.

Shape letters: F frames, H W pixels. Sizes are (width, height), crops are (top, left), in pixels.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_assets.errors import MediaError
from hf_assets.media import animations, containers, image, png_chunks, signatures, steps
from hf_assets.media.frame_looks import PNG_START, Looks

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Bump where a change lets other files be read, or finds other facts; see `media.image.VERSION`.
VERSION = 3
# Part of each latent's key. Bump when a change to this module changes a plain clip's frames, one to which the
# decoder does nothing special: all of them are then encoded anew.
PLAIN_VERSION = 1

# 8,192 x 4,096: 8K is just below it. A header that claims more is taken for a bomb.
MAX_FRAME_PIXELS = 2**25
# What is taken of one clip, resized and cropped: 258 frames of 1,920 x 1,080.
MAX_CLIP_BYTES = 3 << 29

# The longer edge of a frame that is shown to people, at least.
SHOWN_PX = 480

# As many frames as H.264 and HEVC may reorder.
MAX_LEADING_PICTURES = 16

# What may be opened: containers, as FFmpeg calls them. Others, playlists above all, could make it read other files.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,webp,ivf,h264,hevc,obu,av1,"
    "m4v,mxf,nut,dv,rm,wtv,swf,yuv4mpegpipe,mjpeg"
)

# Decoders to take in place of FFmpeg's own, which leave out the alpha that a WebM may have.
DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True)
class VideoFacts:
    """What a video file holds.

    Attributes:
        width, height: as displayed, in pixels: turned upright, and wider or narrower where pixels aren't square.
        num_frames: that the file's packets make.
        fps: mean rate, frames per second; None where the file has no times.
        duration_s: `num_frames / fps`.
        rotation: degrees by which frames were turned counterclockwise to stand upright.
        codec: FFmpeg's name, such as `h264`.
        decoding: what is done to frames beyond plain decoding (`media.steps`).
    """

    width: int
    height: int
    num_frames: int
    fps: float | None
    duration_s: float | None
    rotation: int
    codec: str
    decoding: str | None = None


def probe(data: bytes) -> VideoFacts:
    """Read a clip's facts: its header and its packets, of which the first is decoded for size and rotation.

    Raises:
        MediaError: `empty`, `undecodable` (not a video of a known format, or its first frame is broken), `truncated`
            (bytes that its container speaks of are missing), `no_video` (no video stream), `no_frames`,
            `too_large` (a frame has more than `MAX_FRAME_PIXELS`).
    """
    if animations.is_animation(data):
        return _animation_facts(data)
    times: list[int | None] = []
    shown: Any = None
    with _open(data) as clip:
        for packet in clip.packets():
            clip.note(packet)
            num_left_out = clip.num_left_out
            if shown is None:
                shown = next(iter(clip.decode(packet)), None)
            if _is_displayed(packet, clip.codec) and clip.num_left_out == num_left_out:
                times.append(packet.pts)
        if shown is None:
            shown = next(iter(clip.decode(None)), None)
        if not times or shown is None:
            raise _broken(data, "no_frames", f"the {clip.codec} stream has {len(times):,} packets and no frame")
        times = _from(shown.pts, times)
        fps = _mean_rate([time for time in times if time is not None], clip.stream)
        width, height = _display_size(shown, clip)
        duration_s = None if fps is None else len(times) / fps
        if containers.is_cut(data) and (containers.lacks_header(data) or not clip.is_whole):
            raise _broken(data, "undecodable", "not a video")
        decoding = steps.note(*clip.looks.look(shown).steps)
        return VideoFacts(width, height, len(times), fps, duration_s, int(shown.rotation) % 360, clip.codec, decoding)


def _animation_facts(data: bytes) -> VideoFacts:
    found = animations.probe(data)
    if found.width * found.height > MAX_FRAME_PIXELS:
        raise MediaError(
            "too_large", f"{found.width:,d} x {found.height:,d} pixels are more than {MAX_FRAME_PIXELS:,d}"
        )
    fps = round((found.num_frames - 1) / found.last_s, 3) or None if found.last_s > 0 else None
    duration_s = None if fps is None else found.num_frames / fps
    return VideoFacts(found.width, found.height, found.num_frames, fps, duration_s, 0, found.codec, found.decoding)


def frames_of(data: bytes, peak_cd: float | None = None) -> Iterator[np.ndarray]:
    """Decode a clip frame after frame, each (H, W, 3) uint8, RGB, upright, contiguous.

    Pixels that aren't square are left as they are stored: a resize to the displayed size makes them so.

    Args:
        peak_cd: of HDR, see `media.colour`; None: of each frame its own.

    Raises:
        MediaError: as `probe`; and `size_changes`: a later frame has another size than the first.
    """
    if animations.is_animation(data):
        yield from animations.frames_of(data)
        return
    for looks, frame in _frames(data):
        yield looks.upright(frame, peak_cd)


def _frames(data: bytes) -> Iterator[tuple[Looks, Any]]:
    """Frames as PyAV has them, all of one size, and what they mean."""
    with _open(data) as clip:
        first: tuple[int, int] | None = None
        for frame in clip.frames():
            size = (frame.width, frame.height)
            first = first or size
            if size != first:
                raise MediaError(
                    "size_changes",
                    f"a frame has {size[0]} x {size[1]} pixels, the first one {first[0]} x {first[1]}",
                )
            yield clip.looks, frame


def _peak_cd(data: bytes, first_frame: int, num_frames: int) -> float | None:
    """The brightest value of some frames of HDR, which are tone-mapped alike; None of others."""
    if animations.is_animation(data):
        return None
    peak: float | None = None
    for number, (looks, frame) in enumerate(_frames(data)):
        if not looks.look(frame).colours.is_hdr or number == first_frame + num_frames:
            break
        if number >= first_frame:
            peak = max(peak or 0, looks.peak_cd(frame))
    return peak


def to_pixels(
    data: bytes,
    resized_size: Sequence[int],
    crop_top_left: Sequence[int],
    target_size: Sequence[int],
    first_frame: int,
    num_frames: int,
    show: Callable[[np.ndarray], None] | None = None,
) -> "torch.Tensor":
    """Decode, resize and crop `num_frames` frames from `first_frame` on; of the others none stays in memory.

    Args:
        resized_size, crop_top_left, target_size: see `media.image.fit`.
        show: is given the first, middle and last of these frames before they are resized, as `sheet` lays them out:
            (H, W, 3) uint8, to look at and not to keep.

    Returns:
        (F, 3, H, W) uint8, RGB, 0 to 255.

    Raises:
        MediaError: as `frames_of`; and `frames_missing`: the clip has fewer frames that can be decoded.
    """
    import torch

    width, height = target_size
    if (num_bytes := 3 * num_frames * width * height) > MAX_CLIP_BYTES:
        raise MediaError(
            "too_large",
            f"{num_frames:,d} frames of {width:,d} x {height:,d} pixels are {num_bytes:,d} bytes, more than the limit "
            f"of {MAX_CLIP_BYTES:,d} for one sample: set num_frames, or lower resolution",
        )
    pixels = torch.empty((num_frames, 3, height, width), dtype=torch.uint8)
    shown: list[np.ndarray] = []
    pictured = {first_frame + at for at in (0, num_frames // 2, num_frames - 1)} if show is not None else set()
    number = -1
    for number, frame in enumerate(frames_of(data, _peak_cd(data, first_frame, num_frames))):
        if number >= first_frame:
            pixels[number - first_frame] = image.fit_pixels(frame, resized_size, crop_top_left, target_size)
        if number in pictured:
            shown.append(_smaller(frame, resized_size))
        if number == first_frame + num_frames - 1:
            if show is not None:
                show(_laid_out(shown))
            return pixels
    raise MediaError(
        "frames_missing",
        f"{number + 1:,} frames can be decoded, but frames {first_frame:,} to {first_frame + num_frames - 1:,} are "
        "wanted, as the packets of the clip promise",
    )


def thumbnails(data: bytes, first_frame: int = 0, num_frames: int | None = None) -> "list[Image.Image]":
    """The first, middle and last frame of a part of a clip, upright, as stored in size; fewer of a shorter part.

    Only the frames between these and the key frames before them are decoded.

    Raises:
        MediaError: as `frames_of`.
    """
    from PIL import Image

    if animations.is_animation(data):
        return animations.thumbnails(data, first_frame, num_frames)
    with _open(data) as clip:
        shown = [packet.pts for packet in clip.packets() if _is_displayed(packet, clip.codec)]
    part = sorted(time for time in shown if time is not None)[first_frame:][:num_frames]
    wanted = sorted({part[at] for at in (0, len(part) // 2, len(part) - 1)}) if part else [None]
    found = []
    for time in wanted:
        with _open(data) as clip:
            if time is not None and time != min(part):
                clip.container.seek(time, stream=clip.stream)
            frames = clip.frames()
            frame = next((one for one in frames if time is None or one.pts is None or one.pts >= time), None)
            if frame is not None:
                found.append(Image.fromarray(clip.looks.upright(frame)))
    return found


def _smaller(frame: np.ndarray, resized_size: Sequence[int]) -> np.ndarray:
    """A copy of a frame with square pixels, of fewer of them: every second or third, as the longer edge allows."""
    from PIL import Image

    step = max(max(frame.shape[:2]) // SHOWN_PX, 1)
    small = frame[::step, ::step]
    height, width = small.shape[:2]
    wide = max(round(height * resized_size[0] / resized_size[1]), 1)
    if abs(wide - width) <= 1 + width // 50:
        return small.copy()
    return np.asarray(Image.fromarray(np.ascontiguousarray(small)).resize((wide, height)))


def _laid_out(frames: Sequence[np.ndarray]) -> np.ndarray:
    from PIL import Image

    return np.asarray(sheet([Image.fromarray(frame) for frame in frames]))


def sheet(pictures: "Sequence[Image.Image]") -> "Image.Image":
    """Pictures of one size in a row, or, where they are wider than high, in a column: as nearly square as that goes."""
    from PIL import Image

    width, height = pictures[0].size
    right, down = (0, 1) if width > height else (1, 0)
    last = len(pictures) - 1
    page = Image.new("RGB", (width * (1 + right * last), height * (1 + down * last)))
    for number, picture in enumerate(pictures):
        page.paste(picture, (number * width * right, number * height * down))
    return page


class Clip:
    """An open container, the video stream in it, and its decoder.

    Attributes:
        num_left_out: packets that were left out at the start, see `decode`.
        looks: what frames mean.
    """

    def __init__(self, container: Any, stream: Any, data: bytes) -> None:
        import av

        self.container = container
        self.stream = stream
        self.num_left_out = 0
        self._num_taken = 0
        self._has_begun = False
        self._num_packets = self._end = 0
        self._is_corrupt = False
        context = stream.codec_context
        self.codec = str(context.name)
        self.looks = Looks(data, self.codec)
        if stream.metadata.get("alpha_mode") == "1" and self.codec in DECODERS_WITH_ALPHA:
            self.decoder = av.CodecContext.create(DECODERS_WITH_ALPHA[self.codec], "r")
            self.decoder.extradata = context.extradata
        else:
            self.decoder = context
        # One thread: several videos are decoded at a time. Broken bits are an error, not a guess at the frame.
        self.decoder.thread_count = 1
        self.decoder.options = {"err_detect": "explode", "max_pixels": str(MAX_FRAME_PIXELS)}

    def packets(self) -> Iterator[Any]:
        return (packet for packet in self.container.demux(self.stream) if packet.size)

    def note(self, packet: Any) -> None:
        """Count a packet, for `is_whole`."""
        self._num_packets += 1
        self._is_corrupt |= bool(packet.is_corrupt)
        if packet.pts is not None:
            self._end = max(self._end, packet.pts + (packet.duration or 0))

    @property
    def is_whole(self) -> bool:
        """Whether all frames are there of which the header speaks, after all packets were noted.

        A container may speak of more bytes all the same: an index or titles that were cut off, or a false size.
        """
        if self._is_corrupt or not self._num_packets:
            return False
        if self.stream.frames:
            return bool(self._num_packets >= self.stream.frames)
        announced_s = _seconds(self.stream.metadata.get("DURATION", ""))
        if announced_s is None and len(self.container.streams) == 1 and self.container.duration:
            announced_s = self.container.duration / 1e6
        end_s = float(self._end * self.stream.time_base)
        return announced_s is not None and end_s > announced_s - end_s / self._num_packets / 2

    def decode(self, packet: Any) -> list[Any]:
        """The frames that a packet completes; None for the packet: those that are left at the end.

        A clip that was cut out of another without being encoded anew may begin with frames that refer to one in front
        of the cut (leading pictures of an open GOP). Behind a key frame that is whole, and before any frame is shown,
        such packets are left out.
        """
        import av

        try:
            frames: list[Any] = self.decoder.decode(packet)
        except av.FFmpegError:
            if self._has_begun or not self._num_taken or self.num_left_out == MAX_LEADING_PICTURES:
                raise
            self.num_left_out += 1
            return []
        self._num_taken += 1
        self._has_begun |= bool(frames)
        return frames

    def frames(self) -> Iterator[Any]:
        for packet in self.packets():
            yield from self.decode(packet)
        yield from self.decode(None)


def _seconds(clock: str) -> float | None:
    """Of a time as Matroska's writers note it of each track: `00:00:03.250000000`."""
    found = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", clock)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


@contextmanager
def _open(data: bytes) -> Iterator[Clip]:
    """Open a clip within the limits. What FFmpeg raises in the block, which can be nearly anything, is a MediaError."""
    import av

    if not data:
        raise MediaError("empty", "the video has no bytes")
    if containers.has_too_many_samples(data):
        raise MediaError("too_large", f"its header counts more frames or samples than {len(data):,d} bytes can hold")
    if png_chunks.unpacks_to_much(data):
        raise MediaError("too_large", "texts or profiles of its pictures unpack to more than any have")
    # Of a profile PyAV frees twice what it is called.
    given = png_chunks.without_packed(data) if data.startswith(PNG_START) else data
    try:
        with av.open(BytesIO(given), options={"format_whitelist": CONTAINERS, "protocol_whitelist": ""}) as container:
            streams = [one for one in container.streams.video if not _is_cover(one)]
            if not streams:
                raise _broken(data, "no_video", f"the file ({container.format.name}) holds no video stream")
            stream = _moving(streams)
            context = stream.codec_context
            if context is None:
                raise _broken(data, "undecodable", "the video's codec is unknown")
            if context.width * context.height > MAX_FRAME_PIXELS:
                raise MediaError(
                    "too_large",
                    f"{context.width:,d} x {context.height:,d} pixels are more than the limit of {MAX_FRAME_PIXELS:,d}",
                )
            yield Clip(container, stream, data)
    except MediaError:
        raise
    except Exception as error:
        raise _broken(data, "undecodable", f"{signatures.words(error)}: {signatures.describe(data)}") from error


def _broken(data: bytes, reason: str, message: str) -> MediaError:
    """The error to raise of bytes that can't be used: where the file's end is missing, that is the reason."""
    other = signatures.other_kind(data, "video")
    if not other and containers.is_cut(data):
        return MediaError("truncated", f"the file ends before its container does, after {len(data):,d} bytes")
    return MediaError(reason, message + other)


def _moving(streams: list[Any]) -> Any:
    """The first stream; but the one behind it where that is a still, as animated AVIF and HEIF have in front."""
    moving = [one for one in streams if one.frames != 1]
    return moving[0] if moving else streams[0]


def _is_cover(stream: Any) -> bool:
    """Whether a stream is one image, such as the cover of a piece of music."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _is_displayed(packet: Any, codec: str) -> bool:
    """Whether a packet makes a frame that is displayed."""
    if packet.is_discard:  # before the start that an edit list sets
        return False
    return codec != "vp8" or bool(bytes(packet)[0] & 0x10)  # RFC 6386, 9.1: show_frame


def _from(start: int | None, times: list[int | None]) -> list[int | None]:
    """Without leading pictures that decoders leave out in silence: those that would be displayed before the first."""
    behind = [time for time in times if time is None or start is None or time >= start]
    return behind if len(times) - len(behind) <= MAX_LEADING_PICTURES else times


def _mean_rate(times: list[int], stream: Any) -> float | None:
    """Frames per second, from the times of the packets; what the header says only where there are none."""
    if len(times) > 1 and max(times) > min(times):
        return round(float((len(times) - 1) / ((max(times) - min(times)) * stream.time_base)), 3) or None
    return float(stream.guessed_rate) if stream.guessed_rate else None


def _display_size(frame: Any, clip: Clip) -> tuple[int, int]:
    """(width, height) as displayed."""
    aspect = clip.stream.sample_aspect_ratio or Fraction(1)
    width = max(1, round(frame.width * aspect)) if aspect > 0 else frame.width
    height = int(frame.height)
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError("too_large", f"{width:,d} x {height:,d} pixels are more than {MAX_FRAME_PIXELS:,d}")
    return (height, width) if clip.looks.matrix(frame)[0] == 0 else (width, height)
