"""What bytes are, by how they begin: for messages about media of another kind than the dataset's."""

import base64
import re
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["image", "video", "audio"]

WORDS: dict[Kind, str] = {"image": "an image", "video": "a video", "audio": "audio"}
PLURALS: dict[Kind, str] = {"image": "the images", "video": "the videos", "audio": "the audio"}

SIGNATURES: tuple[tuple[int, bytes, Kind, str], ...] = (
    (0, b"\xff\xd8\xff", "image", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "image", "PNG"),
    (0, b"GIF8", "image", "GIF"),
    (8, b"WEBP", "image", "WebP"),
    (0, b"II*\0", "image", "TIFF"),
    (0, b"MM\0*", "image", "TIFF"),
    (0, b"\0\0\0\x0cJXL ", "image", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "image", "JPEG 2000"),
    (4, b"ftypavif", "image", "AVIF"),
    (4, b"ftypavis", "image", "AVIF"),
    (4, b"ftyphei", "image", "HEIC"),
    (4, b"ftypmif1", "image", "HEIF"),
    (4, b"ftypM4A", "audio", "M4A"),
    (4, b"ftyp", "video", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "video", "Matroska"),
    (8, b"AVI ", "video", "AVI"),
    (0, b"\0\0\x01\xba", "video", "MPEG"),
    (0, b"\0\0\x01\xb3", "video", "MPEG"),
    (0, b"FLV\x01", "video", "FLV"),
    (8, b"WAVE", "audio", "WAV"),
    (0, b"fLaC", "audio", "FLAC"),
    (28, b"\x01vorbis", "audio", "Ogg"),
    (28, b"OpusHead", "audio", "Ogg"),
    (28, b"\x7fFLAC", "audio", "Ogg"),
    (28, b"\x80theora", "video", "Ogg"),
    (0, b"ID3", "audio", "MP3"),
    (0, b"\xff\xfb", "audio", "MP3"),
    (0, b"\xff\xf3", "audio", "MP3"),
    (0, b"\xff\xf2", "audio", "MP3"),
    (8, b"AIFF", "audio", "AIFF"),
    (8, b"AIFC", "audio", "AIFF"),
)


def other_kind(data: bytes, wanted: Kind) -> str:
    """What to say behind a message about bytes that can't be used as `wanted`; empty where they may well be such."""
    for at, signature, kind, name in SIGNATURES:
        if data.startswith(signature, at):
            if kind == wanted:
                return ""
            return (
                f'; it is {WORDS[kind]} ({name}): name the column of {PLURALS[wanted]}, or set dataset_type to "{kind}"'
            )
    return ""


SVG = "an SVG drawing: make images of it first"
# An SVG's first element comes behind this much at most.
MAX_XML_BYTES = 4096
# What isn't media at all, by how it begins, and what to do about it.
OTHERS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer in place of the file: fetch the file itself (git lfs pull), and upload that",
    ),
    (b"<svg", SVG),
    (b"<!doctype html", "a web page (HTML), as servers answer in place of a file: download it again"),
    (b"<html", "a web page (HTML), as servers answer in place of a file: download it again"),
    (b"<!--", "HTML, XML or SVG text"),
    (b"%!ps", "a PostScript drawing: make images of it first"),
    (b"\0\0\x01\0", "an icon (ICO): save it as PNG"),
    (b"dds ", "a DDS texture: save it as PNG"),
    (b"qoif", "a QOI image: save it as PNG"),
    (b"pf\n", "PFM: save it as a TIFF in floats, or as PNG"),
    (b"p7\n", "PAM: save it as PNG"),
    (b"par1", "a Parquet file: name it as a data file"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"rar!", "a RAR archive: unpack it"),
    (b"%pdf-", "a PDF document: make images of its pages first"),
    (b"8bps", "a Photoshop document (PSD): save it as PNG"),
    (b"v/1\x01", "OpenEXR: save it as a TIFF in floats, or as PNG"),
    (b"#?radiance", "Radiance HDR: save it as a TIFF in floats, or as PNG"),
    (b"pk\x03\x04", "a ZIP archive: name the archive as a data file, or unpack it"),
    (b"\x1f\x8b", "gzip: unpack it"),
    (b"\x93numpy", "a NumPy array: store it as PNG or TIFF"),
    (b"\x80\x02", "a Python pickle, which is never read: store the media themselves"),
    (b"\x80\x03", "a Python pickle, which is never read: store the media themselves"),
    (b"\x80\x05\x95", "a Python pickle, which is never read: store the media themselves"),
    (b"\x80\x04\x95", "a Python pickle, which is never read: store the media themselves"),
)
# What names something elsewhere; of a dataset on the Hub, a path may.
ADDRESS = re.compile(r"(https?|ftp|s3|gs|az|gdrive|hf)://|//[\w.-]+\.\w+/")
REPR = re.compile(r"""b(['"])[^'"]*\\x[0-9a-f]{2}""")
# So much of a file is looked at.
_HEAD_BYTES = 256


def describe(data: bytes) -> str:
    """What bytes of no known format are, for a message: never the bytes themselves."""
    head = data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    for start, name in OTHERS:
        if head[: len(start)].lower() == start:
            return name
    if re.match(rb"\n[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", data):
        return "a PCX image: save it as PNG"
    if data[-18:].startswith(b"TRUEVISION-XFILE"):
        return "a Targa image (TGA): save it as PNG"
    if head[:5].lower() == b"<?xml":
        return SVG if b"<svg" in data[:MAX_XML_BYTES].lower() else "XML"
    if not data.strip(b"\0"):
        return f"{len(data):,d} bytes, all of them zero"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        text = "" if error.start < len(head) - 3 else head[: error.start].decode()
    if not text or not all(letter.isprintable() or letter.isspace() for letter in text):
        return f"{len(data):,d} bytes of no known format"
    if found := describe_text(text):
        return found
    if text[0] in "[{":
        return f"{len(data):,d} bytes of JSON"
    return f"{len(data):,d} bytes of text"


def describe_text(text: str) -> str:
    """What stands in place of media, or of a file's path: an address, or media as text; empty for anything else."""
    text = text[:_HEAD_BYTES].strip()
    if ADDRESS.match(text):
        return (
            f"an address ({text.split()[0][:80]}) in place of media: download what it names, and store that or its path"
        )
    if text.startswith("data:") or _is_base64(text):
        return "media as base64 text: decode them (base64.b64decode) when the dataset is made, and store the bytes"
    if REPR.match(text):
        return "media as Python writes bytes (b'...'): store the bytes themselves"
    return ""


def words(error: BaseException) -> str:
    """What a decoder said, without the bytes that it may quote."""
    text = getattr(error, "strerror", None) or str(error)
    text = re.sub(r"b(['\"]).*?(\1|$)", "(bytes)", text)
    printable = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return printable or type(error).__name__


def _is_base64(text: str) -> bool:
    """Whether text is media in base64, by what it begins with when it is decoded."""
    letters = re.sub(r"\s", "", text.removeprefix("b").lstrip("'\""))[:60].replace("-", "+").replace("_", "/")
    try:
        start = base64.b64decode(letters[: len(letters) // 4 * 4], validate=True)
    except ValueError:
        return False
    return any(start.startswith(signature, at) for at, signature, _, _ in SIGNATURES)
