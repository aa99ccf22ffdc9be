"""Which files make up a split, and how they are read: `datasets`' own resolution, never a guess from names."""

import json
import os
import tempfile
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from hf_assets.errors import DatasetError
from hf_assets.hub import api
from hf_assets.sources import capital_endings, patterns, slices
from hf_assets.sources.formats import conversion, lance_fragments, zips
from hf_assets.sources.formats.conversion import CONVERTED, FOLDERS, LANCE, Format
from hf_assets.sources.spec import PARQUET, Part, SourceSpec

# Bump when a change to this module changes which files a split has, or how they are read.
VERSION = 5

PARQUET_CONVERSION = 'use its Parquet conversion (revision "refs/convert/parquet")'

# What of a builder's configuration says which files are read, not how.
NO_SETTINGS = frozenset({"name", "version", "data_dir", "data_files", "description", "features"})
# How much a builder reads at a time.
CHUNKS = ("chunksize", "batch_size")


class SplitFiles(NamedTuple):
    """The files of a split.

    Attributes:
        paths: paths or URLs of files, or of folders of Lance datasets with a slash behind, in the order of the rows.
        parts: how many of these belong to each slice; empty where all rows of all files are taken.
        siblings: the files of all splits, which decide a folder's labels.
        format: None for Parquet of which README.md names no classes.
    """

    paths: list[str]
    parts: tuple[Part, ...]
    siblings: list[str]
    format: Format | None


def data_files_of(spec: SourceSpec, commit: str | None) -> SplitFiles:
    """Paths or URLs of the split's files, in the order of its rows.

    Args:
        commit: commit sha on the Hub; None for a folder.

    Raises:
        DatasetError: no such configuration or split, no data files, or files that aren't read. What may pass by itself
            is raised as it is.
    """
    builder = _builder(spec, commit)
    shown = f'dataset "{spec.dataset_name}"'
    kind = type(builder).__module__.rsplit(".", 1)[-1]
    if kind not in (PARQUET, *CONVERTED, *FOLDERS):
        raise DatasetError(f"{shown} holds {kind} files, which aren't read: {PARQUET_CONVERSION}")
    if getattr(builder.config, "filters", None) is not None:
        raise DatasetError(
            f"{shown} drops rows by `filters` in its README.md, which isn't supported: name another dataset_config"
        )
    files = {str(split): [str(file) for file in listed] for split, listed in (builder.config.data_files or {}).items()}
    if kind == "arrow" and any(
        map(lance_fragments.is_deletion, (path for listed in files.values() for path in listed))
    ):
        conversion.require_lance()
        raise DatasetError(f"{shown} is a Lance dataset, which `datasets` takes for Arrow files: {PARQUET_CONVERSION}")
    if kind == LANCE:
        conversion.require_lance()
        files = {split: lance_fragments.roots(listed) or listed for split, listed in files.items()}
    if kind in FOLDERS:
        files = {split: [path for path in listed if _is_of_folder(path, builder)] for split, listed in files.items()}
    terms = slices.parts_of(spec.split) if spec.split not in files else [(spec.split, "")]
    for split, _ in terms:
        if split not in files:
            of = f' in dataset_config "{builder.config.name}"' if spec.dataset_config else ""
            raise DatasetError(f'{shown} has no split "{split}"{of}: set split to one of {_list_text(files)}')
    parts = tuple(Part(split, len(files[split]), slice) for split, slice in terms)
    is_whole = all(not part.slice for part in parts)
    return SplitFiles(
        [path for split, _ in terms for path in files[split]],
        () if is_whole else parts,
        [path for listed in files.values() for path in listed],
        _classes(builder) if kind == PARQUET else _format(kind, builder),
    )


def _classes(builder: Any) -> Format | None:
    """What README.md says of the columns of Parquet files; None where it names no classes."""
    features = {} if builder.info.features is None else builder.info.features.to_dict()
    named = {name: one for name, one in features.items() if '"ClassLabel"' in json.dumps(one)}
    return Format(PARQUET, {}, named) if named else None


def _format(kind: str, builder: Any) -> Format:
    config = builder.config
    usual = type(config)()
    settings = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in NO_SETTINGS and getattr(config, field.name) != getattr(usual, field.name)
    }
    for name in CHUNKS:  # a README may make them smaller, and so let types differ, but not as large as a file
        if isinstance(chunk := settings.get(name), int) and chunk > (getattr(usual, name) or 0):
            del settings[name]
    features = builder.info.features
    return Format(kind, settings, None if features is None else features.to_dict())


def _is_of_folder(path: str, builder: Any) -> bool:
    """Whether a folder's builder looks at a file."""
    name = os.path.basename(path)
    root, suffix = os.path.splitext(name.lower())
    known = builder.EXTENSIONS
    names = builder.config.metadata_filenames or builder.METADATA_FILENAMES
    return suffix in known or os.path.splitext(root)[1] in known or name in names or suffix == ".zip"


def _builder(spec: SourceSpec, commit: str | None) -> Any:
    import datasets
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError

    # With the prefix, a folder of that name in the working directory is not taken for the dataset.
    name = spec.dataset_name if commit is None else f"hf://datasets/{spec.dataset_name}"
    shown = f'dataset "{spec.dataset_name}"'
    patterns.check(_settings(spec, commit), spec.dataset_name, commit)
    datasets.disable_progress_bars()
    lance_fragments.patch_datasets()
    capital_endings.patch_datasets()
    with tempfile.TemporaryDirectory() as nowhere:  # where the builder would keep its Arrow copy; nothing is built
        try:
            return datasets.load_dataset_builder(
                name, spec.dataset_config, data_files=spec.data_files, revision=commit, cache_dir=nowhere
            )
        except Exception as error:
            if (passing := api.hiccup(error)) is not None:
                raise passing from None
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(error, zipfile.BadZipFile):
                for path, file in zips.opened(spec.dataset_name, commit):
                    zips.require_whole(file, path)
            if spec.data_files is not None and isinstance(error, FileNotFoundError):
                remedy = _remedy(str(spec.data_files))
                raise DatasetError(
                    f"{shown}: data_files match no file that is read: correct the pattern{remedy}"
                ) from None
            if isinstance(error, DataFilesNotFoundError | EmptyDatasetError):
                zips.require_small_endings(spec.dataset_name, commit)
                raise DatasetError(
                    f"{shown} holds no data files in the Hub's usual layout, or where the configs of its README.md "
                    "say: add files there that `datasets` reads, or name them in data_files"
                ) from None
            if isinstance(error, FileNotFoundError):
                pattern = line.rsplit("Unable to find ", 1)[-1].split("' with any supported")[0].strip("'")
                raise DatasetError(
                    f"{shown}: a pattern in the configs of its README.md matches no file ({pattern}): "
                    f"mend it there{_remedy(pattern)}"
                ) from None
            if isinstance(error, ValueError) and line.startswith(("Config name is missing", "BuilderConfig ")):
                wrong = f'has no dataset_config "{spec.dataset_config}"' if spec.dataset_config else "has several"
                names = datasets.get_dataset_config_names(name, revision=commit)
                raise DatasetError(f"{shown} {wrong}: set dataset_config to one of {_list_text(names)}") from None
            if isinstance(error, RuntimeError) and "scripts" in line:
                raise DatasetError(f"{shown} is made by a script, which is never run: {PARQUET_CONVERSION}") from None
            raise DatasetError(f"the files of {shown} can't be listed: {line}") from error


def _settings(spec: SourceSpec, commit: str | None) -> dict[str, bytes]:
    """The files in which a repository says which files its splits have."""
    found = {}
    for name in (patterns.README, patterns.SETTINGS):
        if commit is None:
            path = Path(spec.dataset_name) / name
            if path.is_file():
                found[name] = path.read_bytes()
            elif path.exists():  # a pipe, for which `datasets` would wait
                raise DatasetError(f'"{path}" is no file: remove it')
        elif (data := api.small_file(spec.dataset_name, name, commit)) is not None:
            found[name] = data
    return found


def _remedy(pattern: str) -> str:
    """What else to say of patterns that match nothing: a Lance dataset is a folder, for all that it is called."""
    return "; of a Lance dataset, all files are named, as x.lance/**" if ".lance" in pattern else ""


def _list_text(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"
