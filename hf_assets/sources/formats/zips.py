"""Which of a repository's ZIPs is none, or was cut: `datasets` looks into them to list files, and names none."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hf_assets.errors import DatasetError
from hf_assets.media import signatures

HEAD_BYTES = 256
MEMBER = b"PK\x03\x04"


def require_whole(file: IO[bytes], path: str) -> None:
    """
    Args:
        path: in the repository, for messages.

    Raises:
        DatasetError: what the file is in place of a whole ZIP.
    """
    if zipfile.is_zipfile(file):
        return
    file.seek(0)
    start = file.read(HEAD_BYTES)
    if not start:
        raise DatasetError(f'"{path}" is empty: fetch it again')
    if start.startswith(MEMBER):
        raise DatasetError(
            f'"{path}" is a ZIP without its end, which lists its members: it was cut while it was written, uploaded or '
            "fetched. Fetch it again, or make it anew"
        )
    raise DatasetError(f'"{path}" is called a ZIP, and is none but {signatures.describe(start)}: fetch it again')


def require_small_endings(dataset: str, commit: str | None) -> None:
    """Of ZIPs alone, `datasets` (5.2) looks only into those that end in `.zip` to see what they hold.

    Raises:
        DatasetError: one ends in capitals.
    """
    for path, _ in opened(dataset, commit):
        if not path.endswith(".zip"):
            raise DatasetError(
                f'"{path}" of dataset "{dataset}" is not read where no other ZIP lies beside it, since its ending '
                f'has capitals: call it "{path[:-4]}.zip"'
            )


def opened(dataset: str, commit: str | None) -> Iterator[tuple[str, IO[bytes]]]:
    """Each ZIP of a repository, with its path.

    Args:
        dataset: id on the Hub, or a folder.
        commit: None for a folder.
    """
    if commit is None:
        for path in sorted(Path(dataset).rglob("*")):
            if path.suffix.lower() == ".zip" and path.is_file():
                with path.open("rb") as file:
                    yield os.path.relpath(path, dataset), file
        return
    from huggingface_hub import HfFileSystem

    system: Any = HfFileSystem()
    root = f"datasets/{dataset}@{commit}/"
    for name in sorted(system.find(root)):
        if name.lower().endswith(".zip"):
            with system.open(name, "rb") as file:
                yield name.removeprefix(root), file
