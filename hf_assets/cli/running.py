"""Making training data: `run`, and Dagster's `page`."""

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_assets.cli import options
from hf_assets.errors import StoreError

if TYPE_CHECKING:
    from hf_assets.draw.run_text import Stage
    from hf_assets.orchestrate.live_run import Event

CONFIG_VARIABLE = "HF_ASSETS_CONFIG"


def run(
    ids: options.IdsArgument = None,
    config: options.ConfigOption = None,
    id: options.IdOption = None,
) -> None:
    """Make the training data of datasets: compute what is missing, and nothing else.

    It needs nothing but the config. The history, which the page shows, lies
    beside it in .dagster_state, or where dagster.yaml or DAGSTER_HOME says.
    A line is printed for each asset when it is done, and a summary at the end.

    Exit codes: 0 done, 1 an asset failed or a check whose severity is error,
    2 wrong config or no such dataset.
    """
    from hf_assets.config import siblings
    from hf_assets.draw import run_text
    from hf_assets.show import run_results

    with options.errors():
        loaded = options.load(config).usable()
        recipes = options.recipes(loaded, ids, id)
        for line in siblings.notes(loaded):
            options.progress(line)
        heard = _Heard()
        is_success = _run(loaded.file, [recipe.group for recipe in recipes], heard)
        options.say("")
        for recipe in recipes:
            result = run_results.of_dataset(recipe, heard.stages[recipe.id], heard.checks[recipe.id])
            options.say(run_text.summary(result))
        if not is_success:
            raise StoreError("\n".join(["", "failed:", *heard.failures]) if heard.failures else "the run failed")


def page(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of 127.0.0.1.")] = 3000,
    config: options.ConfigOption = None,
) -> None:
    """Serve Dagster's page with the assets of the config, and its daemon, until Ctrl-C.

    Exit codes: 0 stopped, 1 it doesn't start or the port is in use, 2 wrong config.
    """
    from hf_assets.cli import page_process
    from hf_assets.orchestrate import home as homes

    with options.errors():
        file = options.load(config).usable().file.resolve()
        os.environ[CONFIG_VARIABLE] = str(file)
        home = homes.home_of(file)
        os.chdir(home.working)
        with homes.instance(home):
            pass  # so that the page's processes find it made
        if home.settings.name == homes.STATE:
            os.environ[homes.HOME_VARIABLE] = str(home.settings)
        page_process.serve(port, options.say)


class _Heard:
    """What a run has said so far, by dataset; says it on."""

    def __init__(self) -> None:
        self.stages: dict[str, list[Stage]] = defaultdict(list)
        self.checks: dict[str, list[str]] = defaultdict(list)
        self.failures: list[str] = []

    def __call__(self, event: "Event") -> None:
        from hf_assets.draw import run_text
        from hf_assets.orchestrate import live_run

        match event:
            case live_run.Made(key, numbers, seconds):
                stage = run_text.Stage(key[-1], numbers, seconds)
                self.stages[key[-2]].append(stage)
                options.say(run_text.stage_line(key[-2], stage))
            case live_run.FailedCheck(key, name, is_error, message):
                said = f"{name} of {key[-1]}, {'failed' if is_error else 'a warning'}: {message}"
                self.checks[key[-2]].append(said)
                if is_error:
                    self.failures.append(f"{'/'.join(key)}: check {name}: {message}")
            case live_run.Failed(name, message):
                said = f"{name.replace('__', '/')}: {message}"
                if said not in self.failures:
                    self.failures.append(said)
            case live_run.Said(message):
                options.say(f"  {message}", err=True)


def _run(file: Path, groups: list[str], heard: _Heard) -> bool:
    """Run groups of the config's assets, with the history open.

    Raises:
        StoreError: interrupted.
    """
    from hf_assets.building import build_definitions
    from hf_assets.orchestrate import home as homes
    from hf_assets.orchestrate import live_run

    file = file.resolve()
    before, home = Path.cwd(), homes.home_of(file)
    try:
        os.chdir(home.working)  # paths in Dagster's settings are relative to it
        with homes.instance(home) as instance:
            done = live_run.run(build_definitions(file), groups, instance, heard)
    except KeyboardInterrupt:
        done = None
    except Exception as error:
        if (refusal := homes.refusal_of(home, error)) is None:
            raise
        raise refusal from None
    finally:
        os.chdir(before)
    if done is None or done.is_stopped:
        options.say("", err=True)
        raise StoreError("stopped; what was encoded is kept, and the next run goes on from it")
    return done.is_success
