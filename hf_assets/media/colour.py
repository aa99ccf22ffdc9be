"""Bring colours that aren't sRGB to sRGB: other primaries, other curves, and HDR.

What code values mean is a `Colours`: primaries, and a curve to light. Code points are those of ITU-T H.273, as PNG's
cICP, AVIF's nclx and a video stream's header have them. Light of 1 is SDR's white.

HDR is tone-mapped by one rule, in images and in clips: HDR's reference white of 203 cd/m2 (ITU-R BT.2408) is SDR's
white, and what is brighter is brought below it by the curve of ITU-R BT.2390 (EETF), over the largest of R, G and B, so
that hues stay. Its input peak is the brightest value there is, from 203 to 1,000 cd/m2: an image that has nothing
above reference white stays as it is. HLG is shown on a display of 1,000 cd/m2 first (ITU-R BT.2100, system gamma 1.2).
Colours outside sRGB are clipped, in linear light.

Shape letters: H W pixels.
"""

import functools
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
# x and y of red, green, blue and white.
Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]

WHITE_CD, PEAK_CD = 203.0, 1000.0

_D65 = (0.3127, 0.3290)
SRGB: Chromaticities = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
# H.273, table 2.
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
# Taken as sRGB's: unknown ones, and those of standard definition, which encoders write by an image's height as often
# as from knowledge, and which differ by 8 levels at most.
USUAL_PRIMARIES = (0, 1, 2, 3, 5, 6, 7, 22)

# H.273, table 3. What isn't here is taken as sRGB's curve: unknown ones; gamma 2.2 (4); BT.709's and its kin (1, 6, 7,
# 11, 12, 14, 15), which displays show as they show sRGB.
GAMMAS = {5: 2.8, 8: 1.0, 17: 2.6}
KNOWN_TRANSFERS = (1, *range(4, 19))
PQ, HLG, LOGARITHMS = 16, 18, {9: 2.0, 10: 2.5}

# A gamma by which files mean sRGB's curve, as PNG has it: 1 / 2.2, as near as it can be written.
USUAL_GAMMA, GAMMA_TOLERANCE = 2.2, 0.02
CHROMATICITY_TOLERANCE = 0.002

Curve: TypeAlias = Literal["srgb", "pq", "hlg", "log 2", "log 2.5"] | float


@dataclass(frozen=True)
class Colours:
    """What an image's code values mean.

    Attributes:
        primaries: None where those of sRGB.
        curve: by name, or the exponent of a gamma curve.
        is_narrow: 16 to 235 are black to white.
    """

    primaries: Chromaticities | None = None
    curve: Curve = "srgb"
    is_narrow: bool = False

    @property
    def is_plain(self) -> bool:
        return self == Colours()

    @property
    def is_hdr(self) -> bool:
        return self.curve in ("pq", "hlg")


def are_known(primaries: int, transfer: int) -> bool:
    """Whether code points are neither unspecified nor reserved."""
    return (primaries in PRIMARIES or primaries in (5, 6, 7, 22)) and transfer in KNOWN_TRANSFERS


def of_code_points(primaries: int, transfer: int, *, is_narrow: bool = False) -> Colours:
    """Of H.273's code points."""
    curve: Curve = GAMMAS.get(transfer, "srgb")
    if transfer in (PQ, HLG):
        curve = "pq" if transfer == PQ else "hlg"
    elif transfer in LOGARITHMS:
        curve = "log 2" if transfer == 9 else "log 2.5"
    chromaticities = None if primaries in USUAL_PRIMARIES else PRIMARIES.get(primaries)
    return Colours(chromaticities, curve, is_narrow)


def steps_of(colours: Colours, otherwise: str = "cicp") -> tuple[str, ...]:
    """The step that converting these colours is (`media.steps`)."""
    if colours.is_plain:
        return ()
    return (str(colours.curve),) if colours.is_hdr else (otherwise,)


def of_gamma(gamma: float | None, chromaticities: Chromaticities | None) -> Colours:
    """Of a decoding exponent and primaries, either of which a file may leave out."""
    curve: Curve = "srgb"
    if gamma is not None and gamma > 0 and abs(gamma - USUAL_GAMMA) > GAMMA_TOLERANCE * USUAL_GAMMA:
        curve = gamma
    is_usual = chromaticities is None or np.allclose(chromaticities, SRGB, rtol=0, atol=CHROMATICITY_TOLERANCE)
    if is_usual or chromaticities is None or not _are_real(chromaticities):
        return Colours(None, curve)
    return Colours(chromaticities, curve)


def peak_cd(pixels: np.ndarray, colours: Colours) -> float:
    """The brightest value of HDR pixels as `to_srgb` takes them, within the limits, in cd/m2."""
    light = _display_light(pixels, colours)
    return float(np.clip(light.max(initial=0) * WHITE_CD, WHITE_CD, PEAK_CD))


def to_srgb(pixels: np.ndarray, colours: Colours, peak: float | None = None) -> npt.NDArray[np.uint8]:
    """Convert pixels.

    Args:
        pixels: (H, W, 3) RGB, or (H, W) gray; uint8 or uint16, each over its whole range.
        peak: of HDR, `peak_cd` of what belongs together; None: of these pixels.

    Returns:
        the same shape, uint8, sRGB.
    """
    light = _display_light(pixels, colours)
    if colours.is_hdr:
        largest = light if light.ndim == 2 else light.max(axis=2)
        if peak is None:
            peak = float(np.clip(largest.max(initial=0) * WHITE_CD, WHITE_CD, PEAK_CD))
        gain = _gain(largest, peak)
        light *= gain if light.ndim == 2 else gain[..., None]
    if colours.primaries is not None and light.ndim == 3:
        light = light @ to_srgb_matrix(colours.primaries).T
    return encoded(light)


def encoded(light: np.ndarray) -> npt.NDArray[np.uint8]:
    """sRGB's code values of linear light; what is below 0 or above 1 is clipped."""
    found: npt.NDArray[np.uint8] = _encoding()[(np.clip(light, 0, 1) * 65_535 + 0.5).astype(np.uint16)]
    return found


def _display_light(pixels: np.ndarray, colours: Colours) -> Floats:
    """Linear light, 1 is SDR's white. float32"""
    table = _decoding(colours.curve, colours.is_narrow, pixels.dtype.itemsize)
    light: Floats = table[pixels]
    if colours.curve == "hlg":
        scene = light if light.ndim == 2 else light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        ootf = np.maximum(scene, 1e-6) ** np.float32(0.2) * np.float32(PEAK_CD / WHITE_CD)
        light *= ootf if light.ndim == 2 else ootf[..., None]
    return light


@functools.lru_cache(32)
def _decoding(curve: Curve, is_narrow: bool, num_bytes: int) -> Floats:
    """Light of each code value; of HLG, of the scene."""
    assert num_bytes in (1, 2), f"code values of {num_bytes} bytes"
    signal = np.arange(256**num_bytes) / (256**num_bytes - 1)
    if is_narrow:
        signal = np.clip((signal * 255 - 16) / 219, 0, 1)
    if curve == "srgb":
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    elif curve == "pq":
        light = _pq_light(signal) / WHITE_CD
    elif curve == "hlg":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    elif curve in ("log 2", "log 2.5"):
        light = np.where(signal > 0, 10 ** (float(curve.removeprefix("log ")) * (signal - 1)), 0)
    else:
        assert not isinstance(curve, str)
        light = signal**curve
    return np.asarray(light, np.float32)


@functools.lru_cache(1)
def _encoding() -> npt.NDArray[np.uint8]:
    """sRGB's code value of each 65,535th of light."""
    light = np.arange(65_536) / 65_535
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(signal * 255), np.uint8)


def _gain(light: Floats, peak: float) -> Floats:
    """What BT.2390's curve multiplies light by, of a source with this peak on a display of SDR's white."""
    if peak <= WHITE_CD:
        return np.ones_like(light)
    grid = np.linspace(0, 1, 4096) ** 2 * (peak / WHITE_CD)
    top = _pq_signal(np.array(peak))
    signal, white = _pq_signal(grid * WHITE_CD) / top, float(_pq_signal(np.array(WHITE_CD)) / top)
    knee = 1.5 * white - 0.5
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    mapped = np.where(signal < knee, grid, _pq_light(spline * top) / WHITE_CD)
    gains = np.divide(mapped, grid, out=np.ones_like(grid), where=grid > 0)
    found = np.interp(light, grid, gains)
    # above the input's peak: to white
    return np.asarray(np.where(light > grid[-1], 1 / np.maximum(light, 1e-6), found), np.float32)


def from_lab(lab: np.ndarray) -> npt.NDArray[np.uint8]:
    """CIELAB, of the white D50, in sRGB.

    Args:
        lab: (H, W, 3): L* of 0 to 100, a*, b*.
    """
    f_y = (lab[..., 0] + 16) / 116
    each = np.stack([f_y + lab[..., 1] / 500, f_y, f_y - lab[..., 2] / 200], axis=-1)
    light = np.where(each > 6 / 29, each**3, 3 * (6 / 29) ** 2 * (each - 4 / 29)) * D50
    return encoded(light @ np.linalg.inv(adapted_to_d50(SRGB)).T)


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def _pq_light(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084's EOTF, in cd/m2."""
    power = signal ** (1 / _M2)
    light: np.ndarray = 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)
    return light


def _pq_signal(light: np.ndarray) -> np.ndarray:
    power = (light / 10_000) ** _M1
    signal: np.ndarray = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return signal


# The white of CIELAB and of profiles (ICC.1, 7.2.16).
D50 = np.array([0.9642, 1.0, 0.8249])
# Bradford's cones.
CONES = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@functools.lru_cache(64)
def to_srgb_matrix(primaries: Chromaticities) -> Floats:
    """(3, 3) from linear light of these primaries to that of sRGB's, whites adapted."""
    source, target = to_xyz(primaries), to_xyz(SRGB)
    whites = CONES @ source.sum(axis=1), CONES @ target.sum(axis=1)
    adapted = np.linalg.inv(CONES) @ np.diag(whites[1] / whites[0]) @ CONES
    return np.asarray(np.linalg.inv(target) @ adapted @ source, np.float32)


def adapted_to_d50(primaries: Chromaticities) -> np.ndarray:
    """(3, 3) from linear light of these primaries to XYZ of the white D50, as profiles have it."""
    source = to_xyz(primaries)
    whites = CONES @ source.sum(axis=1), CONES @ D50
    return np.asarray(np.linalg.inv(CONES) @ np.diag(whites[1] / whites[0]) @ CONES @ source)


def to_xyz(primaries: Chromaticities) -> np.ndarray:
    *corners, white = ((x, y, 1 - x - y) for x, y in zip(primaries[::2], primaries[1::2], strict=True))
    colours = np.array(corners).T
    light = np.array(white) / white[1]
    return np.asarray(colours * np.linalg.solve(colours, light))


def _are_real(primaries: Chromaticities) -> bool:
    """Whether these primaries span a triangle, and their white has light."""
    (rx, ry, gx, gy, bx, by, _, white_y) = primaries
    return abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) > 1e-4 and white_y > 1e-4
