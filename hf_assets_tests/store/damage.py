"""Ways in which a file breaks, on a disk that isn't what it was."""

import os
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def deleted(path: Path) -> None:
    path.unlink()


def flipped(share: float) -> Damage:
    """One bit flipped, at this share of the file's length."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[min(int(share * len(data)), len(data) - 1)] ^= 1
        path.write_bytes(data)

    return flip


def flipped_unseen(share: float) -> Damage:
    """The same, with the time of the last change as before: what a bad disk does."""

    def flip(path: Path) -> None:
        status = path.stat()
        flipped(share)(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return flip


# Seen by their size or time. Header, data and end of a file.
SEEN: dict[str, Damage] = {
    "emptied": emptied,
    "truncated": truncated,
    "deleted": deleted,
    "a bit flipped in the header": flipped(0.0),
    "a bit flipped in the data": flipped(0.6),
    "a bit flipped at the end": flipped(1.0),
}

# Seen only when all of it is read.
UNSEEN: dict[str, Damage] = {
    "a bit flipped unseen in the header": flipped_unseen(0.02),
    "a bit flipped unseen in the data": flipped_unseen(0.6),
}
