"""Calls to the Hub: patient with its hiccups, and with one-line errors that say what to do.

Tokens are read from the environment (`HF_TOKEN`, or `hf auth login`) by `huggingface_hub` itself.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from hf_assets.errors import HfAssetsError

ATTEMPTS = 5
LONGEST_WAIT_S = 60.0

T = TypeVar("T")


def call(request: Callable[[], T], *, kind: str, name: str, revision: str | None, error: type[HfAssetsError]) -> T:
    """Make a request, again after rate limits, server errors and broken connections.

    Args:
        kind: "dataset" or "model", for messages.
        error: class of the errors raised, with one line that says what to do.
    """
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    for attempt in range(ATTEMPTS):
        try:
            return request()
        except GatedRepoError:
            raise error(
                f'{kind} "{name}" is gated: accept its terms on its page, and set HF_TOKEN to a token of that account'
            ) from None
        except RepositoryNotFoundError:
            raise error(
                f'{kind} "{name}" is not on the Hub, or is private: check the spelling; for a private one set HF_TOKEN to a token that may read it'
            ) from None
        except RevisionNotFoundError:
            raise error(
                f'{kind} "{name}" has no revision "{revision}": name a branch, a tag or a full commit sha'
            ) from None
        except HFValidationError:
            raise error(f'"{name}" is no {kind} id of the form user/name, and there is no such folder') from None
        except OfflineModeIsEnabled:
            raise error(
                f'{kind} "{name}" is asked of the Hub, but HF_HUB_OFFLINE is set: unset it, or name a local folder'
            ) from None
        except HfHubHTTPError as failure:
            status = failure.response.status_code if failure.response is not None else 0
            if (status != 429 and status < 500) or attempt == ATTEMPTS - 1:
                raise error(f'{kind} "{name}": the Hub answered {status}{_hint(status)}') from None
            wait_s = _retry_after_s(failure.response.headers.get("Retry-After")) or 2.0**attempt
        except (httpx2.TransportError, ConnectionError, LocalEntryNotFoundError) as failure:
            if attempt == ATTEMPTS - 1:
                raise error(
                    f'{kind} "{name}": the Hub can\'t be reached ({type(failure).__name__}): check the network, then run again'
                ) from None
            wait_s = 0.5 * 2.0**attempt
        time.sleep(min(wait_s, LONGEST_WAIT_S))
    raise AssertionError("the last attempt returns or raises")


def _retry_after_s(header: str | None) -> float | None:
    return float(header) + 1 if header and header.isdigit() else None


def _hint(status: int) -> str:
    if status == 429:
        return " (too many requests): wait some minutes, or set HF_TOKEN for a higher limit"
    if status in (401, 403):
        return ": the token in HF_TOKEN may not read it"
    return ": try again later" if status >= 500 else ""
