"""A run of assets in this process, as the command sees it."""

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import dagster as dg

from hf_assets.orchestrate import live_run


def test_a_run_that_is_interrupted_was_stopped_and_has_not_failed() -> None:
    heard: list[live_run.Event] = []

    @dg.asset(group_name="photos")
    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)  # until the signal is there

    with dg.DagsterInstance.ephemeral() as instance:
        done = live_run.run(dg.Definitions(assets=[stopped]), ["photos"], instance, heard.append)
    assert (done.is_success, done.is_stopped) == (False, True)
    assert not [event for event in heard if isinstance(event, live_run.Failed)]


def info(message: str, cls_name: str, cause: Any = None) -> Any:
    """As Dagster keeps an error."""
    return SimpleNamespace(message=message, cls_name=cls_name, cause=cause, context=None, to_string=lambda: "a stack")


def test_what_a_table_dies_of_while_it_is_published_is_one_line() -> None:
    ours = info("hf_assets.errors.StoreError: another run changed it: run again\n", "StoreError")
    assert live_run._said(info("Error occurred while handling output", "HandleOutputError", ours)) == (
        "another run changed it: run again"
    )
    full = info("OSError: [Errno 28] No space left on device\n", "OSError")
    assert "is full: free space" in live_run._said(info("Error occurred", "HandleOutputError", full))
    assert live_run._said(info("ValueError: 1", "ValueError")) == "a stack"
    assert live_run._said(info("StoreError: of another library", "StoreError")) == "a stack"
