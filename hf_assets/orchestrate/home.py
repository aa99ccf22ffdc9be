"""Where Dagster keeps its history when a command of ours starts it: beside the config, with nothing to set up."""

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from hf_assets.engines import device_lock
from hf_assets.errors import ConfigError

HOME_VARIABLE = "DAGSTER_HOME"
SETTINGS, STATE = "dagster.yaml", ".dagster_state"

# Dagster's settings where the user says nothing. Steps log through Dagster, so their output isn't captured once more.
COMMON = """\
telemetry:
  enabled: false
nux:
  enabled: false
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


# The same in a file beside the config, as `dagster dev` and `dagster asset materialize` read it there.
SETTINGS_BESIDE = f"""\
storage:
  sqlite:
    base_dir: {STATE}
{COMMON}concurrency:
  pools:
    granularity: op
  runs:
    max_concurrent_runs: 4
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
"""


class Home(NamedTuple):
    """Where the history of a config lies.

    Attributes:
        settings: the folder of Dagster's settings.
        working: the folder that paths in them are relative to.
    """

    settings: Path
    working: Path

    @property
    def is_named(self) -> bool:
        """Whether the user chose it by `DAGSTER_HOME`."""
        return bool(os.environ.get(HOME_VARIABLE))


def home_of(config: Path) -> Home:
    """The home that serves a config file: `DAGSTER_HOME`, else the `dagster.yaml` beside the file or in the working
    directory, else a folder `.dagster_state` beside it, which is made.

    Raises:
        ConfigError: `DAGSTER_HOME` names no folder.
    """
    if named := os.environ.get(HOME_VARIABLE):
        if not Path(named).is_absolute() or not Path(named).is_dir():
            raise ConfigError(
                f'{HOME_VARIABLE}: "{named}" is not the absolute path of a folder: correct it, or unset it, and the '
                "history lies beside the config"
            )
        return Home(Path(named), Path.cwd())
    folder = config.resolve().parent
    for place in (folder, Path.cwd()):
        if (place / SETTINGS).exists():
            return Home(place, place)
    return Home(folder / STATE, folder)


def instance(home: Home) -> dg.DagsterInstance:
    """Open a history, or begin it. Of several processes that do so at once, one goes first: SQLite's tables are made
    once, and a second process that makes them at the same time would die in "already exists".

    The working directory has to be `home.working`.

    Raises:
        ConfigError: the history can't lie there.
    """
    try:
        return _open(home)
    except OSError as error:
        raise _not_kept(home, f"{error.strerror or error} ({error.filename})" if error.filename else error) from None
    except Exception as error:
        if (refusal := refusal_of(home, error)) is None:
            raise
        raise refusal from None


def refusal_of(home: Home, error: Exception) -> ConfigError | None:
    """What to say of an error of SQLite's, which reaches us through SQLAlchemy: of a full disk, a file that may only be
    read, a file that is no database. None of others.
    """
    return _not_kept(home, error.__cause__) if isinstance(error.__cause__, sqlite3.Error) else None


def _not_kept(home: Home, reason: object) -> ConfigError:
    return ConfigError(
        f'the history of runs can\'t be kept in "{home.settings}": {reason}. Mend that, or set {HOME_VARIABLE} to the '
        "absolute path of a folder of yours on another disk"
    )


def _open(home: Home) -> dg.DagsterInstance:
    with _alone(home.settings):
        if home.settings.name == STATE:
            home.settings.mkdir(exist_ok=True)
            if not (home.settings / SETTINGS).exists():
                (home.settings / SETTINGS).write_text(COMMON, encoding="utf-8")
        made = dg.DagsterInstance.get() if home.is_named else dg.DagsterInstance.from_config(str(home.settings))
        # each of these makes what it asks
        made.get_run_records(limit=1)
        made.get_latest_materialization_event(dg.AssetKey("none"))
        made.all_instigator_state()
        return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Among this user's processes on this machine; a process that dies lets others in."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    with device_lock.open_lock(device_lock.own_folder(), f"home-{name}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
