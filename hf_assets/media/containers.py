"""What containers say of bytes that aren't there."""

import struct


def is_cut(data: bytes) -> bool:
    """Whether a container speaks of bytes behind the end of the file. Of some containers this can't be known."""
    if data[:4] == b"RIFF":
        size = struct.unpack_from("<I", data, 4)[0] if len(data) >= 8 else 0
        return 8 + size > len(data) + 1 and size != 0xFFFFFFFF
    if data[:4] == b"\x1aE\xdf\xa3":
        return _is_cut_matroska(data)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _is_cut_mp4(data)
    return False


def _is_cut_mp4(data: bytes) -> bool:
    """ISO/IEC 14496-12, 4.2: a file is a row of boxes, each with its size."""
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
            return True
        has_header |= kind == b"moov"
        position += size
    return not has_header


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
