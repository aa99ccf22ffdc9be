"""Which files make up a split: `datasets`' own resolution, never a guess from names."""

import tempfile

from hf_assets.errors import DatasetError
from hf_assets.sources.spec import SourceSpec


def data_files_of(spec: SourceSpec, name: str, commit: str | None) -> list[str]:
    """Paths or URLs of the split's Parquet files, in the order of its rows.

    Args:
        name: Hub id, or path of a folder.
        commit: commit sha on the Hub; None for a folder.

    Raises:
        DatasetError: no such configuration or split, no data files, or files that aren't Parquet.
    """
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as nowhere:  # where the builder would keep its Arrow copy; nothing is built
        try:
            builder = datasets.load_dataset_builder(name, spec.dataset_config, revision=commit, cache_dir=nowhere)
        except (datasets.exceptions.DataFilesNotFoundError, datasets.exceptions.EmptyDatasetError):
            raise DatasetError(f'dataset "{name}" holds no data files that can be read') from None
        except ValueError as error:
            lines = str(error).strip().splitlines() or ["unknown configuration"]
            if "onfig" in lines[0]:
                raise DatasetError(
                    f'dataset "{name}": {" ".join(line.strip() for line in lines)}: set dataset_config to one of them'
                ) from None
            raise DatasetError(f'dataset "{name}": {lines[0]}') from None
        except (FileNotFoundError, datasets.exceptions.DatasetNotFoundError) as error:
            raise DatasetError(f'dataset "{name}": {str(error).splitlines()[0]}') from None
    if builder.dataset_name is None or builder.__class__.__module__.rsplit(".", 1)[-1] != "parquet":
        kind = builder.__class__.__module__.rsplit(".", 1)[-1]
        raise DatasetError(
            f'dataset "{name}" holds {kind} files, and only Parquet is read so far: use its Parquet conversion (revision "refs/convert/parquet")'
        )
    files = builder.config.data_files or {}
    if spec.split not in files:
        raise DatasetError(
            f'dataset "{name}" has no split "{spec.split}": it has {", ".join(map(str, files)) or "none"}'
        )
    return [str(file) for file in files[spec.split]]
