"""`dagster dev` with its daemon on a project: a commit on the Hub is in the training set soon after, by itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from hf_assets_tests import tiny_pipelines
from hf_assets_tests.assets.user import User, entry
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes, parquet
from hf_assets_tests.local_hub import LocalHub

ROOT = Path(__file__).parents[1]
DATASET = "refresh/for-real"
ROWS = [Row(image_bytes(number), f"picture {number}") for number in range(3)]
# Not what it takes (some twenty seconds), but when something must be wrong, however busy the machine is.
PATIENCE_S = 300.0


class Project(User):
    """A user whose history lies where `dagster.yaml` says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "./model", entry("photos", DATASET), refresh={"poll_seconds": 5})
        shutil.copy(ROOT / "dagster.yaml", folder)
        tiny_pipelines.build("sd15", folder / "model")
        assert self.definitions  # writes the config

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with chdir(self.folder), dg.DagsterInstance.from_config(str(self.folder)) as instance:
            yield instance

    def num_trainable(self) -> int:
        table = self.folder / "cache/photos/huggingface_metadata/photos/training_set.parquet"
        return pq.read_metadata(table).num_rows if table.exists() else 0

    def runs(self) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return [record.dagster_run for record in instance.get_run_records()]

    def computed(self, stage: str) -> int:
        with self.instance() as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(["photos", stage]))
        assert event is not None
        assert event.asset_materialization is not None
        return int(str(event.asset_materialization.metadata["computed"].value))

    def seen(self) -> str:
        """The commit that was observed last."""
        with self.instance() as instance:
            records = instance.fetch_observations(dg.AssetKey(["photos", "hub_revision"]), limit=1).records
        return str(records[0].asset_observation.metadata["revision"].value) if records else ""  # type: ignore[union-attr]


@contextmanager
def dagster_dev(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The page and its daemon in a process group of their own, which ends with the block, whatever happens in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGSTER_HOME")}
    with (folder / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-m", "hf_assets.definitions", "--port", str(port)],
            cwd=folder,
            env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        said = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def test_a_commit_is_in_the_training_set_soon_and_a_readme_runs_nothing(hub: LocalHub, tmp_path: Path) -> None:
    hub.commit(DATASET, {"data/train-00000-of-00001.parquet": parquet(ROWS[:2]), "README.md": b"one"})
    project = Project(tmp_path)
    log = tmp_path / "dev.log"

    def is_idle() -> bool:
        return all(run.is_finished for run in project.runs())

    with dagster_dev(tmp_path) as process:
        wait_for(lambda: project.num_trainable() == 2 and is_idle(), process, log)
        pushed = time.monotonic()
        hub.commit(DATASET, files_of(ROWS[2:], ROWS[:2]) | {"data/train-00000-of-00001.parquet": None})
        wait_for(lambda: project.num_trainable() == 3 and is_idle(), process, log)
        print(f"up to date {time.monotonic() - pushed:.0f} s after the commit")
        runs = project.runs()
        assert [run.is_success for run in runs] == [True, True]
        with project.instance() as instance:
            kinds = {event.dagster_event_type for event in instance.all_logs(runs[0].run_id)}
        assert dg.DagsterEventType.ASSET_CHECK_EVALUATION in kinds
        assert (project.computed("vae_latents"), project.computed("text_embeds")) == (1, 1)
        sha = hub.commit(DATASET, {"README.md": b"two"})
        wait_for(lambda: project.seen() == sha, process, log)
        time.sleep(7)  # one more look
        assert len(project.runs()) == 2
