"""The lock of a device, among all processes of this machine. A process that dies, by whatever signal, releases it."""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hf_assets.errors import StoreError

LOOK_EVERY_S = 0.2


@contextmanager
def hold(device: str, say: Callable[[str], None], folder: Path | None = None) -> Iterator[None]:
    """Wait until no other process of this user has the device, and keep it for the block.

    The operating system releases the lock of a process that ends. Dagster's pool slots are not released when a run is
    killed and no daemon watches: the next run would wait for ever.

    Args:
        device: as torch names it; with what `CUDA_VISIBLE_DEVICES` leaves visible, it distinguishes devices.
        folder: where the locks lie; by default one in the temporary folder that is this user's alone.

    Raises:
        StoreError: that is another user's, or a link.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all") if device.startswith("cuda") else ""
    name = f"{device}-{visible}.lock".replace(":", "_").replace(",", "_").replace("/", "_")
    with open_lock(folder or own_folder(), name) as lock:
        if not _try_lock(lock.fileno()):
            say(f"waiting for the {device} device, on which another run encodes")
            while not _try_lock(lock.fileno()):
                time.sleep(LOOK_EVERY_S)
        yield


def own_folder() -> Path:
    """A folder that nobody else may write in: in the temporary folder, others could put links under a lock's name.

    Raises:
        StoreError: that is another user's, or a link.
    """
    folder = Path(tempfile.gettempdir()) / f"hf_assets-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreError(f'"{folder}" is not a folder of this user alone (mode 0700): remove it, or set TMPDIR')
    return folder


def open_lock(folder: Path, name: str) -> IO[bytes]:
    """A lock's file: neither through a link nor emptied.

    Raises:
        StoreError: a link lies there.
    """
    try:
        return os.fdopen(os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f'"{folder / name}" is a link: remove it, then run again') from None
        raise


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
