"""Chat templates, which are programs in Jinja that a repository brings: they get little time and memory.

Jinja's sandbox keeps them from everything but computing. That they don't compute for ever is seen to here: each is
tried in a child process before it is used, and every rendering is then timed.
"""

import ctypes
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hf_assets.errors import ModelError

T = TypeVar("T")

# A rendering takes less than a millisecond.
LIMIT_S = 20.0
LIMIT_BYTES = 1 << 30
# What pipelines give to templates, as text and in parts.
MESSAGES = [
    [{"role": "system", "content": "Describe the picture."}, {"role": "user", "content": "a photo"}],
    [{"role": "user", "content": "a photo"}],
    [{"role": "user", "content": [{"type": "text", "text": "a photo"}]}],
]
TOO_LONG, TOO_LARGE = 3, 4
# Whatever else a template does wrong, it does again where it is used, and is reported then.
CHILD = f"""
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT_BYTES}, {LIMIT_BYTES}))
from jinja2.sandbox import ImmutableSandboxedEnvironment
environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
environment.globals.update(strftime_now=str, raise_exception=str)
given = json.load(sys.stdin)
for messages in given["messages"]:
    for is_prompt in (True, False):
        try:
            environment.from_string(given["template"]).render(messages=messages, add_generation_prompt=is_prompt)
        except (MemoryError, OverflowError):
            sys.exit({TOO_LARGE})
        except Exception:
            pass
"""


def bound(part: Any, name: str, at: str) -> None:
    """Try the chat templates of a tokenizer or processor, and let each later rendering take `LIMIT_S` at most.

    Args:
        name: of the component.
        at: the repository, for messages.

    Raises:
        ModelError: one takes too long, or too much memory.
    """
    if (inner := getattr(part, "tokenizer", None)) is not None:  # of a processor
        bound(inner, f"{name}.tokenizer", at)
    templates = getattr(part, "chat_template", None)
    if not templates:
        return
    for template in templates.values() if isinstance(templates, dict) else [templates]:
        _try(str(template), f"{at}: the chat template of {name}")
    part.apply_chat_template = _with_time_limit(part.apply_chat_template, f"{at}: the chat template of {name}")


def _try(template: str, what: str) -> None:
    given = json.dumps({"template": template, "messages": MESSAGES})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", CHILD], input=given.encode(), capture_output=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise _too_long(what) from None
    if done.returncode in (TOO_LARGE, -9, -11, -6):
        raise ModelError(f"{what} takes more than {LIMIT_BYTES >> 20:,} MiB of memory: choose another model")


def _with_time_limit(render: Callable[..., T], what: str) -> Callable[..., T]:
    @functools.wraps(render)
    def rendered(*given: Any, **named: Any) -> T:
        with _time_limit(what):
            return render(*given, **named)

    return rendered


class _Overdue(BaseException):
    """Raised in the thread that renders: a template can't catch it."""


@contextmanager
def _time_limit(what: str) -> Iterator[None]:
    """End what this thread does in the block after `LIMIT_S`: in any thread, where signals reach the main one only."""
    thread = ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(LIMIT_S, ctypes.pythonapi.PyThreadState_SetAsyncExc, [thread, ctypes.py_object(_Overdue)])
    timer.daemon = True
    timer.start()
    try:
        yield
    except _Overdue:
        raise _too_long(what) from None
    finally:
        timer.cancel()


def _too_long(what: str) -> ModelError:
    return ModelError(f"{what} takes more than {LIMIT_S:g} s to render a caption: choose another model")
