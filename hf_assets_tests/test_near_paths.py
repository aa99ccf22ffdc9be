"""What may be meant by a path that isn't there."""

from pathlib import Path

import pytest

from hf_assets import near_paths


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("photo", "photos"),
        ("PHOTOS", "photos"),
        ("phtos/cats", "photos/cats"),
        ("photos/cat", "photos/cats"),
        ("phtos/dogs", None),  # photos has no such folder
        ("music", None),
        ("photos/cats", None),  # it is there
    ],
)
def test_the_name_that_is_nearly_so_is_meant(named: str, meant: str | None, tmp_path: Path) -> None:
    (tmp_path / "photos/cats").mkdir(parents=True)
    expected = f'; did you mean "{tmp_path / meant}"?' if meant else ""
    assert near_paths.hint(tmp_path / named) == expected
