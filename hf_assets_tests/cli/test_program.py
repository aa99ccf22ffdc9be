"""The command's process ends with the command's exit code, and after everything that is to be tidied up."""

import importlib.metadata
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from hf_assets.cli import app

SCRIPT = """
import atexit, sys, threading, time
from hf_assets.cli import app
from hf_assets.cli.program import program

@app.command()
def probe(code: int) -> None:
    atexit.register(lambda: print("tidied"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("done")
    if code == 7:
        raise RuntimeError("broken")
    sys.exit(code)

program()
"""


@pytest.mark.parametrize(("asked", "code"), [(0, 0), (1, 1), (2, 2), (7, 1)])
def test_the_exit_code_is_the_commands_and_nothing_is_cut_off(asked: int, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, "probe", str(asked)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert ended.stdout.split() == ["done", "thread", "tidied"]
    assert ("RuntimeError: broken" in ended.stderr) == (asked == 7)


def test_versions_are_printed_for_a_report() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output.startswith(f"hf_assets {importlib.metadata.version('hf_assets')}, dagster 1.")


def test_wrong_usage_is_two() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from hf_assets.cli.program import program; program()", "no-such-command"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
