"""What `huggingface_hub` would do with a Hub's answers unasked, and may not.

Its client gets hooks that see every request and answer of the calls that `api` makes.
"""

import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

# A page lists a thousand files. The client asks for a page again after a hiccup, some times.
MAX_PAGES = 20_000
MAX_REPEATS = 30
# What an answer that isn't a file may have: a listing of a million files.
MAX_ANSWER_BYTES = 256 << 20
# An ETag names a file of the Hugging Face cache.
ETAG = re.compile(r"[\w.+=:-]+")

_LOCK = threading.Lock()
_pages: Counter[str] = Counter()


class Refused(Exception):
    """The Hub asks for something that isn't done; its text says what."""


def watch() -> None:
    """Let the client's requests and answers be looked at from now on. It may be called any number of times."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks
    for kind, hook in (("request", look_at_request), ("response", look_at_answer)):
        if hook not in hooks[kind]:
            hooks[kind].append(hook)


def forget_pages() -> None:
    """A call is done: what it paged through may be asked for again."""
    with _LOCK:
        _pages.clear()


def look_at_request(request: Any) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    # A link to the next page, or a file's address, may lead to another host, which has no business with the token.
    own = httpx.URL(constants.ENDPOINT).host
    if request.url.host != own and not request.url.host.endswith(f".{own}"):
        request.headers.pop("authorization", None)
    elif _is_listing(request.url):
        request.headers["accept-encoding"] = "gzip"  # which is unpacked piece by piece
    if "cursor" in request.url.params:
        with _LOCK:
            _pages[str(request.url)] += 1
            if _pages[str(request.url)] > MAX_REPEATS or len(_pages) > MAX_PAGES:
                raise Refused("it lists its files in pages without an end")


def look_at_answer(response: Any) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if response.url.host != httpx.URL(constants.ENDPOINT).host:
        return
    if response.request.method != "HEAD":
        if _is_listing(response.url) and hasattr(response, "stream"):
            response.stream = _bounded(response.stream, response.headers.pop("content-encoding", ""))
        return
    for name in ("x-linked-etag", "etag"):
        etag = response.headers.get(name)
        if etag is not None and not ETAG.fullmatch(etag.removeprefix("W/").strip('"')):
            raise Refused(f"it gives a file the ETag {etag[:100]!r}, which would be a path")
    commit = response.headers.get("x-repo-commit")
    if commit is not None and not re.fullmatch("[0-9a-f]{40}", commit):
        raise Refused(f"it gives {commit[:100]!r} for a commit, which would be a path")


def described(ask: Callable[[], Any]) -> Any:
    """What the Hub says of a repository, where it is of the form that it should be.

    Raises:
        Refused: it isn't.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        found = ask()
    except (HFValidationError, UnicodeEncodeError):  # of what was asked for
        raise
    except (TypeError, LookupError, AttributeError, ValueError, RecursionError):
        raise Refused("what the Hub says of it is of no form that is known") from None
    if not isinstance(found.sha, str) or not re.fullmatch("[0-9a-f]{40}", found.sha):
        raise Refused(f"it gives {str(found.sha)[:100]!r} for a commit, which is none")
    for file in found.siblings or ():
        if (
            not isinstance(file.rfilename, str)
            or not isinstance(file.size or 0, int)
            or not 0 <= (file.size or 0) < 2**63
        ):
            raise Refused(f"it lists {str(file.rfilename)[:100]!a} with {str(file.size)[:100]!a} bytes, as no Hub does")
    return found


def _is_listing(url: Any) -> bool:
    return bool(url.path.startswith("/api/"))


def _bounded(stream: Any, encoding: str) -> Any:
    """The bytes of an answer, unpacked, of which there may be `MAX_ANSWER_BYTES`."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if encoding not in ("", "identity", "gzip", "deflate"):
        raise Refused(f"it answers in {encoding[:100]!r}, for which it wasn't asked")
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS) if encoding in ("gzip", "deflate") else None

    def pieces() -> Iterator[bytes]:
        for block in stream:
            while block:
                yield block if unpacker is None else unpacker.decompress(block, 1 << 20)
                block = b"" if unpacker is None else unpacker.unconsumed_tail

    class Bounded(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            num_bytes = 0
            for piece in pieces():
                num_bytes += len(piece)
                if num_bytes > MAX_ANSWER_BYTES:
                    raise Refused(f"it answers with more than {MAX_ANSWER_BYTES:,d} bytes")
                yield piece

        def close(self) -> None:
            stream.close()

    return Bounded()
