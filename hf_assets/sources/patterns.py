"""The patterns of files in a repository's README, which may name files of the repository only.

`datasets` would open whatever they name: another folder of this machine, another repository with the user's token, or
a server of any protocol.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from hf_assets.errors import DatasetError

# `datasets` reads the configurations of a dataset from these.
README, SETTINGS = "README.md", ".huggingface.yaml"
MAX_BYTES = 8 << 20
# Of the header, each byte of which takes a kilobyte while it is parsed.
MAX_HEADER_BYTES = 1 << 20
# Aliases and merges of YAML let few lines say millions of times the same.
MAX_NODES = 500_000


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
        for pattern in (one for header in _headers(name, data) for one in _patterns(_parse(name, header))):
            if _leads_out(pattern, own):
                raise DatasetError(
                    f'{name} of dataset "{repository}" names files as {pattern[:200]!a}, which may lead out '
                    "of the dataset: patterns are relative to it. If you trust them, name them as data_files"
                )


def _headers(name: str, data: bytes) -> set[str]:
    """What `datasets` takes for YAML, to the line end: of a README, which it opens with its line ends or without."""
    from huggingface_hub import repocard

    text = data.decode("utf-8-sig", errors="replace")
    texts = (text, text.replace("\r\n", "\n").replace("\r", "\n"))
    if name != README:
        return set(texts)
    found = map(repocard.REGEX_YAML_BLOCK.search, texts)
    return {header[2] for header in found if header is not None}


def _parse(name: str, text: str) -> Any:
    if len(text) > MAX_HEADER_BYTES:
        raise DatasetError(
            f"{name} has {len(text):,d} characters of YAML, more than the {MAX_HEADER_BYTES:,d} that are read"
        )
    try:
        if _num_nodes(yaml.compose(text, yaml.SafeLoader), {}) > MAX_NODES:
            raise DatasetError(
                f"{name} has YAML of which aliases make more than {MAX_NODES:,d} values, which is not read"
            )
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None  # which `datasets` reports, or leaves alone


def _num_nodes(node: Any, known: dict[int, int]) -> int:
    """How many values a node stands for, with all that aliases and merges repeat; one within itself, any number."""
    if (found := known.get(id(node))) is not None:
        return found
    known[id(node)] = sys.maxsize
    inner = [] if not isinstance(node, yaml.CollectionNode) else node.value
    parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
    known[id(node)] = 1 + sum(_num_nodes(part, known) for part in parts)
    return known[id(node)]


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
