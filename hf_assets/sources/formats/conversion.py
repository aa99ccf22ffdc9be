"""Files that aren't Parquet, turned into Parquet once per content, through `datasets`.

Media stay as they are encoded. Of folders of media files, only the tables are turned: their rows name the media.
"""

import contextlib
import functools
import itertools
import json
import lzma
import re
import shutil
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.errors import DatasetError, HfAssetsError
from hf_assets.sources.formats import (
    archive_metadata,
    bad_rows,
    bounds,
    csv_text,
    faults,
    folder_paths,
    foreign,
    json_rows,
    member_texts,
    tars,
    whole_parquet,
)
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.spec import ALL_MEDIA_SUFFIXES, MEDIA_SUFFIXES

# Bump where a change here changes the rows of a kind of file; 1 where it isn't named.
VERSIONS = {
    "csv": 5,
    "json": 4,
    "text": 3,
    "webdataset": 7,
    "imagefolder": 6,
    "audiofolder": 6,
    "videofolder": 6,
    "arrow": 2,
}

# Builders of `datasets` of which each file is turned by itself. Pickled data frames are not among them.
CONVERTED = ("arrow", "csv", "json", "lance", "text", "webdataset", "xml")
# Those in whose files the media themselves lie.
EMBEDDING = ("arrow", "lance", "webdataset")
# Those of text, which may be compressed.
TEXTS = ("csv", "json", "text")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
LANCE = "lance"
# Builders of one row per media file, and the column of the media.
FOLDERS = {"imagefolder": "image", "audiofolder": "audio", "videofolder": "video"}

# Rows are written when so many, or so many bytes, are together: what is in memory, and a row group.
GROUP_ROWS = 16_384
GROUP_BYTES = 32 << 20
# So many are read at a time: few where media are among them.
BATCH_ROWS = {True: 16, False: 10_000}
# Where a builder's defaults would take more.
SETTINGS: dict[str, dict[str, Any]] = {LANCE: {"batch_size": BATCH_ROWS[True]}}

# Where in its source Lance raised an error.
RUST_SOURCE = re.compile(r", /\S+\.rs:\d+(:\d+)?$")

ANY_LIST = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)
LABEL = "label"
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# What a member of a ZIP raises that is damaged, encrypted, or packed in a way of which Python knows none.
BAD_MEMBER = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, NotImplementedError)
MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_BUILDING = threading.Lock()


class Format(NamedTuple):
    """How files are read.

    Attributes:
        kind: name of a builder of `datasets`.
        settings: of this builder, where they aren't its defaults.
        features: types of the columns, where the README says them, as `datasets.Features.to_dict` has it.
    """

    kind: str
    settings: dict[str, Any]
    features: dict[str, Any] | None

    def dumps(self) -> str:
        return json.dumps(self, sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> "Format":
        return cls(*json.loads(text))

    def rows_hash(self, content: str, path: str) -> str:
        """Identity of a file's rows: of its content, and of all else that decides what they are.

        Args:
            path: of the file; a row may begin with what its ending says about compression.
        """
        suffixes = PurePosixPath(path).suffixes[-2:]
        # texts of such names were read without what mends them
        version = VERSIONS.get(self.kind, 1) + (len(suffixes) > 1 and self.kind in TEXTS)
        return fingerprint.of_value([content, self, "".join(suffixes), version])


def convert(
    local: Path, path: str, format: Format, target: Path, metadata: Sequence[Path] = (), *, is_whole: bool = False
) -> None:
    """Write the rows of a file as Parquet, few in memory at a time.

    Args:
        local: where the file lies.
        path: its path in the repository.
        metadata: of an archive of media: tables beside it that name its members.
        is_whole: what these name is in no other archive.

    Raises:
        DatasetError: the file isn't what its name says.
    """
    if format.kind == LANCE:
        require_lance()
    with tempfile.TemporaryDirectory() as folder:
        # Under a plain name, since `datasets` takes the others for patterns, and shows where a file lies in some rows.
        name = PurePosixPath(path).name.removesuffix(_ending(path)) if format.kind in FOLDERS else "file"
        plain = Path(folder) / f"{name}{_ending(path).lower()}"
        plain.symlink_to(local.resolve())
        with unreadable(path, format.kind, folder):
            if plain.suffix != ".zip":  # of which more is said
                foreign.require(local, path, format.kind)
            bounds.check(local, path, format.kind, format.settings)
            if format.kind == "webdataset":
                _convert_tar(plain, path, format, target, metadata, is_whole=is_whole)
                return
            found: list[Fault] = []
            plain = _unpacked(plain, format, found)
            plain, format, more = _with_words(plain, path, format)
            found += more
            if format.kind == "json":
                _convert_json(plain, path, format, target, found)
                return
            try:
                _require_utf_8(plain, format)
                if format.kind == "csv":
                    csv_text.require_header(plain, format.settings)
                join = None
                listed = _listed_inside(plain, path, format, found)
                if metadata and listed is None:
                    with zipfile.ZipFile(plain) as members:
                        join = _beside(members.namelist(), metadata, found, path, format, is_whole=is_whole)
                    settings = {"drop_labels": True, **format.settings}
                    format = format._replace(settings=settings, features=format.features if join is None else None)
                lost: list[Fault] = []  # of an archive, known when it was read
                read = functools.partial(_batches, plain, path, format, lost)
                if listed is not None:
                    read = functools.partial(_named_members, plain, format, listed, lost)
                write(read if join is None else lambda: join.add(read(), lost), target, found, lost)
            except Exception:
                more, mended, format = _without_bad_members(plain, path, format)
                if not more and format.kind != "csv":
                    raise
                write(lambda: _batches(mended, path, format, []), target, [*found, *more])


def _convert_json(plain: Path, path: str, format: Format, target: Path, found: list[Fault]) -> None:
    settings = format.settings
    features: Any = None
    if format.features is not None:
        import datasets

        features = datasets.Features.from_dict(format.features)

    def batches(lines: Path, settings: dict[str, Any]) -> Iterator[pa.Table]:
        for table in json_rows.tables(lines, settings):
            yield table if features is None else json_rows.as_said(table, features, _with_classes(features))

    lines, bad = json_rows.in_lines(plain, path, settings, plain.with_name("lines.jsonl"))
    found += bad
    if lines != plain:  # which is UTF-8
        settings = {}
    try:
        if "encoding" not in settings:
            faults.require_utf_8(lines)
        write(lambda: batches(lines, settings), target, found)
    except (pa.ArrowException, ValueError):
        mended, bad = json_rows.settled(lines, path, plain.parent)
        write(lambda: batches(mended, {}), target, [*found, *bad])


def _ending(path: str) -> str:
    """What a file's name says of its kind, and of compression."""
    suffixes = PurePosixPath(path).suffixes
    return "".join(suffixes[-2:] if suffixes and suffixes[-1].lower() in COMPRESSED else suffixes[-1:])


def _unpacked(plain: Path, format: Format, found: list[Fault]) -> Path:
    """A text that is compressed as a text that isn't: so it is read, and mended, as any other.

    Args:
        found: is given the line in which it ends early.
    """
    start = bounds.start_of(plain)
    is_packed = len(plain.suffixes) > 1 or bounds.is_compressed(start)
    if format.kind not in TEXTS or not is_packed or "compression" in format.settings:
        return plain
    copy = plain.with_name(f"unpacked{plain.suffixes[0]}")
    found += bounds.unpack_lines(plain, copy)
    return copy


def _require_utf_8(plain: Path, format: Format) -> None:
    """
    Raises:
        UnicodeDecodeError: a text isn't UTF-8.
    """
    if format.kind in TEXTS and len(plain.suffixes) == 1 and "encoding" not in format.settings:
        faults.require_utf_8(plain)


def _convert_tar(
    plain: Path, path: str, format: Format, target: Path, beside: Sequence[Path], *, is_whole: bool
) -> None:
    archive = tars.Archive(plain, path)
    join: _Beside | None = None
    bad: list[Fault] = []  # of metadata
    lost: list[Fault] = []  # by them, known when it was read
    if (found := tars.bare(plain)) is not None:
        names, inside = found
        archive.ignored = [one.name for one in inside]
        join = _beside(names, inside or beside, bad, path, format, is_whole=is_whole or bool(inside))
    features = None
    if format.features is not None:
        import datasets

        said = datasets.Features.from_dict(format.features)
        features = said.arrow_schema.with_metadata(_with_classes(said))

    def batches() -> Iterator[pa.Table]:
        lost.clear()
        read = tars.tables(archive)
        for table in read if join is None else join.add(read, lost):
            if features is not None:
                table = _fit(table.select([name for name in table.column_names if name in features.names]), features)
            yield table

    try:
        write(batches, target, bad, lost, archive.faults)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # JSON of samples far from one another has no common type
        archive.as_text = tars.undecided([table.schema for table in batches()])
        if not archive.as_text:
            raise
        write(batches, target, bad, lost, archive.faults)
    if archive.is_scattered and not archive.faults and not archive.is_grouped:
        grouped = plain.with_name("grouped.tar")
        with bounds.unpacked(plain, bounds.start_of(plain)) as stream, grouped.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
        archive.local, archive.is_grouped = grouped, True
        write(batches, target, bad, lost, archive.faults)


class _Beside(NamedTuple):
    """What adds the columns of metadata beside an archive, or in a tar, to its rows.

    Attributes:
        features: types that README.md says, of `names`.
        is_whole: what metadata name and the archive lacks isn't in another archive.
    """

    join: archive_metadata.Joiner
    features: Any
    names: list[str]
    is_whole: bool

    def add(self, read: Iterator[pa.Table], lost: list[Fault]) -> Iterator[pa.Table]:
        """
        Args:
            lost: is given what metadata name and isn't there.
        """
        for part in read:
            table = self.join(part)
            yield table if self.features is None else _with_types(table, self.features, self.names)
        if self.is_whole:
            lost += self.join.missing()


def _beside(
    members: Sequence[str], metadata: Sequence[Path], found: list[Fault], path: str, format: Format, *, is_whole: bool
) -> _Beside | None:
    """None where there are no metadata, or the archive has its own."""
    join = archive_metadata.joiner(members, metadata, found, _texts(format), path) if metadata else None
    if join is None or format.features is None or format.kind not in FOLDERS:
        return None if join is None else _Beside(join, None, [], is_whole)
    import datasets

    features = datasets.Features.from_dict(format.features)
    return _Beside(join, features, [name for name in features if name != FOLDERS[format.kind]], is_whole)


def _with_types(table: pa.Table, features: Any, names: Sequence[str]) -> pa.Table:
    """A table of which some columns, where they are there, have the types that README.md says."""
    for name in names:
        if name in table.column_names:
            kind = features.arrow_schema.field(name).type
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    return table.replace_schema_metadata(_with_classes(features))


def _with_words(plain: Path, path: str, format: Format) -> tuple[Path, Format, list[Fault]]:
    """The file and its format, so that words of text columns stay words, and UTF-16 and UTF-32 are read; and what can't
    be read of a folder's metadata.
    """
    ending = plain.suffix.lower() if format.kind in FOLDERS else ""
    is_text = (format.kind in TEXTS and len(plain.suffixes) == 1) or ending in (".csv", ".jsonl")
    if is_text and "encoding" not in format.settings and (encoding := faults.encoding_of(plain)) is not None:
        copy = plain.with_name(f"utf8{plain.suffix}")
        faults.in_utf_8(plain, copy, encoding)
        if ending:
            copy.replace(plain)  # by its name it is known as metadata
        else:
            plain = copy
    if format.kind == "csv" and len(plain.suffixes) == 1:
        settings = csv_text.settings_of(plain, format.settings, _texts(format))
        if format.features is not None:  # README.md says what they are
            settings = {name: value for name, value in settings.items() if name != "converters"}
        return plain, format._replace(settings=settings), []
    found: list[Fault] = []
    if ending in (".csv", ".jsonl", ".parquet"):
        copy = plain.with_name("metadata.parquet" if plain.suffix != ".parquet" else "metadata_1.parquet")
        if ending == ".csv":
            csv_text.metadata_table(plain, copy, found, _texts(format))
            table = pq.read_table(copy)
        elif ending == ".jsonl":
            table = csv_text.with_file_name(json_rows.read(plain, path, found))
        else:
            table = whole_parquet.read(plain, path, found)
            is_named = not csv_text.lacks_file_name(table.schema)
            table = csv_text.with_file_name(table)
        if not len(table):
            raise DatasetError(f'"{path}" has no rows: fill it, or remove it')
        table = folder_paths.only_below(table, path, found)
        if ending == ".parquet" and is_named and not found:
            return plain, format, found
        pq.write_table(table, copy)
        plain.unlink()
        copy = copy.replace(copy.with_name(plain.with_suffix(".parquet").name))
        names = {"metadata_filenames": [copy.name]} if "metadata_filenames" in format.settings else {}
        return copy, format._replace(settings={**format.settings, **names}), found
    return plain, format, found


def _texts(format: Format) -> set[str]:
    """The columns that README.md calls text."""
    said = {name: one.get("dtype") for name, one in (format.features or {}).items() if isinstance(one, dict)}
    return {name for name, kind in said.items() if kind in ("string", "large_string")}


def _without_bad_members(plain: Path, path: str, format: Format) -> tuple[list[Fault], Path, Format]:
    """What can't be read of a file, and a copy of what can with its format; the file itself where that isn't known."""
    target = plain.with_name(f"mended{''.join(plain.suffixes)}")
    if format.kind == "arrow":
        return bad_rows.of_arrow(plain, path, target), target, format
    if format.kind == LANCE:
        return bad_rows.of_lance(plain, path, target), target, format
    if len(plain.suffixes) != 1:  # compressed
        return [], plain, format
    if format.kind == "text":
        return faults.without_bad_lines(plain, path, format.kind, target), target, format
    if format.kind == "csv":
        settings = {
            name: value for name, value in format.settings.items() if name in ("chunksize", "na_values", "converters")
        }
        if "na_values" in settings:
            settings["keep_default_na"] = False
        return csv_text.without_bad_rows(plain, format.settings, target), target, format._replace(settings=settings)
    return [], plain, format


def write(batches: Callable[[], Iterator[pa.Table]], target: Path, *found: list[Fault]) -> None:
    """Write tables to one Parquet file.

    Args:
        batches: begins anew with each call.
        found: rows that aren't there, known when all batches are written.
    """
    with files.open_atomically(target) as temporary:
        try:
            _write(batches(), temporary, None, found)
        except pa.ArrowInvalid:  # batches disagree about a type: one for all is found in a first pass
            schema = pa.unify_schemas([batch.schema for batch in batches()], promote_options="permissive")
            _write(batches(), temporary, schema, found)


@contextlib.contextmanager
def unreadable(path: str, kind: str, folder: str) -> Iterator[None]:
    """Say in one line that a file can't be read, whatever says so.

    Args:
        folder: where it was put to be read, which no message names.

    Raises:
        DatasetError: something went wrong within the block.
    """
    try:
        yield
    except HfAssetsError:
        raise
    except BaseException as error:
        # what Lance, which is written in Rust, raises where it fails an assertion of its own
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        line = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(folder, "")
        line = RUST_SOURCE.sub("", line)[:200]
        raise DatasetError(f'"{path}" can\'t be read as {kind} ({line}): mend the file, or fetch it again') from None


def require_lance() -> Any:
    """The package that reads Lance.

    Raises:
        DatasetError: it isn't installed.
    """
    try:
        import lance
        import lance.file
    except ImportError:
        raise DatasetError("Lance files are read by pylance: pip install 'hf_assets[lance]'") from None
    return lance


def _labels_of_members(archive: Path, format: Format) -> "Labels | None":
    """The labels that an archive's folders give its media: `datasets` counts these folders, and then reads others."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if not PurePosixPath(name).name.startswith(".")]
    if any(PurePosixPath(name).name in METADATA for name in names) and not format.settings.get("drop_metadata"):
        return None
    media = [name for name in names if name.lower().endswith(ALL_MEDIA_SUFFIXES) and "__MACOSX/" not in name]
    found = labels_of(media, media, format.settings.get("drop_labels"))
    return None if found is None else found._replace(paths=tuple(media))


def _with_labels(table: pa.Table, column: str, labels: "Labels") -> pa.Table:
    numbers = dict(zip(labels.paths, labels.numbers, strict=True))
    found = [numbers.get(path) for path in pc.struct_field(table[column], "path").to_pylist()]
    return table.append_column(LABEL, pa.array(found, pa.int64())).replace_schema_metadata(labels.noted)


def list_folder(paths: list[str], labels: "Labels | None", column: str, target: Path) -> None:
    """Write a table of media files, one row each, as `datasets` makes it of a folder without metadata."""
    media = pa.StructArray.from_arrays(
        [pa.nulls(len(paths), pa.binary()), pa.array(paths, pa.string())], ["bytes", "path"]
    )
    table = pa.table({column: media})
    if labels is not None:
        table = table.append_column(LABEL, pa.array(labels.numbers, pa.int64())).replace_schema_metadata(labels.noted)
    with files.open_atomically(target) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


class Labels(NamedTuple):
    """Classes of media files, by number, and what the numbers are called.

    Attributes:
        paths: of the files, where they are looked up.
    """

    numbers: list[int]
    names: list[str]
    paths: tuple[str, ...] = ()

    @property
    def noted(self) -> dict[bytes, bytes]:
        """As `datasets` notes it in a file."""
        features = {LABEL: {"names": self.names, "_type": "ClassLabel"}}
        return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def labels_of(paths: list[str], siblings: list[str], drop_labels: bool | None) -> Labels | None:
    """The labels that `datasets` gives media files by their folders; None where it gives none.

    Args:
        siblings: the media files of all splits.
    """
    names = sorted({PurePosixPath(path).parent.name for path in siblings})
    depths = {path.count("/") for path in siblings}
    if drop_labels or (drop_labels is None and (len(names) < 2 or len(depths) > 1)):
        return None
    numbers = {name: number for number, name in enumerate(names)}
    return Labels([numbers[PurePosixPath(path).parent.name] for path in paths], names)


def _batches(plain: Path, path: str, format: Format, lost: list[Fault]) -> Iterator[pa.Table]:
    """The rows of a file, with media as structs of bytes and path.

    Args:
        lost: is given the members of an archive that can't be read, anew with each call.
    """
    import datasets

    datasets.disable_progress_bars()
    labels = _labels_of_members(plain, format) if plain.suffix.lower() == ".zip" and format.kind in FOLDERS else None
    if labels is not None:
        kept = None if format.features is None else {key: one for key, one in format.features.items() if key != LABEL}
        format = format._replace(settings={**format.settings, "drop_labels": True}, features=kept)
    features = None if format.features is None else datasets.Features.from_dict(format.features)
    settings = {**SETTINGS.get(format.kind, {}), **format.settings}
    captions = settings.pop(member_texts.CAPTIONS, None)
    with tempfile.TemporaryDirectory() as nowhere, _BUILDING:
        builder = datasets.load_dataset_builder(
            format.kind, data_files={"train": [str(plain)]}, features=features, cache_dir=nowhere, **settings
        )
        rows = builder.as_streaming_dataset(split="train")
    lost.clear()
    is_archive = plain.suffix.lower() == ".zip"
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(plain)) if is_archive and format.kind in FOLDERS else None
        pair = member_texts.pairing(archive, captions, lost) if archive is not None and captions else None
        for table in _tables(rows, format, BATCH_ROWS[format.kind in EMBEDDING or archive is not None]):
            if format.kind in FOLDERS:
                if archive is not None and set(table.column_names) <= {FOLDERS[format.kind], LABEL}:
                    table = _of_media(table, FOLDERS[format.kind], tuple(builder.EXTENSIONS))
                for part in _few_bytes(table, _media_columns(rows.features), archive):
                    made = _with_paths(part, _media_columns(rows.features), plain, archive, lost)
                    if pair is not None:
                        yield pair(made, FOLDERS[format.kind])
                    elif labels is not None:
                        yield _with_labels(made, FOLDERS[format.kind], labels)
                    else:
                        yield made.replace_schema_metadata(_with_classes(features))
                continue
            if "__url__" in table.column_names:  # where the file lies here
                url = pa.array([path] * len(table), pa.string())
                table = table.set_column(table.column_names.index("__url__"), "__url__", url)
            yield table


def _of_media(table: pa.Table, column: str, endings: tuple[str, ...]) -> pa.Table:
    """The rows that are media, of a ZIP without metadata: `datasets` makes a row of each member, texts and all."""
    known = (*endings, *MEDIA_SUFFIXES[column])
    return table.filter(
        pa.array([_member(path).lower().endswith(known) for path in table[column].to_pylist()], pa.bool_())
    )


def _listed_inside(plain: Path, path: str, format: Format, found: list[Fault]) -> pa.Table | None:
    """The rows of metadata within a ZIP of media: `datasets` reads their words as missing values, and none of them
    where one is bad.
    """
    is_read = format.kind in FOLDERS and plain.suffix.lower() == ".zip" and not format.settings.get("drop_metadata")
    if not is_read or "filters" in format.settings:
        return None
    with zipfile.ZipFile(plain) as archive:
        named = format.settings.get("metadata_filenames") or METADATA
        return archive_metadata.inside(archive, path, named, found, _texts(format))


def _named_members(plain: Path, format: Format, listed: pa.Table, lost: list[Fault]) -> Iterator[pa.Table]:
    """The rows that metadata within a ZIP list, with their media.

    Args:
        lost: is given the members that can't be read, anew with each call.
    """
    import datasets

    lost.clear()
    column = FOLDERS[format.kind]
    features = None if format.features is None else datasets.Features.from_dict(format.features)
    names = [column if name == archive_metadata.NAME else name for name in listed.column_names]
    listed = listed.rename_columns(names)
    if features is not None:
        listed = _with_types(listed, features, [name for name in features if name != column])
    with zipfile.ZipFile(plain) as archive:
        for part in _few_bytes(listed, [column], archive):
            yield _with_paths(part, [column], plain, archive, lost).replace_schema_metadata(_with_classes(features))


def _tables(rows: Any, format: Format, batch_rows: int) -> Iterator[pa.Table]:
    """A streamed dataset as tables, with media as they are."""
    if format.kind == "webdataset" or format.kind in FOLDERS:
        # As Arrow, `datasets` loses the order of the columns in the last row of a tar. Media are declared as what they
        # are kept as, since `datasets` asks for decoders of audio even where it decodes none.
        features = _without_media(rows.features, format)
        rows_left = iter(rows.cast(features))
        while batch := list(_few(rows_left, batch_rows)):
            yield pa.Table.from_pylist(batch, schema=features.arrow_schema.remove_metadata())
    else:
        # Of tables, as many rows as the builder reads at a time: it gives each such chunk types of its own, and
        # `datasets` can't join two that differ.
        for table in rows.with_format("arrow").iter(batch_size=_chunk_rows(format) or batch_rows):
            yield _without_json(table).replace_schema_metadata(_with_classes(rows.features))


def _without_json(table: pa.Table) -> pa.Table:
    """Columns of JSON, as `datasets` keeps values without a common type, as texts: of what is none, JSON text."""
    for index, name in enumerate(table.column_names):
        if isinstance(table.schema.field(name).type, pa.JsonType) or table.schema.field(name).type.num_fields:
            values = table[name]
            if not _holds_json(values.type):
                continue
            plain = pa.array(faults.settled(_parsed(values.to_pylist(), values.type)))
            table = table.set_column(index, name, plain)
    return table


def _holds_json(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.JsonType) or any(_holds_json(kind.field(at).type) for at in range(kind.num_fields))


def _parsed(values: list[Any], kind: pa.DataType) -> list[Any]:
    """Values of a type that holds JSON, with what this means in its place."""
    if isinstance(kind, pa.JsonType):
        return [value if value is None else json.loads(value) for value in values]
    if pa.types.is_struct(kind):
        fields = {
            field.name: _parsed([None if one is None else one[field.name] for one in values], field.type)
            for field in kind
        }
        return [
            None if one is None else {name: found[at] for name, found in fields.items()}
            for at, one in enumerate(values)
        ]
    if isinstance(kind, ANY_LIST):
        return [None if one is None else _parsed(one, kind.value_type) for one in values]
    return values


def _with_classes(features: Any) -> dict[str, str] | None:
    """What `datasets` notes of a file's types, where there are classes by number, which have names."""
    if features is None:
        return None
    noted = json.dumps({"info": {"features": features.to_dict()}})
    return {"huggingface": noted} if '"ClassLabel"' in noted else None


def _few(rows: Iterator[dict[str, Any]], batch_rows: int) -> Iterator[dict[str, Any]]:
    """The next rows, fewer where their media are large."""
    num_bytes = 0
    for row in itertools.islice(rows, batch_rows):
        yield row
        media = (value["bytes"] for value in row.values() if isinstance(value, dict) and "bytes" in value)
        num_bytes += sum(len(data) for data in media if data)
        if num_bytes >= GROUP_BYTES:
            return


def _few_bytes(table: pa.Table, media: list[str], archive: zipfile.ZipFile | None) -> Iterator[pa.Table]:
    """Rows whose media are to be read from an archive, few where they are large."""
    if archive is None:
        yield table
        return
    start = num_bytes = 0
    for row in range(len(table)):
        for name in media:
            given = table[name][row].as_py()
            texts = given if isinstance(given, list) else [given]
            members = (archive.NameToInfo.get(_member(text)) for text in texts if text is not None)
            num_bytes += sum(member.file_size for member in members if member)
        if num_bytes >= GROUP_BYTES or row == len(table) - 1:
            yield table.slice(start, row + 1 - start)
            start, num_bytes = row + 1, 0


def _without_media(features: Any, format: Format) -> Any:
    """The columns' types, with media as paths in folders, else as bytes and path."""
    import datasets

    kept: Any = datasets.Value("string")
    if format.kind not in FOLDERS:
        kept = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    media = _media_columns(features)
    of_lists = datasets.List(kept)
    kinds = {name: of_lists if isinstance(features[name], datasets.List) else kept for name in media}
    return datasets.Features({**features, **kinds})


def _media_columns(features: Any) -> list[str]:
    import datasets

    media = (datasets.Image, datasets.Audio, datasets.Video)
    inner = {name: kind.feature if isinstance(kind, datasets.List) else kind for name, kind in features.items()}
    return [name for name, kind in inner.items() if isinstance(kind, media)]


def _chunk_rows(format: Format) -> int | None:
    """Rows that the builder reads at a time, where it counts rows."""
    return format.settings.get("chunksize") if format.kind == "csv" else None


def _with_paths(
    table: pa.Table, media: list[str], plain: Path, archive: zipfile.ZipFile | None, lost: list[Fault]
) -> pa.Table:
    """Media named relative to the file that lists them; those of an archive with their bytes."""
    is_read = np.ones(len(table), bool)
    for name in media:
        index = table.column_names.index(name)
        is_list = isinstance(table.schema.field(name).type, ANY_LIST)
        values: list[Any] = []
        for row, given in enumerate(table.column(index).to_pylist()):
            texts = given if is_list and given is not None else [given]
            try:
                found = [text if text is None else _media(text, plain, archive) for text in texts]
                values.append(found if is_list and given is not None else found[0])
            except BAD_MEMBER as error:
                values.append(None)
                is_read[row] = False
                member = ", ".join(_member(text) for text in texts if text)
                lost.append(Fault(member, "undecodable", f"it can't be read: {error}; fetch the archive again"))
        table = table.set_column(index, name, pa.array(values, pa.list_(MEDIA) if is_list else MEDIA))
    return table if is_read.all() else table.filter(pa.array(is_read))


def _media(path: str, plain: Path, archive: zipfile.ZipFile | None) -> dict[str, Any]:
    if archive is None:
        return {"bytes": None, "path": path.removeprefix(f"{plain.parent}/")}
    name = _member(path)
    return {"bytes": archive.read(name) if name in archive.NameToInfo else None, "path": name}


def _member(path: str) -> str:
    """The name within the archive, of a path such as `zip://a/1.png::/x.zip`."""
    return path.split("::")[0].removeprefix("zip://")


def _write(batches: Iterator[pa.Table], path: Path, schema: pa.Schema | None, found: Sequence[list[Fault]]) -> None:
    waiting: list[pa.Table] = []
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            if writer is None:
                schema = schema or batch.schema
                writer = pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True)
            waiting.append(_fit(batch, writer.schema))
            if sum(map(len, waiting)) >= GROUP_ROWS or sum(table.nbytes for table in waiting) >= GROUP_BYTES:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if writer is None:
            pq.write_table(pa.table({}), path)
        elif waiting:
            writer.write_table(pa.concat_tables(waiting))
        if writer is not None and any(found):
            writer.add_key_value_metadata({faults.KEY: faults.dumps([fault for some in found for fault in some])})
    finally:
        if writer is not None:
            writer.close()


def _fit(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """A batch in the file's columns; a value that doesn't fit raises ArrowInvalid."""
    if batch.schema.equals(schema):
        return batch
    if more := set(batch.column_names) - set(schema.names):
        raise pa.ArrowInvalid(f"more columns than in the rows before: {', '.join(sorted(more))}")
    for field in schema:
        if field.name in batch.column_names and _has_more(batch.schema.field(field.name).type, field.type):
            raise pa.ArrowInvalid(f'more fields in "{field.name}" than in the rows before')
    columns = [
        batch[field.name].cast(field.type) if field.name in batch.column_names else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _has_more(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type has fields that another lacks: a cast would leave them out."""
    if pa.types.is_struct(kind) and pa.types.is_struct(wanted):
        known = {field.name: field.type for field in wanted}
        return any(field.name not in known or _has_more(field.type, known[field.name]) for field in kind)
    if isinstance(kind, ANY_LIST) and isinstance(wanted, ANY_LIST):
        return _has_more(kind.value_type, wanted.value_type)
    return False
