"""What `huggingface_hub` would do with a Hub's answers unasked, and may not.

Its client gets hooks that see every request and answer of the calls that `api` makes.
"""

import re
import threading
from collections import Counter
from typing import Any

# A page lists a thousand files. The client asks for a page again after a hiccup, some times.
MAX_PAGES = 20_000
MAX_REPEATS = 30
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
    if "cursor" in request.url.params:
        with _LOCK:
            _pages[str(request.url)] += 1
            if _pages[str(request.url)] > MAX_REPEATS or len(_pages) > MAX_PAGES:
                raise Refused("it lists its files in pages without an end")


def look_at_answer(response: Any) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    if response.request.method != "HEAD" or response.url.host != httpx.URL(constants.ENDPOINT).host:
        return
    for name in ("x-linked-etag", "etag"):
        etag = response.headers.get(name)
        if etag is not None and not ETAG.fullmatch(etag.removeprefix("W/").strip('"')):
            raise Refused(f"it gives a file the ETag {etag[:100]!r}, which would be a path")
    commit = response.headers.get("x-repo-commit")
    if commit is not None and not re.fullmatch("[0-9a-f]{40}", commit):
        raise Refused(f"it gives {commit[:100]!r} for a commit, which would be a path")
