"""ICC profiles: what they mean is what they do to colours, never what they are called."""

import functools
import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from hf_assets.media import colour

# The modes that an embedded profile can describe; every other mode is converted to RGB first.
MODES = ("RGB", "L", "CMYK")

# A profile that moves no colour by more levels is sRGB's: curves are rounded, and black points differ a little.
SRGB_LEVELS = 2
_GRID_LEVELS = 17


@functools.lru_cache(256)
def is_srgb(icc: bytes, mode: str) -> bool:
    """Whether converting pixels of a mode from this profile to sRGB would leave them as they are.

    A profile that is broken, or not of the pixels' colour space, says nothing about them: so it does as well.
    """
    if mode == "CMYK":
        return _convert(Image.new("CMYK", (1, 1)), icc) is None
    if mode == "L":
        colours = np.arange(256, dtype=np.uint8)[None]
        wanted = np.repeat(colours[..., None], 3, axis=2)
    else:
        levels = np.linspace(0, 255, _GRID_LEVELS).round().astype(np.uint8)
        wanted = colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_GRID_LEVELS, -1, 3)
    converted = _convert(Image.fromarray(colours), icc)
    return converted is None or int(np.abs(np.asarray(converted).astype(int) - wanted).max()) <= SRGB_LEVELS


@functools.lru_cache(256)
def is_usable(icc: bytes, mode: str) -> bool:
    """Whether pixels of a mode can be converted from this profile."""
    return _convert(Image.new(mode, (1, 1)), icc) is not None


def to_srgb(picture: Image.Image, icc: bytes) -> Image.Image:
    """An image of one of `MODES`, converted from its profile: RGB."""
    converted = _convert(picture, icc)
    assert converted is not None, "a profile that can't be used is `is_srgb`"
    return converted


def _convert(picture: Image.Image, icc: bytes) -> Image.Image | None:
    if picture.mode == "L" and icc[16:20] == b"RGB ":  # gray that was colour: browsers take it so
        picture = picture.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        return ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # broken, or of another colour space
        return None


@dataclass(frozen=True)
class Shaper:
    """A profile that is a curve for each channel, and of colour a matrix (ICC.1, F.3).

    Attributes:
        curves: (channels, 65,536) float32: the light of each code value.
        matrix: (3, 3) from it to that of sRGB; None of gray.
    """

    curves: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32] | None

    def to_srgb(self, values: np.ndarray) -> npt.NDArray[np.uint8]:
        """Convert pixels: Pillow's profiles know 8 bits only, of which a linear curve leaves few to the shadows.

        Args:
            values: (H, W) or (H, W, 3) uint16. Of gray in three channels, the first is taken by a profile of gray.

        Returns:
            (H, W, 3) RGB
        """
        if self.matrix is None:
            light = self.curves[0][values if values.ndim == 2 else values[..., 0]]
            return np.repeat(colour.encoded(light)[..., None], 3, axis=2)
        if values.ndim == 2 or values.shape[2] == 1:
            values = np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
        each = [curve[values[..., channel]] for channel, curve in enumerate(self.curves)]
        return colour.encoded(np.stack(each, axis=-1) @ self.matrix.T)


@functools.lru_cache(64)
def shaper_of(icc: bytes, mode: str) -> Shaper | None:
    """A profile's curves and matrix; None of one that is described by tables, or isn't of RGB or gray."""
    tags = _tags(icc)
    if any(tag[:3] in (b"A2B", b"D2B") for tag in tags) or icc[20:24] != b"XYZ ":
        return None
    names = {b"RGB ": (b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"kTRC",)}.get(icc[16:20], ())
    curves = [_curve(tags.get(name, b"")) for name in names]
    found = [one for one in curves if one is not None]
    if not found or len(found) < len(names) or mode not in (("RGB", "L") if len(names) == 3 else ("L",)):
        return None
    if len(names) == 1:
        return Shaper(np.stack(found), None)
    columns = [tags.get(name, b"") for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if any(len(one) < 20 for one in columns):
        return None
    to_xyz = np.array([struct.unpack_from(">3i", one, 8) for one in columns]).T / 65_536
    from_xyz = np.linalg.inv(colour.adapted_to_d50(colour.SRGB))
    return Shaper(np.stack(found), np.asarray(from_xyz @ to_xyz, np.float32))


def _curve(tag: bytes) -> np.ndarray | None:
    """The light of each code value of 16 bits (ICC.1, 10.6 and 10.18); None where the tag says none."""
    signal = np.arange(65_536) / 65_535
    if tag[:4] == b"curv" and len(tag) >= 12:
        count = int.from_bytes(tag[8:12])
        if len(tag) < 12 + 2 * count:
            return None
        table = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            light = signal
        elif count == 1:
            light = signal ** (table[0] / 256)
        else:
            light = np.interp(signal, np.linspace(0, 1, count), table / 65_535)
    elif tag[:4] == b"para" and len(tag) >= 12 and (kind := int.from_bytes(tag[8:10])) < len(_NUM_PARAMETERS):
        count = _NUM_PARAMETERS[kind]
        if len(tag) < 12 + 4 * count:
            return None
        g, *more = (value / 65_536 for value in struct.unpack_from(f">{count}i", tag, 12))
        a, b, c, d, e, f = _parameters(kind, more)
        light = np.where(signal >= d, np.maximum(a * signal + b, 0) ** g + e, c * signal + f)
    else:
        return None
    return np.asarray(np.clip(light, 0, 1), np.float32)


_NUM_PARAMETERS = (1, 3, 4, 5, 7)


def _parameters(kind: int, more: list[float]) -> tuple[float, ...]:
    """a to f of Y = (aX + b)^g + e from d on, cX + f below, of each kind of parametric curve."""
    if kind == 0:
        return 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    a, b = more[:2]
    start = -b / a if a else 0.0
    if kind == 1:
        return a, b, 0.0, start, 0.0, 0.0
    if kind == 2:
        return a, b, 0.0, start, more[2], more[2]
    c, d = more[2:4]
    e, f = more[4:] if kind == 4 else (0.0, 0.0)
    return a, b, c, d, e, f


def _tags(icc: bytes) -> dict[bytes, bytes]:
    """What a profile holds, by name."""
    if len(icc) < 132:
        return {}
    found: dict[bytes, bytes] = {}
    (count,) = struct.unpack_from(">I", icc, 128)
    for at in range(132, min(132 + 12 * count, len(icc) - 11), 12):
        name, offset, size = struct.unpack_from(">4sII", icc, at)
        found.setdefault(name, icc[offset : offset + size])
    return found


def code_points(icc: bytes) -> tuple[int, int] | None:
    """(primaries, transfer) of H.273, where a profile has the tag `cicp` (ICC.1:2022, 9.2.17) and describes RGB."""
    tag = _tags(icc).get(b"cicp", b"")
    return (tag[8], tag[9]) if len(tag) >= 12 and icc[16:20] == b"RGB " else None
