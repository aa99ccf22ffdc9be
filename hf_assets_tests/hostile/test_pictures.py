"""Pictures of which few bytes unpack to many, in ways that no header says."""

import lzma
import struct
import zlib

import numpy as np
import pytest

from hf_assets.errors import MediaError
from hf_assets.media import audio, containers, image, png_chunks, video

SIDE = 8
BOMB = bytes(1 << 20)
FLOAT, RGB = 3, 2


def tiff(compression: int, packed: bytes, *, is_float: bool = True, tile: int = 0) -> bytes:
    """8 x 8 pixels of RGB in one strip, or in one tile."""
    bits, kind = ([32] * 3, [FLOAT] * 3) if is_float else ([8] * 3, [1] * 3)
    where = (
        {322: [tile], 323: [tile], 324: [0], 325: [len(packed)]}
        if tile
        else {273: [0], 278: [SIDE], 279: [len(packed)]}
    )
    tags = {256: [SIDE], 257: [SIDE], 258: bits, 259: [compression], 262: [RGB], 277: [3], 339: kind, **where}
    place = 8 + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    start = place + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    for tag, values in sorted(tags.items()):
        values = [start] if tag in (273, 324) else values
        raw = struct.pack(f"<{len(values)}I", *values)
        at = raw if len(values) == 1 else struct.pack("<I", place + len(extra))
        extra += raw if len(values) > 1 else b""
        entries += struct.pack("<HHI", tag, 4, len(values)) + at
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + extra + packed


@pytest.mark.parametrize(
    ("compression", "pack"), [(8, zlib.compress), (32946, zlib.compress), (34925, lzma.compress), (32773, None)]
)
def test_strips_of_a_tiff_unpack_to_what_they_have_and_no_more(compression: int, pack: object) -> None:
    pixels = np.full((SIDE, SIDE, 3), 0.5, np.float32).tobytes()
    runs = b"".join(b"\x7f" + pixels[at : at + 128] for at in range(0, len(pixels), 128))
    whole, more = (runs, b"\x81\0" * 1000) if pack is None else (pack(pixels), pack(BOMB))  # type: ignore[operator]
    assert set(np.asarray(image.decode(tiff(compression, whole))).flat) == {128}
    with pytest.raises(MediaError, match="strips or tiles hold more than the image has"):
        image.decode(tiff(compression, more))


@pytest.mark.parametrize("is_float", [True, False])
def test_a_tile_counts_whole_however_small_the_image(is_float: bool) -> None:
    with pytest.raises(MediaError, match="bytes") as caught:
        image.probe(tiff(8, zlib.compress(BOMB), is_float=is_float, tile=1 << 15))
    assert caught.value.reason == "too_large"


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*more: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + bytes(range(SIDE * 6)) for _ in range(SIDE))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)), *more, (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in [*chunks, (b"IEND", b"")])


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_texts_and_profiles_of_pictures_are_no_bombs(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = (kind, b"name\0\0" + zlib.compress(BOMB))
    animated = png(
        (b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", struct.pack(">6IHHBB", 0, 8, 8, 0, 0, 0, 1, 1, 0, 0)), packed
    )
    assert not png_chunks.unpacks_to_much(animated)
    monkeypatch.setattr(png_chunks, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(MediaError, match="texts or profiles of its pictures unpack to more") as caught:
        video.probe(animated)
    assert caught.value.reason == "too_large"


def test_what_is_read_of_a_deep_picture_has_neither() -> None:
    colours = (b"cICP", bytes([9, 16, 0, 1]))
    plain, packed = png(colours), png(colours, (b"zTXt", b"name\0\0" + zlib.compress(b"text")))
    assert png_chunks.without_packed(packed) == plain
    assert np.array_equal(np.asarray(image.decode(packed)), np.asarray(image.decode(plain)))


def box(kind: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I4s", 8 + len(inner), kind) + inner


def mp4(*tables: bytes) -> bytes:
    inner = box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", *tables)))))
    return box(b"ftyp", b"isom\0\0\0\0isom") + inner + box(b"mdat", bytes(1000))


@pytest.mark.parametrize(
    "data",
    [
        mp4(box(b"stsz", struct.pack(">III", 0, 1, 80_000_000))),
        mp4(box(b"stts", struct.pack(">IIIIII", 0, 2, 40_000_000, 1, 40_000_000, 1))),
        mp4(box(b"ctts", struct.pack(">IIII", 0, 1, 2**32 - 1, 1))),
        mp4() + box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, 80_000_000)))) * 2,
        box(b"moov", box(b"cmov", b"any")),
    ],
)
def test_a_header_counts_no_more_samples_than_there_are_bytes(data: bytes) -> None:
    for probe in (video.probe, audio.probe):
        with pytest.raises(MediaError, match=r"more (frames or )?samples than [\d,]+ bytes can hold") as caught:
            probe(data)
        assert caught.value.reason == "too_large"


def test_as_many_samples_as_bytes_may_be() -> None:
    assert not containers.has_too_many_samples(mp4(box(b"stsz", struct.pack(">III", 0, 1, containers.MIN_SAMPLES))))
    assert not containers.has_too_many_samples(b"any bytes")
