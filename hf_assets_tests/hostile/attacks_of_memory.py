"""Small inputs that unpack to much, each held by a line or a quarantined row. A program, for a process of its own.

It prints a line for each: name, what became of it, and the peak of its memory so far in MiB.
"""

import gzip
import io
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets.errors import HfAssetsError
from hf_assets.media import image, video
from hf_assets.sources.formats import conversion, parquet
from hf_assets.sources.formats.conversion import Format
from hf_assets.sources.formats.parquet import WantedColumns

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# So that texts lie in pages as they are.
PLAIN = {"use_dictionary": False, "write_statistics": False}


def png(width: int, height: int, bits: int, kind: int) -> bytes:
    """A white image, whatever its size in a few kB."""
    channels = {0: 1, 2: 3, 6: 4}[kind]
    row = b"\0" + b"\xff" * ((width * bits * channels + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(row) for _ in range(height)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def table(captions: pa.Array, **options: object) -> io.BytesIO:
    rows = pa.array([{"bytes": b"a", "path": None}] * len(captions), PICTURE)
    file = io.BytesIO()
    pq.write_table(pa.table({"image": rows, "caption": captions}), file, compression="zstd", **options)
    file.seek(0)
    return file


def repeated(text: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def read(file: io.BytesIO) -> object:
    return parquet.read_columns(file, WantedColumns("image", ("caption",)), "x.parquet")


def convert(folder: Path, name: str, data: bytes, kind: str) -> None:
    (folder / name).write_bytes(data)
    conversion.convert(folder / name, name, Format(kind, {}, None), folder / "out.parquet")


def media_of_one_row(folder: Path) -> None:
    """Media that are one in a dictionary: read, but few at a time."""
    rows = pa.StructArray.from_arrays(
        [repeated("a" * 20_000_000, 500).cast(pa.dictionary(pa.int32(), pa.binary()))], ["bytes"]
    )
    pq.write_table(pa.table({"image": rows}), folder / "m.parquet", compression="zstd")
    for _, data in parquet.read_media(folder / "m.parquet", "image", range(500)):
        assert data is not None


def lying(file: io.BytesIO) -> io.BytesIO:
    """The same file, of which the footer says that its columns are small: only their pages' headers are true."""
    data, written = bytearray(file.getvalue()), varint(300_000_000)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    large = [at for at in range(footer, len(data)) if is_large(data, at)]
    assert large, "the size that the footer has"
    for at in large:
        data[at : at + len(written)] = varint(1000, len(written))
    return io.BytesIO(bytes(data))


def varint(number: int, width: int = 0) -> bytes:
    """A number as Thrift writes it, in as many bytes as are asked for."""
    number *= 2  # zigzag
    digits = bytearray()
    while number >= 0x80 or len(digits) < width - 1:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def is_large(data: bytearray, at: int) -> bool:
    """Whether a number of about 300 million is written there."""
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[at : at + 5])) >> 1
    whole = all(byte >= 0x80 for byte in data[at : at + 4]) and data[at + 4 : at + 5] < b"\x80"
    return whole and 300_000_000 <= value < 300_010_000


def media_of_one_page(folder: Path) -> None:
    rows = pa.array([b"a" * 300_000_000, b"b"])
    pq.write_table(pa.table({"image": rows}), folder / "p.parquet", compression="zstd", **PLAIN)
    list(parquet.read_media(folder / "p.parquet", "image", range(2)))


def zipped(folder: Path, num_bytes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("a.png", "w") as member:
            for _ in range(num_bytes >> 20):
                member.write(b"\0" * (1 << 20))
        archive.writestr("metadata.csv", "file_name,caption\na.png,a\n")
    return file.getvalue()


def clip() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for _ in range(3):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def attacks(folder: Path) -> dict[str, Callable[[], object]]:
    sizes = ((512, 512), (0, 0), (512, 512))
    return {
        "a picture of 16,384 x 16,384 in one bit": lambda: image.to_pixels(png(16_384, 16_384, 1, 0), *sizes),
        "a picture of 12,000 x 12,000 with alpha": lambda: image.decode(png(12_000, 12_000, 8, 6)),
        "a caption of 5 MB in a thousand rows": lambda: read(table(repeated("x" * 5_000_000, 1000))),
        "a list of it": lambda: read(table(pa.array([["x" * 1_000_000]] * 1000))),
        "a page of 300 MB in a small column": lambda: read(lying(table(pa.array(["x" * 300_000_000, ""]), **PLAIN))),
        "media in such a page": lambda: media_of_one_page(folder),
        "two billion rows of nothing": lambda: parquet.read_columns(nulls(), WantedColumns("image", ()), "x.parquet"),
        "the same media in many rows": lambda: media_of_one_row(folder),
        "a line of 300 MB, gzipped": lambda: convert(folder, "a.txt.gz", gzip.compress(bytes(300 << 20), 1), "text"),
        "JSON 300,000 levels deep": lambda: convert(folder, "a.json", b"[" * 300_000 + b"]" * 300_000, "json"),
        "the same in lines": lambda: convert(folder, "b.jsonl", b'{"a":' * 300_000 + b"1" + b"}" * 300_000, "json"),
        "a member of 300 MB": lambda: convert(folder, "a.zip", zipped(folder, 300 << 20), "imagefolder"),
        "60,000 frames": lambda: video.to_pixels(clip(), *sizes, 0, 60_000),
    }


def nulls() -> io.BytesIO:
    """A file of which the footer says that it has many rows."""
    file = io.BytesIO()
    rows = pa.chunked_array([pa.nulls(1 << 20, pa.string())])
    with pq.ParquetWriter(file, pa.schema([("image", pa.string())])) as writer:
        for _ in range(33):
            writer.write_table(pa.table({"image": rows}))
    file.seek(0)
    return file


def main(folder: Path) -> None:
    for name, attack in attacks(folder).items():
        outcome = "read"
        pa.default_memory_pool().release_unused()  # what the last one left counts once
        try:
            attack()
        except HfAssetsError as error:
            outcome = str(error)
        print(f"{name}\t{outcome}\t{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
