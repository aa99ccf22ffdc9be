"""Other users of a machine, and of a cache."""

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from hf_assets import fingerprint
from hf_assets.blobs.atomic import write_atomically
from hf_assets.encode import encoders
from hf_assets.encode.encoders import Encoder
from hf_assets.engines import device_lock
from hf_assets.errors import StoreError
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.store.samples import HEADER, sample


def held(folder: Path | None = None) -> None:
    with device_lock.hold("cpu", lambda line: None, folder):
        pass


def test_a_lock_is_not_opened_through_a_link_and_empties_no_file(tmp_path: Path) -> None:
    held(tmp_path)
    (lock,) = tmp_path.iterdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    lock.unlink()
    lock.symlink_to(victim)
    with pytest.raises(StoreError, match="is a link"):
        held(tmp_path)
    lock.unlink()
    lock.hardlink_to(victim)
    held(tmp_path)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("planted", ["link", "open"])
def test_locks_lie_in_a_folder_of_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    if planted == "open":
        folder.chmod(0o777)
    else:
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is not a folder of this user alone"):
        held()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_stores_are_written_with_the_users_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "folder" / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == mode | (mode & 0o444) >> 2


@pytest.mark.parametrize(
    ("umask", "said"),
    [
        (0o077, "no other user may read it"),
        (0o027, "its group may read it and not write"),
        (0o022, "other users may read it and not write"),
        (0o007, "its group may write into it"),
        (0o000, "other users may write into it"),
    ],
)
def test_a_store_says_who_may_use_it_when_it_is_made(tmp_path: Path, umask: int, said: str) -> None:
    lines: list[str] = []
    before = os.umask(umask)
    try:
        for _ in range(2):
            with TensorStore(tmp_path / "cache" / "vae").in_use(tmp_path / "tables", lines.append):
                pass
    finally:
        os.umask(before)
    (line,) = lines
    assert said in line
    assert str(tmp_path / "cache" / "vae") in line


@pytest.mark.parametrize(("caption", "num_missing"), [("a cat", 0), ("a dog", 1)])
def test_an_embed_of_another_caption_under_the_same_key_is_not_reused(
    tmp_path: Path, caption: str, num_missing: int
) -> None:
    key = "0" * 32  # as if two captions had it
    store = TensorStore(tmp_path)
    store.write([sample(key)._replace(text=fingerprint.second_of_text("a cat"))], HEADER)
    second = fingerprint.pack(pa.array([fingerprint.second_of_text(caption)]))
    keyed = pa.table({"embed_key": [key], encoders.SECOND_HASH: second})
    work = encoders.look_up(store, Encoder(None, "e", HEADER), "embed_key", keyed)  # type: ignore[arg-type]
    assert len(work.missing) == num_missing
