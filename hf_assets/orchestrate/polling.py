"""Questions to the Hub that a sensor asks: side by side, once each, and never longer than a tick may take."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from hf_assets.encode.revisions import Revision
from hf_assets.errors import HfAssetsError
from hf_assets.hub import api

# Dagster ends a sensor's tick after 60 seconds.
TICK_S = 40.0
THREADS = 8

Question = Callable[[], Revision]

_lock = threading.Lock()
_asked: dict[str, Future[Revision]] = {}
_pool: list[ThreadPoolExecutor] = []


class Answers(NamedTuple):
    """What came back within a tick.

    Attributes:
        errors: one line each, by the question's name.
        waiting: names of the questions that are still being answered: a large folder is hashed, a Hub is slow.
    """

    revisions: dict[str, Revision]
    errors: dict[str, str]
    waiting: list[str]


def ask(questions: Mapping[str, Question], patience_s: float = TICK_S) -> Answers:
    """Ask at most once at a time what each name stands for; what takes longer is answered at a later tick."""
    with _lock:
        futures = {name: _asked.get(name) or _start(name, question) for name, question in questions.items()}
    wait(futures.values(), timeout=patience_s)
    answers = Answers({}, {}, [])
    for name, future in futures.items():
        if not future.done():
            answers.waiting.append(name)
            continue
        with _lock:
            _asked.pop(name, None)
        try:
            answers.revisions[name] = future.result()
        except HfAssetsError as error:
            answers.errors[name] = str(error)
        except Exception as error:  # one dataset's trouble stops no other; what a library says may hold a token
            answers.errors[name] = f"{type(error).__name__} while looking: observe the asset to see all of it"
    return answers


def _start(name: str, question: Question) -> Future[Revision]:
    if not _pool:
        _pool.append(ThreadPoolExecutor(THREADS, thread_name_prefix="hf-assets-poll"))
    _asked[name] = _pool[0].submit(_once, question)
    return _asked[name]


def _once(question: Question) -> Revision:
    with api.one_attempt():
        return question()
