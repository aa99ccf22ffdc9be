"""Boxes, as files are made of that descend from QuickTime's; and what those of an AVIF or a HEIC say of its colours.

ISO/IEC 14496-12, 23008-12.
"""

import struct
from collections.abc import Iterator

from hf_assets.media import colour
from hf_assets.media.colour import Colours


def colours(data: bytes) -> Colours | None:
    """What the primary item's code values mean, by its property `colr` of type `nclx`; None where it has none.

    The matrix and the range are the decoder's to use: it gives RGB over the full range.
    """
    meta = next((content for kind, content in inside(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        return None
    inner = dict(reversed(list(inside(data, meta[0] + 4, meta[1]))))
    if b"iprp" not in inner:
        return None
    properties = dict(reversed(list(inside(data, *inner[b"iprp"]))))
    if b"ipco" not in properties:
        return None
    every = list(inside(data, *properties[b"ipco"]))
    numbers = _associations(data, properties.get(b"ipma"), _primary(data, inner.get(b"pitm")))
    chosen = every if numbers is None else [every[number - 1] for number in numbers if 0 < number <= len(every)]
    for kind, (start, stop) in chosen:
        if kind == b"colr" and data[start : start + 4] == b"nclx" and start + 8 <= stop:
            primaries, transfer = struct.unpack_from(">HH", data, start + 4)
            return colour.of_code_points(primaries, transfer)
    return None


def inside(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(kind, (start, stop) of the content) of each box between two positions."""
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= stop:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        end = min(start + size, stop) if size else stop
        if end < start + head:
            return
        yield kind, (start + head, end)
        start = end


def _primary(data: bytes, span: tuple[int, int] | None) -> int | None:
    """The number of the primary item."""
    if span is None or span[1] - span[0] < 6:
        return None
    is_long = data[span[0]] > 0 and span[1] - span[0] >= 8
    return int(struct.unpack_from(">I" if is_long else ">H", data, span[0] + 4)[0])


def _associations(data: bytes, span: tuple[int, int] | None, item: int | None) -> list[int] | None:
    """The numbers, from 1, of an item's properties; None where that can't be read."""
    if span is None or item is None:
        return None
    try:
        version, flags = data[span[0]], data[span[0] + 3]
        (count,) = struct.unpack_from(">I", data, span[0] + 4)
        at = span[0] + 8
        while count and at < span[1]:
            (number,) = struct.unpack_from(">I" if version else ">H", data, at)
            at += 4 if version else 2
            length, at = data[at], at + 1
            width, mask = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
            entries = [int.from_bytes(data[at + width * n : at + width * (n + 1)]) & mask for n in range(length)]
            if number == item:
                return entries
            at += width * length
            count -= 1
    except (struct.error, IndexError):
        pass
    return None
