"""JPEGs that lack their end marker: read where every pixel is there all the same, as players and browsers do.

libjpeg doesn't say whether the pixels of the last rows were there or made up. So such a file is decoded with two
different continuations: where nothing was missing, neither is read, and both give the same image.
ITU-T T.81, annex B.
"""

import math
import re
import struct
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, JpegImagePlugin

from hf_assets.errors import MediaError

END = b"\xff\xd9"
# Bits with which no decoder makes the blocks that it makes of none: a JPEG's codes never are all ones, and zeros are
# what is made up.
OTHER_END = bytes([0x5A, 0xC3, 0x96, 0x69, 0x3C, 0xA5, 0x81, 0x7E] * 8) + END
RESTART_INTERVAL, RESTART = 0xDD, re.compile(rb"\xff[\xd0-\xd7]")
SCAN, FRAME_KINDS, STANDALONE = 0xDA, (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC)), range(0xD0, 0xD9)


def lacks_end(data: bytes) -> bool:
    """Whether there is no end marker behind the image's first scan."""
    scan = next((start for kind, start, _ in _segments(data) if kind == SCAN), None)
    return scan is not None and data.find(END, max(scan, len(data) - 2)) < 0 and data.rfind(END, scan) < 0


def decode(data: bytes) -> Image.Image:
    """The image of a JPEG that `lacks_end`, loaded.

    Raises:
        MediaError: `truncated`: pixels are missing as well.
    """
    if data.endswith(b"\xff"):
        data = data[:-1]
    picture, other = (JpegImagePlugin.JpegImageFile(BytesIO(data + end)) for end in (END, OTHER_END))
    picture.load()
    other.load()
    if picture.tobytes() != other.tobytes() or not _has_all_scans(data) or not _has_all_restarts(data):
        raise MediaError("truncated", f"JPEG: the file ends after {len(data):,d} bytes, before its pixels do")
    return picture


def frame_kind(data: bytes) -> int | None:
    """The second byte of the marker that begins the frame: how its pixels are coded (ITU-T T.81, table B.1)."""
    return next((kind for kind, _, _ in _segments(data) if kind in FRAME_KINDS), None)


def _has_all_scans(data: bytes) -> bool:
    """Whether the scans give every coefficient of every component to its last bit."""
    components: set[int] = set()
    given: set[tuple[int, int]] = set()
    for kind, start, stop in _segments(data, all_scans=True):
        if kind in FRAME_KINDS:
            components = {data[at] for at in range(start + 6, stop - 2, 3)}
        elif kind == SCAN:
            count = data[start]
            first, last, bits = data[start + 1 + 2 * count : start + 4 + 2 * count]
            if bits & 15 == 0:
                scanned = [data[start + 1 + 2 * number] for number in range(count)]
                given |= {(component, at) for component in scanned for at in range(first, last + 1)}
    return bool(components) and given >= {(component, at) for component in components for at in range(64)}


def _has_all_restarts(data: bytes) -> bool:
    """Whether the last scan has as many restart markers as its frame needs: behind one that is missing, both
    continuations are passed over.
    """
    interval, size, sampling = 0, (0, 0), dict[int, tuple[int, int]]()
    scanned, stop = list[int](), 0
    for kind, start, end in _segments(data, all_scans=True):
        if kind == RESTART_INTERVAL:
            (interval,) = struct.unpack_from(">H", data, start)
        elif kind in FRAME_KINDS:
            size = struct.unpack_from(">HH", data, start + 1)
            sampling = {data[at]: (data[at + 1] & 15, data[at + 1] >> 4) for at in range(start + 6, end - 2, 3)}
        elif kind == SCAN:
            scanned, stop = [data[start + 1 + 2 * number] for number in range(data[start])], end
    if not interval or not all(one in sampling for one in scanned):
        return True
    num_units = 1
    for axis in range(2):
        most = max(each[axis] for each in sampling.values())
        own = most if len(scanned) > 1 else sampling[scanned[0]][axis]
        # of several components, a unit has as many blocks of each as it is sampled; of one, one block
        pixels = size[axis] if len(scanned) > 1 else math.ceil(size[axis] * own / most)
        num_units *= math.ceil(pixels / (8 * (most if len(scanned) > 1 else 1)))
    return len(RESTART.findall(data, stop)) >= -(-num_units // interval) - 1


def _segments(data: bytes, *, all_scans: bool = False) -> Iterator[tuple[int, int, int]]:
    """(kind, start, stop) of the content of each segment, up to the first scan, or also those behind scans."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return
        kind = data[position + 1]
        if kind == 0xFF or kind in STANDALONE:
            position += 1 if kind == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        stop = position + 2 + length
        if stop > len(data):
            return
        yield kind, position + 4, stop
        position = stop
        if kind == SCAN:
            if not all_scans:
                return
            position = _behind_scan(data, stop)


def _behind_scan(data: bytes, position: int) -> int:
    """Where the next marker is behind a scan's bits, in which 0xFF stands before 0 or a restart marker."""
    while (position := data.find(b"\xff", position)) >= 0:
        if position + 1 >= len(data):
            return len(data)
        if data[position + 1] != 0 and data[position + 1] not in STANDALONE:
            return position
        position += 2
    return len(data)
