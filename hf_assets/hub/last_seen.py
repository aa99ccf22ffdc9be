"""What the Hub said last, kept on this machine: where it can't be reached, a run goes on from there, and says so."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hf_assets import files, fingerprint
from hf_assets.errors import StoreError
from hf_assets.hub import api

T = TypeVar("T", "Seen", "Outage")

# In a dataset's memory, the folder of all of this.
FOLDER = "last_seen"


class Seen(NamedTuple):
    """A revision as the Hub resolved it.

    Attributes:
        commit: commit sha.
        at: when, in ISO 8601.
        content: of the commit, what a model's listing is; JSON.
    """

    commit: str
    at: str
    content: Any = None


class Outage(NamedTuple):
    """That a revision was taken as it was seen last.

    Attributes:
        subject: dataset or model, as a person reads it.
        since: when the Hub was first asked in vain, in ISO 8601.
    """

    subject: str
    commit: str
    seen_at: str
    since: str
    reason: str


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def reached(memory: Path, asked: Sequence[str | None], commit: str, content: Any = None) -> None:
    """Note what a revision resolved to.

    Args:
        memory: the dataset's.
        asked: kind, name and revision.
    """
    seen, outage = _paths(memory, asked)
    _write(seen, Seen(commit, now(), content))
    outage.unlink(missing_ok=True)


def recall(memory: Path, asked: Sequence[str | None]) -> Seen | None:
    """What a revision resolved to when the Hub was reached last; None where it never was."""
    return _read(_paths(memory, asked)[0], Seen)


def missed(memory: Path, asked: Sequence[str | None], subject: str, seen: Seen, failure: api.Failure) -> None:
    """Note that a revision was taken as it was seen last. Who doesn't want the Hub to be asked misses nothing."""
    _, path = _paths(memory, asked)
    if failure.is_meant:
        return
    before = _read(path, Outage)
    since = before.since if before is not None else now()
    _write(path, Outage(subject, seen.commit, seen.at, since, failure.message))


def outage_of(memory: Path, asked: Sequence[str | None]) -> Outage | None:
    """Since when a revision can't be asked for; None where it was reached the last time."""
    return _read(_paths(memory, asked)[1], Outage)


def _paths(memory: Path, asked: Sequence[str | None]) -> tuple[Path, Path]:
    name = fingerprint.of_value(list(asked))
    return memory / FOLDER / f"{name}.json", memory / FOLDER / f"{name}.outage.json"


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return kind(*json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # what is damaged was never seen


def _write(path: Path, content: Seen | Outage) -> None:
    try:
        files.write_atomically(path, json.dumps(content).encode())
    except (OSError, StoreError):
        return  # it is of use only once the Hub can't be reached
