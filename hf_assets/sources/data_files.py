"""Which files make up a split: `datasets`' own resolution, never a guess from names."""

import tempfile
from typing import Any

from hf_assets.errors import DatasetError
from hf_assets.sources import api
from hf_assets.sources.spec import SourceSpec

# Bump when a change to this module changes which files a split has.
VERSION = 1

PARQUET_CONVERSION = 'use its Parquet conversion (revision "refs/convert/parquet")'


def data_files_of(spec: SourceSpec, commit: str | None) -> list[str]:
    """Paths or URLs of the split's Parquet files, in the order of its rows.

    Args:
        commit: commit sha on the Hub; None for a folder.

    Raises:
        DatasetError: no such configuration or split, no data files, or files that aren't Parquet. What may pass by
            itself is raised as it is.
    """
    builder = _builder(spec, commit)
    shown = f'dataset "{spec.dataset_name}"'
    kind = type(builder).__module__.rsplit(".", 1)[-1]
    if kind != "parquet":
        raise DatasetError(f"{shown} holds {kind} files, and only Parquet is read so far: {PARQUET_CONVERSION}")
    if builder.config.filters is not None:
        raise DatasetError(
            f"{shown} drops rows by `filters` in its README.md, which isn't supported: name another dataset_config"
        )
    files = builder.config.data_files or {}
    if spec.split not in files:
        of = f' in dataset_config "{builder.config.name}"' if spec.dataset_config else ""
        raise DatasetError(f'{shown} has no split "{spec.split}"{of}: set split to one of {_listed(map(str, files))}')
    return [str(file) for file in files[spec.split]]


def _builder(spec: SourceSpec, commit: str | None) -> Any:
    import datasets
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError

    # With the prefix, a folder of that name in the working directory is not taken for the dataset.
    name = spec.dataset_name if commit is None else f"hf://datasets/{spec.dataset_name}"
    shown = f'dataset "{spec.dataset_name}"'
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as nowhere:  # where the builder would keep its Arrow copy; nothing is built
        try:
            return datasets.load_dataset_builder(name, spec.dataset_config, revision=commit, cache_dir=nowhere)
        except Exception as error:
            if (passing := api.hiccup(error)) is not None:
                raise passing from None
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if isinstance(error, DataFilesNotFoundError | EmptyDatasetError):
                raise DatasetError(
                    f"{shown} holds no data files in the Hub's usual layout, or where the configs of its README.md "
                    "say: add Parquet files there"
                ) from None
            if isinstance(error, FileNotFoundError):
                pattern = line.rsplit("Unable to find ", 1)[-1].strip("'")
                raise DatasetError(
                    f"{shown}: a pattern in the configs of its README.md matches no file ({pattern}): mend it there"
                ) from None
            if isinstance(error, ValueError) and line.startswith(("Config name is missing", "BuilderConfig ")):
                wrong = f'has no dataset_config "{spec.dataset_config}"' if spec.dataset_config else "has several"
                names = datasets.get_dataset_config_names(name, revision=commit)
                raise DatasetError(f"{shown} {wrong}: set dataset_config to one of {_listed(names)}") from None
            if isinstance(error, RuntimeError) and "scripts" in line:
                raise DatasetError(f"{shown} is made by a script, which is never run: {PARQUET_CONVERSION}") from None
            raise DatasetError(f"the files of {shown} can't be listed: {line}") from error


def _listed(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"
