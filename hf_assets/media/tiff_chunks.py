"""Strips and tiles of a TIFF that tifffile reads: they hold what the image has, and no more.

It unpacks whatever lies in one, before it looks at how much that is.
"""

import lzma
import math
import zlib
from typing import Any

from hf_assets.errors import MediaError

# How they may be packed, of what is unpacked without other packages.
ZLIB, LZMA, PACKBITS = (8, 32946), 34925, 32773
# What an LZMA decoder may take beside.
LZMA_BYTES = 256 << 20


def num_bytes(page: Any) -> int:
    """Of all of a page's strips or tiles, unpacked: tiles may be larger than the image."""
    return int(max(page.nbytes, math.prod(page.chunked) * _chunk_bytes(page)))


def require(page: Any) -> None:
    """Refuse a page with more strips or tiles, or with more in one, than there is room for.

    Raises:
        MediaError: `undecodable`.
    """
    size, handle = _chunk_bytes(page), page.parent.filehandle
    is_more = len(page.dataoffsets) > math.prod(page.chunked)
    for start, length in zip(page.dataoffsets, page.databytecounts, strict=False) if not is_more else ():
        handle.seek(start)
        is_more |= _unpacks_to_more(int(page.compression), handle.read(length), size)
    if is_more:
        raise MediaError("undecodable", "TIFF: strips or tiles hold more than the image has")


def _chunk_bytes(page: Any) -> int:
    return int(math.prod(page.chunks) * page.dtype.itemsize)


def _unpacks_to_more(compression: int, packed: bytes, size: int) -> bool:
    try:
        if compression in ZLIB:
            return len(zlib.decompressobj().decompress(packed, size + 1)) > size
        if compression == LZMA:
            return len(lzma.LZMADecompressor(memlimit=LZMA_BYTES).decompress(packed, size + 1)) > size
    except (zlib.error, lzma.LZMAError, EOFError):
        return False  # which unpacking it in earnest will report
    at = total = 0
    while compression == PACKBITS and at < len(packed) and total <= size:
        head = packed[at]
        run = head + 1 if head < 128 else 257 - head
        at += 1 + run if head < 128 else 1 if head == 128 else 2
        total += run if head != 128 else 0
    return total > size
