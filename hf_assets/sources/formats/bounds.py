"""What a file that isn't Parquet unpacks to, looked at before it is parsed.

Parsers of text hold a line whole, those of JSON a whole array, and go a level down the stack for each bracket; readers
of archives hold a member. A small file can hold any of these in any size, so that memory, or the process, ends.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from hf_assets.errors import DatasetError
from hf_assets.sources import unicode_names
from hf_assets.sources.formats import zips
from hf_assets.sources.formats.faults import Fault

# A member of an archive is held some times at once: as bytes, as a row, as a page, and compressed.
MAX_MEMBER_BYTES = 256 << 20
# A line becomes text and a row. No caption or list of captions is as long.
MAX_LINE_BYTES = 64 << 20
# JSON that isn't written in lines is parsed whole, to objects several times as large.
MAX_WHOLE_BYTES = 256 << 20
# Rows of a CSV file are parsed so many at a time (`datasets` 5.2).
CSV_ROWS, MAX_CSV_BYTES = 10_000, 512 << 20
# Tables have a dozen levels at most; parsers end the process some thousands of levels down.
MAX_DEPTH = 256
# Of a table of CSV or JSON, each of which becomes an object or several.
MAX_COLUMNS = 20_000
# A key of an object of JSON; a quote within a text has a backslash before it.
KEY = re.compile(rb'"([^"\\\n]{1,200})"[ \t]*:')
# Names and attributes of a member of a tar, which are read whole.
MAX_TAR_HEADER_BYTES = 1 << 20
TAR_HEADERS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
# What unpacks piece by piece; the others of a zip are unpacked whole, whatever size they are said to have.
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Text of people is compressed to a tenth, of machines to a fiftieth.
MAX_RATIO, MIN_RATIO_BYTES = 200, 256 << 20

# What reading an Arrow file may take beside the libraries: its buffers may be compressed.
ARROW_BYTES, ARROW_TIMES = 1 << 30, 4
# Rows of one file, of which each is a number at least.
MAX_ROWS = 1 << 25
TOO_LARGE = 4
ARROW_CHILD = f"""
import resource, sys
path, limit = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
import pyarrow as pa
import pyarrow.compute as pc
def unpack(values):  # to what each row has of its own
    kind = values.type
    if pa.types.is_dictionary(kind):
        values.dictionary_decode()
    elif pa.types.is_run_end_encoded(kind):
        pc.run_end_decode(values)
    elif pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        values.cast(pa.large_binary())
    elif pa.types.is_struct(kind):
        for inner in values.flatten():
            unpack(inner)
    elif pa.types.is_nested(kind) and hasattr(values, "flatten"):
        unpack(values.flatten())
num_rows = 0
try:
    if open(path, "rb").read(6) == b"ARROW1":
        file = pa.ipc.open_file(pa.OSFile(path))
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
    else:
        batches = pa.ipc.open_stream(pa.OSFile(path))
    for batch in batches:
        num_rows += batch.num_rows
        if num_rows > {MAX_ROWS}:
            sys.exit({TOO_LARGE})
        for column in batch.columns:
            unpack(column)
except MemoryError:
    sys.exit({TOO_LARGE})
except Exception:  # which reading it in earnest will report
    pass
"""

BLOCK_BYTES = 1 << 20
COMPRESSED = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda path: pa.input_stream(str(path), compression="zstd"),
    b"\x04\x22\x4d\x18": lambda path: pa.input_stream(str(path), compression="lz4"),
}
# What a compressed file raises that is cut or damaged.
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError)
# In JSON, opening and closing brackets count 1 and -1; everything else but quotes is deleted first.
QUOTE = ord('"')
OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
STEP = np.zeros(256, np.int64)
STEP[list(b"[{")], STEP[list(b"]}")] = 1, -1
ESCAPED = re.compile(rb"\\.", re.DOTALL)


def check(local: Path, path: str, kind: str, settings: Mapping[str, Any]) -> None:
    """Refuse a file that unpacks to more than parsers bear.

    Args:
        path: in the repository, for messages.
        kind: name of a builder of `datasets`.
        settings: of the builder.

    Raises:
        DatasetError: in which way it is too large.
    """
    start = start_of(local)
    if kind == "webdataset":
        _check_tar(local, path)
    elif kind == "arrow":
        _check_arrow(local, path)
    elif path.lower().endswith(".zip") and kind.endswith("folder"):
        with local.open("rb") as file:
            zips.require_whole(file, path)
        _check_zip(local, path, None)
    elif start.startswith(b"PK\3\4"):
        _check_zip(local, path, None if kind.endswith("folder") else (kind, settings))
    elif not start.startswith(b"PAR1"):
        if kind.endswith("folder"):  # the table of its captions
            kind = "json" if ".json" in path else "csv"
        with contextlib.suppress(*DAMAGED), unpacked(local, start) as stream:  # `unpack_lines` reads what it can
            _check_text(stream, path, kind, settings, local.stat().st_size)


def check_member(size: int, name: str, path: str) -> None:
    """Refuse a member of an archive that is too large to be held."""
    if size > MAX_MEMBER_BYTES:
        raise DatasetError(
            f'"{path}" holds "{name[:200]}" of {size:,d} bytes, more than the {MAX_MEMBER_BYTES:,d} that are read of '
            "one file in an archive: keep it beside the archive"
        )


def start_of(local: Path) -> bytes:
    with local.open("rb") as file:
        return file.read(8)


def _check_arrow(local: Path, path: str) -> None:
    """Read a file batch by batch in a child process with little memory: only reading shows what a batch unpacks to."""
    limit = ARROW_BYTES + ARROW_TIMES * local.stat().st_size
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ARROW_CHILD, str(local), str(limit)], capture_output=True, check=False, env=environment
    )
    if done.returncode in (TOO_LARGE, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT):
        raise _bomb(
            path, f"has more than {MAX_ROWS:,d} rows, or rows that unpack to more than {ARROW_TIMES} times its size"
        )


class _Member(tarfile.TarInfo):
    """A member of a tar of which no header is read that is larger than headers are."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type in (*TAR_HEADERS, tarfile.SOLARIS_XHDTYPE) and member.size > MAX_TAR_HEADER_BYTES:
            raise DatasetError(f"it holds a member whose name or attributes have {member.size:,d} bytes")
        if member.type == tarfile.GNUTYPE_SPARSE:  # which has no bytes of its own
            raise DatasetError(f'it holds "{member.name[:200]}", a sparse file, which is not read')
        return member

    def _proc_gnusparse_10(self, *given: Any) -> None:
        raise DatasetError("it holds a sparse file, which is not read")


def _check_tar(local: Path, path: str) -> None:
    total, packed_bytes = 0, local.stat().st_size
    try:
        # one that ends early is read as far as it goes
        with contextlib.suppress(tarfile.ReadError, EOFError), tarfile.open(local, "r|*", tarinfo=_Member) as tar:
            for member in tar:
                if member.issparse():
                    raise DatasetError(f'it holds "{member.name[:200]}", a sparse file, which is not read')
                check_member(member.size, member.name, path)
                _check_total(total := total + member.size, packed_bytes, path)
                tar.members = []  # type: ignore[attr-defined]  # it would remember all of them
    except DatasetError as error:
        raise DatasetError(str(error).replace("it holds", f'"{path}" holds', 1)) from None


def _check_total(total: int, packed_bytes: int, path: str) -> None:
    if total > MAX_RATIO * packed_bytes and total > MIN_RATIO_BYTES:
        raise _bomb(path, f"unpacks to more than {MAX_RATIO} times its size")


def _check_zip(local: Path, path: str, text: tuple[str, Mapping[str, Any]] | None) -> None:
    """
    Args:
        text: kind and settings, where the members are text; None where they are media.
    """
    with zipfile.ZipFile(local) as archive:
        if text is None:
            unicode_names.require_distinct((member.filename for member in archive.infolist()), f'"{path}"')
        total = 0
        for member in archive.infolist():
            if member.compress_type not in ZIP_METHODS:
                raise DatasetError(
                    f'"{path}" holds "{member.filename[:200]}", which isn\'t packed with deflate: pack it so'
                )
            if text is None:
                check_member(member.file_size, member.filename, path)
            _check_total(total := total + member.file_size, local.stat().st_size, path)
            if text is not None and not member.is_dir():
                with archive.open(member) as stream:
                    _check_text(stream, path, *text, member.compress_size)


def is_compressed(start: bytes) -> bool:
    """Whether a file that begins so is compressed, in a way that is known."""
    return start.startswith(tuple(COMPRESSED))


def unpack_lines(local: Path, target: Path) -> list[Fault]:
    """Copy what a file of lines holds, unpacked; of one that ends early, the lines in front.

    Returns:
        The line in which it ends, or is damaged.

    Raises:
        OSError, EOFError: nothing of it can be unpacked.
    """
    num_lines = num_bytes = end = 0
    with unpacked(local, start_of(local)) as stream, target.open("wb") as copy:
        try:
            for block in blocks(stream):
                copy.write(block)
                if b"\n" in block:
                    num_lines, end = num_lines + block.count(b"\n"), num_bytes + block.rfind(b"\n") + 1
                num_bytes += len(block)
        except DAMAGED as error:
            if not num_bytes:
                raise
            copy.truncate(end or num_bytes)  # an array in one line is read as far as it goes
            why = f"the file ends, or is damaged, in or behind this line ({error}): fetch it again"
            return [Fault(f"line {num_lines + 1:,}", "truncated", why)]
    return []


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """What can be read, also of a compressed file in front of where it is damaged."""
    read = getattr(stream, "read1", stream.read)
    while block := read(BLOCK_BYTES):
        yield block


@contextmanager
def unpacked(local: Path, start: bytes) -> Iterator[IO[bytes]]:
    """What a file holds, unpacked where it is compressed.

    Args:
        start: its first bytes.
    """
    opened = next((opened for magic, opened in COMPRESSED.items() if start.startswith(magic)), None)
    with local.open("rb") if opened is None else opened(local) as stream:  # type: ignore[operator]
        yield stream


def _check_text(stream: IO[bytes], path: str, kind: str, settings: Mapping[str, Any], packed_bytes: int) -> None:
    brackets = _Brackets() if kind == "json" else None
    columns: set[bytes] = set()
    is_whole = kind == "xml" or settings.get("field") is not None or settings.get("sample_by", "line") != "line"
    total = line = lines = 0
    window: deque[tuple[int, int]] = deque([(0, 0)])
    for block in blocks(stream):
        if not total and kind == "csv" and max(map(block.partition(b"\n")[0].count, b",;\t|")) > MAX_COLUMNS:
            raise DatasetError(f'"{path}" has more than {MAX_COLUMNS:,d} columns, which is not read')
        if kind == "json" and settings.get("field") is None:
            columns.update(KEY.findall(block))
            if len(columns) > MAX_COLUMNS:
                raise DatasetError(f'"{path}" has more than {MAX_COLUMNS:,d} columns, which is not read')
        if not total and kind == "json":
            is_whole |= block.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        total += len(block)
        last = block.rfind(b"\n")
        line = line + len(block) if last < 0 else len(block) - last - 1
        lines += block.count(b"\n")
        window.append((total, lines))
        while len(window) > 1 and lines - window[1][1] > CSV_ROWS:
            window.popleft()
        _check_total(total, packed_bytes, path)
        if is_whole and total > MAX_WHOLE_BYTES:
            raise _bomb(path, f"is no {kind} in lines, and has more than {MAX_WHOLE_BYTES:,d} bytes")
        if not is_whole and line > MAX_LINE_BYTES:
            raise _bomb(path, f"has a line of more than {MAX_LINE_BYTES:,d} bytes")
        if kind == "csv" and total - window[0][0] > MAX_CSV_BYTES:
            raise _bomb(path, f"has {CSV_ROWS:,d} lines with more than {MAX_CSV_BYTES:,d} bytes")
        if brackets is not None and brackets.depth_with(block) > MAX_DEPTH:
            raise DatasetError(f'"{path}" is nested more than {MAX_DEPTH} levels deep, as no table is: it is not read')


def _bomb(path: str, what: str) -> DatasetError:
    return DatasetError(f'"{path}" {what}, which is not read: write it in smaller files')


class _Brackets:
    """How deep JSON is nested; brackets in texts are none."""

    def __init__(self) -> None:
        self.depth = 0
        self.is_in_text = False
        self.rest = b""  # a backslash whose character comes with the next block

    def depth_with(self, block: bytes) -> int:
        """The greatest depth within one more block."""
        block = ESCAPED.sub(b"", self.rest + block)
        self.rest = block[-1:] if block.endswith(b"\\") else b""
        marks = np.frombuffer(block.translate(None, OTHERS), np.uint8)
        if not len(marks):
            return self.depth
        in_text = (np.cumsum(marks == QUOTE) + self.is_in_text) % 2
        levels = self.depth + np.cumsum(STEP[marks] * (1 - in_text))
        self.is_in_text, self.depth = bool(in_text[-1]), int(levels[-1])
        return int(levels.max())
