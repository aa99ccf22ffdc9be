"""Calls to the Hub: patient with its hiccups, and with one-line errors that say what to do.

Tokens are read from the environment (`HF_TOKEN`, or `hf auth login`) by `huggingface_hub` itself. None gets into a
message: errors of libraries, which may hold a header or a signed address, are not chained.
"""

import errno
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from hf_assets.errors import HfAssetsError
from hf_assets.hub import guard

# Before each further attempt, unless the Hub asks for longer.
WAITS_S = (1.0, 2.0, 4.0, 8.0)
LONGEST_WAIT_S = 60.0
# No further attempt after a request that took as long as this: `huggingface_hub` has then made several of its own.
LAST_ATTEMPT_AFTER_S = 15.0
# What a disk says that takes no file.
UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR})
RETRIED_STATUS_CODES = frozenset({429, 500, 502, 503, 504})

# So long after the Hub wasn't reached, a request is made once only: a run asks for several things.
IMPATIENT_S = 60.0

T = TypeVar("T")

_missed_at = float("-inf")
_is_patient = ContextVar("hf_assets_is_patient", default=True)
_may_recall = ContextVar("hf_assets_may_recall", default=True)


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit sha, which can't move."""
    return re.fullmatch(r"[0-9a-f]{40}", revision or "") is not None


class Subject(NamedTuple):
    """What of the Hub is asked for, and which class of ours its errors become.

    Attributes:
        access: what a token must allow.
        need: what the answer is needed for, where it isn't the subject as a whole: `"a.parquet" of it`.
    """

    kind: Literal["dataset", "model"]
    name: str
    revision: str | None
    error: type[HfAssetsError]
    access: Literal["read", "write"] = "read"
    need: str = ""

    @property
    def text(self) -> str:
        return f'{self.kind} "{self.name}"'


class Failure(NamedTuple):
    """Why the Hub gave no answer.

    Attributes:
        message: one line that says what to do.
        is_meant: the user doesn't want it to be asked (`HF_HUB_OFFLINE`).
    """

    message: str
    is_meant: bool


@contextmanager
def one_attempt() -> Iterator[None]:
    """Within the block, and in its thread, a request isn't made again: for who asks once more later by himself."""
    token = _is_patient.set(False)
    try:
        with fresh():
            yield
    finally:
        _is_patient.reset(token)


@contextmanager
def fresh() -> Iterator[None]:
    """Within the block, and in its thread, what the Hub said before is no answer: for who looks at what is new."""
    token = _may_recall.set(False)
    try:
        yield
    finally:
        _may_recall.reset(token)


def call(request: Callable[[], T], subject: Subject, otherwise: Callable[[Failure], T | None] | None = None) -> T:
    """Make a request, again after rate limits, server errors and broken connections.

    Args:
        otherwise: gives what is known from before, where the Hub can't be reached or isn't to be asked; None where
            nothing is.

    Raises:
        HfAssetsError: of the class that `subject` names, with one line that says what to do.
    """
    try:
        return _call(request, subject)
    except _Unanswered as unanswered:
        failure = unanswered.failure
    if otherwise is not None and _may_recall.get() and (known := otherwise(failure)) is not None:
        return known
    raise subject.error(failure.message)


class _Unanswered(Exception):
    """The Hub gave no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _call(request: Callable[[], T], subject: Subject) -> T:
    global _missed_at
    is_patient = _is_patient.get() and time.monotonic() - _missed_at > IMPATIENT_S
    has_no_name = False
    for wait_s in (*WAITS_S, None) if is_patient else (None,):
        started = time.monotonic()
        try:
            guard.watch()
            return request()
        except HfAssetsError:
            raise
        except guard.Refused as refused:
            raise subject.error(f"{subject.text} is not read: {refused}") from None
        except Exception as failure:
            passing = hiccup(failure)
            if passing is None:
                if is_offline(failure):
                    raise _Unanswered(Failure(_offline(subject), True)) from None
                message = _refusal(failure, subject)
                if message is None:
                    raise
                raise subject.error(message) from None
            # A machine without a connection finds no name, and soon says so: once more, and no longer.
            had_no_name, has_no_name = has_no_name, _finds_no_name(failure)
            if wait_s is None or (had_no_name and has_no_name) or time.monotonic() - started > LAST_ATTEMPT_AFTER_S:
                status = getattr(getattr(passing, "response", None), "status_code", None)
                if status == 429:
                    raise subject.error(_given_up(passing, subject)) from None
                if status is None:
                    _missed_at = time.monotonic()
                raise _Unanswered(Failure(_given_up(passing, subject), False)) from None
            time.sleep(min(max(wait_s, _retry_after_s(passing)), LONGEST_WAIT_S))
        finally:
            guard.forget_pages()
    raise AssertionError("the last attempt returns or raises")


def small_file(dataset: str, path: str, commit: str) -> bytes | None:
    """A small file of a dataset at a commit, through the Hugging Face cache; None where there is none.

    It raises what `huggingface_hub` does: make it within a `call`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(dataset, path, repo_type="dataset", revision=commit)).read_bytes()
    except EntryNotFoundError:
        return None


def hiccup(error: BaseException) -> Exception | None:
    """What in an error, or in the errors that it wraps, may pass by itself; None where nothing may."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HfHubHTTPError):
            if seen.response.status_code in RETRIED_STATUS_CODES:
                return seen
        elif isinstance(seen, OfflineModeIsEnabled | httpx.LocalProtocolError | httpx.UnsupportedProtocol):
            return None
        elif isinstance(seen, httpx.TransportError | ConnectionError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _finds_no_name(error: BaseException) -> bool:
    """Whether no address of the Hub was found."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, socket.gaierror):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _refusal(failure: Exception, subject: Subject) -> str | None:
    """What the Hub, or its client, refused and what to do about it; None for what is neither's."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    match failure:
        case errors.GatedRepoError():
            return (
                f"{subject.text} is gated: accept its terms on its page, then set HF_TOKEN to a token of that account"
            )
        case errors.RepositoryNotFoundError():
            return (
                f"{subject.text} is not on the Hub, or is private: check the name, or set HF_TOKEN to a token that may "
                "read it"
            )
        case errors.RevisionNotFoundError():
            return f'{subject.text} has no revision "{subject.revision}": name a branch, a tag or a full commit sha'
        case errors.RemoteEntryNotFoundError():
            return f"{subject.text} lacks a file that it lists at {subject.revision}: name another revision"
        case errors.HFValidationError():
            return f'"{subject.name}" is neither a folder nor a Hub id such as user/{subject.kind}'
        case errors.HfHubHTTPError():
            return (
                f"the Hub answered {_answer(failure)} for {subject.text}{_hint(failure.response.status_code, subject)}"
            )
        case httpx.LocalProtocolError() | UnicodeEncodeError():
            return f"no request for {subject.text} can be made: a character of HF_TOKEN belongs to no token"
        case httpx.UnsupportedProtocol():
            return f"no request for {subject.text} can be made: write HF_ENDPOINT as https://…, or unset it"
        case httpx.TooManyRedirects() | httpx.DecodingError():
            return f"the Hub's answers for {subject.text} lead nowhere, or can't be read: run again later"
        case OSError() if failure.errno in UNWRITABLE:
            where = failure.filename or "the cache of the Hub"
            return (
                f"{subject.text} can't be kept ({where}: {failure.strerror}): set HF_HOME, or HF_HUB_CACHE, to a "
                "folder that may be written and has room"
            )
    return None


def raise_unanswered() -> NoReturn:
    """What a request raises that got no answer, for one that hides it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    raise OfflineModeIsEnabled if constants.HF_HUB_OFFLINE else ConnectionError("no answer")


def is_offline(failure: BaseException) -> bool:
    """Whether a request wasn't made since the user doesn't want it (`HF_HUB_OFFLINE`)."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    return isinstance(failure, OfflineModeIsEnabled | LocalEntryNotFoundError)


def _offline(subject: Subject) -> str:
    if subject.need:
        return (
            f"{subject.need} of {subject.text} isn't cached, and the Hub isn't asked while HF_HUB_OFFLINE is set: "
            "unset it"
        )
    return f"the Hub isn't asked for {subject.text} while HF_HUB_OFFLINE is set: unset it, or name a folder"


def _given_up(failure: Exception, subject: Subject) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    need = f"{subject.need}, which isn't cached, of " if subject.need else ""
    if isinstance(failure, HfHubHTTPError):
        return _answered(failure, subject, need)
    reason = _one_line(str(failure)) or type(failure).__name__
    return f"the Hub can't be reached for {need}{subject.text} ({reason}): check the connection, then run again"


def _answered(failure: Any, subject: Subject, need: str = "") -> str:
    hint = _hint(failure.response.status_code, subject)
    return f"the Hub answered {_answer(failure)} for {need}{subject.text}{hint}"


def _answer(failure: Exception) -> str:
    """Status and, where it sends one, the Hub's own words."""
    status, words = failure.response.status_code, getattr(failure, "server_message", None)  # type: ignore[attr-defined]
    return f'{status} ("{_one_line(words)}")' if words else str(status)


def _hint(status: int, subject: Subject) -> str:
    match status:
        case 429:
            return ": wait some minutes, or set HF_TOKEN for a higher limit"
        case 401:
            return ": set HF_TOKEN to a valid token, or unset it"
        case 403:
            return f": set HF_TOKEN to a token that may {subject.access} it"
        case 412:
            return ": somebody else changed it meanwhile; do it again"
    return ": run again later" if status >= 500 else ""


def _retry_after_s(failure: Exception) -> float:
    response = getattr(failure, "response", None)
    header = response.headers.get("Retry-After", "") if response is not None else ""
    return float(header) + 1 if header.isdigit() else 0.0


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
