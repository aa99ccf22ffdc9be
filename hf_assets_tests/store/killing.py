"""Kill a process right before its n-th change to the disk."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.utime"}


def killed_before_change(number: int, work: Callable[[], object]) -> bool:
    """Do some work in a fork of this process, with SIGKILL before its `number`-th change to the disk.

    Returns:
        Whether it came to that.
    """
    child = os.fork()
    if child == 0:
        left = number

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in CHANGES:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return os.WIFSIGNALED(status)
