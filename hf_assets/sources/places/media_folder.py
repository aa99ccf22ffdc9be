"""Folders of media files: one row per file, with captions from text files, file names or a table."""

import io
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from hf_assets import files, fingerprint, near_paths
from hf_assets.errors import DatasetError
from hf_assets.sources import listing, unicode_names
from hf_assets.sources.formats import csv_text, faults, foreign, text_files, whole_parquet
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.formats.text_files import LYRICS_SUFFIXES, TEXT_SUFFIXES
from hf_assets.sources.places.local_repository import LocalFiles, media_below
from hf_assets.sources.spec import LISTED_PATH, MEDIA_SUFFIXES, CaptionTable, DataFile, FolderRules, Snapshot

# Bump when a change to this module changes a row.
VERSION = 4

LYRICS = "lyrics"
# Captions that lie in files beside media.
TEXTS = ("textfile", "whole_textfile")
# Of a table that is only looked at.
FIRST_BYTES, FIRST_ROWS = 1 << 20, 100


class FolderSource(LocalFiles):
    """A folder of media files, at any depth. The hashes of its files stand in for a commit."""

    def resolve(self) -> Snapshot:
        """List the media files with their hashes, and make the table of their captions if anything about it changed.

        Raises:
            DatasetError: no such folder, no media in it, or its table of captions can't be read.
        """
        rules = self.spec.folder
        assert rules is not None
        folder = Path(self.spec.dataset_name)
        if folder.is_file():
            raise DatasetError(f'instance_data_dir "{folder}" is a file: name the folder that holds the media')
        if not folder.is_dir():
            meant = near_paths.hint(folder)
            raise DatasetError(f'instance_data_dir "{folder}" does not exist: correct it, or create the folder{meant}')
        root = folder.resolve()
        suffixes = MEDIA_SUFFIXES[rules.media]
        media = self._entries(root, [path for path in media_below(root) if path.name.lower().endswith(suffixes)])
        archives = [] if media or rules.captions not in TEXTS else [path for path in _zips(root) if path.is_file()]
        if archives:
            entries = self._entries(root, archives)
            split = listing.archives_of(entries, rules)
            commit = fingerprint.of_value([[file.path, file.hash] for file in entries])
            return Snapshot(str(root), commit, True, split.files, "", split.format)
        if not media:
            way = _other_media(root) or "add some, or correct it"
            raise DatasetError(f'instance_data_dir "{folder}" holds no {rules.media} files: {way}')
        unicode_names.require_distinct((file.path for file in media), f'instance_data_dir "{folder}"')
        texts = [root / path for path in sidecars(_names(root), [file.path for file in media], rules)]
        self.links.require_inside(root, texts)
        beside = [*texts, *_table(root, rules)]  # the table lies where the config says
        hashes = self.hashes.of(beside)
        what = [[file.path for file in media], [[os.path.relpath(path, root), hashes[path]] for path in beside]]
        table = DataFile(LISTED_PATH, fingerprint.of_value([VERSION, rules.model_dump(), *what]), 0, listing.LISTED)
        if not self.tables.is_kept(table):
            made = table_of(root, [file.path for file in media], rules, beside)
            with files.open_atomically(self.tables.path(table)) as temporary:
                pq.write_table(made, temporary, compression="zstd", write_page_checksum=True)
        commit = fingerprint.of_value([[file.path, file.hash] for file in (*media, table)])
        return Snapshot(str(root), commit, True, (table,), listing.media_fingerprint(media))


def _zips(root: Path) -> list[Path]:
    return [root / path for path in sorted(filter(listing.is_archive, _names(root)))]


def sidecars(names: Iterable[str], media: list[str], rules: FolderRules) -> list[str]:
    """The text files that say something of media: their captions, and of audio their lyrics.

    Args:
        names: of all files, as paths within the folder.
        media: those of the media.
    """
    wanted: list[tuple[str, ...]] = [LYRICS_SUFFIXES] if rules.media == "audio" else []
    if rules.captions in TEXTS:
        wanted.insert(0, TEXT_SUFFIXES)
    found = [text_files.by_key(names, suffixes) for suffixes in wanted]
    return [path for known in found for one in media if (path := known.get(text_files.key(one))) is not None]


def _other_media(root: Path) -> str:
    """What to do with a folder of media of another kind; empty where it holds none."""
    names = [path.name.lower() for path in media_below(root)]
    counts = {kind: sum(name.endswith(some) for name in names) for kind, some in MEDIA_SUFFIXES.items()}
    kind = max(counts, key=lambda one: counts[one])
    files = f"{counts[kind]:,} {kind} file{'' if counts[kind] == 1 else 's'}"
    return f'there are {files}, for which dataset_type is "{kind}"' if counts[kind] else ""


def _table(root: Path, rules: FolderRules) -> list[Path]:
    """The table that says something of media."""
    if rules.table is None:
        return []
    path = root / rules.table.path
    if not path.is_file():
        meant = near_paths.hint(path)
        raise DatasetError(f'the table of captions "{path}" does not exist: correct its path, or add it{meant}')
    return [path]


def table_of(root: Path, paths: list[str], rules: FolderRules, beside: list[Path]) -> pa.Table:
    """One row per media file: the file, its caption, and further columns that a table has.

    Args:
        beside: the files that say something of media; those, and their rows, that can't be read are noted.
    """
    found = _faults(root, beside)
    names = pa.array(paths, pa.string())
    media = pa.StructArray.from_arrays([pa.nulls(len(paths), pa.binary()), names], ["bytes", "path"])
    columns: dict[str, Any] = {}
    if rules.table is not None:
        columns |= _columns_of_table(root, paths, rules.table, found)
    columns[rules.media] = media
    match rules.captions:
        case "textfile":
            known = texts_of(root)
            columns["caption"] = _lines([known.get(text_files.key(path)) for path in paths])
        case "whole_textfile":
            known = texts_of(root)
            texts = [text(known.get(text_files.key(path))).strip() or None for path in paths]
            columns["caption"] = pa.array(texts, pa.string())
        case "filename":
            columns["caption"] = pa.array([Path(path).stem.replace("_", " ") for path in paths], pa.string())
    if rules.media == "audio" and (sung := texts_of(root, LYRICS_SUFFIXES)):
        others = columns[LYRICS].to_pylist() if LYRICS in columns else [None] * len(paths)
        own = [text(sung.get(text_files.key(path))).strip() for path in paths]
        columns[LYRICS] = pa.array([one or other for one, other in zip(own, others, strict=True)], pa.string())
    made = pa.table(columns)
    return made.replace_schema_metadata({faults.KEY: faults.dumps(found)}) if found else made


def texts_of(root: Path, suffixes: tuple[str, ...] = TEXT_SUFFIXES) -> dict[str, Path]:
    """The files of captions in a folder, by path without ending; of `.txt` and `.caption`, the first."""
    return {stem: root / path for stem, path in text_files.by_key(_names(root), suffixes).items()}


def _names(root: Path) -> list[str]:
    """The files of a folder, at any depth, as paths within it; none whose name begins with a dot."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [os.path.join(place, name) for name in names if not name.startswith(".")]
        found += [os.path.relpath(path, root) for path in paths if not _is_text(path) or os.path.isfile(path)]
    return found


def _is_text(path: str) -> bool:
    """Whether a file would be read for what it says: a pipe, or a device, would be waited for."""
    return path.lower().endswith((*TEXT_SUFFIXES, *LYRICS_SUFFIXES))


def _lines(paths: list[Path | None]) -> pa.Array:
    """The text of each file; where one has several lines, each line of each file is a caption."""
    captions = [text_files.lines(text(path)) for path in paths]
    if any(len(lines) > 1 for lines in captions):
        return pa.array(captions, pa.list_(pa.string()))
    return pa.array([lines[0] if lines else None for lines in captions], pa.string())


def text(path: Path | None) -> str:
    """What a file says; nothing where there is none, or it isn't text, or too large (`_faults` says so)."""
    return "" if path is None else text_files.text_of(_data_of(path))


def _data_of(path: Path) -> bytes:
    """What a file holds, as far as it tells whether it is too large."""
    with path.open("rb") as file:
        return file.read(text_files.MAX_TEXT_BYTES + 1)


def _faults(root: Path, beside: list[Path]) -> list[Fault]:
    """Why files of captions and lyrics can't be read."""
    texts = [path for path in beside if path.suffix.lower() in (*TEXT_SUFFIXES, *LYRICS_SUFFIXES)]
    found = (text_files.fault_of(os.path.relpath(path, root), _data_of(path)) for path in texts)
    return [one for one in found if one is not None]


def _columns_of_table(root: Path, paths: list[str], rules: CaptionTable, faulty: list[Fault]) -> dict[str, Any]:
    """The caption of each media file and the table's other columns, by the file's path within the folder, or name."""
    table = _read(root / rules.path, rules, faulty)
    for column in (rules.filename_column, *rules.caption_columns, *filter(None, [rules.fallback_column])):
        if column not in table.column_names:
            raise DatasetError(
                f'column "{column}" is not in "{root / rules.path}": it has {", ".join(table.column_names)}'
            )
    names = table[rules.filename_column].to_pylist()
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(unicode_names.composed(str(name).replace("\\", "/").removeprefix("./")), row)
    at = []
    for path in paths:
        path = unicode_names.composed(path)
        stem = os.path.splitext(path)[0]
        keys = {None: (path, stem), True: (path,), False: (stem,)}[rules.has_extension]
        ways = (*keys, *map(os.path.basename, keys))
        at.append(next((rows[way] for way in ways if way in rows), None))
    found = table.take(pa.array(at, pa.int64()))
    columns = {name: found[name] for name in table.column_names}
    return {**columns, "caption": _captions(found, rules)} if rules.caption_columns else columns


def _captions(table: pa.Table, rules: CaptionTable) -> pa.Array:
    """All captions of each row: a list where the table can have several."""
    named = [table[column].to_pylist() for column in rules.caption_columns]
    fallback = table[rules.fallback_column].to_pylist() if rules.fallback_column else [None] * len(table)
    captions = [
        _texts(values) or _texts([other]) or _texts([rules.default])
        for values, other in zip(zip(*named, strict=True), fallback, strict=True)
    ]
    if any(len(texts) > 1 for texts in captions):
        return pa.array(captions, pa.list_(pa.string()))
    return pa.array([texts[0] if texts else None for texts in captions], pa.string())


def _texts(values: Iterable[Any]) -> list[str]:
    flat = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return [str(text) for text in flat if text is not None and str(text).strip()]


def first_rows(path: Path) -> pa.Table | None:
    """The first rows of a table that lies among media, as text; None where it can't be read."""
    with path.open("rb") as file:
        start = file.read(FIRST_BYTES)
    whole = start if len(start) < FIRST_BYTES else start[: start.rfind(b"\n") + 1]
    try:
        match path.suffix.lower():
            case ".parquet":
                batches = pq.ParquetFile(path).iter_batches(FIRST_ROWS)
                return pa.Table.from_batches([next(batches)])
            case ".jsonl":
                return pyarrow.json.read_json(io.BytesIO(whole))
            case ending:
                by: dict[str, Any] = {"sep": "\t" if ending == ".tsv" else ","}
                by |= csv_text.separator_of(path, by)
                return pa.csv.read_csv(
                    io.BytesIO(whole),
                    read_options=pa.csv.ReadOptions(skip_rows=by.get("skiprows", 0)),
                    parse_options=pa.csv.ParseOptions(delimiter=by["sep"], newlines_in_values=True),
                )
    except (pa.ArrowException, OSError, StopIteration):
        return None


def _read(path: Path, rules: CaptionTable, found: list[Fault]) -> pa.Table:
    foreign.require(path, str(path), rules.kind)
    bad: list[Fault] = []
    try:
        if rules.kind == "parquet":
            table = whole_parquet.read(path, str(path), bad)
            found += [one._replace(member=f"{path.name}#{one.member}") for one in bad]
            return table
        with tempfile.TemporaryDirectory() as folder:
            plain = path
            by: dict[str, Any] = {"sep": "\t" if path.suffix.lower() == ".tsv" else ","}
            if (encoding := faults.encoding_of(path)) is not None:
                plain = Path(folder) / path.name
                faults.in_utf_8(path, plain, encoding)
            by |= csv_text.separator_of(plain, by)
            plain = csv_text.without_open_quotes(plain, '"', Path(folder) / "closed.csv", bad)
            try:
                table = _read_csv(plain, rules, **by)
            except pa.ArrowInvalid:
                mended = Path(folder) / "mended.csv"
                bad += csv_text.without_bad_rows(plain, by, mended)
                table = _read_csv(mended, rules)
                if not len(table):
                    raise
            found += [one._replace(member=f"{path.name}#{one.member}") for one in bad]
            return table
    except (pa.ArrowException, OSError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise DatasetError(f'"{path}" can\'t be read as {rules.kind} ({line}): mend the file') from None


def _read_csv(path: Path, rules: CaptionTable, sep: str = ",", skiprows: int = 0) -> pa.Table:
    named = filter(None, [rules.filename_column, *rules.caption_columns, rules.fallback_column])
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(skip_rows=skiprows),
        parse_options=pa.csv.ParseOptions(delimiter=sep, newlines_in_values=True),
        # text, also where all of it looks like numbers
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(named, pa.string())),
    )
