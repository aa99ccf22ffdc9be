"""Tables of text: words are words, also those that pandas takes for missing values, such as None, null and NA.

A column whose other values are numbers keeps them as missing values. Empty cells are empty in all columns.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.sources.formats import faults
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.spec import ALL_MEDIA_SUFFIXES

CHUNK_ROWS = 10_000
# The columns of a folder's metadata that name its files, or end so.
FILE_NAMES = ("file_name", "file_names")
# What a column of paths is called as a rule, the likeliest first.
PATH_NAMES = (
    *("filename", "file", "path", "file_path", "filepath", "image_path", "image", "img_path", "img"),
    *("video_path", "video", "audio_path", "audio", "image_file", "media_path", "media"),
)
# Those with which a CSV's rows are what Python's own reader takes them for.
PLAIN_SETTINGS = {
    *("sep", "delimiter", "quotechar", "encoding", "chunksize", "na_values", "keep_default_na", "na_filter"),
    "converters",
}
# What stands between cells where no comma does, as office programs write it; and how many characters are looked at.
SEPARATORS, HEAD_CHARACTERS = (",", ";", "\t", "|"), 1 << 16
# So many of the first rows have as many cells as the header.
MIN_ALIKE = 0.9
# A first line of Excel's, which is no row.
SAID_SEPARATOR = re.compile(r"sep=([,;\t|])\r?\n")
# What decoding leaves in place of bytes that aren't UTF-8.
ESCAPES = "surrogateescape"


def settings_of(local: Path, settings: dict[str, Any], texts: Set[str] = frozenset()) -> dict[str, Any]:
    """A CSV's settings, with its separator, and those by which words stay words; the user's own go first.

    Args:
        texts: the columns that README.md calls text.
    """
    settings = {**settings, **separator_of(local, settings)}
    if {"na_values", "keep_default_na", "na_filter"} & settings.keys():
        return settings
    try:
        words, mixed = _words(local, settings, texts)
    except ValueError:  # its rows can't be read as they are: that is dealt with when they are
        return settings
    if mixed and "converters" not in settings:
        settings = {**settings, "converters": dict.fromkeys(mixed, str)}
    return {**settings, "keep_default_na": False, "na_values": words} if words else settings


def separator_of(local: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings by which a table's cells are told apart, where they aren't those given, or a comma.

    By another separator its header has more cells, and nearly all rows have as many as it.
    """
    if not settings.keys() <= PLAIN_SETTINGS:
        return {}
    with local.open(encoding=settings.get("encoding") or "utf-8-sig", errors=ESCAPES, newline="") as text:
        head = text.read(HEAD_CHARACTERS)
    if said := SAID_SEPARATOR.match(head):
        return {"sep": said[1], "skiprows": 1}
    given = settings.get("delimiter") or settings.get("sep") or ","
    is_known, num_cells = _shape(head, given)
    for sep in SEPARATORS if len(given) == 1 and not (is_known and num_cells > 1) else ():
        is_table, more_cells = _shape(head, sep)
        if is_table and more_cells > num_cells:
            return {"delimiter" if "delimiter" in settings else "sep": sep}
    return {}


def require_header(local: Path, settings: dict[str, Any]) -> None:
    """pandas takes the first column of a table for its index where the first row has more cells than the header.

    Raises:
        ValueError: so it is.
    """
    if not settings.keys() <= PLAIN_SETTINGS:
        return
    with local.open(encoding=settings.get("encoding") or "utf-8-sig", errors=ESCAPES, newline="") as text:
        sep, quote = settings.get("delimiter") or settings.get("sep") or ",", settings.get("quotechar") or '"'
        if len(sep) > 1:
            return
        rows = (cells for cells in csv.reader(text, delimiter=sep, quotechar=quote) if cells)
        with contextlib.suppress(csv.Error):
            header, first = next(rows, []), next(rows, [])
            if len(first) > len(header):
                raise ValueError("its first row has more cells than the header names")


def _shape(head: str, sep: str) -> tuple[bool, int]:
    """Whether a text is a table with rows by this separator, and the cells of its header."""
    with contextlib.suppress(csv.Error):  # a cell of more characters than Python's reader takes
        rows = [cells for cells in csv.reader(io.StringIO(head, newline=""), delimiter=sep) if cells]
        if len(head) == HEAD_CHARACTERS:
            rows = rows[:-1]  # cut
        num_cells = len(rows[0]) if rows else 0
        num_alike = sum(len(cells) == num_cells for cells in rows[1:])
        return len(rows) > 1 and num_alike >= MIN_ALIKE * (len(rows) - 1), num_cells
    return False, 0


def _words(
    local: Path, settings: dict[str, Any], known: Set[str] = frozenset()
) -> tuple[dict[str, list[str]] | None, list[str]]:
    """What is a missing value in each column: in columns of numbers what pandas knows, in others an empty cell; None
    where no column has one of these words. And the columns that are numbers in some chunks of rows, and text in others.

    Args:
        known: columns that are text, whatever is in them.
    """
    from pandas._libs.parsers import STR_NA_VALUES

    has_word = False
    numbers: set[str] = set()
    texts: set[str] = set()
    names: list[str] = []
    for frame in _frames(local, settings):
        names = list(frame.columns)
        for name in frame.columns:
            values = frame[name]
            is_missing = values.isin(STR_NA_VALUES) | (values == "")
            has_word |= bool((is_missing & (values != "")).any())
            others = values[~is_missing]
            if not len(others) or (name in texts and not _are_numbers(others[:1])):
                continue
            is_number = _are_numbers(others)
            (numbers if is_number else texts).add(name)
            if is_number and name in known:
                texts.add(name)
    mixed = sorted(numbers & texts)
    if not has_word:
        return None, mixed
    # a column of which nothing is left holds text, if it holds anything
    return {name: sorted({*STR_NA_VALUES, ""}) if name in numbers - texts else [""] for name in names}, mixed


def _are_numbers(values: Any) -> bool:
    import pandas

    if values.str.lower().isin(["true", "false"]).all():
        return True
    return bool(pandas.to_numeric(values, errors="coerce").notna().all())


def _frames(local: Path, settings: dict[str, Any], **more: Any) -> Iterator[Any]:
    """The cells as they are written, some rows at a time."""
    import pandas

    known = ("delimiter", "header", "skiprows", "quotechar", "quoting", "escapechar", "doublequote", "encoding")
    given = {name: settings[name] for name in known if settings.get(name) is not None}
    if (sep := settings.get("sep")) is not None and "delimiter" not in given:
        given["sep"] = sep
    if (names := settings.get("names") or settings.get("column_names")) is not None:
        given["names"] = names
    arguments: dict[str, Any] = {"encoding_errors": ESCAPES, **given, **more}
    with contextlib.closing(
        pandas.read_csv(local, dtype=object, keep_default_na=False, na_values=[], chunksize=CHUNK_ROWS, **arguments)
    ) as reader:
        yield from reader


def without_bad_rows(local: Path, settings: dict[str, Any], target: Path) -> list[Fault]:
    """Copy the rows of a CSV file that can be read, as plain CSV in UTF-8.

    Returns:
        Those that can't: rows with too many cells, and rows with text that isn't UTF-8.
    """
    found: list[Fault] = []
    if "quoting" not in settings and "escapechar" not in settings:
        local = without_open_quotes(local, settings.get("quotechar", '"'), target.with_suffix(".quotes"), found)
    if settings.keys() <= PLAIN_SETTINGS:
        with contextlib.suppress(csv.Error):  # a cell of more characters than Python's reader takes
            bad, num_good = _copy_good_rows(local, settings, target)
            found += bad
            if found and not num_good:
                raise ValueError(f"none of its {len(found):,} rows can be read: {found[0].message}")
            return found

    def note(cells: list[str]) -> None:
        shown = "" if not cells else f" ({cells[0].encode(errors='replace').decode()[:60]})"
        found.append(Fault(f"a row{shown}", "undecodable", f"it has {len(cells):,} cells, more than the header names"))

    number = 1
    with target.open("w", encoding="utf-8", newline="") as copy:
        for frame in _frames(local, settings, engine="python", index_col=False, on_bad_lines=note):
            is_bad = frame.map(lambda cell: isinstance(cell, str) and faults.has_surrogate(cell)).any(axis=1)
            for at in frame.index[is_bad].tolist():
                message = "a text in it is not UTF-8: save the file as UTF-8"
                found.append(Fault(f"row {at + 1:,}", "undecodable", message))
            frame[~is_bad].to_csv(copy, index=False, header=number == 1)
            number += 1
    return found


def _copy_good_rows(local: Path, settings: dict[str, Any], target: Path) -> tuple[list[Fault], int]:
    """The rows that can't be read, and how many can."""
    found: list[Fault] = []
    num_good = 0
    sep, quote = settings.get("delimiter") or settings.get("sep") or ",", settings.get("quotechar") or '"'
    encoding = settings.get("encoding") or "utf-8-sig"
    with (
        local.open(encoding=encoding, errors=ESCAPES, newline="") as text,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        rows = (cells for cells in csv.reader(text, delimiter=sep, quotechar=quote) if cells)
        writer = csv.writer(copy, lineterminator="\n")
        header = next(rows, [])
        # a name that isn't UTF-8 is none that a config can give
        writer.writerow(name.encode(errors="replace").decode() for name in header)
        for number, cells in enumerate(rows, start=1):
            message = ""
            while len(cells) > len(header) and not cells[-1]:  # a comma behind each row
                cells.pop()
            if len(cells) > len(header):
                message = f"it has {len(cells):,} cells, more than the header names"
            elif faults.has_surrogate(cells):
                message = "a text in it is not UTF-8: save the file as UTF-8"
            if message:
                found.append(Fault(f"row {number:,}", "undecodable", message))
            else:
                writer.writerow(cells)
                num_good += 1
    return found, num_good


def without_open_quotes(local: Path, quote: str, target: Path, found: list[Fault]) -> Path:
    """The file without the line in which a quote is opened that is never closed; itself where there is none.

    As CSV has it, a quote opens a cell where one begins, and closes it where another doesn't follow.
    """
    data, mark = local.read_bytes(), re.escape(quote.encode())
    opened = re.compile(rb"(?:^|(?<=[,;\t\r\n]))" + mark)
    cell = re.compile(mark + rb"(?:[^" + mark + rb"]|" + mark * 2 + rb")*+" + mark)
    position, changed = 0, False
    while (begin := opened.search(data, position)) is not None:
        if (whole := cell.match(data, begin.start())) is not None:
            position = whole.end()
            continue
        start, stop = data.rfind(b"\n", 0, begin.start()) + 1, data.find(b"\n", begin.end())
        stop = len(data) if stop < 0 else stop + 1
        line = data.count(b"\n", 0, start) + 1
        found.append(Fault(f"line {line:,}", "undecodable", "a quote is opened in it and never closed"))
        data, position, changed = data[:start] + data[stop:], start, True
    if not changed:
        return local
    target.write_bytes(data)
    return target


def metadata_table(local: Path, target: Path, found: list[Fault], texts: Set[str] = frozenset()) -> None:
    """A folder's metadata in CSV as Parquet, with words as words.

    Args:
        found: is given the rows that can't be read.
        texts: the columns that README.md calls text.
    """
    import pyarrow.parquet as pq

    separator = separator_of(local, {})
    try:
        faults.require_utf_8(local)
        require_header(local, separator)
        table = _metadata(local, separator, texts)
    except ValueError:
        mended = target.with_suffix(".mended")
        found += without_bad_rows(local, separator, mended)
        table = _metadata(mended, {}, texts)
    pq.write_table(with_file_name(table), target)


def _metadata(local: Path, separator: dict[str, Any], texts: Set[str]) -> pa.Table:
    import pandas

    words, mixed = _words(local, separator, texts)
    options: dict[str, Any] = {**separator, **({"keep_default_na": False, "na_values": words} if words else {})}
    if mixed:
        options["converters"] = dict.fromkeys(mixed, str)
    with pandas.read_csv(local, chunksize=CHUNK_ROWS, **options) as reader:
        tables = [pa.Table.from_pandas(frame, preserve_index=False) for frame in reader]
    return pa.concat_tables(tables, promote_options="permissive").replace_schema_metadata(None)


def with_file_name(table: pa.Table) -> pa.Table:
    """A folder's metadata with the column `file_name`: where none is called so, the one whose texts are media files."""
    if not lacks_file_name(table.schema):
        return table
    endings = pa.array(sorted(ALL_MEDIA_SUFFIXES))
    paths = []
    for name in table.column_names:
        texts = table[name].drop_null()
        if not len(texts) or not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
            continue
        found = pc.extract_regex(pc.utf8_lower(texts), r"(?P<ending>\.[a-z0-9]+)$")
        if pc.all(pc.is_in(pc.struct_field(found, "ending").cast(pa.string()), value_set=endings)).as_py():
            paths.append(name)
    if len(paths) > 1:  # of an image and its mask, say, the one that is called as such columns are
        lower = {name.lower(): name for name in paths}
        paths = [lower[name] for name in PATH_NAMES if name in lower][:1]
    if not paths:
        return table
    return table.rename_columns(["file_name" if name == paths[0] else name for name in table.column_names])


def lacks_file_name(arrow: pa.Schema) -> bool:
    """Whether no column of a folder's metadata is called as those are that name its files."""
    endings = tuple(f"_{one}" for one in FILE_NAMES)
    return not any(name in FILE_NAMES or name.endswith(endings) for name in arrow.names)
