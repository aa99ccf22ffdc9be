"""What bytes are, by how they begin: for messages about media of another kind than the dataset's."""

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
