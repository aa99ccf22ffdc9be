"""Run the graph by Dagster's own command, and read from Dagster what each asset computed."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from typing import NamedTuple

import dagster as dg

from examples.demo.project import ID, DemoError, Project, tail

STAGES = ("raw_dataset", "filtered", "captions", "buckets", "vae_latents", "text_embeds", "training_set")
COMMAND = ("asset", "materialize", "-m", "hf_assets.definitions", "--select", f"group:{ID}")
SHOWN_COMMAND = f"dagster {' '.join(COMMAND)}"
POLL_S = 0.5


class Counts(NamedTuple):
    """What one asset's materialization says of itself."""

    computed: int
    reused: int
    dropped: int
    quarantined: int
    bytes_read: int

    def __str__(self) -> str:
        """Those that are not 0, in words."""
        words = [f"{count:,} {name}" for name, count in zip(self._fields[:4], self[:4], strict=True) if count]
        return ", ".join(words) or "nothing to do"


class Run(NamedTuple):
    """What a run did, by asset, and how long the command took."""

    counts: dict[str, Counts]
    seconds: float

    @property
    def media_bytes(self) -> int:
        """Bytes of pictures that were fetched, for their headers or their pixels."""
        return self.counts["buckets"].bytes_read + self.counts["vae_latents"].bytes_read


def materialize(project: Project, endpoint: str, log_name: str, say: Callable[[str], None]) -> Run:
    """Materialize the demo's assets in a process of its own, and say of each what it did.

    Raises:
        DemoError: the command's exit code is not 0.
    """
    log = project.logs / log_name
    counts: dict[str, Counts] = {}
    started = time.monotonic()
    # Dagster finds the project's dagster.yaml, and its database, from the working directory.
    with chdir(project.folder), dg.DagsterInstance.from_config(str(project.folder)) as instance:
        before = {stage: _latest(instance, stage) for stage in STAGES}
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dagster", *COMMAND],
                env=project.environment(endpoint),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            is_over = False
            while not is_over:
                is_over = process.poll() is not None  # and then look once more
                for stage in (one for one in STAGES if one not in counts):
                    event = _latest(instance, stage)
                    if event is not None and event != before[stage]:
                        counts[stage] = event.counts
                        say(f"{stage:<13}{event.counts}")
                time.sleep(0 if is_over else POLL_S)
        finally:
            process.terminate()
            process.wait()
    if process.returncode != 0:
        raise DemoError(f"{tail(log)}\n\n{SHOWN_COMMAND}\nfailed with exit code {process.returncode}")
    return Run(counts, time.monotonic() - started)


class _Event(NamedTuple):
    run_id: str
    counts: Counts


def _latest(instance: dg.DagsterInstance, stage: str) -> _Event | None:
    entry = instance.get_latest_materialization_event(dg.AssetKey([ID, stage]))
    if entry is None or entry.asset_materialization is None:
        return None
    metadata = entry.asset_materialization.metadata
    return _Event(entry.run_id, Counts(*(int(str(metadata[name].value)) for name in Counts._fields)))
