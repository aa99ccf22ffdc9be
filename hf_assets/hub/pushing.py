"""Put a folder on the Hub as a dataset, in one commit on top of the one that was looked at."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hf_assets.errors import StoreError
from hf_assets.hub import api

# What the Hub puts into every repository.
OF_THE_HUB = (".gitattributes",)


class Pushed(NamedTuple):
    """What came of a push.

    Attributes:
        commit: sha of the newest commit.
        is_new: whether there was anything to commit.
    """

    repository: str
    commit: str
    is_new: bool


def is_name(repository: str) -> bool:
    """Whether a repository can be called so, with its user."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", repository) is not None


def push(folder: Path, repository: str, own: Sequence[str], message: str, *, is_public: bool = False) -> Pushed:
    """Let a dataset repository hold the files of a folder; it is made where it isn't there, private by default.

    Bytes that the Hub has, under whatever name, aren't sent again.

    Args:
        own: patterns of the paths that such folders have: no others are sent, and those of a repository that the folder
            lacks are removed.
        is_public: of a repository that isn't there yet.

    Raises:
        StoreError: the Hub refuses, the repository holds files of another kind, or somebody else changed it meanwhile.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    if not is_name(repository):
        raise StoreError(f'"{repository}" is no name of a dataset on the Hub: write user/name')
    subject = api.Subject("dataset", repository, None, StoreError, "write")
    hub = HfApi()
    api.call(lambda: hub.create_repo(repository, repo_type="dataset", private=not is_public, exist_ok=True), subject)
    info = api.call(lambda: hub.dataset_info(repository), subject)
    there = {one.rfilename for one in info.siblings or ()}
    is_own = re.compile("|".join(own))
    if foreign := sorted(path for path in there if path not in OF_THE_HUB and not is_own.fullmatch(path)):
        raise StoreError(f'dataset "{repository}" holds other files, such as "{foreign[0]}": push to one of its own')
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    here = {name: path for path in paths if is_own.fullmatch(name := path.relative_to(folder).as_posix())}
    gone = sorted(there - here.keys() - set(OF_THE_HUB))
    operations: list[Any] = [
        *(CommitOperationAdd(name, str(path)) for name, path in here.items()),
        *(CommitOperationDelete(name) for name in gone),
    ]
    try:
        done = api.call(
            lambda: hub.create_commit(
                repository, operations, commit_message=message, repo_type="dataset", parent_commit=info.sha
            ),
            subject,
        )
    except RuntimeError as failure:  # what `huggingface_hub` makes of an upload that was refused
        raise StoreError(f'dataset "{repository}": {failure}: push again, or see what HF_TOKEN may write') from None
    return Pushed(repository, str(done.oid), done.oid != info.sha)
