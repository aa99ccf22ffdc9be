"""What `streaming: true` can read: media are fetched by range, so they must lie where ranges are of use."""

from collections.abc import Iterable

from hf_assets.errors import DatasetError
from hf_assets.sources.formats.conversion import EMBEDDING, Format
from hf_assets.sources.spec import DataFile, SourceSpec


def check(spec: SourceSpec, files: Iterable[DataFile], format: Format | None) -> None:
    """Refuse to stream media that would have to be copied.

    Raises:
        DatasetError: they lie in archives or other files that are turned into Parquet first.
    """
    if not spec.streaming or format is None:
        return
    archive = next((file.path for file in files if file.path.lower().endswith((".zip", ".tar"))), None)
    if format.kind in EMBEDDING or archive is not None:
        what = f'"{archive}"' if archive is not None else f"{format.kind} files"
        raise DatasetError(
            f'dataset "{spec.dataset_name}" holds its media in {what}, which are copied before they are read: remove '
            'streaming, or use the Parquet conversion (revision "refs/convert/parquet")'
        )
