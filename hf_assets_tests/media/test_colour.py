"""However a file says what its colours are, they come out as those of the same picture in plain sRGB."""

import gc
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from hf_assets.media import colour, image, profiles, tiff_samples, video

P3, BT2020, SRGB_CURVE, LINEAR, PQ, HLG = 12, 9, 13, 8, 16, 18


def picture(width: int = 32, height: int = 24) -> np.ndarray:
    """Smooth colours, with black, white and all hues. (H, W, 3) uint8"""
    coarse = np.random.default_rng(4).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    coarse[0, 0], coarse[3, 3] = 0, 255
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


PICTURE = picture()


def light() -> np.ndarray:
    signal = PICTURE / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def in_colours(primaries: int, transfer: int, white_cd: float = 203) -> np.ndarray:
    """The picture in other primaries and with another curve, in 16 bits; of HDR its white has so many cd/m2."""
    other = light()
    if primaries in (P3, BT2020):
        to_srgb = colour.to_srgb_matrix(colour.PRIMARIES[primaries]).astype(np.float64)
        other = np.clip(other @ np.linalg.inv(to_srgb).T, 0, 1)
    if transfer == PQ:  # SMPTE ST 2084
        power = (other * white_cd / 10_000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    elif transfer == HLG:  # ARIB STD-B67, shown at 1,000 cd/m2 with a system gamma of 1.2
        shown = other * white_cd / 1000
        luminance = np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None]
        scene = shown * luminance ** (1 / 1.2 - 1)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    elif transfer == LINEAR:
        signal = other
    else:
        signal = np.where(other <= 0.0031308, other * 12.92, 1.055 * other ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(signal, 0, 1) * 65_535).astype(np.uint16)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: np.ndarray, *chunks: bytes) -> bytes:
    """RGB or gray in 8 or 16 bits."""
    bits, kind = 8 * pixels.dtype.itemsize, 2 if pixels.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def in_8_bits(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels / 257).astype(np.uint8)


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def saved(pixels: np.ndarray, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format, **options)
    return stream.getvalue()


def avif(primaries: int, transfer: int) -> bytes:
    data = saved(in_8_bits(in_colours(primaries, transfer)), "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def profile(primaries: int, curve: float | None, name: str = "sRGB IEC61966-2.1") -> bytes:
    """A profile of primaries with a gamma curve, or sRGB's, whatever it is called."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert len(name) >= 4
    icc = bytearray(icc.replace("sRGB".encode("utf-16-be"), name[:4].encode("utf-16-be")))
    tags = {
        bytes(icc[at : at + 4]): struct.unpack_from(">II", icc, at + 4) for at in range(132, 132 + 12 * icc[131], 12)
    }
    corners = colour.to_xyz(colour.PRIMARIES[primaries])
    d50 = np.array([0.9642, 1.0, 0.8249])
    cones = np.diag(colour.CONES @ d50 / (colour.CONES @ corners.sum(axis=1)))
    adapted = np.linalg.inv(colour.CONES) @ cones @ colour.CONES @ corners
    for column, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        struct.pack_into(">3i", icc, tags[tag][0] + 8, *np.rint(adapted[:, column] * 65_536).astype(int).tolist())
    if curve is not None:
        struct.pack_into(">HHi", icc, tags[b"rTRC"][0] + 8, 0, 0, round(curve * 65_536))
    return bytes(icc)


def with_code_points(icc: bytes, primaries: int, transfer: int) -> bytes:
    """The profile with a tag `cicp`."""
    count = struct.unpack_from(">I", icc, 128)[0]
    table, content = icc[132 : 132 + 12 * count], icc[132 + 12 * count :]
    moved = b"".join(
        table[at : at + 4]
        + struct.pack(">I", struct.unpack_from(">I", table, at + 4)[0] + 12)
        + table[at + 8 : at + 12]
        for at in range(0, len(table), 12)
    )
    entry = struct.pack(">4sII", b"cicp", len(icc) + 12, 12)
    made = icc[:128] + struct.pack(">I", count + 1) + moved + entry + content
    made += b"cicp\0\0\0\0" + bytes([primaries, transfer, 0, 1])
    return struct.pack(">I", len(made)) + made[4:]


def chrm(primaries: int) -> bytes:
    *corners, white_x, white_y = colour.PRIMARIES[primaries]
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in (white_x, white_y, *corners))))


def gama(exponent: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 / exponent)))


def iccp(icc: bytes) -> bytes:
    return chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(icc))


LINEAR_8 = in_8_bits(in_colours(1, LINEAR))

# What says it, in how many levels it may be off at most and on average, and the step.
CASES: dict[str, tuple[bytes, int, float, str | None]] = {
    "plain": (png(PICTURE), 0, 0, None),
    "sRGB by code points": (png(PICTURE, cicp(1, SRGB_CURVE)), 0, 0, None),
    "sRGB by gAMA and cHRM": (png(PICTURE, gama(2.2), chrm(1)), 0, 0, None),
    "sRGB goes before gAMA": (png(PICTURE, chunk(b"sRGB", b"\0"), gama(1.0)), 0, 0, None),
    "P3 by code points": (png(in_8_bits(in_colours(P3, SRGB_CURVE)), cicp(P3, SRGB_CURVE)), 8, 0.3, "cicp-1"),
    "BT.2020 by code points": (png(in_colours(BT2020, SRGB_CURVE), cicp(BT2020, SRGB_CURVE)), 1, 0.1, "cicp-1"),
    "linear in 16 bits": (png(in_colours(1, LINEAR), cicp(1, LINEAR)), 1, 0.1, "cicp-1"),
    "linear by gAMA, in 16 bits": (png(in_colours(1, LINEAR), gama(1.0)), 1, 0.1, "gama-1"),
    "P3 by cHRM": (png(in_colours(P3, SRGB_CURVE), gama(2.2), chrm(P3)), 1, 0.1, "gama-1"),
    "code points that say nothing": (png(in_colours(1, LINEAR), cicp(2, 2), gama(1.0)), 1, 0.1, "gama-1"),
    "reserved ones, and a profile": (png(in_colours(P3, 13), cicp(3, 13), iccp(profile(P3, None))), 1, 0.1, "icc16-1"),
    "a broken profile, and gAMA": (png(in_colours(1, LINEAR), iccp(b"no profile" * 20), gama(1.0)), 1, 0.1, "gama-1"),
    "a profile that isn't packed, and gAMA": (
        png(in_colours(1, LINEAR), chunk(b"iCCP", b"x\0\0no zlib"), gama(1.0)),
        1,
        0.1,
        "gama-1",
    ),
    "cICP goes before a profile": (png(PICTURE, cicp(1, 13), iccp(profile(P3, 1.0))), 0, 0, None),
    "PQ in 16 bits": (png(in_colours(BT2020, PQ), cicp(BT2020, PQ)), 1, 0.1, "pq-1"),
    "PQ in 8 bits": (png(in_8_bits(in_colours(BT2020, PQ)), cicp(BT2020, PQ)), 25, 1.6, "pq-1"),
    "HLG in 16 bits": (png(in_colours(BT2020, HLG), cicp(BT2020, HLG)), 1, 0.1, "hlg-1"),
    "PQ by a profile's cicp": (
        png(in_colours(P3, PQ), iccp(with_code_points(profile(P3, 1.0), P3, PQ))),
        1,
        0.1,
        "pq-1",
    ),
    "P3 in AVIF": (avif(P3, SRGB_CURVE), 30, 1.3, "cicp-1"),
    "PQ in AVIF": (avif(BT2020, PQ), 60, 4.0, "pq-1"),
    "a linear profile called sRGB": (saved(LINEAR_8, "PNG", icc_profile=profile(1, 1.0)), 8, 1.0, "icc-1"),
    "P3 called sRGB": (saved(in_8_bits(in_colours(P3, 13)), "PNG", icc_profile=profile(P3, None)), 8, 0.3, "icc-1"),
    "a linear profile in 16 bits": (png(in_colours(1, LINEAR), iccp(profile(1, 1.0))), 1, 0.1, "icc16-1"),
    "P3's profile in 16 bits": (png(in_colours(P3, SRGB_CURVE), iccp(profile(P3, None))), 1, 0.1, "icc16-1"),
    "sRGB called otherwise": (saved(PICTURE, "PNG", icc_profile=profile(1, None, "mine")), 0, 0, None),
}


@pytest.mark.parametrize("case", CASES)
def test_colours_come_out_as_in_plain_srgb(case: str) -> None:
    data, most, mean, decoding = CASES[case]
    assert image.probe(data).decoding == decoding
    difference = np.abs(np.asarray(image.decode(data)).astype(int) - PICTURE)
    assert (difference.max() <= most, difference.mean() <= mean) == (True, True), (difference.max(), difference.mean())


def test_srgb_s_own_profile_changes_nothing_and_is_no_step() -> None:
    assert profiles.is_srgb(profile(1, None), "RGB")
    assert not profiles.is_srgb(profile(1, 1.0), "RGB")


def test_what_is_brighter_than_white_is_brought_below_it_and_keeps_its_order_and_hue() -> None:
    nits = np.array([0, 50, 100, 203, 400, 700, 1000, 4000])
    power = (nits / 10_000) ** (2610 / 16384)
    signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    gray = np.rint(np.repeat(signal[None, :, None], 3, axis=2) * 65_535).astype(np.uint16)
    mapped = colour.to_srgb(gray, colour.of_code_points(1, PQ))[0, :, 0].tolist()
    # 50 cd/m2 are 0.246 of white, which sRGB writes as 136; below the knee nothing changes
    assert mapped == sorted(mapped)
    assert (mapped[0], mapped[1], mapped[-2], mapped[-1]) == (0, 136, 255, 255)
    assert 220 < mapped[3] < mapped[4] <= mapped[5] <= 255
    red = gray * np.array([1, 0, 0], np.uint16)
    assert colour.to_srgb(red, colour.of_code_points(1, PQ))[0, :, 1:].max() == 0


@pytest.mark.parametrize("peak_cd", [203, 1000])
def test_a_picture_without_highlights_stays_as_it_is_and_one_with_them_only_below_the_knee(peak_cd: float) -> None:
    pixels = in_colours(1, PQ)
    mapped = colour.to_srgb(pixels, colour.of_code_points(1, PQ), peak_cd).astype(int)
    assert (np.abs(mapped - PICTURE).max() <= 1) == (peak_cd == 203)


# --- gray and floats in TIFF

GRAY = PICTURE[..., 0]


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


TIFFS: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "16 bits, 0 is white": (
        lambda: tiff(65_535 - GRAY.astype(np.uint16) * 257, photometric="miniswhite"),
        "inverted-1",
    ),
    "8 bits, 0 is white": (lambda: tiff(255 - GRAY, photometric="miniswhite"), None),
    "32 bits unsigned": (lambda: tiff(GRAY.astype(np.uint32) * 16_843_009), "range-1"),
    "32 bits unsigned, 0 is white": (
        lambda: tiff(2**32 - 1 - GRAY.astype(np.uint32) * 16_843_009, photometric="miniswhite"),
        "inverted-1 range-1",
    ),
    "16 bits": (lambda: tiff(GRAY.astype(np.uint16) * 257), None),
    "12 bits": (lambda: twelve_bits(), "range-1"),
    "half floats": (lambda: tiff((GRAY / 255).astype(np.float16)), "float-1"),
    "double floats": (lambda: tiff(GRAY / 255), "float-1"),
    "32 bits signed, as Pillow keeps 16": (lambda: saved(GRAY.astype(np.int32) * 257, "TIFF"), None),
}


def twelve_bits() -> bytes:
    """Gray of 12 bits in two bytes each: two pixels in three bytes."""
    values = np.rint(GRAY.astype(float) * 4095 / 255).astype(int).reshape(-1, 2)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist())
    tags = [(256, 3, 32), (257, 3, 24), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 24)]
    tags.append((279, 4, len(packed)))
    table = b"".join(struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + table + bytes(4)


@pytest.mark.parametrize("case", TIFFS)
def test_gray_of_any_depth_is_the_gray_of_8_bits(case: str) -> None:
    make, decoding = TIFFS[case]
    assert image.probe(make()).decoding == decoding
    assert np.abs(np.asarray(image.decode(make()))[..., 1].astype(int) - GRAY).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        ((PICTURE / 255).astype(np.float32), {}),
        ((PICTURE / 255).astype(np.float16), {}),
        (PICTURE.astype(np.float32), {}),
        ((PICTURE / 255).astype(np.float32), {"compression": "zlib", "tile": (16, 16)}),
        ((PICTURE / 255).astype(np.float32), {"bigtiff": True}),
        (PICTURE.astype(np.uint32) * 16_843_009, {}),
        ((PICTURE / 255).astype(np.float32).transpose(2, 0, 1), {"planarconfig": "separate"}),
    ],
    ids=["float32", "float16", "0 to 255", "tiled", "BigTIFF", "uint32", "in planes"],
)
def test_colour_in_floats_or_32_bits_is_read(pixels: np.ndarray, options: dict[str, Any]) -> None:
    data = tiff(np.ascontiguousarray(pixels), photometric="rgb", **options)
    facts = image.probe(data)
    assert (facts.width, facts.height, facts.decoding) == (
        32,
        24,
        "range-1" if pixels.dtype == np.uint32 else "float-1",
    )
    assert np.abs(np.asarray(image.decode(data)).astype(int) - PICTURE).max() <= 1


def test_alpha_behind_floats_is_composited_on_white() -> None:
    layers = np.concatenate([PICTURE / 255, np.full((24, 32, 1), 0.5)], axis=2).astype(np.float32)
    decoded = np.asarray(image.decode(tiff(layers, photometric="rgb", extrasamples=["unassalpha"]))).astype(int)
    assert np.abs(decoded - (PICTURE / 2 + 127.5)).max() <= 1


def in_planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


HALF = np.full((24, 32, 1), 128, np.uint8)
CMYK = np.asarray(Image.fromarray(PICTURE).convert("CMYK"))
SEPARATE: dict[str, Any] = {"planarconfig": "separate"}
# The samples, how they are written, and in what the picture then differs at most.
SAMPLES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "16 bits in planes": (
        lambda: tiff(in_planes(PICTURE.astype(np.uint16) * 257), photometric="rgb", **SEPARATE),
        1,
        "range-1",
    ),
    "CMYK of 16 bits in planes": (
        lambda: tiff(in_planes(CMYK.astype(np.uint16) * 257), photometric="separated", **SEPARATE),
        1,
        "range-1",
    ),
    "CMYK in floats": (lambda: tiff((CMYK / 255).astype(np.float32), photometric="separated"), 1, "float-1"),
    "CIELAB of 16 bits": (lambda: tiff(lab(is_icc=False), photometric="cielab"), 2, "range-1"),
    "ICCLAB of 16 bits": (lambda: tiff(lab(is_icc=True), photometric="icclab"), 2, "range-1"),
    "a profile in 16 bits": (
        lambda: tiff(in_colours(P3, LINEAR), photometric="rgb", iccprofile=profile(P3, 1.0)),
        1,
        "icc16-1 range-1",
    ),
    "a profile of floats": (
        lambda: tiff(
            (in_colours(1, LINEAR) / 65_535).astype(np.float32), photometric="rgb", iccprofile=profile(1, 1.0)
        ),
        1,
        "float-1 icc16-1",
    ),
    "floats a little above 1": (
        lambda: tiff(np.where(PICTURE == 255, 1.3, PICTURE / 255).astype(np.float32), photometric="rgb"),
        1,
        "float-1 scale-1",
    ),
    "floats to 65,535": (
        lambda: tiff((PICTURE * 257.0).astype(np.float32), photometric="rgb"),
        1,
        "float-1 scale-1",
    ),
}


def lab(*, is_icc: bool) -> np.ndarray:
    """The picture in CIELAB of the white D50, as TIFF 6.0 or ICC.1 have it. (H, W, 3) uint16"""
    white, target = colour.D50, colour.to_xyz(colour.SRGB)
    whites = np.diag((colour.CONES @ white) / (colour.CONES @ target.sum(axis=1)))
    xyz = light() @ (np.linalg.inv(colour.CONES) @ whites @ colour.CONES @ target).T / white
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    level, a, b = 116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    chroma = np.stack([a, b], axis=-1) * 256
    if is_icc:
        return np.rint(np.dstack([level * 652.8, chroma + 32_768])).astype(np.uint16)
    return np.rint(np.dstack([level * 655.35, np.mod(np.rint(chroma), 65_536)])).astype(np.uint16)


@pytest.mark.parametrize("case", SAMPLES)
def test_samples_that_pillow_misreads_or_refuses_are_read(case: str) -> None:
    make, most, decoding = SAMPLES[case]
    assert image.probe(make()).decoding == decoding
    assert np.abs(np.asarray(image.decode(make())).astype(int) - PICTURE).max() <= most


def test_gray_with_alpha_of_any_kind_is_composited_on_white() -> None:
    expected = GRAY / 255 * 128 + 127
    plain, multiplied = np.dstack([GRAY[..., None], HALF]), np.dstack([np.rint(GRAY[..., None] * (128 / 255)), HALF])
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    files = (
        tiff(multiplied.astype(np.uint8), extrasamples=["assocalpha"], **options),
        tiff(in_planes(plain), photometric="minisblack", extrasamples=["unassalpha"], **SEPARATE),
        tiff(plain, extrasamples=["unassalpha"], **options),
    )
    for data in files:
        assert np.abs(np.asarray(image.decode(data))[..., 0] - expected).max() <= 1.5


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "floats"])
def test_a_gray_profile_is_applied_to_all_bits(kind: str) -> None:
    shadows = np.linspace(0, 1300, 32 * 24).reshape(24, 32)  # of 65,535: five of 255
    icc = gray_profile(1.0)
    if kind == "PNG":
        data = png(np.rint(shadows).astype(np.uint16), iccp(icc))
    else:
        values = (shadows / 65_535).astype(np.float32) if kind == "floats" else np.rint(shadows).astype(np.uint16)
        data = tiff(values, photometric="minisblack", iccprofile=icc)
    light_ = shadows / 65_535
    expected = 255 * np.where(light_ <= 0.0031308, light_ * 12.92, 1.055 * light_ ** (1 / 2.4) - 0.055)
    assert image.probe(data).decoding == "icc16-1"
    assert np.abs(np.asarray(image.decode(data)) - expected[..., None]).max() < 1.1


def test_gray_and_alpha_of_16_bits_have_their_profile() -> None:
    values = (GRAY.astype(np.uint16) * 257)[..., None]
    rows = np.concatenate([values, np.full_like(values, 0x8000)], axis=2).astype(">u2")
    height, width = GRAY.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [chunk(b"IHDR", header), iccp(gray_profile(1.0)), chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    light_ = GRAY / 255
    expected = 255 * np.where(light_ <= 0.0031308, light_ * 12.92, 1.055 * light_ ** (1 / 2.4) - 0.055) / 2 + 127.5
    assert image.probe(data).decoding == "icc16-1"
    assert np.abs(np.asarray(image.decode(data)) - expected[..., None]).max() < 1.6


@pytest.mark.parametrize(
    "kind", ["PNG in 8 bits", "PNG in 16", "gray and alpha", "JPEG", "TIFF in 16 bits", "TIFF in floats"]
)
def test_gray_with_a_profile_of_rgb_is_that_rgb(kind: str) -> None:
    values, icc = GRAY / 255, profile(P3, 1.0)
    in_16 = np.rint(values * 65_535).astype(np.uint16)
    light_ = values if "8" not in kind and kind != "JPEG" else GRAY / 255
    options: dict[str, Any] = {"photometric": "minisblack", "iccprofile": icc}
    data = {
        "PNG in 8 bits": lambda: png(GRAY, iccp(icc)),
        "PNG in 16": lambda: png(in_16, iccp(icc)),
        "gray and alpha": lambda: saved(np.dstack([GRAY, np.full_like(GRAY, 255)]), "PNG", icc_profile=icc),
        "JPEG": lambda: saved(GRAY, "JPEG", quality=100, icc_profile=icc),
        "TIFF in 16 bits": lambda: tiff(in_16, **options),
        "TIFF in floats": lambda: tiff(values.astype(np.float64), **options),
    }[kind]()
    expected = 255 * np.where(light_ <= 0.0031308, light_ * 12.92, 1.055 * light_ ** (1 / 2.4) - 0.055)
    most = 30 if kind == "JPEG" else 1.1
    assert image.probe(data).decoding in ("icc-1", "icc16-1", "float-1 icc16-1")
    assert np.abs(np.asarray(image.decode(data)) - expected[..., None]).max() < most
    assert image.probe(png(GRAY, iccp(profile(P3, None)))).decoding is None  # of gray it changes nothing


def gray_profile(exponent: float) -> bytes:
    """An ICC profile of gray with a gamma curve."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"gray\0" + bytes(79),
        b"wtpt": white,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IHH", 1, round(256 * exponent), 0),
    }
    table, content = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(content), len(tag))
        content += tag
    size = 128 + len(table) + len(content)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp"
    return header.ljust(68, b"\0") + white[8:] + bytes(48) + table + content


def test_samples_of_any_number_of_bits_take_their_whole_range() -> None:
    values = np.array([0, 2048, 4095], np.uint16)  # tifffile unpacks 12 bits where imagecodecs is installed
    assert tiff_samples._scaled(values, 12).tolist() == [0, 128, 255]
    assert tiff_samples._scaled(values, 12, 65_535).tolist() == [0, 32_776, 65_535]
    assert tiff_samples._scaled((values // 2).astype(np.int16), 12).tolist() == [0, 128, 255]


def test_signed_bytes_take_their_whole_range() -> None:
    data = tiff((GRAY // 2).astype(np.int8))
    assert image.probe(data).decoding == "range-1"
    assert np.abs(np.asarray(image.decode(data))[..., 0].astype(int) - GRAY).max() <= 2


def test_a_transparent_colour_of_16_bits_is_transparent() -> None:
    pixels = PICTURE.astype(np.uint16) * 257
    pixels[:, :16] = (1234, 5, 60_000)
    data = png(pixels, chunk(b"tRNS", struct.pack(">HHH", 1234, 5, 60_000)))
    decoded = np.asarray(image.decode(data))
    assert image.probe(data).decoding == "trns-1"
    assert (decoded[:, :16].min(), np.array_equal(decoded[:, 16:], PICTURE[:, 16:])) == (255, True)


# --- formats in which Pillow looks for no profile

GAMMA = np.rint(255 * light() ** (1 / 1.8)).astype(np.uint8)


def jp2(pixels: np.ndarray, *colours: bytes) -> bytes:
    """With boxes `colr` of these contents."""
    data = saved(pixels, "JPEG2000")
    header, old = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    (size, old_size) = (struct.unpack_from(">I", data, at)[0] for at in (header, old))
    new = b"".join(struct.pack(">I4s", 8 + len(content), b"colr") + content for content in colours)
    whole = struct.pack(">I", size - old_size + len(new)) + data[header + 4 : old] + new + data[old + old_size :]
    return data[:header] + whole


def bmp(pixels: np.ndarray, kind: bytes, icc: bytes) -> bytes:
    """With a header of the fifth version, whose colours are of this kind."""
    content = pixels[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, 32, 24, 1, 24, 0, len(content), 0, 0, 0, 0) + bytes(16) + kind[::-1]
    header = header.ljust(108, b"\0") + struct.pack("<4I", 4, 124 + len(content), len(icc), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(content) + len(icc), 0, 0, 138) + header + content + icc


BY_NUMBER, BY_PROFILE = b"\1\0\0" + struct.pack(">I", 16), b"\2\0\0" + profile(1, 1.8)


@pytest.mark.parametrize(
    ("data", "decoding"),
    [
        (jp2(GAMMA, BY_PROFILE), "icc-1"),
        (jp2(PICTURE, BY_NUMBER, BY_PROFILE), None),  # the first one counts
        (jp2(PICTURE, b"\2\0\0" + profile(1, None)), None),
        (bmp(GAMMA, b"MBED", profile(1, 1.8)), "icc-1"),
        (bmp(PICTURE, b"sRGB", profile(1, 1.8)), None),
        (bmp(PICTURE, b"MBED", b""), None),
    ],
)
def test_profiles_of_jpeg_2000_and_bmp_are_converted(data: bytes, decoding: str | None) -> None:
    assert image.probe(data).decoding == decoding
    assert np.abs(np.asarray(image.decode(data)).astype(int) - PICTURE).max() <= (1 if decoding else 0)


def deep_jp2(pixels: np.ndarray, sample_format: str) -> bytes:
    with av.open(io.BytesIO(), "w", format="image2pipe") as container:
        track: Any = container.add_stream("jpeg2000")
        track.width, track.height, track.pix_fmt = pixels.shape[1], pixels.shape[0], sample_format
        frame = av.VideoFrame.from_ndarray(pixels, "rgb48le" if pixels.shape[2] == 3 else "rgba64le")
        return bytes(next(iter([*track.encode(frame.reformat(format=sample_format)), *track.encode(None)])))


@pytest.mark.parametrize("sample_format", ["rgb48le", "gbrp12le", "rgba64le"])
def test_white_of_a_deep_jpeg_2000_is_white(sample_format: str) -> None:
    assert PICTURE.max() == 255
    pixels = PICTURE.astype(np.uint16) * 257
    if sample_format.startswith("rgba"):
        pixels = np.concatenate([pixels, np.full((24, 32, 1), 65_535, np.uint16)], axis=2)
    data = deep_jp2(pixels, sample_format)
    assert image.probe(data).decoding == "deep-1"
    assert np.abs(np.asarray(image.decode(data)).astype(int) - PICTURE).max() <= 1


# --- clips


def clip(primaries: int, transfer: int, frames: list[np.ndarray], container: str = "matroska") -> bytes:
    """Frames of RGB in 16 bits, kept without loss in 10 or more, with the code points in the stream's header."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as written:
        track: Any = written.add_stream("ffv1", rate=10)
        track.width, track.height, track.pix_fmt = frames[0].shape[1], frames[0].shape[0], "gbrp16le"
        track.codec_context.color_primaries, track.codec_context.color_trc = primaries, transfer
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, "rgb48le").reformat(format="gbrp16le")
            frame.color_primaries, frame.color_trc = primaries, transfer
            written.mux(track.encode(frame))
        written.mux(track.encode())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("primaries", "transfer", "decoding"),
    [(1, 1, None), (P3, SRGB_CURVE, "cicp-1"), (1, LINEAR, "cicp-1"), (BT2020, PQ, "pq-1"), (BT2020, HLG, "hlg-1")],
)
def test_a_clip_s_colours_come_out_as_in_plain_srgb(primaries: int, transfer: int, decoding: str | None) -> None:
    data = clip(primaries, transfer, [in_colours(primaries, transfer)] * 3)
    assert video.probe(data).decoding == decoding
    pixels = video.to_pixels(data, (32, 24), (0, 0), (32, 24), 0, 3)
    assert np.abs(pixels[2].permute(1, 2, 0).numpy().astype(int) - PICTURE).max() <= 1


def test_the_frames_of_a_clip_are_tone_mapped_alike() -> None:
    dim, bright = in_colours(BT2020, PQ), in_colours(BT2020, PQ, white_cd=1000)
    data = clip(BT2020, PQ, [dim, bright, dim])
    first, _, last = video.to_pixels(data, (32, 24), (0, 0), (32, 24), 0, 3)
    alone = video.to_pixels(data, (32, 24), (0, 0), (32, 24), 0, 1)[0]
    assert bool((first == last).all())
    assert int(first.max()) < int(alone.max()) == 255  # there is something brighter than its white


@pytest.mark.parametrize(
    ("image_format", "options", "most"),
    [("PNG", {}, 8), ("WEBP", {"lossless": True}, 8), ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 36)],
)
def test_an_animation_s_profile_is_converted_in_each_frame(
    image_format: str, options: dict[str, Any], most: int
) -> None:
    pixels = in_8_bits(in_colours(P3, SRGB_CURVE))
    first, second = (Image.fromarray(np.ascontiguousarray(one)) for one in (pixels, pixels[::-1]))
    stream = io.BytesIO()
    first.save(stream, image_format, save_all=True, append_images=[second], icc_profile=profile(P3, None), **options)
    assert video.probe(stream.getvalue()).decoding == "icc-1"
    frames = list(video.frames_of(stream.getvalue()))
    gc.collect()  # a profile with a name: PyAV frees it twice where it is looked at
    assert [
        np.abs(frame.astype(int) - wanted).max() <= most
        for frame, wanted in zip(frames, (PICTURE, PICTURE[::-1]), strict=True)
    ] == [True, True]


def in_ycc(rgb: np.ndarray, red: float, blue: float) -> Any:
    """A frame of YUV in 8 bits over the narrow range, by the weights of a matrix."""
    signal = rgb / 255
    y = signal @ [red, 1 - red - blue, blue]
    chroma = [(signal[..., 2] - y) / (2 - 2 * blue), (signal[..., 0] - y) / (2 - 2 * red)]
    planes = [16 + 219 * y, *(128 + 224 * one for one in chroma)]
    return av.VideoFrame.from_ndarray(np.rint(np.stack(planes)).astype(np.uint8), "yuv444p")


@pytest.mark.parametrize(
    ("size", "matrix", "weights", "decoding"),
    [
        ((1280, 8), 2, (0.2126, 0.0722), "hd-1"),
        ((8, 720), 2, (0.2126, 0.0722), "hd-1"),
        ((1278, 8), 2, (0.299, 0.114), None),
        ((8, 718), 2, (0.299, 0.114), None),
        ((1280, 8), 6, (0.299, 0.114), None),
        ((1280, 8), 1, (0.2126, 0.0722), None),
    ],
)
def test_a_clip_that_names_no_matrix_has_that_of_its_size(
    size: tuple[int, int], matrix: int, weights: tuple[float, float], decoding: str | None
) -> None:
    pixels = picture(*size)
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as written:
        track: Any = written.add_stream("ffv1", rate=10)
        track.width, track.height, track.pix_fmt, track.codec_context.colorspace = *size, "yuv444p", matrix
        frame = in_ycc(pixels, *weights)
        frame.colorspace = matrix
        written.mux([*track.encode(frame), *track.encode()])
    assert video.probe(stream.getvalue()).decoding == decoding
    assert np.abs(next(video.frames_of(stream.getvalue())).astype(int) - pixels).max() <= 3
