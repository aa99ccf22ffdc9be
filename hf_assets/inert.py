"""Text of strangers, made to do nothing where it is printed, logged or drawn."""

import logging
import re
import sys
import threading
import traceback
import warnings

# Controls of terminals (C0, C1), what turns the direction of writing, and what isn't seen or is no character: all but
# tabs and line ends.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def text(given: str) -> str:
    """The text with each control shown as Python writes it: `\\x1b` in place of an escape."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), given)


def cut(given: str, num_characters: int) -> str:
    """The text's beginning, of bounded length."""
    return given if len(given) <= num_characters else f"{given[: num_characters - 1]}…"


def trace(error: BaseException) -> str:
    """An error as Python prints it: libraries' messages quote what they read."""
    return text("".join(traceback.format_exception(error)))


def is_inert(error: BaseException) -> bool:
    """Whether an error, as Python prints it, holds no controls."""
    return _CONTROLS.search("".join(traceback.format_exception(error))) is None


class _Record(logging.LogRecord):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = trace(self.exc_info[1]).rstrip("\n")

    def getMessage(self) -> str:
        return text(super().getMessage())


def all_of_this_process() -> None:
    """From now on, what libraries log, warn of and fail with shows its controls, too, wherever it is written.

    It is for programs: where another one has its own kind of log records, they stay as they are.
    """
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(_Record)
    if warnings.formatwarning is not _format_warning:
        warnings.formatwarning = _format_warning
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda kind, error, frames: _print(error)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _print_of_thread


_plain_warning = warnings.formatwarning


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return text(_plain_warning(message, category, filename, lineno, line))


def _print(error: BaseException) -> None:
    print(trace(error), end="", file=sys.stderr, flush=True)


def _print_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        _print(args.exc_value)
