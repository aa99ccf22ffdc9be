"""One module says where everything of a dataset lies."""

import re
from pathlib import Path

import hf_assets
from hf_assets import folder
from hf_assets.blobs import ObjectPath

PATHS = r'"(reports|sources|columns|ledger|generations|claims|pins|report\.html)[/"]|_(dropped|quarantined)\.parquet"'


def test_no_other_module_spells_a_path_in_a_datasets_folder() -> None:
    root = Path(hf_assets.__file__).parent
    found = [
        f"{file.relative_to(root)}: {line.strip()}"
        for file in sorted(root.rglob("*.py"))
        if file.name != "folder.py"
        for line in file.read_text().splitlines()
        if re.search(rf" / f?(?:{PATHS})", line)
    ]
    assert found == []


def test_what_saves_time_only_lies_on_this_machine(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    assert folder.sources(Path("/a/photos")) == Path("/a/photos/sources")
    one, other = (folder.sources(ObjectPath(f"s3://bucket/{name}")) for name in "ab")
    assert one.parent.parent == other.parent.parent == tmp_path
    assert one != other
