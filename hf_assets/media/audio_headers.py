"""What audio headers say of their files' lengths, and what the data say: a header is believed where they agree.

As players have it, a file is read as far as it goes: recorders that write into a pipe leave lengths out, cutters leave
the whole piece's length in a header. Where much less is there than a header announces, a download was cut: that is the
reason why the file isn't used.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from hf_assets.errors import MediaError

W64_RIFF = b"riff.\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"
# A recorder that writes into a pipe announces as much as the field holds.
UNKNOWN_BYTES = 2**31 - 2**16
# What is written behind a WAV's audio.
CHUNKS_BEHIND = re.compile(
    rb"LIST|ID3 |id3 |bext|iXML|_PMX|cue |smpl|inst|acid|fact|PEAK|cart|afsp|JUNK|junk|PAD |FLLR|axml|chna"
)
# Less than this may be missing behind what is there.
SLACK_S = 0.1

# Behind it stands what kind of page it is.
OGG_PAGE, OGG_END = re.compile(rb"OggS\0(?=[\0-\7])"), 4

# 120 ms of 48 kHz: Opus. Of Vorbis, half of the longer block that its first page names.
MAX_PACKET_SAMPLES, VORBIS_BLOCKS = 5_760, 56
# No frame is longer: 65,535 samples of 8 channels of 32 bits are, but nobody writes them.
FLAC_TAIL_BYTES = 1 << 18

BIT_RATES = {  # ISO/IEC 11172-3 and 13818-3, layer III, in kbit/s
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# Encoders that say how many samples they put in front and behind, and how far behind their name: 12 bits each.
ENCODERS, PADDING = (b"LAME", b"Lavf", b"Lavc"), 21
# A frame refers to 511 or 255 bytes before it at most, beside 36 or 21 of header in each.
LEAST_BYTES_OF_MPEG_1, LEAST_BYTES_OF_MPEG_2 = 207, 106
MPEG_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def with_sizes(data: bytes) -> bytes:
    """A WAV or AU file whose header leaves the size of its audio out, as 0 or as much as the field holds, with that
    size; any other file as it is.
    """
    if data[:3] == b"ID3" and data[_behind_id3(data) :][:4] == b"RIFF":  # libsndfile leaves as much out at the end
        data = data[_behind_id3(data) :]
    if data[:4] == b".snd" and data[8:12] == bytes(4) and len(data) > int.from_bytes(data[4:8]) >= 24:
        return data[:8] + b"\xff" * 4 + data[12:]
    if data[:4] == b"RF64":
        return _with_long_size(data)
    if data[:4] not in (b"RIFF", b"RIFX") or data[8:12] != b"WAVE":
        return data
    order = ">" if data[:4] == b"RIFX" else "<"
    for kind, start, size in _riff_chunks(data, 12, order):
        if kind == b"data" and size == 0 and (start >= len(data) or _are_chunks(data, start, order)):
            break  # it has no audio
        if kind == b"data" and (size == 0 or (size >= UNKNOWN_BYTES and start + size > len(data))):
            rest = min(_end_of_audio(data, start, order) - start, 2**32 - 1)
            return data[: start - 4] + struct.pack(f"{order}I", rest) + data[start:]
        if kind == b"data":
            break
    return data


def _with_long_size(data: bytes) -> bytes:
    """An RF64 whose header says 0 for the size of its audio, with that size."""
    start = next((at for kind, at, _ in _riff_chunks(data, 12) if kind == b"data"), 0)
    if data[12:16] != b"ds64" or len(data) < 52 or data[28:36] != bytes(8) or not 0 < start < len(data):
        return data
    rest = _end_of_audio(data, start) - start
    return data[:20] + struct.pack("<QQQ", len(data) - 8, rest, 0) + data[44:]


def announced_and_there(log: str) -> tuple[int, int] | None:
    """Bytes of audio that a header announces, and that are there, from what libsndfile notes of it; None: they agree.

    A recorder that writes into a pipe can't know the length (`UNKNOWN_BYTES`).
    """
    found = re.search(r"^ *(?:data|SSND|Data Size) *: *(\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if found is None or int(found[1]) >= UNKNOWN_BYTES or int(found[1]) <= int(found[2]):
        return None
    return int(found[1]), int(found[2])


def long_announced_and_there(data: bytes) -> tuple[int, int] | None:
    """The same of formats with sizes of 64 bits, RF64 (EBU Tech 3306), W64 and CAF: libsndfile notes nothing."""
    announced = start = 0
    if data[:4] == b"RF64" and data[12:16] == b"ds64" and len(data) >= 36:
        (announced,) = struct.unpack_from("<Q", data, 28)
        start = next((at for kind, at, _ in _riff_chunks(data, 12) if kind == b"data"), 0)
    elif data[:16] == W64_RIFF:
        position = 40
        while position + 24 <= len(data) and not start:
            (size,) = struct.unpack_from("<Q", data, position + 16)
            if data[position : position + 4] == b"data":
                announced, start = size - 24, position + 24
            position += max(size + -size % 8, 24)
    elif data[:4] == b"caff":
        position = 8
        while position + 12 <= len(data) and not start:
            kind, size = struct.unpack_from(">4sq", data, position)
            if kind == b"data":
                announced, start = size - 4, position + 16
            position += 12 + max(size, 0)
    if not start or not 0 < announced < 2**62 or announced <= len(data) - start:
        return None
    return announced, len(data) - start


def is_chained(data: bytes) -> bool:
    """Whether an Ogg begins anew within the file, as recordings of a station do with each title (RFC 3533)."""
    starts = [data[found.end()] & 2 for found in OGG_PAGE.finditer(data)] if data[:4] == b"OggS" else []
    return any(starts[starts.index(0) :]) if 0 in starts else False


def has_false_end(data: bytes) -> bool:
    """Whether the last page of an Ogg says of its end what the packets on it can't be: fewer samples than before, or
    more than they hold; or whether, of Opus, it isn't marked as the last, which libsndfile then can't read.
    """
    starts = [found.start() for found in OGG_PAGE.finditer(data)] if data[:4] == b"OggS" else []
    if len(starts) < 2 or starts[-1] + 27 > len(data):
        return False
    before, last = (struct.unpack_from("<q", data, start + 6)[0] for start in starts[-2:])
    count = data[starts[-1] + 26]
    num_packets = sum(length < 255 for length in data[starts[-1] + 27 : starts[-1] + 27 + count])
    is_vorbis = data[29:35] == b"vorbis" and len(data) > VORBIS_BLOCKS
    most = (1 << (data[VORBIS_BLOCKS] >> 4)) // 2 if is_vorbis else MAX_PACKET_SAMPLES
    if data[28:36] == b"OpusHead" and not data[starts[-1] + 5] & OGG_END:
        return True
    return bool(num_packets) and not before <= last <= before + (num_packets + 1) * most


def require_whole_pages(data: bytes) -> None:
    """Refuse an Ogg file whose last page is cut."""
    start = data.rfind(b"OggS")
    header_end = start + 27
    table_end = header_end + (data[header_end - 1] if header_end <= len(data) else len(data))
    if table_end > len(data) or table_end + sum(data[header_end:table_end]) > len(data):
        raise MediaError("truncated", "the last page of the Ogg file is cut off")


class FlacEnd(NamedTuple):
    """Samples of each channel that a FLAC file announces, and the last frame that begins in it, with where."""

    announced: int
    first: int
    num_samples: int
    start: int


def with_flac_length(data: bytes, stop: int, num_samples: int) -> bytes:
    """A FLAC up to a position, whose header says that it has so many samples."""
    (packed,) = struct.unpack_from(">Q", data, 18)
    return data[:18] + struct.pack(">Q", packed >> 36 << 36 | num_samples) + data[26:stop]


def flac_end(data: bytes) -> FlacEnd | None:
    """Look for a FLAC's last frame (RFC 9639), or that of the announced length; None where it isn't plain FLAC.

    What was streamed announces 0.
    """
    if data[:4] != b"fLaC" or len(data) < 42:
        return None
    block, packed = struct.unpack_from(">H", data, 8)[0], struct.unpack_from(">Q", data, 18)[0]
    announced = packed & (2**36 - 1)
    start, is_last = 4, False
    while not is_last and start + 4 <= len(data):
        is_last = data[start] >= 0x80
        start += 4 + int.from_bytes(data[start + 1 : start + 4])
    first = _flac_frame(data, start, block)
    if first is None:
        return None
    if not data[start + 1] & 1:
        block = first[1]  # of all frames but the last
    like, end, last = data[start : start + 4], len(data), None
    while (at := data.rfind(b"\xff", start, end)) >= 0 and (last is None or len(data) - at < FLAC_TAIL_BYTES):
        end = at
        is_alike = data[at + 1] == like[1] and data[at + 2] & 15 == like[2] & 15 and data[at + 3] & 15 == like[3] & 15
        frame = _flac_frame(data, at, block) if at + 4 <= len(data) and is_alike else None
        if frame is None:
            continue
        last = last or FlacEnd(announced, *frame, at)
        if not announced or sum(frame) >= announced:
            return FlacEnd(announced, *frame, at)
    return last


class Xing(NamedTuple):
    """What stands in an MP3 in place of the first frame's audio.

    Attributes:
        start, stop: where that frame lies.
        fields: where what it says begins.
        num_frames: that it announces.
    """

    start: int
    stop: int
    fields: int
    num_frames: int


def xing(data: bytes) -> Xing | None:
    """The header that says how long an MP3 is; None where there is none, or it doesn't say."""
    start = _behind_id3(data)
    start = data.find(b"\xff", start)
    if start < 0:
        return None
    found = re.search(rb"Xing|Info", data[start : start + 48])
    size = _mpeg_frame_size(data, start)
    if found is None or not size or start + found.end() + 8 > len(data):
        return None
    flags, num_frames = struct.unpack_from(">II", data, start + found.end())
    return Xing(start, start + size, start + found.end(), num_frames) if flags & 1 else None


def without_false_length(data: bytes) -> tuple[bytes, str | None]:
    """An MP3 that says how long it is, where its frames are fewer or more, with their number, and the step that this
    is; any other file as it is.

    Cutters keep the frame of the whole piece; pieces that were put together have the first one's. What it says of
    samples in front of the sound stays true; what it says of those behind doesn't. Where it says nothing of them, it is
    left out.
    """
    is_mp3 = data[:3] == b"ID3" or _mpeg_frame_size(data, 0)
    found = xing(data) if is_mp3 else None
    if found is None:
        return data, None
    num_frames = _num_mpeg_frames(data, found.stop)
    if abs(num_frames - found.num_frames) <= 2:
        return data, None
    (flags,) = struct.unpack_from(">I", data, found.fields)
    encoder = found.fields + 4 + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
    padding = encoder + PADDING
    if data[encoder : encoder + 4] not in ENCODERS or padding + 3 > found.stop:
        return data[: found.start] + data[found.stop :], "xing"
    mended = bytearray(data)
    struct.pack_into(">I", mended, found.fields + 4, num_frames)
    mended[padding + 1] &= 0xF0
    mended[padding + 2] = 0
    return bytes(mended), "delay"


def is_longer(data: bytes, num_samples: int) -> bool:
    """Whether an MP3 has more frames than so many samples are, by more than a few."""
    start = max(data.find(b"\xff", _behind_id3(data)), 0)
    samples = 1152 if data[start + 1 : start + 2] and data[start + 1] & 0x08 else 576
    return _num_mpeg_frames(data, start) * samples > num_samples + 4 * samples


def has_small_frames(data: bytes) -> bool:
    """Whether an MP3 has frames that are so small that another may refer to more than the three before it."""
    start = max(data.find(b"\xff", _behind_id3(data)), 0)
    least = LEAST_BYTES_OF_MPEG_1 if data[start + 1 : start + 2] and data[start + 1] & 0x08 else LEAST_BYTES_OF_MPEG_2
    return any(size < least for size in _mpeg_frame_sizes(data, start))


def _num_mpeg_frames(data: bytes, start: int) -> int:
    """How many frames there are from a position on."""
    return sum(1 for _ in _mpeg_frame_sizes(data, start))


def _mpeg_frame_sizes(data: bytes, start: int) -> Iterator[int]:
    """The bytes of each frame from a position on."""
    while start < len(data):
        size = _mpeg_frame_size(data, start)
        if size and start + size <= len(data):
            yield size
            start += size
            continue
        # something else, such as a tag: on to where two frames follow one another
        start = data.find(b"\xff", start + 1)
        while start >= 0 and not ((size := _mpeg_frame_size(data, start)) and _mpeg_frame_size(data, start + size)):
            start = data.find(b"\xff", start + 1)
        if start < 0:
            break


def _mpeg_frame_size(data: bytes, at: int) -> int:
    """Bytes of the layer III frame that begins here; 0: none does."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return 0
    version, rate_code, bits = data[at + 1] >> 3 & 3, data[at + 2] >> 2 & 3, data[at + 2] >> 4
    if version == 1 or rate_code == 3 or bits in (0, 15):
        return 0
    is_first = version == 3
    kbits = BIT_RATES[1 if is_first else 2][bits]
    return (144 if is_first else 72) * kbits * 1000 // MPEG_RATES_HZ[version][rate_code] + (data[at + 2] >> 1 & 1)


def _behind_id3(data: bytes) -> int:
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))


def _riff_chunks(data: bytes, position: int, order: str = "<") -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the content, size) of each chunk."""
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}4sI", data, position)
        yield kind, position + 8, size
        position += 8 + size + size % 2


def _end_of_audio(data: bytes, start: int, order: str = "<") -> int:
    """Where what stands behind a WAV's audio begins, such as its title; the file's end where nothing does."""
    found = (name.start() for name in CHUNKS_BEHIND.finditer(data, start))
    return next((at for at in found if _are_chunks(data, at, order)), len(data))


def _are_chunks(data: bytes, position: int, order: str = "<") -> bool:
    """Whether bytes are a row of named chunks up to the file's end, and so no audio."""
    for kind, start, size in _riff_chunks(data, position, order):
        if not kind.isascii() or not kind.strip().isalnum() or start + size > len(data) + 1:
            return False
        position = start + size + size % 2
    return position >= len(data)


def _flac_frame(data: bytes, at: int, smallest_block: int) -> tuple[int, int] | None:
    """(first sample, number of samples) of the frame whose header begins here; None: none does."""
    if data[at + 1 : at + 2] not in (b"\xf8", b"\xf9") or at + 6 > len(data):
        return None
    size_code, rate_code = data[at + 2] >> 4, data[at + 2] & 15
    lead = data[at + 4]
    length = 1 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length()
    if length > 7 or (length == 1 and lead >= 0x80) or size_code == 0:
        return None
    number = lead if length == 1 else lead & ((1 << (7 - length)) - 1)
    for byte in data[at + 5 : at + 4 + length]:
        number = number << 6 | byte & 0x3F
    position = at + 4 + length
    if size_code in (6, 7):
        width = size_code - 5
        block = int.from_bytes(data[position : position + width]) + 1
        position += width
    else:
        block = 192 if size_code == 1 else 144 << size_code if size_code < 6 else 1 << size_code
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if position >= len(data) or _crc8(data[at:position]) != data[position]:
        return None
    is_variable = data[at + 1] & 1
    return (number if is_variable else number * smallest_block), block


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value
