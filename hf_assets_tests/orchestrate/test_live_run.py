"""A run of assets in this process, as the command sees it."""

import os
import signal
import time

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
