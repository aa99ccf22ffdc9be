"""The lock of a device, among all processes of this machine. A process that dies, by whatever signal, releases it."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_EVERY_S = 0.2


@contextmanager
def hold(device: str, say: Callable[[str], None], folder: Path | None = None) -> Iterator[None]:
    """Wait until no other process of this user has the device, and keep it for the block.

    The operating system releases the lock of a process that ends. Dagster's pool slots are not released when a run is
    killed and no daemon watches: the next run would wait for ever.

    Args:
        device: as torch names it; with what `CUDA_VISIBLE_DEVICES` leaves visible, it distinguishes devices.
        folder: where the locks lie.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all") if device.startswith("cuda") else ""
    name = f"hf_assets-{os.getuid()}-{device}-{visible}.lock".replace(":", "_").replace(",", "_").replace("/", "_")
    with ((folder or Path(tempfile.gettempdir())) / name).open("w") as lock:
        if not _try_lock(lock.fileno()):
            say(f"waiting for the {device} device, on which another run encodes")
            while not _try_lock(lock.fileno()):
                time.sleep(LOOK_EVERY_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
