"""What `check` says of a config's folders before anything is read."""

from pathlib import Path
from typing import Any

import pytest

from hf_assets.config.recipe import Recipe
from hf_assets.errors import StoreError
from hf_assets.plan import checking
from hf_assets.sources.spec import FolderRules, SourceSpec


def lines(folder: Path, captions: Any) -> list[str]:
    source = SourceSpec(dataset_name=str(folder), folder=FolderRules(captions=captions))
    return list(checking.unused_texts(Recipe.model_construct(source=source)))


def test_text_files_that_lie_unused_are_named_with_three_of_their_captions(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.png").write_bytes(b"x")
    for name, text in (("a.txt", "a red\ncat"), ("b.TXT", "b"), ("c.caption", "c"), ("d.txt", "d"), ("other.txt", "o")):
        (tmp_path / name).write_text(text)
    said = lines(tmp_path, "filename")
    assert said[0].startswith("4 media have a text file beside them that isn't read")
    assert 'caption_strategy to "textfile"' in said[0]
    assert said[1:] == ['  a.txt: "a red cat"', '  b.TXT: "b"', '  c.caption: "c"']
    assert lines(tmp_path, "textfile") == []


def test_text_behind_a_link_out_of_the_folder_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    assert not any("secret" in line for line in lines(folder, "filename"))


def test_a_cache_dir_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match=r'cache" is a file, and results are to lie in ".*x": correct cache_dir'):
        checking.require_writable(tmp_path / "cache" / "x")
    checking.require_writable(tmp_path / "other" / "x")


def test_a_cache_dir_that_cannot_be_written_to_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking.os, "access", lambda path, mode: False)  # a superuser may write anywhere
    with pytest.raises(StoreError, match="can't be written to: correct cache_dir"):
        checking.require_writable(tmp_path)
