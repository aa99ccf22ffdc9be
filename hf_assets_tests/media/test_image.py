"""Bytes in, upright sRGB pixels over white out; and a size from the header that is always the decoded size."""

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin

from hf_assets.errors import MediaError
from hf_assets.media import image as module
from hf_assets.media import pixels
from hf_assets.media.image import ImageFacts, decode, fit, probe, to_pixels

pillow_heif.register_heif_opener()  # to write with; JPEG XL's plugin registers itself
RED, GREEN, BLUE, WHITE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)


def encoded(image, image_format="PNG", **options):
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def flat(mode, colour, size=(8, 8)):
    return Image.new(mode, size, colour)


def corners(size=(48, 32)):
    """Red, green, blue and white quarters: every flip and rotation looks different."""
    image = Image.new("RGB", size)
    half = size[0] // 2, size[1] // 2
    for column, row, colour in ((0, 0, RED), (1, 0, GREEN), (0, 1, BLUE), (1, 1, WHITE)):
        image.paste(colour, (column * half[0], row * half[1], (column + 1) * half[0], (row + 1) * half[1]))
    return image


def noise(size=(64, 48)):
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def close(image, colour, tolerance=0):
    assert image.mode == "RGB"
    difference = np.abs(np.asarray(image).astype(int) - np.array(colour))
    return difference.max() <= tolerance


# What each format's encoder may change in an image of flat quarters.
FORMATS = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "TIFF": {},
    "BMP": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "JPEG2000": {},
    "PPM": {},
    "HEIF": {"quality": 100, "chroma": 444},
    "JXL": {"lossless": True},
}


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_is_probed_and_decoded(image_format):
    data = encoded(corners(), image_format, **FORMATS[image_format])
    assert probe(data) == ImageFacts(48, 32, image_format)
    assert close(decode(data), np.asarray(corners()), tolerance=3)


# --- orientation


def test_a_jpeg_from_a_phone_stands_upright():
    data = encoded(corners(), "JPEG", exif=exif(6))  # the sensor lay on its side: turn it a quarter clockwise
    assert probe(data) == ImageFacts(32, 48, "JPEG")
    picture = decode(data)
    assert picture.size == (32, 48)
    assert close(picture.crop((2, 2, 8, 8)), BLUE, 8)
    assert close(picture.crop((24, 2, 30, 8)), RED, 8)


def with_exif_behind_the_pixels(image, tags):
    data = encoded(image)
    return data[:-12] + chunk(b"eXIf", tags.tobytes()[6:]) + data[-12:]


CARRIERS = {
    "JPEG": lambda tags: encoded(corners(), "JPEG", quality=100, subsampling=0, exif=tags),
    "PNG": lambda tags: encoded(corners(), "PNG", exif=tags),
    "PNG, eXIf behind the pixels": lambda tags: with_exif_behind_the_pixels(corners(), tags),
    "WEBP": lambda tags: encoded(corners(), "WEBP", lossless=True, exif=tags),
    "TIFF": lambda tags: encoded(corners(), "TIFF", exif=tags),
    "TIFF through libtiff": lambda tags: encoded(corners(), "TIFF", compression="tiff_lzw", exif=tags),
    "AVIF": lambda tags: encoded(corners(), "AVIF", quality=100, subsampling="4:4:4", exif=tags),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("carrier", CARRIERS)
def test_all_orientations_are_applied_and_probed(carrier, orientation):
    data = CARRIERS[carrier](exif(orientation))
    tagged = corners()
    tagged.getexif()[0x0112] = orientation
    expected = ImageOps.exif_transpose(tagged)  # Pillow's own reading of the eight values
    facts = probe(data)
    assert (facts.width, facts.height) == expected.size == decode(data).size
    assert close(decode(data), np.asarray(expected), tolerance=4)


@pytest.mark.parametrize("orientation", [0, 9, 1000])
def test_an_orientation_that_does_not_exist_is_upright(orientation):
    data = encoded(corners(), "JPEG", exif=exif(orientation))
    assert probe(data) == ImageFacts(48, 32, "JPEG")
    assert decode(data).size == (48, 32)


def test_xmp_says_the_orientation_where_exif_does_not():
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    data = encoded(corners(), "JPEG", xmp=xmp)
    assert probe(data) == ImageFacts(32, 48, "JPEG")
    assert decode(data).size == (32, 48)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0nonsense", b"\0" * 20])
def test_broken_exif_is_no_exif_and_no_warning(image_format, broken):
    data = encoded(corners(), image_format, exif=broken)
    assert probe(data) == ImageFacts(48, 32, image_format)
    assert decode(data).size == (48, 32)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (encoded(corners()), (48, 32)),
        (encoded(corners(), exif=exif(6)), (32, 48)),
        (with_exif_behind_the_pixels(corners(), exif(6)), (32, 48)),
    ],
)
def test_probing_a_png_decodes_no_pixel(data, size, monkeypatch):
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("pixels were decoded"))
    assert probe(data) == ImageFacts(*size, "PNG")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_header_is_enough_to_probe(image_format):
    data = encoded(noise((640, 480)), image_format)
    shown = len(data) if image_format == "WEBP" else 2_000  # libwebp wants the whole file before it says anything
    facts = probe(data[:shown])
    assert (facts.width, facts.height, facts.format) == (640, 480, image_format)


# --- modes


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),  # the hidden red doesn't show
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("LA", (0, 0), WHITE),
        ("LA", (0, 128), (127, 127, 127)),
        ("LA", (77, 255), (77, 77, 77)),
    ],
)
def test_transparency_is_composited_on_white(mode, colour, expected):
    assert close(decode(encoded(flat(mode, colour))), expected)
    assert close(decode(encoded(flat(mode, colour), "WEBP", lossless=True, exact=True)), expected)


def halves(mode, left, right, palette=None):
    image = Image.new(mode, (8, 8), left)
    image.paste(right, (4, 0, 8, 8))
    if palette:
        image.putpalette(palette)
    return image


@pytest.mark.parametrize(
    ("image", "transparency", "expected"),
    [
        (halves("P", 0, 1, [*RED, *BLUE]), None, (RED, BLUE)),
        (halves("P", 0, 1, [*RED, *BLUE]), 0, (WHITE, BLUE)),  # one index is transparent
        (halves("P", 0, 1, [*RED, *BLUE]), bytes([128, 255]), ((255, 127, 127), BLUE)),  # an alpha for each index
        (halves("L", 10, 200), 10, (WHITE, (200,) * 3)),  # one shade is transparent
        (halves("RGB", RED, BLUE), RED, (WHITE, BLUE)),
        (halves("1", 0, 1), None, ((0, 0, 0), WHITE)),
        (halves("1", 0, 1), 0, (WHITE, WHITE)),
        (halves("I;16", 257 * 10, 257 * 200), 257 * 10, (WHITE, (200,) * 3)),
    ],
)
def test_palettes_and_transparent_colours_of_a_png(image, transparency, expected):
    options = {} if transparency is None else {"transparency": transparency}
    picture = decode(encoded(image, **options))
    assert (picture.getpixel((0, 0)), picture.getpixel((7, 7))) == expected


def test_a_palette_with_alpha_in_a_tiff():
    image = halves("PA", (0, 255), (1, 0), [*RED, *BLUE])
    picture = decode(encoded(image, "TIFF"))
    assert (picture.getpixel((0, 0)), picture.getpixel((7, 7))) == (RED, WHITE)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (65_535, 255), (257 * 100, 100), (128, 0), (129, 1)])
@pytest.mark.parametrize(("mode", "image_format"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I", "PPM"), ("I;16B", "TIFF")])
def test_gray_of_16_bits_is_scaled_not_clipped(mode, image_format, value, expected):
    data = encoded(flat(mode, value), image_format)
    assert close(decode(data), (expected,) * 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 1.0), (0, 255)),  # nothing above 1: 1 is white
        ((0.5, 0.25), (128, 64)),
        ((0.5, 16.0), (128, 255)),  # highlights: 1 is white
        ((0.0, 200.4), (0, 200)),  # far above 1: 255 is white
        ((-5.0, 510.0), (0, 255)),
        ((25_700.0, 65_535.0), (100, 255)),  # far above 255: 65,535 is white
    ],
)
def test_gray_in_floats(values, expected):
    picture = decode(encoded(halves("F", *values), "TIFF"))
    assert (picture.getpixel((0, 0))[0], picture.getpixel((7, 7))[0]) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_floats_that_are_no_number_are_undecodable(value):
    with pytest.raises(MediaError, match="NaN or infinity") as caught:
        decode(encoded(halves("F", 0.5, value), "TIFF"))
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "expected"),
    [((0, 0, 0, 0), WHITE), ((0, 255, 255, 0), RED), ((0, 0, 0, 255), (0, 0, 0)), ((255, 0, 0, 127), (0, 128, 128))],
)
def test_cmyk(image_format, cmyk, expected):
    options = {"quality": 100} if image_format == "JPEG" else {}  # the JPEG is Adobe's: its inks are stored inverted
    assert close(decode(encoded(flat("CMYK", cmyk), image_format, **options)), expected, tolerance=2)


def test_ycck_jpeg():
    # Pillow writes no YCCK, so: inks in YCbCr as channels of a CMYK file, then Adobe's marker says "transformed" (2).
    inks = flat("RGB", (0, 255, 255)).convert("YCbCr").split()
    stored = Image.merge("CMYK", [*(ImageOps.invert(channel) for channel in inks), flat("L", 0)])
    data = bytearray(encoded(stored, "JPEG", quality=100))
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0
    data[marker + 11] = 2
    assert close(decode(bytes(data)), RED, tolerance=3)


@pytest.mark.parametrize("colour", [(200, 60, 50), (120, 160, 90), GRAY])
@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "RGBX", "RGBa"])
def test_other_colour_spaces(mode, colour):
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(flat("RGB", colour), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    else:
        image = flat("RGBA", (*colour, 255)).convert("RGBa") if mode == "RGBa" else flat("RGB", colour).convert(mode)
    savable = mode in ("LAB", "YCbCr", "RGBX")
    assert close(
        decode(encoded(image, "TIFF")) if savable else pixels.to_rgb(image, pixels.Meaning(), b""), colour, tolerance=3
    )


def test_rgb_of_16_bits():
    rows = b"".join(b"\0" + struct.pack(">3H", 65_535, 0, 128 * 257) * 4 for _ in range(4))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert close(decode(data), (255, 0, 128))


# --- colour profiles


def swapped_primaries(name="mine"):
    """An RGB profile of any four-letter name whose red is sRGB's green, and the other way round."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = bytearray(srgb.replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be")))
    tags = {bytes(icc[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack_from(">I", icc, 128)[0], 12)}
    red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
    icc[red : red + 8], icc[green : green + 8] = icc[green : green + 8], icc[red : red + 8]
    return bytes(icc)


def linear_gray():
    """A gray profile whose values are proportional to light: 128 is half the light, which sRGB writes as 188."""
    icc = bytearray(swapped_primaries())
    icc[16:20] = b"GRAY"
    icc = icc.replace(b"rTRC", b"kTRC", 1)
    curve = icc.index(b"para")
    icc[curve + 8 : curve + 16] = struct.pack(">HHI", 0, 0, 1 << 16)  # a power of 1.0
    return bytes(icc)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"), [("L", 128, 188), ("LA", (128, 255), 188), ("LA", (128, 0), 255)]
)
def test_a_gray_profile(mode, colour, expected):
    assert close(decode(encoded(flat(mode, colour), icc_profile=linear_gray())), (expected,) * 3, tolerance=1)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_embedded_profile_is_converted_to_srgb(image_format):
    options = {"PNG": {}, "TIFF": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}[
        image_format
    ]
    data = encoded(flat("RGB", RED), image_format, icc_profile=swapped_primaries(), **options)
    assert close(decode(data), GREEN, tolerance=3)


def test_a_profile_is_what_it_does_not_what_it_is_called():
    data = encoded(flat("RGB", RED), icc_profile=swapped_primaries("sRGB"))
    assert (probe(data).decoding, close(decode(data), GREEN, tolerance=3)) == ("icc-1", True)


def test_a_profile_and_transparency():
    data = encoded(flat("RGBA", (255, 0, 0, 128)), icc_profile=swapped_primaries())
    assert close(decode(data), (127, 255, 127), tolerance=3)  # converted first: the page stays white


@pytest.mark.parametrize(
    ("mode", "colour", "profile"),
    [
        ("RGB", RED, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),  # nothing to convert
        ("RGB", RED, b"this is no profile"),
        ("RGB", RED, swapped_primaries()[:200]),  # cut
        ("RGB", RED, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()),  # of another colour space
        ("L", 128, swapped_primaries()),
    ],
)
def test_a_profile_that_says_nothing_about_the_pixels_changes_nothing(mode, colour, profile):
    assert (
        decode(encoded(flat(mode, colour), icc_profile=profile)).tobytes()
        == flat(mode, colour).convert("RGB").tobytes()
    )


# --- animations


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(image_format):
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(flat("RGB", RED), image_format, save_all=True, append_images=[flat("RGB", BLUE)], **options)
    assert probe(data) == ImageFacts(8, 8, image_format)
    assert close(decode(data), RED)


def test_the_first_picture_of_a_multi_picture_jpeg():
    data = encoded(flat("RGB", RED), "MPO", save_all=True, append_images=[flat("RGB", BLUE)])
    assert probe(data) == ImageFacts(8, 8, "JPEG")
    assert close(decode(data), RED, tolerance=3)


def test_a_gif_with_transparent_pixels():
    data = encoded(halves("P", 0, 1, [*RED, *BLUE]), "GIF", transparency=0)
    picture = decode(data)
    assert (picture.getpixel((0, 0)), picture.getpixel((7, 7))) == (WHITE, BLUE)


# --- broken bytes


@pytest.mark.parametrize("read", [probe, decode])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0", "undecodable"),
        (b"<html>404</html>", "undecodable"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "undecodable"),  # would start Ghostscript in Pillow
        (b"\xff\xd8\xff", "undecodable"),
        (encoded(corners())[:20], "undecodable"),
        (encoded(corners(), "WEBP")[:20], "undecodable"),
    ],
)
def test_bytes_that_are_no_image(read, data, reason):
    with pytest.raises(MediaError) as caught:
        read(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("image_format", [*FORMATS, "TIFF, lzw"])
@pytest.mark.parametrize("others_allow_truncated", [False, True])
def test_a_truncated_file_is_undecodable_never_half_gray(image_format, others_allow_truncated, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", others_allow_truncated)
    name, _, compression = image_format.partition(", ")
    data = encoded(noise(), name, **({"compression": "tiff_lzw"} if compression else {}))
    with pytest.raises(MediaError) as caught:
        decode(data[: len(data) * 2 // 3])
    assert caught.value.reason == ("truncated" if name == "JPEG" else "undecodable")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
@pytest.mark.parametrize("ending", [b"", b"\xff"])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(options, ending):
    data = encoded(noise(), "JPEG", quality=90, **options)
    assert data.endswith(b"\xff\xd9")
    short = data[:-2] + ending
    assert (probe(data).decoding, probe(short).decoding) == (None, "eoi-1")
    assert decode(short).tobytes() == decode(data).tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
@pytest.mark.parametrize("lost", [3, 8, 100, 1000])
def test_a_jpeg_of_which_pixels_are_missing_is_truncated(options, lost):
    data = encoded(noise(), "JPEG", quality=90, **options)
    with pytest.raises(MediaError, match="before its pixels do") as caught:
        decode(data[: -2 - lost])
    assert caught.value.reason == "truncated"


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated():
    data = encoded(noise(), "JPEG", quality=90, progressive=True)
    with pytest.raises(MediaError, match="before its pixels do"):
        decode(data[: data.rindex(b"\xff\xda")])


def test_a_thumbnail_with_its_own_end_marker_does_not_stand_for_the_picture_s():
    tags = Image.Exif()
    tags[0x010E] = "x" * 20 + "\xff\xd9"
    data = encoded(noise(), "JPEG", quality=90, exif=tags.tobytes() + b"\xff\xd8\xff\xd9")
    assert probe(data[:-2]).decoding == "eoi-1"


def bomb(width, height):
    """A PNG whose header claims a size, with no pixels behind it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "reason"), [(14_043, None), (14_044, "too_large"), (2**31 - 1, "too_large")])
def test_the_pixel_limit_is_inclusive(width, reason):
    """Pillow alone would warn at 89 megapixels and refuse at 179; the limit is 230, of this kind."""
    if reason is None:
        assert probe(bomb(width, 2**14)).width == width
        return
    for read in (probe, decode):
        with pytest.raises(MediaError, match="16,384") as caught:
            read(bomb(width, 2**14))
        assert caught.value.reason == reason


def test_a_webp_bomb_is_too_large_although_pillow_notices_it_first():
    data = bytearray(
        encoded(flat("RGBA", (1, 2, 3, 4)), "WEBP", exif=exif(1))
    )  # with a VP8X header, which holds the size
    data[24:30] = (16_382).to_bytes(3, "little") * 2
    with pytest.raises(MediaError) as caught:
        probe(bytes(data))
    assert caught.value.reason == "too_large"


def test_pillow_s_warnings_are_silent_and_others_are_not():
    corrupt = encoded(corners(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            decode(corrupt)
        warnings.warn("from elsewhere", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["from elsewhere"]
    assert sum(entry == module.PILLOW_IS_QUIET for entry in warnings.filters) <= 1


SMALL = [encoded(noise((16, 12)), image_format, **FORMATS[image_format]) for image_format in FORMATS]
SMALL += [encoded(flat("LA", (9, 99))), encoded(corners(), "JPEG", exif=exif(6)), encoded(flat("CMYK", 7), "JPEG")]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(SMALL), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_altered_bytes_decode_or_are_named_as_broken(data, changes):
    altered = bytearray(data)
    for position, value in changes:
        altered[position % len(altered)] = value
    try:
        facts = probe(bytes(altered))
        if facts.width * facts.height > 1_000_000:  # a header that claims more is not worth the memory of a test
            return
        picture = decode(bytes(altered))
    except MediaError:
        return
    assert (picture.mode, picture.size) == ("RGB", (facts.width, facts.height))


# --- resizing and cropping


def test_pixels_are_planes_of_uint8_in_rgb():
    pixels = to_pixels(encoded(corners()), (48, 32), (0, 0), (48, 32))
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (3, 32, 48))
    assert pixels.is_contiguous()
    assert pixels[:, 0, 0].tolist() == list(RED)
    assert pixels[:, 0, 47].tolist() == list(GREEN)
    assert pixels[:, 31, 0].tolist() == list(BLUE)


@pytest.mark.parametrize(
    ("crop_top_left", "expected"), [((0, 0), RED), ((0, 24), GREEN), ((16, 0), BLUE), ((16, 24), WHITE)]
)
def test_the_crop_is_top_then_left_in_the_resized_picture(crop_top_left, expected):
    doubled = 2 * crop_top_left[0], 2 * crop_top_left[1]
    for resized, crop, target in (((48, 32), crop_top_left, (24, 16)), ((96, 64), doubled, (48, 32))):
        pixels = to_pixels(encoded(corners()), resized, crop, target)
        middle = pixels[:, 4:-4, 4:-4]
        assert middle.reshape(3, -1).unique(dim=1).tolist() == [[value] for value in expected]


@pytest.mark.parametrize("resized", [(100, 75), (333, 250), (640, 480), (700, 200), (50, 900)])
def test_resizing_is_pillow_s_bicubic_within_one_level(resized):
    photograph = noise((40, 30)).resize((400, 300), Image.Resampling.BICUBIC)
    ours = fit(photograph, resized, (0, 0), resized).permute(1, 2, 0).numpy().astype(int)
    pillow = np.asarray(photograph.resize(resized, Image.Resampling.BICUBIC), int)
    difference = np.abs(ours - pillow)
    assert (difference > 1).mean() < 1e-4
    assert difference.max() <= 2  # where overshoots are cut off between the two passes


def test_stripes_of_one_pixel_become_gray_not_a_pattern():
    stripes = np.zeros((8, 4096, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = fit(Image.fromarray(stripes), (1000, 8), (0, 0), (1000, 8)).float()
    assert pixels.mean().item() == pytest.approx(127.5, abs=1)
    assert pixels[:, :, 10:-10].std().item() < 3  # without antialiasing: 74


def test_a_size_that_was_not_the_picture_s_is_a_mismatch():
    data = encoded(corners(), "JPEG", exif=exif(6))
    to_pixels(data, (32, 48), (0, 0), (32, 48), original_size=(32, 48))
    to_pixels(data, (32, 48), (0, 0), (32, 48), original_size=[32, 48])  # as a table's row holds it
    with pytest.raises(MediaError, match=r"32 x 48 .* 48 x 32") as caught:
        to_pixels(data, (48, 32), (0, 0), (48, 32), original_size=(48, 32))
    assert caught.value.reason == "size_mismatch"


@pytest.mark.parametrize("crop_top_left", [(-1, 0), (0, -1), (1, 0), (0, 1)])
def test_a_crop_outside_of_the_resized_picture_is_our_bug(crop_top_left):
    with pytest.raises(AssertionError, match="crop"):
        fit(corners(), (48, 32), crop_top_left, (48, 32))


def test_threads_give_what_one_thread_gives():
    files = [CARRIERS[carrier](exif(orientation)) for carrier in CARRIERS for orientation in (1, 6)] * 4

    def pixels(data):
        return to_pixels(data, (64, 64), (3, 5), (40, 40))

    with ThreadPoolExecutor(8) as pool:
        for alone, together in zip(map(pixels, files), pool.map(pixels, files), strict=True):
            assert torch.equal(alone, together)


def smooth(size=(640, 480)):
    small = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_a_jpeg_decoded_fast_is_nearly_what_it_is_exactly(orientation):
    data = encoded(smooth(), "JPEG", quality=92, exif=exif(orientation))
    upright = probe(data)
    size = (upright.width // 4, upright.height // 4)
    place = (size, (2, 3), (size[0] - 8, size[1] - 8), (upright.width, upright.height))
    exact, fast = to_pixels(data, *place), to_pixels(data, *place, is_fast=True)
    assert exact.shape == fast.shape
    assert not torch.equal(exact, fast)
    assert (exact.int() - fast.int()).abs().max() <= 6


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (encoded(smooth(), "JPEG"), (321, 241)),  # the half would be smaller
        (encoded(smooth(), "JPEG"), (1000, 750)),
        (encoded(smooth(), "PNG"), (80, 60)),
        (encoded(smooth(), "JPEG")[:-2], (80, 60)),  # without its end marker
    ],
    ids=["just too large", "enlarged", "PNG", "no end"],
)
def test_what_can_not_be_decoded_fast_is_decoded_exactly(data, size):
    place = (size, (0, 0), size, (640, 480))
    assert torch.equal(to_pixels(data, *place), to_pixels(data, *place, is_fast=True))


def test_a_jpeg_decoded_fast_is_still_of_the_size_that_its_geometry_was_made_for():
    data = encoded(smooth(), "JPEG")
    with pytest.raises(MediaError, match="640 x 480 pixels, but its geometry was made for 640 x 481"):
        to_pixels(data, (80, 60), (0, 0), (80, 60), (640, 481), is_fast=True)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("cell", [None, (160, 0, 320, 480)])
def test_what_is_only_looked_at_is_small_before_another_may_be_decoded(image_format, cell, monkeypatch):
    monkeypatch.setattr(module, "SMALL_PX", 100)
    data = encoded(smooth(), image_format, quality=92)
    small = module.decode_small(data, None if cell is None else lambda size: cell)
    whole = decode(data) if cell is None else decode(data).crop((160, 0, 480, 480))
    assert 100 <= min(small.size) < 200
    assert abs(small.width / small.height - whole.width / whole.height) < 0.01
    wanted = np.asarray(whole.resize(small.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(small) - wanted).max() <= 6


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_with_restart_markers_that_is_cut_between_them_is_no_picture(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (101, 133, 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", restart_marker_blocks=3)
    data = stream.getvalue()
    assert np.array_equal(np.asarray(decode(data[:-2])), np.asarray(decode(data)))
    for cut in range(20, 200, 7):
        with pytest.raises(MediaError):
            decode(data[:-cut])


def with_wrong_checksum(kind, content, place):
    """A PNG, and the same with a chunk whose checksum is wrong, in front of the pixels or behind them."""
    data, wrong = encoded(corners()), bytearray(chunk(kind, content))
    wrong[-1] ^= 0xFF
    at = data.index(place) - 4
    return data, data[:at] + bytes(wrong) + data[at:]


@pytest.mark.parametrize(
    ("kind", "content"),
    [(b"tEXt", b"Comment\0hello"), (b"gAMA", struct.pack(">I", 100_000)), (b"prVt", b"private")],
)
def test_a_png_is_read_without_a_chunk_that_it_can_do_without_whose_checksum_is_wrong(kind, content):
    data, broken = with_wrong_checksum(kind, content, b"IDAT")
    assert (probe(data).decoding, probe(broken).decoding) == (None, "crc-1")
    assert decode(broken).tobytes() == decode(data).tobytes()
    size = (48, 32)
    assert torch.equal(to_pixels(broken, size, (0, 0), size), to_pixels(data, size, (0, 0), size))


def test_of_a_png_a_chunk_behind_the_pixels_was_always_read_and_is_in_no_key():
    data, broken = with_wrong_checksum(b"tEXt", b"Comment\0hello", b"IEND")
    assert probe(broken).decoding is None
    assert decode(broken).tobytes() == decode(data).tobytes()


def test_a_png_with_a_wrong_checksum_where_it_counts_is_refused():
    data = encoded(corners())
    at = data.index(b"IDAT") - 8  # within the header's checksum
    with pytest.raises(MediaError, match="PNG"):
        probe(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


def test_a_tiff_that_cannot_be_unpacked_says_how_it_is_compressed():
    deflate = struct.pack("<HHIHH", 259, 3, 1, 8, 0)
    data = encoded(flat("RGB", RED), "TIFF", compression="tiff_adobe_deflate")
    assert data.count(deflate) == 1
    with pytest.raises(MediaError, match="compressed as webp, can't be unpacked") as caught:
        decode(data.replace(deflate, struct.pack("<HHIHH", 259, 3, 1, 50001, 0)))
    assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("size", [0, -2, 1, 10])
def test_a_webp_whose_size_in_front_is_false_is_read(size):
    data = encoded(noise(), "WEBP", lossless=True)
    true = struct.unpack_from("<I", data, 4)[0]
    false = data[:4] + struct.pack("<I", true + size if size else 0) + data[8:]
    assert np.array_equal(np.asarray(decode(false)), np.asarray(noise()))
    with pytest.raises(MediaError):
        decode(false[:-40])
