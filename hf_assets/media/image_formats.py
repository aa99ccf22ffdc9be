"""Which of Pillow's plugins reads a file, by its signature alone; two formats come with packages of their own.

Nothing is tried out, and no other program is started (EPS).
"""

import struct

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from hf_assets.errors import MediaError

# Bytes that a format's files have, and where.
SIGNATURES: list[tuple[int, bytes, type[ImageFile.ImageFile]]] = [
    (0, b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (8, b"WEBP", WebPImagePlugin.WebPImageFile),
    (0, b"GIF87a", GifImagePlugin.GifImageFile),
    (0, b"GIF89a", GifImagePlugin.GifImageFile),
    *[(0, start, TiffImagePlugin.TiffImageFile) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")],
    (0, b"\xff\x4f\xff\x51", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
    (0, b"BM", BmpImagePlugin.BmpImageFile),
    *[(0, start, PpmImagePlugin.PpmImageFile) for start in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf")],
]
JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
# Of either, or of other codecs.
OTHER_BRANDS = {b"mif1", b"msf1", b"miaf"}


def plugin_of(data: bytes) -> type[ImageFile.ImageFile] | None:
    """The plugin that reads this file; None where the format isn't known.

    Raises:
        MediaError: `undecodable`: the package that reads the format isn't installed.
    """
    if data.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return _jpeg_xl()
    brands = _brands(data)
    if brands & HEIF_BRANDS and not brands & AVIF_BRANDS:
        return _heif()
    if brands & (AVIF_BRANDS | OTHER_BRANDS):
        return AvifImagePlugin.AvifImageFile
    return next((cls for at, signature, cls in SIGNATURES if data.startswith(signature, at)), None)


def jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """(width, height) in a JPEG XL's header, before it is decoded: its plugin decodes it at once.

    ISO/IEC 18181-1, size header. (0, 0) where it isn't found.
    """
    start = 0 if data.startswith(JXL_CODESTREAM) else _jxl_codestream(data)
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    is_small = take(1)

    def edge() -> int:
        return 8 * (take(5) + 1) if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    height, ratio = edge(), take(3)
    if ratio == 0:
        return edge(), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _jxl_codestream(data: bytes) -> int:
    """Where the codestream begins in a container of boxes."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"jxlc", b"jxlp"):
            return position + (16 if size == 1 else 8) + (4 if kind == b"jxlp" else 0)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size < 8:
            break
        position += int(size)
    return len(data)


def _brands(data: bytes) -> set[bytes]:
    if data[4:8] != b"ftyp":
        return set()
    stop = min(int.from_bytes(data[:4]), len(data), 512)
    return {data[8:12], *(data[at : at + 4] for at in range(16, stop - 3, 4))}


def _heif() -> type[ImageFile.ImageFile]:
    try:
        import pillow_heif
    except ImportError:
        raise _lacks("HEIC", "formats") from None
    pillow_heif.options.DECODE_THREADS = 1
    plugin: type[ImageFile.ImageFile] = pillow_heif.HeifImageFile
    return plugin


def _jpeg_xl() -> type[ImageFile.ImageFile]:
    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError:
        raise _lacks("JPEG XL", "jpegxl") from None
    JpegXLImagePlugin.DECODE_THREADS = 0
    plugin: type[ImageFile.ImageFile] = JpegXLImagePlugin.JXLImageFile
    return plugin


def _lacks(name: str, extra: str) -> MediaError:
    return MediaError(
        "undecodable",
        f"the file is {name}, which needs a package of its own: pip install 'hf_assets[{extra}]' (then run again with "
        "`hf-assets quarantine --retry`)",
    )
