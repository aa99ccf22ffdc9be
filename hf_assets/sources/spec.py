"""Which rows: a dataset's name, configuration, split and revision; and what these resolve to."""

import json
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from hf_assets import fingerprint
from hf_assets.errors import MediaError
from hf_assets.hub import api, whole_files

# The kind of files that are read as they are.
PARQUET = "parquet"
# How messages call the list of the files that are the rows of a dataset, which is no file.
LISTED_PATH = "the split's files"
# `schema.LOCATION`'s `file_row` of a row whose media is a whole file.
WHOLE_FILE = -1

# Files with these endings can be the media of rows that name them.
MEDIA_SUFFIXES: dict[str, tuple[str, ...]] = {
    "image": (
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl"),
        *(".pcx", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    ),
    "video": (".avi", ".gifv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"),
    "audio": (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"),
}
ALL_MEDIA_SUFFIXES = tuple(suffix for suffixes in MEDIA_SUFFIXES.values() for suffix in suffixes)


class CaptionTable(BaseModel):
    """A table of captions beside the media of a folder.

    Attributes:
        kind: of the file.
        path: of the file, within the folder or absolute.
        filename_column: of the media's paths within the folder, or their names.
        caption_columns: all of their texts are captions of a row; none, where captions lie elsewhere.
        fallback_column: has the caption of rows of which those have none.
        has_extension: whether `filename_column` names the media with their extension; None: it may or may not.
        default: caption of the media that the table lacks, or has no text for.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["parquet", "csv"]
    path: str
    filename_column: str = "filename"
    caption_columns: tuple[str, ...] = ("caption",)
    fallback_column: str | None = None
    has_extension: bool | None = None
    default: str | None = None


class FolderRules(BaseModel):
    """How a folder of media files is read: one row per file.

    Attributes:
        media: which files.
        captions: where their captions come from; of `instanceprompt`, nowhere here. Each line of a `textfile` is a
            caption, a `whole_textfile` is one.
        table: of captions, of `table`; of the others, of further columns, such as sizes.
    """

    model_config = ConfigDict(frozen=True)

    media: Literal["image", "video", "audio"] = "image"
    captions: Literal["textfile", "whole_textfile", "filename", "instanceprompt", "table"] = "filename"
    table: CaptionTable | None = None


class SourceSpec(BaseModel):
    """A split of a dataset on the Hub, or of a folder in the Hub's layout (then `dataset_name` is absolute), or
    in a bucket (then it is an address).

    Attributes:
        split: a name; or slices and sums of such, as `datasets` has it: `train[:10%]+test`.
        data_files: in place of what the Hub's usual layout or the README says, as `datasets` has it.
        folder: `dataset_name` is a folder of media files, not one in the Hub's layout.
        follow_links: files of a local folder may be links that lead out of it. It is no part of a hash, either.
        streaming: media are read without a local copy. It changes no result, so it is no part of a hash.
        whole_files: files on the Hub are fetched whole and compared with their hashes before anything of them is read,
            whatever `streaming` says. It changes no result.
        endpoint, region: of a dataset in a bucket, where they aren't those of the environment; not hashed either.
    """

    model_config = ConfigDict(frozen=True)

    dataset_name: str
    dataset_config: str | None = None
    split: str = "train"
    revision: str | None = None
    data_files: Any = None
    folder: FolderRules | None = None
    follow_links: bool = Field(False, exclude=True)
    streaming: bool = Field(False, exclude=True)
    whole_files: bool = Field(default_factory=whole_files.are_wanted, exclude=True)
    endpoint: str | None = Field(None, exclude=True)
    region: str | None = Field(None, exclude=True)

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit sha, which can't move."""
        return api.is_commit(self.revision)


class DataFile(NamedTuple):
    """A file of a split, or one that holds a row's media.

    Attributes:
        path: within the repository.
        hash: of its rows. Of a Parquet file, or media: the content's, LFS sha256, else git's blob hash. Of another: of
            that and of how it is read.
        content: the content's, where that is another.
    """

    path: str
    hash: str
    num_bytes: int
    content: str = ""

    @property
    def content_hash(self) -> str:
        return self.content or self.hash


# A media file is held whole, some at a time: half an hour of video.
MAX_MEDIA_BYTES = 1 << 30


def is_larger(num_bytes: int, path: str, at_most: int) -> bool:
    """Whether a media file has more than `at_most` bytes.

    Raises:
        MediaError: `too_large`.
    """
    if num_bytes > MAX_MEDIA_BYTES:
        raise MediaError(
            "too_large", f'"{path}" has {num_bytes:,d} bytes, more than the limit of {MAX_MEDIA_BYTES:,d}: cut it'
        )
    return num_bytes > at_most


class Part(NamedTuple):
    """Some files of a split that one slice of it is taken from.

    Attributes:
        split: its name.
        slice: as it is written behind the name, `[:10%]`; empty: all of it.
    """

    split: str
    num_files: int
    slice: str = ""


class Snapshot(NamedTuple):
    """A split at one commit: nothing about it can change any more.

    Attributes:
        repository: Hub id or absolute path of a local folder.
        commit: commit sha; of a local folder: the hash of its files.
        files: hold the rows, in their order.
        media: hash of the files that rows may name as their media; empty where there are none.
        format: how files are read that aren't Parquet (`conversion.Format` as JSON); of Parquet what README.md says of
            its columns, where it names classes, else empty.
        parts: which slices are taken; empty: all rows of all files.
    """

    repository: str
    commit: str
    is_local: bool
    files: tuple[DataFile, ...]
    media: str = ""
    format: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of the files' contents in their order. Their names, and files of other splits, don't matter."""
        hashes = [file.hash for file in self.files]
        named = [self.classes] if self.classes else []
        return fingerprint.of_value(
            [hashes, self.media, self.parts, *named] if self.media or self.parts or named else hashes
        )

    @property
    def classes(self) -> dict[str, Any]:
        """What README.md says of the columns of Parquet files, where it names classes that they hold by number."""
        kind, _, features = json.loads(self.format or '["", {}, null]')
        return (features or {}) if kind == PARQUET else {}
