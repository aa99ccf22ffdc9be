"""The patterns of files in a repository's README, which may name files of the repository only.

`datasets` would open whatever they name: another folder of this machine, another repository with the user's token, or
a server of any protocol.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from hf_assets.errors import DatasetError

# `datasets` reads the configurations of a dataset from these.
README, SETTINGS = "README.md", ".huggingface.yaml"
MAX_BYTES = 8 << 20
# Between the lines of three dashes.
HEADER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
# Aliases of YAML let few lines say millions of times the same.
MAX_PATTERNS = 100_000


def check(texts: dict[str, bytes], repository: str, commit: str | None) -> None:
    """Refuse patterns that reach anything but the repository's own files.

    Args:
        texts: what `README` and `SETTINGS` hold, of those that are there.
        commit: None for a local folder.

    Raises:
        DatasetError: which pattern does.
    """
    own = () if commit is None else tuple(f"hf://datasets/{repository}{at}/" for at in ("", f"@{commit}"))
    for name, data in texts.items():
        if len(data) > MAX_BYTES:
            raise DatasetError(f'{name} of dataset "{repository}" has {len(data):,d} bytes, more than is read of one')
        for number, pattern in enumerate(_patterns(_parse(name, data))):
            if number > MAX_PATTERNS:
                raise DatasetError(
                    f'{name} of dataset "{repository}" has more than {MAX_PATTERNS:,d} patterns of files'
                )
            if _leads_out(pattern, own):
                raise DatasetError(
                    f'{name} of dataset "{repository}" names files as {pattern[:200]!a}, which may lead out '
                    "of the dataset: patterns are relative to it. If you trust them, name them as data_files"
                )


def _parse(name: str, data: bytes) -> Any:
    text = data.decode("utf-8-sig", errors="replace")
    if name == README:
        header = HEADER.match(text)
        text = header[1] if header else ""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None  # which `datasets` reports, or leaves alone


def _patterns(header: Any) -> Iterator[str]:
    configs = header.get("configs") if isinstance(header, dict) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            for key in ("data_files", "data_dir", "path", "filename"):
                yield from _texts(config.get(key), 0)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 8 and isinstance(value, dict):
        for one in value.values():
            yield from _texts(one, depth + 1)
    elif depth < 8 and isinstance(value, list):
        for one in value:
            yield from _texts(one, depth + 1)


def _leads_out(pattern: str, own: tuple[str, ...]) -> bool:
    for prefix in own:
        pattern = pattern.removeprefix(prefix)
    plain = pattern.replace("\\", "/")
    return (
        "::" in plain
        or "://" in plain
        or plain.startswith(("/", "~"))
        or re.match(r"[A-Za-z]:", plain) is not None
        or ".." in plain.split("/")
        or "\0" in plain
    )
