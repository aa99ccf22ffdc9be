"""A decoded frame of a clip: what its code values mean, which way is up, and its pixels as RGB in sRGB.

Shape letters: H W pixels.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from hf_assets.media import colour, memory, png_chunks, profiles
from hf_assets.media.colour import Colours

# What turning a pixel of a frame to RGB takes at most: floats of HDR.
RGB_BYTES = 48

# From which size on players (mpv, Chrome, Firefox) take HD's matrix for clips that name none; and numbers of matrices:
# H.273, table 4.
HD_WIDTH, HD_HEIGHT = 1280, 720
UNNAMED_MATRICES, BT709, BT2020 = (2, 3), 1, 9

# Decoders that note with a profile how it is called: PyAV frees that twice, so nothing beside their frames is read.
NAMING_PROFILES = ("png", "apng")

PNG_START = b"\x89PNG"


@dataclass(frozen=True)
class Look:
    """What a frame's code values mean.

    Attributes:
        icc: the profile to convert from, in place of colours; None: there is none, or it is sRGB's.
        is_hd: whether it has no matrix of its own, and is so large that players take that of HD.
    """

    colours: Colours
    icc: bytes | None = None
    is_hd: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done beyond the plain case (`media.steps`)."""
        read = ("icc",) if self.icc is not None else colour.steps_of(self.colours)
        return (*read, *(["hd"] if self.is_hd else []))


class Looks:
    """What all frames of a clip have in common: what its file says of them."""

    def __init__(self, data: bytes, codec: str) -> None:
        """
        Args:
            codec: FFmpeg's name of the decoder.
        """
        self._named = codec in NAMING_PROFILES
        self._of_file = _look_of_png(data) if data.startswith(PNG_START) else None

    def look(self, frame: Any) -> Look:
        """By the file's or the frame's profile, else by the code points in the stream's header."""
        if self._of_file is not None:
            return self._of_file
        colours, is_hd = colour.of_code_points(int(frame.color_primaries), int(frame.color_trc)), _is_hd(frame)
        icc = None if self._named or colours.is_hdr else _side_data(frame).get("ICC_PROFILE")
        if icc is None or not profiles.is_usable(icc, "RGB"):
            return Look(colours, None, is_hd)
        return Look(Colours(), None if profiles.is_srgb(icc, "RGB") else icc, is_hd)

    def rgb(self, frame: Any, peak_cd: float | None = None) -> np.ndarray:
        """(H, W, 3) uint8 as stored, in sRGB, composited on white.

        Args:
            peak_cd: of HDR, see `media.colour`; None: of this frame.
        """
        with memory.DECODING.hold(RGB_BYTES * frame.width * frame.height):
            return _rgb(frame, self.look(frame), peak_cd)

    def peak_cd(self, frame: Any) -> float:
        """The brightest value of a frame of HDR."""
        look = self.look(frame)
        with memory.DECODING.hold(RGB_BYTES * frame.width * frame.height):
            return colour.peak_cd(_converted(frame, look, "rgb48le"), look.colours)

    def upright(self, frame: Any, peak_cd: float | None = None) -> np.ndarray:
        """`rgb`, turned as the file asks players to, contiguous."""
        pixels = self.rgb(frame, peak_cd)
        a, b, c, d = self.matrix(frame)
        if a == 0:
            pixels, a, d = pixels.swapaxes(0, 1), c, b
        return np.ascontiguousarray(pixels[::d, ::a])

    def matrix(self, frame: Any) -> tuple[int, int, int, int]:
        """(a, b, c, d) of a frame's display matrix, each -1, 0 or 1: x' = a x + c y, y' = b x + d y."""
        entry = None if self._named else _side_data(frame).get("DISPLAYMATRIX")
        if entry is None:
            return TURNS.get(int(frame.rotation) % 360, TURNS[0])
        values = struct.unpack_from("=9i", entry)
        a, b, c, d = (round(values[index] / 65536) for index in (0, 1, 3, 4))
        if {abs(a), abs(b)} == {abs(c), abs(d)} == {0, 1} and abs(a) == abs(d):
            return a, b, c, d
        return TURNS[0]  # no turn by a multiple of 90 degrees


# By degrees counterclockwise.
TURNS = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}


def _rgb(frame: Any, look: Look, peak_cd: float | None) -> np.ndarray:
    has_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
    if not has_alpha:
        return _colours_of(frame, look, peak_cd)
    layers = _converted(frame, look, "rgba").astype(np.uint16)
    if look.icc is not None or not look.colours.is_plain:
        layers[..., :3] = _colours_of(frame, look, peak_cd)
    alpha = layers[..., 3:]
    white: np.ndarray = (layers[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return white.astype(np.uint8)


def _colours_of(frame: Any, look: Look, peak_cd: float | None) -> np.ndarray:
    """(H, W, 3) uint8 in sRGB, without alpha."""
    if look.icc is not None:
        return np.asarray(profiles.to_srgb(Image.fromarray(_converted(frame, look, "rgb24")), look.icc))
    if look.colours.is_plain:
        return _converted(frame, look, "rgb24")
    return colour.to_srgb(_converted(frame, look, "rgb48le"), look.colours, peak_cd)


def _converted(frame: Any, look: Look, sample_format: str) -> np.ndarray:
    """A frame by its matrix and range, in another format of samples."""
    if look.is_hd:
        frame.colorspace = BT2020 if frame.color_primaries == BT2020 else BT709
    pixels: np.ndarray = frame.to_ndarray(format=sample_format)
    return pixels


def _is_hd(frame: Any) -> bool:
    is_large = frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT
    has_matrix = not frame.format.is_rgb and not frame.format.has_palette and len(frame.format.components) >= 3
    return is_large and has_matrix and int(frame.colorspace) in UNNAMED_MATRICES


def _side_data(frame: Any) -> dict[str, bytes]:
    """What stands beside a frame, by PyAV's names; nothing where it doesn't know one of them, and fails."""
    try:
        return {entry.type.name: bytes(entry) for entry in frame.side_data}
    except ValueError:
        return {}


def _look_of_png(data: bytes) -> Look:
    """As of a still (`media.pixels`), in 8 bits where it has a profile."""
    try:
        icc = PngImagePlugin.PngImageFile(BytesIO(data)).info.get("icc_profile")
    except Exception:  # broken: nearly anything
        icc = None
    is_usable = bool(icc) and profiles.is_usable(icc, "RGB")
    if (said := png_chunks.colours(data, has_profile=is_usable)) is not None:
        return Look(said[0])
    return Look(Colours(), icc if is_usable and not profiles.is_srgb(icc, "RGB") else None)
