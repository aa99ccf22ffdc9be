"""A token in the environment is used, and found nowhere afterwards: in no log, event, table, shard or error."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from hf_assets_tests.assets.user import User, encoded, entry
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import Fault, LocalHub

TOKEN = "hf_S3cretSecretSecretSecretSecretSecre"
WRONG = "hf_Wr0ngWrongWrongWrongWrongWrongWrong"
ODD = "hf_Odd…not/a+token=but\tsecret"
NAME = "secrets/photos"
ROWS = [Row(image_bytes(number), f"picture {number}") for number in range(3)]


@pytest.fixture
def user(hub: LocalHub, model: str, tmp_path: Path) -> Iterator[User]:
    """One whose dataset is private."""
    hub.add_token(TOKEN)
    hub.commit(NAME, files_of(ROWS[:2]))
    hub.set_private(NAME)
    user = User(tmp_path / "user", model, entry("photos", NAME))
    user.write_history(user.home)  # in databases and logs, as everybody's
    yield user
    hub.delete_repo(NAME)


def forms(token: str) -> set[bytes]:
    """How a token could be written."""
    return {
        token.encode(),
        quote(token, safe="").encode(),
        base64.b64encode(token.encode()),
        repr(token)[1:-1].encode(),
    }


def found_in(folder: Path, *tokens: str) -> set[str]:
    """The files below a folder that hold a token: tables, shards, Dagster's databases and captured output."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {".parquet", ".safetensors", ".db"} <= {path.suffix for path in files}
    return {str(path) for path in files for token in tokens if any(form in path.read_bytes() for form in forms(token))}


def fail(user: User) -> str:
    """Run with whatever is wrong now; returns the error of the first step that failed."""
    done = user.materialize()
    assert not done.success
    return "\n".join(str(event.step_failure_data) for event in done.get_step_failure_events())


def test_a_token_is_used_and_is_found_nowhere(
    user: User, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said = [fail(user)]
    assert "is not on the Hub, or is private: check the name, or set HF_TOKEN" in said[0]

    monkeypatch.setenv("HF_TOKEN", WRONG)
    said.append(fail(user))
    assert "set HF_TOKEN to a valid token" in said[-1]
    assert user.tick() == []
    said.append(user.said)

    monkeypatch.setenv("HF_TOKEN", ODD)
    said.append(fail(user))
    assert "a character of HF_TOKEN belongs to no token" in said[-1]

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    user.cursor = None
    assert encoded(user.refresh()["photos"]) == (2, 3)
    hub.commit(NAME, files_of(ROWS))
    for fault in (
        Fault("/api/datasets/", status=403),
        Fault("/resolve/", times=99, status=403),
        Fault("/resolve/", times=99, status=404),
    ):
        hub.faults[:] = [fault]
        said.append(fail(user))
    hub.faults[:] = [Fault("/api/", times=99, status=500)]
    assert user.tick() == []
    said.append(user.said)
    hub.faults.clear()
    assert user.materialize().success

    assert found_in(user.folder, TOKEN, WRONG, ODD) == set()
    output = "\n".join([*capfd.readouterr(), *said])
    assert "picture" in output or "encod" in output  # the runs' log is in it
    assert not any(form.decode() in output for token in (TOKEN, WRONG, ODD) for form in forms(token))


def test_the_commands_say_no_token_either(user: User) -> None:
    assert user.definitions  # writes the config
    for token, code in ((TOKEN, 0), (WRONG, 1)):
        done = subprocess.run(
            [str(Path(sys.executable).parent / "hf-assets"), "check"],
            cwd=user.folder,
            env={**os.environ, "HF_TOKEN": token, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert not any(form.decode() in done.stdout + done.stderr for form in forms(token))


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for name, content in (("a.parquet", b""), ("b.safetensors", b""), ("c.db", f"x{TOKEN}y".encode())):
        (tmp_path / name).write_bytes(content)
    assert found_in(tmp_path, TOKEN) == {str(tmp_path / "c.db")}
