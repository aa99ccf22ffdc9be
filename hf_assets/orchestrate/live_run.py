"""One run of some datasets in this process, through Dagster: what it says while it goes, and what came of it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg

from hf_assets import errors, files

# Errors that say what is wrong, and what to do.
OURS = frozenset(kind.__name__ for kind in errors.HfAssetsError.__subclasses__())
# Of Dagster, where a check fails a run.
CHECK_FAILED = "DagsterAssetCheckFailedError"
# Of Dagster, where somebody stops a run.
STOPPED = dg.DagsterExecutionInterruptedError.__name__
# How Dagster begins what it says of a step that isn't run, since an earlier one failed: what failed is said by itself.
SKIPPED = "Dependencies for step "


class Made(NamedTuple):
    """An asset that was materialized.

    Attributes:
        key: dataset's id last but one, stage last.
        numbers: of its metadata, those that are numbers.
    """

    key: tuple[str, ...]
    numbers: Mapping[str, float]
    seconds: float


class FailedCheck(NamedTuple):
    """A check that didn't pass; `is_error`: and so failed the run."""

    key: tuple[str, ...]
    name: str
    is_error: bool
    message: str


class Failed(NamedTuple):
    """A step that failed, and why: one line, or the trace of an error that we don't know."""

    name: str
    message: str


class Said(NamedTuple):
    """What a step says of itself while it works."""

    message: str


Event = Made | FailedCheck | Failed | Said


class Done(NamedTuple):
    """What came of a run; `is_stopped`: by Ctrl-C, or by who sent the process another signal to end."""

    run_id: str
    is_success: bool
    is_stopped: bool = False


def run(
    definitions: dg.Definitions,
    groups: Sequence[str],
    instance: dg.DagsterInstance,
    listen: Callable[[Event], None],
) -> Done:
    """Materialize groups of assets, with their checks, in this process.

    Args:
        listen: hears what happens, when it happens.
    """
    heard = _Listener(listen)

    @dg.logger({})
    def console(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("hf_assets.run", logging.DEBUG)
        logger.addHandler(heard)
        return logger

    # Dagster's own name for the logger, so that the run can be started again from the page.
    merged = dg.Definitions.merge(definitions, dg.Definitions(loggers={"console": console}))
    job = merged.resolve_implicit_global_asset_job_def()
    keys = dg.AssetSelection.groups(*groups).resolve(merged.resolve_asset_graph())
    result = job.execute_in_process(
        run_config={"loggers": {"console": {}}}, instance=instance, asset_selection=sorted(keys), raise_on_error=False
    )
    return Done(result.run_id, result.success, heard.is_stopped)


class _Listener(logging.Handler):
    """Makes `Event`s of what Dagster logs."""

    def __init__(self, listen: Callable[[Event], None]) -> None:
        super().__init__(logging.DEBUG)  # as which Dagster logs its events
        self.listen = listen
        self.made: dict[str, Made] = {}
        self.is_stopped = False

    def emit(self, record: logging.LogRecord) -> None:
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is None:
            said = str(meta.get("orig_message"))
            if meta.get("step_key") and record.levelno >= logging.INFO and not said.startswith(SKIPPED):
                self.listen(Said(said))
            return
        for heard in self.heard(event):
            self.listen(heard)

    def heard(self, event: dg.DagsterEvent) -> list[Event]:
        match event.event_type:
            case dg.DagsterEventType.ASSET_MATERIALIZATION:
                made = event.step_materialization_data.materialization
                numbers = {name: value.value for name, value in made.metadata.items()}
                self.made[event.step_key or ""] = Made(
                    tuple(made.asset_key.path), {k: v for k, v in numbers.items() if isinstance(v, int | float)}, 0.0
                )
            case dg.DagsterEventType.STEP_SUCCESS if (event.step_key or "") in self.made:
                one = self.made.pop(event.step_key or "")
                return [one._replace(seconds=event.step_success_data.duration_ms / 1000)]
            case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                if not check.passed:
                    is_error = check.severity == dg.AssetCheckSeverity.ERROR
                    said = str(check.description or "failed")
                    return [FailedCheck(tuple(check.asset_key.path), check.check_name, is_error, said)]
            case dg.DagsterEventType.STEP_FAILURE:
                failure = event.step_failure_data
                if failure.user_failure_data is not None:
                    return [Failed(event.step_key or "", str(failure.user_failure_data.description))]
                if failure.error is not None and failure.error.cls_name == CHECK_FAILED:
                    return []  # the check was heard
                if any(error.cls_name == STOPPED for error in _chain(failure.error)):
                    self.is_stopped = True
                    return []
                return [Failed(event.step_key or "", _said(failure.error))]
            case _:
                pass
        return []


def _said(error: Any) -> str:
    """What a step died of, while its table is published too: a line of our own errors and of a full disk, of others the
    stack.
    """
    for one in _chain(error):
        said = str(one.message).removeprefix(f"hf_assets.errors.{one.cls_name}: ").strip()
        if one.cls_name in OURS and said != str(one.message).strip():
            return said
        if (full := files.full_disk(str(one.message))) is not None:
            return str(full)
    return str(error.to_string()) if error else "failed"


def _chain(error: Any) -> Iterator[Any]:
    """An error with what caused it, and what caused that."""
    while error is not None:
        yield error
        error = error.cause or error.context
