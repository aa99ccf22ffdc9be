"""Questions to the Hub: side by side, one by one where they fail, and not for longer than a tick."""

import threading

from hf_assets.encode.revisions import Revision
from hf_assets.errors import DatasetError
from hf_assets.orchestrate.polling import ask

ANSWER = Revision("version", "commit", 1)


def test_a_question_that_fails_in_whatever_way_leaves_the_others_alone() -> None:
    def fails(error: Exception) -> Revision:
        raise error

    answers = ask(
        {
            "good": lambda: ANSWER,
            "known": lambda: fails(DatasetError("is not there")),
            "odd": lambda: fails(RuntimeError("Authorization: Bearer hf_secret")),
        }
    )
    assert answers.revisions == {"good": ANSWER}
    assert answers.errors["known"] == "is not there"
    assert answers.errors["odd"] == "RuntimeError while looking: observe the asset to see all of it"
    assert answers.waiting == []


def test_a_slow_question_goes_on_and_is_not_asked_twice() -> None:
    go, asked = threading.Event(), []

    def slow() -> Revision:
        asked.append(1)
        go.wait()
        return ANSWER

    assert ask({"slow": slow}, patience_s=0.01).waiting == ["slow"]
    assert ask({"slow": slow}, patience_s=0.01).waiting == ["slow"]
    go.set()
    assert ask({"slow": slow}).revisions == {"slow": ANSWER}
    assert ask({"slow": slow}).revisions == {"slow": ANSWER}
    assert len(asked) == 2  # once for the first three, once for the last
