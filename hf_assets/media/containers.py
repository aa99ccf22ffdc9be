"""What containers say of bytes that aren't there."""

import struct
from collections.abc import Iterator

import numpy as np

# Samples of a file, of which FFmpeg notes where each lies: so many, or as many as the file has bytes.
MIN_SAMPLES = 1 << 22
# Where boxes lie within boxes.
NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"udta", b"mvex")
COUNTED = {b"stsz": 8, b"stz2": 8, b"trun": 4}
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
# Boxes that say which frames there are.
HEADERS = (b"moov", b"moof")
PAIRED = (b"stts", b"ctts")


def is_cut(data: bytes) -> bool:
    """Whether a container speaks of bytes behind the end of the file. Of some containers this can't be known."""
    if data[:4] == b"RIFF":
        size = struct.unpack_from("<I", data, 4)[0] if len(data) >= 8 else 0
        return 8 + size > len(data) + 1 and size != 0xFFFFFFFF
    if data[:4] == b"\x1aE\xdf\xa3":
        return _is_cut_matroska(data)
    if data[4:8] in FIRST_BOXES:
        return _cut_box(data) in HEADERS or _cut_box(data) == b"mdat"
    return False


def lacks_header(data: bytes) -> bool:
    """Whether what is cut off of an MP4 says how many frames there were."""
    return _cut_box(data) in HEADERS if data[4:8] in FIRST_BOXES else False


def has_too_many_samples(data: bytes) -> bool:
    """Whether an MP4 counts more samples than it can hold, or hides how many: few bytes say any number."""
    if data[4:8] not in (*FIRST_BOXES, b"styp", b"moof"):
        return False
    limit, num_samples = max(MIN_SAMPLES, len(data)), dict.fromkeys((*COUNTED, *PAIRED), 0)
    for kind, start, stop in _boxes(data, 0, len(data)):
        if kind == b"cmov":  # a header that is packed itself
            return True
        if kind in COUNTED and start + COUNTED[kind] + 4 <= stop:
            num_samples[kind] += struct.unpack_from(">I", data, start + COUNTED[kind])[0]
        elif kind in PAIRED:
            whole = max(stop - start - 8, 0) // 8 * 8
            runs = np.frombuffer(data, ">u4", whole // 4, start + 8) if whole else np.zeros(0, np.uint32)
            num_samples[kind] += int(runs[::2].sum(dtype=np.int64))
    return max(num_samples.values()) > limit


def _boxes(data: bytes, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of the content of each box, and of those within."""
    waiting = [(position, stop)]
    while waiting:
        position, stop = waiting.pop()
        while position + 8 <= stop:
            size, kind = struct.unpack_from(">I4s", data, position)
            head = 8
            if size == 1 and position + 16 <= stop:
                size, head = struct.unpack_from(">Q", data, position + 8)[0], 16
            end = min(position + size, stop) if size else stop
            if end < position + head:
                break
            yield kind, position + head, end
            if kind in NESTED:
                waiting.append((position + head, end))
            position = end


def _cut_box(data: bytes) -> bytes:
    """The box of which an MP4 lacks the end, `moov` where that isn't there at all; empty where nothing is missing.

    ISO/IEC 14496-12, 4.2: a file is a row of boxes, each with its size.
    """
    position, has_header = 0, False
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
        if size == 0:
            break  # up to the end of the file
        if size < 8 or not kind.isalnum():
            break  # no box: what some writers leave at the end
        if position + size > len(data):
            return bytes(kind) if has_header else b"moov"
        has_header |= kind == b"moov"
        position += size
    return b"" if has_header else b"moov"


def _is_cut_matroska(data: bytes) -> bool:
    """RFC 8794: an EBML header, then one segment with its size."""
    position, size = _ebml_size(data, 4)
    position += size or 0
    if data[position : position + 4] != b"\x18\x53\x80\x67":
        return False
    position, size = _ebml_size(data, position + 4)
    return size is not None and position + size > len(data)


def _ebml_size(data: bytes, position: int) -> tuple[int, int | None]:
    """(position behind it, the size); None where it isn't known."""
    if position >= len(data) or not data[position]:
        return position, None
    length = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + length]) & ((1 << 7 * length) - 1)
    return position + length, None if value == (1 << 7 * length) - 1 else value
