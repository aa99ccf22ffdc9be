"""What a folder or a dataset is, before there is a config that says so: kind of media, captions, columns."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from hf_assets.errors import DatasetError
from hf_assets.sources import listing
from hf_assets.sources.formats import text_files
from hf_assets.sources.places import media_folder
from hf_assets.sources.places.local_repository import media_below
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import MEDIA_SUFFIXES, SourceSpec

# So many files of a folder are named.
FIRST = 8
# What columns are called, the likeliest first.
MEDIA_COLUMNS = {
    "image": ("image", "jpg", "png", "webp", "jpeg", "img", "picture", "images"),
    "video": ("video", "mp4", "webm", "mov", "videos"),
    "audio": ("audio", "wav", "mp3", "flac", "ogg", "sound"),
}
CAPTION_COLUMNS = ("caption", "text", "prompt", "captions", "txt", "description", "title", "en", "label_text")
# Where a folder holds these, it is a dataset in the Hub's layout.
TABLES = (".parquet", ".arrow", ".tar", ".jsonl", ".csv", ".lance")


class MediaFolder(NamedTuple):
    """A folder of media files.

    Attributes:
        kind: of media.
        num_captioned: how many have a file of captions of their name beside them.
        first: some of the files.
    """

    kind: str
    num_files: int
    num_captioned: int
    first: tuple[Path, ...]


class Columns(NamedTuple):
    """Which columns of a dataset hold what; `caption` is None where none is likely."""

    kind: str
    media: str
    caption: str | None
    names: tuple[str, ...]


def is_repository_id(name: str) -> bool:
    """Whether this may name a dataset on the Hub."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) is not None


def at_folder(folder: Path) -> MediaFolder | None:
    """What a folder of media files holds; None where it is a dataset in the Hub's layout.

    Raises:
        DatasetError: it holds nothing that can be read.
    """
    names = os.listdir(folder)
    files = list(media_below(folder))
    counts: Counter[str] = Counter()
    for path in files:
        counts.update(kind for kind, suffixes in MEDIA_SUFFIXES.items() if path.name.lower().endswith(suffixes))
    if any(name in listing.METADATA_NAMES for name in names):
        return None
    if not counts:
        if any(path.name.lower().endswith(TABLES) for path in folder.rglob("*")):
            return None
        raise DatasetError(f'"{folder}" holds no images, videos or audio, and no dataset: name another folder')
    kind = counts.most_common(1)[0][0]
    ours = sorted(path for path in files if path.name.lower().endswith(MEDIA_SUFFIXES[kind]))
    texts = media_folder.texts_of(folder)
    captioned = sum(text_files.key(os.path.relpath(path, folder)) in texts for path in ours)
    return MediaFolder(kind, len(ours), captioned, tuple(ours[:FIRST]))


def at_columns(name: str, memory: Path) -> Columns:
    """The columns of a dataset's first file.

    Args:
        name: id on the Hub, or an absolute path of a folder in the Hub's layout.
        memory: a folder for what needn't be asked again.

    Raises:
        DatasetError: it isn't there, or none of its columns holds media.
    """
    source = source_of(SourceSpec(dataset_name=name), memory)
    snapshot = source.resolve()
    if not snapshot.files:
        raise DatasetError(f'dataset "{name}": split "train" has no files')
    with source.open_ranges(snapshot, snapshot.files[0]) as file:
        schema = pq.ParquetFile(pa.PythonFile(file, mode="r")).schema_arrow
    media = _media_column(schema)
    if media is None:
        raise DatasetError(
            f'dataset "{name}": no column is called like media; it has {", ".join(schema.names)}: write the config by '
            "hand, with image_column, video_column or audio_column"
        )
    return Columns(*media, _caption_column(schema, media[1]), tuple(schema.names))


def _media_column(schema: pa.Schema) -> tuple[str, str] | None:
    """Kind and name of the column of media: by its name, else as it is made like one."""
    for kind, known in MEDIA_COLUMNS.items():
        for name in known:
            if name in schema.names:
                return kind, name
    for field in schema:
        if pa.types.is_struct(field.type) and {"bytes", "path"} <= {one.name for one in field.type}:
            return "image", field.name
    return None


def _caption_column(schema: pa.Schema, media: str) -> str | None:
    lower: dict[str, str] = {name.lower(): name for name in reversed(schema.names)}
    for name in CAPTION_COLUMNS:
        if name in lower:
            return lower[name]
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    texts = [name for name in texts if name not in (media, "file_name", "__key__", "__url__")]
    return str(texts[0]) if len(texts) == 1 else None
