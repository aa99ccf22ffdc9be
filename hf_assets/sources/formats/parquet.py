"""Parquet files: a few columns over byte ranges, or the media of chosen rows."""

import contextlib
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import json_text, schema
from hf_assets.errors import DatasetError, MissingColumnError
from hf_assets.media.memory import Memory
from hf_assets.sources.formats import arrays, bad_rows, foreign, parquet_pages
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.formats.media_columns import Choice, chosen
from hf_assets.sources.spec import LISTED_PATH

MEDIA_BATCH_ROWS = 32
# Arrays take several times as much memory as files.
ARRAY_BATCH_ROWS = 4
READ_BUFFER_BYTES = 1 << 20
# Over a network, a request for each so many: what is in memory of a column.
STREAM_BUFFER_BYTES = 8 << 20
# Rows of one file: what is kept of each, without any of its columns, takes half a gigabyte for so many.
MAX_FILE_ROWS = 1 << 25
# What `datasets` takes for text, a line a row, where no other files are as many.
TEXTS = (".txt", ".text")
# A text is written once for all rows that have it, and all is compressed: a file may unpack to so many times its size,
# or to so many bytes.
MAX_RATIO, MIN_RATIO_BYTES = 200, 256 << 20
# To more bytes than these together, to so many times its size.
LARGE_RATIO, LARGE_BYTES = 20, 1 << 30
# Several files are read at a time: while they are, their columns take so much together, or one of them is alone.
UNPACKING = Memory(768 << 20)
# Of the footer: tables of ten thousand columns have some megabytes.
MAX_FOOTER_BYTES = 64 << 20
# Rows that are read at a time where they hold texts within structs or lists.
MAX_BATCH_ROWS = 8192
# Bytes of media that are unpacked at a time; one alone may have more.
MEDIA_BATCH_BYTES = 64 << 20
# Of a dataset's columns, so many are named in a message.
MAX_NAMES = 30

# Wanted columns and, within structs, wanted fields; None: all of it.
Tree: TypeAlias = dict[str, "Tree | None"]


class Columns(NamedTuple):
    """The columns read from one file.

    Attributes:
        table: one struct column `columns`, of structs only the wanted fields; none where no column is wanted.
        media_paths: of each row, the file that it names as its media; null where its media's bytes are in it, or it has
            none. None where no row names one.
        faults: rows that aren't there, since their part of the file can't be read.
        positions: of each row, its number in the file, where some rows of a Parquet file aren't there; else None.
        members: of each row, the member of an archive that is its media; null where it has none. None where it wasn't
            asked for.
    """

    table: pa.Table
    num_rows: int
    bytes_read: int
    media_paths: pa.Array | None = None
    faults: Sequence[Fault] = ()
    members: pa.Array | None = None
    positions: pa.Array | None = None


class WantedColumns(NamedTuple):
    """Which columns to read, as dotted paths: all of `required`, and those of `optional` that are there."""

    media: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


def read_columns(
    file: BinaryIO,
    wanted: WantedColumns,
    name: str,
    is_any_there: Callable[[pa.Array], bool] = lambda paths: True,
    *,
    with_members: bool = False,
    features: dict[str, Any] | None = None,
) -> Columns:
    """Read columns, of structs the named fields only, and of the file no more bytes than these and its footer.

    Args:
        name: of the file, for messages.
        is_any_there: whether any of some paths names a file of the dataset. Rows that hold their media may well name
            files, too, but seldom such.
        with_members: the file was made of an archive, and notes beside each row's media which member it was.
        features: of columns that hold classes by number, as `datasets` writes them; before what the file says.

    Raises:
        DatasetError: a required column is missing, or the file is no Parquet.
    """
    counted = CountedFile(file)
    parquet = _open(counted, name, pre_buffer=True)
    if parquet.metadata.num_rows > MAX_FILE_ROWS:
        raise DatasetError(
            f'"{name}" says that it has {parquet.metadata.num_rows:,d} rows, more than the {MAX_FILE_ROWS:,d} that are '
            "read of one file: write it in smaller files"
        )
    names = parquet.schema_arrow.names
    choices = chosen(wanted.media, parquet.schema_arrow)
    _only(choices, wanted.media, parquet.schema_arrow, name)
    for column in wanted.required:
        _top_level(column, names, name)
    there = (column for column in wanted.optional if column in names or column.split(".")[0] in names)
    tree = _tree((*wanted.required, *there), names)
    fields = [_media_field(parquet.schema_arrow, choice, name) for choice in choices]
    num_rows = parquet.metadata.num_rows
    with _parquet_errors(name):
        every = [_media_paths(parquet, media, lambda paths: is_any_there(bad_rows.replaced(paths))) for media in fields]
    named = [one for one in every if one is not None]
    paths = pc.coalesce(*named) if named else None
    with _parquet_errors(name):
        members = _members(parquet, fields) if with_members else None
    kinds = {top: parquet.schema_arrow.field(top).type for top in tree}
    leaves = [leaf for top, below in tree.items() for leaf in _leaves(kinds[top], below, top)]
    with _parquet_errors(name):
        table = _read_leaves(parquet, counted, leaves, name) if leaves else pa.table({})
    # By name, since `a` also selects a column that is called `a.b`.
    found = {top: table[top].combine_chunks() if top in table.column_names else None for top in tree}
    positions, faults = None, list[Fault]()
    texts = {top: _plain(values) for top, values in ((wanted.media, paths), *found.items()) if values is not None}
    if texts:
        good, faults = bad_rows.of_texts(texts, name)
    if faults:
        positions, num_rows = pa.array(good), len(good)
        found = {top: None if values is None else values.take(positions) for top, values in found.items()}
        paths, members = (None if some is None else some.take(positions) for some in (paths, members))
    if not tree:
        return Columns(pa.table({}), num_rows, counted.num_bytes, paths, faults, members, positions)
    arrays = [_select_fields(found[top], kinds[top], below, num_rows) for top, below in tree.items()]
    said = {**_features(parquet), **(features or {})}
    named_classes = _class_names(said, tree, dict(zip(tree, arrays, strict=True)))
    struct = pa.StructArray.from_arrays([*arrays, *named_classes.values()], names=[*tree, *named_classes])
    table = pa.table({schema.COLUMNS: struct})
    return Columns(table, num_rows, counted.num_bytes, paths, faults, members, positions)


def read_table(path: Path) -> pa.Table:
    """All columns of a file on this machine.

    Raises:
        DatasetError: it is no Parquet, or unpacks to far more than it has.
    """
    with path.open("rb") as file:
        counted = CountedFile(file)
        parquet = _open(counted, str(path), pre_buffer=True)
        with _parquet_errors(str(path)):
            table = _read_leaves(parquet, counted, parquet.schema_arrow.names, str(path))
    return pa.table({name: _plain(table[name].combine_chunks()) for name in table.column_names})


def _features(parquet: pq.ParquetFile) -> dict[str, Any]:
    """What `datasets` notes of the columns in a file."""
    try:
        features = json.loads((parquet.metadata.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(features: dict[str, Any], tree: Tree, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """The names of those columns and fields that hold classes by number.

    Args:
        features: of columns, as `datasets` writes them.
    """
    found = {}
    for top, *path in _paths(tree):
        named = _named_classes(features.get(top), columns[top], path, top)
        if named is not None:
            found[".".join([top, *path]) + schema.CLASS_NAMES] = named
    return found


def _paths(tree: Tree) -> Iterator[list[str]]:
    for name, below in tree.items():
        if below is None:
            yield [name]
        else:
            yield from ([name, *path] for path in _paths(below))


def _named_classes(feature: Any, values: pa.Array, path: list[str], top: str) -> pa.Array | None:
    """Numbers of classes as their names, in the same lists; None of anything else.

    Args:
        feature: of the values, as `datasets` writes it.
        path: of fields that lead to them.
        top: the column, for messages.
    """
    inner = feature[0] if isinstance(feature, list) and feature else None
    if isinstance(feature, dict) and feature.get("_type") in ("List", "LargeList", "Sequence"):
        inner = feature.get("feature")
    if inner is not None:
        if not schema.is_list(values.type):
            return None
        if pa.types.is_fixed_size_list(values.type):
            values = values.cast(pa.list_(values.type.value_type))
        named = _named_classes(inner, values.values, path, top)
        return None if named is None else schema.with_values(values, named)
    if not isinstance(feature, dict):
        return None
    if path:
        is_there = pa.types.is_struct(values.type) and values.type.get_field_index(path[0]) >= 0
        if not is_there:
            return None
        return _named_classes(feature.get(path[0]), pc.struct_field(values, path[0]), path[1:], top)
    texts = feature.get("names")
    if feature.get("_type") != "ClassLabel" or not isinstance(texts, list) or not pa.types.is_integer(values.type):
        return None
    is_known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(texts)))
    at = pc.if_else(is_known, values, pa.scalar(None, values.type))
    named = pa.array([str(text).encode(errors="replace").decode() for text in texts], pa.string())
    _require_ratio(int(pc.sum(pc.binary_length(named).cast(pa.int64()).take(at)).as_py() or 0), 0, top)
    return named.take(at)


def read_media(
    file: "Path | CountedFile",
    column: str,
    rows: Sequence[int] | np.ndarray[Any, Any],
    name: str = "",
    buffer_bytes: int = READ_BUFFER_BYTES,
) -> Iterator[tuple[int, bytes | None]]:
    """The media of chosen rows, in the file's order, few in memory at a time; only row groups that hold one are read.

    Args:
        rows: positions within the file, ascending.
        name: of the file, for messages, where it isn't a path.
        buffer_bytes: read at a time.

    Yields:
        (row, bytes); None where the row holds none.

    Raises:
        DatasetError: the column holds no media bytes, or the file is damaged.
    """
    wanted = np.asarray(rows, dtype=np.int64)
    name = name or str(file)
    parquet = _open(file, name, pre_buffer=False, buffer_size=buffer_bytes, page_checksum_verification=True)
    with parquet:
        assert not len(wanted) or 0 <= wanted[0] <= wanted[-1] < parquet.metadata.num_rows
        choices = chosen(column, parquet.schema_arrow)
        if len(choices) > 1:
            each = [read_media(file, _written(choice), rows, name, buffer_bytes) for choice in choices]
            for found in zip(*each, strict=True):
                yield found[0][0], next((data for _, data in found if data is not None), None)
            return
        media = _media_field(parquet.schema_arrow, _only(choices, column, parquet.schema_arrow, name), name)
        leaf = media.leaf
        if leaf is None:
            yield from ((row, None) for row in wanted.tolist())
            return
        start = 0
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            if np.searchsorted(wanted, stop) > np.searchsorted(wanted, start):
                leaves, num_rows = [leaf], _media_batch_rows(parquet, group, leaf)
                if media.rate is not None:
                    leaves, num_rows = [leaf, media.rate], min(num_rows, ARRAY_BATCH_ROWS)
                if isinstance(file, Path):
                    _look_through(file, [one for leaf in leaves for one in _chunks(parquet, group, leaf)], name)
                batches = parquet.iter_batches(num_rows, row_groups=[group], columns=leaves)
                while (batch := _next(batches, name)) is not None:
                    values = batch.column(batch.schema.get_field_index(media.column))
                    inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + len(values))]
                    data = _data_of(values, media)
                    for row in inside.tolist():
                        yield row, data(row - start)
                    start += len(values)
            start = stop


def media_bytes(file: BinaryIO, column: str, rows: np.ndarray[Any, Any], name: str) -> int:
    """Bytes that `read_media` would read for these rows: the footer, and the media of row groups with a wanted one."""
    counted = CountedFile(file)
    parquet = _open(counted, name, pre_buffer=True)
    fields = [_media_field(parquet.schema_arrow, choice, name) for choice in chosen(column, parquet.schema_arrow)]
    leaves = [media.leaf for media in fields if media.leaf is not None]
    total, start = counted.num_bytes, 0
    for group in range(parquet.num_row_groups if leaves else 0):
        stop = start + parquet.metadata.row_group(group).num_rows
        if np.searchsorted(rows, stop) > np.searchsorted(rows, start):
            total += sum(chunk.total_compressed_size for leaf in leaves for chunk in _chunks(parquet, group, leaf))
        start = stop
    return total


def missing_field(kind: pa.DataType, path: str) -> str | None:
    """What to say of a dotted path that leads nowhere in `kind`, the struct of all columns; None where it leads to one.

    A column that is null in every row may be anything.
    """
    if kind.get_field_index(path) >= 0:
        return None
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if pa.types.is_null(kind):
            return None
        above = ".".join(parts[:depth])
        while schema.is_list(kind):
            kind = kind.value_type
        if not pa.types.is_struct(kind):
            return f'column "{path}" is not in the dataset: "{above}" holds {kind}, which has no fields'
        if kind.get_field_index(part) < 0:
            return f'column "{path}" is not in the dataset: {_nearest(part, [f.name for f in kind], above)}'
        kind = kind.field(part).type
    return None


def _open(file: "Path | CountedFile", name: str, **options: Any) -> pq.ParquetFile:
    """A Parquet file, whose footer is read; the pages of one that Python reads are looked at from now on.

    Raises:
        DatasetError: it is none.
    """
    try:
        with _parquet_errors(name):
            parquet = pq.ParquetFile(file if isinstance(file, Path) else pa.PythonFile(file, mode="r"), **options)
    except DatasetError:
        if (what := foreign.what_is(_start_of(file), "parquet")) is not None:
            raise DatasetError(f'"{name}" is {what}') from None
        raise
    if isinstance(file, CountedFile):
        groups = map(parquet.metadata.row_group, range(parquet.num_row_groups))
        columns = (group.column(index) for group in groups for index in range(group.num_columns))
        file.watch = parquet_pages.Watch([parquet_pages.chunk_of(column) for column in columns], name)
    return parquet


def _start_of(file: "Path | CountedFile") -> bytes:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(foreign.HEAD_BYTES)
    file.seek(0)
    return file.read(foreign.HEAD_BYTES)


def _look_through(path: Path, columns: Sequence[Any], name: str) -> None:
    with path.open("rb") as file:
        parquet_pages.look_through(file, [parquet_pages.chunk_of(column) for column in columns], name)


@contextlib.contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        line = str(error).splitlines()[0]
        raise DatasetError(f'"{name}" can\'t be read as Parquet ({line}): mend the file, or fetch it again') from None


def _next(batches: Iterator[pa.RecordBatch], name: str) -> pa.RecordBatch | None:
    with _parquet_errors(name):
        return next(batches, None)


def _tree(columns: Sequence[str], names: list[str]) -> Tree:
    """Dotted paths as a tree. A path that is the name of a column leads into none."""
    tree: Tree = {}
    for column in columns:
        *above, last = [column] if column in names else column.split(".")
        node: Tree | None = tree
        for part in above:
            node = node.setdefault(part, {}) if node is not None else None
        if node is not None:
            node[last] = None
    return tree


def _leaves(kind: pa.DataType, below: Tree | None, path: str) -> Iterator[str]:
    """What to read of a column, as dotted paths; what it lacks is left out. Lists are read whole, and texts, which may
    be JSON.
    """
    if below is None or schema.is_list(kind) or _holds_text(kind):
        yield path
    elif pa.types.is_struct(kind):
        for name, further in below.items():
            if kind.get_field_index(name) >= 0:
                yield from _leaves(kind.field(name).type, further, f"{path}.{name}")


def _select_fields(values: pa.Array | None, kind: pa.DataType, below: Tree | None, num_rows: int) -> pa.Array:
    """The wanted fields of a column; of a column of JSON text, too.

    A column that lacks one shows what it has instead, as nulls: `missing_field` names it, if no file has the field.

    Args:
        values: what was read of the column; None for nothing.
        kind: its type in the file.
    """
    if below is None:
        return _plain(values)
    if schema.is_list(kind) and values is not None:
        if pa.types.is_fixed_size_list(kind):
            values = values.cast(pa.list_(kind.value_type))
        inner = values.values
        return schema.with_values(values, _select_fields(inner, kind.value_type, below, len(inner)))
    if values is not None and _holds_text(kind) and (found := json_text.parsed(_plain(values), below)) is not None:
        return _select_fields(found, found.type, below, num_rows)
    if not pa.types.is_struct(kind):
        return pa.nulls(num_rows, _plain_type(kind))
    there = [name for name in below if kind.get_field_index(name) >= 0]
    arrays = []
    for name in there:
        inner = None if values is None or values.type.get_field_index(name) < 0 else values.field(name)
        arrays.append(_select_fields(inner, kind.field(name).type, below[name], num_rows))
    others = [field.name for field in kind if field.name not in below] if len(there) < len(below) else []
    arrays += [pa.nulls(num_rows)] * len(others)
    mask = None if values is None else values.is_null()
    return pa.StructArray.from_arrays(arrays, names=[*there, *others], mask=mask)


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionary encoding and views, in which files of one split differ."""
    kind = _plain_type(values.type)
    return values if kind == values.type else values.cast(kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(*(field.with_type(_plain_type(field.type)) for field in (kind.key_field, kind.item_field)))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        item = kind.value_field.with_type(_plain_type(kind.value_type))
        if types.is_fixed_size_list(kind):
            return pa.list_(item, kind.list_size)
        return pa.large_list(item) if types.is_large_list(kind) else pa.list_(item)
    return kind


def _top_level(column: str, names: list[str], file: str) -> str:
    """The top-level column that a dotted path leads into."""
    head = column if column in names else column.split(".")[0]
    if not names:
        raise DatasetError(f'"{file}" has no rows: fill it, or remove it')
    if head not in names:
        where = "" if file == LISTED_PATH else f' ("{file}")'
        raise MissingColumnError(f'column "{head}" is not in the dataset{where}: {_nearest(head, names)}', head)
    if names.count(head) > 1:
        raise DatasetError(f'"{file}" has {names.count(head)} columns called "{head}": rename all but one')
    return head


def _nearest(name: str, names: list[str], above: str = "") -> str:
    near = [one for one in names if one.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
    owner = f'"{above}"' if above else "it"
    return f'did you mean "{near[0]}"? {owner.capitalize()} has {listed}' if near else f"{owner} has {listed}"


class _Media(NamedTuple):
    """Where a file keeps its rows' media: leaves of its columns, as dotted paths.

    Attributes:
        leaf: of the bytes; with `rate`, of arrays of samples.
        path: of the names of files.
        rate: of the sample rates of arrays.
        column: the top-level column.
        element: which of a list's media; None where it holds no lists.
    """

    leaf: str | None
    path: str | None
    rate: str | None = None
    column: str = ""
    element: int | None = None


def _written(choice: Choice) -> str:
    return choice.column if choice.element is None else f"{choice.column}[{choice.element}]"


def _only(choices: list[Choice], column: str, arrow: pa.Schema, file: str) -> Choice:
    """The column of media.

    Raises:
        DatasetError: the file has none.
    """
    if choices:
        return choices[0]
    if file.lower().endswith(TEXTS) and column not in arrow.names:
        raise MissingColumnError(
            f'column "{column}" is not in the dataset: `datasets` takes its files for lines of text ("{file}")', column
        )
    _top_level(column, arrow.names, file)
    raise DatasetError(f'column "{column}" ("{file}") lies inside another: media are read from top-level columns only')


def _media_field(arrow: pa.Schema, choice: Choice, file: str) -> _Media:
    """The leaves that hold media: `datasets` keeps them as a struct of bytes and path."""
    kind, column = arrow.field(choice.column).type, choice.column
    if not schema.is_list(kind):
        if choice.element is not None:
            raise DatasetError(
                f'column "{column}" ("{file}") holds {kind}, no list: name it without [{choice.element}]'
            )
        return _field_of(kind, column, file)._replace(column=column)
    inner = _field_of(kind.value_type, column, file) if choice.element is not None else None
    if inner is None:
        raise DatasetError(
            f'column "{column}" ("{file}") holds lists: name one of their items, such as "{column}[0]", the first'
        )
    between = f"{column}.list.{kind.value_field.name}"  # as Parquet writes lists
    leaf, path = (None if one is None else between + one.removeprefix(column) for one in inner[:2])
    return _Media(leaf, path, None, column, choice.element)


def _field_of(kind: pa.DataType, column: str, file: str) -> _Media:
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        leaf = f"{column}.bytes" if _holds_bytes(fields.get("bytes")) else None
        path = f"{column}.path" if _holds_text(fields.get("path")) else None
        if path is not None and leaf is not None and pa.types.is_null(fields["bytes"]):
            leaf = None  # not one row holds any
        if leaf is None and {"array", "sampling_rate"} <= fields.keys():
            _require_samples(fields["array"], column, file)
            return _Media(f"{column}.array", None, f"{column}.sampling_rate")
        if leaf is not None or (path is not None and ("bytes" not in fields or pa.types.is_null(fields["bytes"]))):
            return _Media(leaf, path)
    elif _holds_bytes(kind):
        return _Media(column, None)
    elif _holds_text(kind):
        return _Media(None, column)
    raise DatasetError(
        f'column "{column}" ("{file}") holds {kind}, neither media bytes nor paths of files: name the column that does'
    )


def _require_samples(kind: pa.DataType, column: str, file: str) -> None:
    if (samples := arrays.sample_type(kind)) not in arrays.FORMATS:
        raise DatasetError(
            f'column "{column}.array" ("{file}") holds {samples or kind}, which is no audio: store samples as floats '
            "of -1 to 1, or as integers of 16 or 32 bits"
        )


def _data_of(values: pa.Array, media: _Media) -> Callable[[int], bytes | None]:
    """The media of the row at a position of a batch."""
    if media.rate is not None:
        samples, rates = (pc.struct_field(values, name) for name in ("array", "sampling_rate"))
        return lambda row: arrays.wav(samples[row], rates[row].as_py())
    if media.element is not None:
        values = _elements(values, media.element)
    held = pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
    return lambda row: held[row].as_py()


def _elements(lists: pa.Array, element: int) -> pa.Array:
    """One item of each list; null where it is shorter."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    is_there = lengths > element
    return pc.list_flatten(lists).take(pa.array(starts + element, mask=~is_there))


def _media_paths(parquet: pq.ParquetFile, media: _Media, is_any_there: Callable[[pa.Array], bool]) -> pa.Array | None:
    """The files that rows name as their media, where they don't hold the bytes.

    The statistics of the file say for most files that all rows hold them, without reading a row. Bytes are looked at
    only where some rows of a group hold none, and a row of it names a file of the dataset.
    """
    if media.path is None:
        return None
    if media.leaf is None:
        return _leaf(parquet, media.path, range(parquet.num_row_groups), media.element)
    if media.element is not None:
        every = range(parquet.num_row_groups)
        named = _leaf(parquet, media.path, every, media.element)
        if named.null_count == len(named) or not is_any_there(named):
            return None  # lists hold their media
        held = _leaf(parquet, media.leaf, every, media.element, is_there=True)
        return pc.if_else(held, pa.scalar(None, pa.string()), named)
    groups, any_named = [], False
    for group in range(parquet.num_row_groups):
        num_rows = parquet.metadata.row_group(group).num_rows
        named = pa.nulls(num_rows, pa.string())
        num_nulls = _num_nulls(parquet, group, media.leaf)
        if num_nulls != 0:
            named = _leaf(parquet, media.path, [group])
            if num_nulls != num_rows:
                if named.null_count < num_rows and is_any_there(named):
                    held = _leaf(parquet, media.leaf, [group], is_there=True)
                    named = pc.if_else(held, pa.scalar(None, pa.string()), named)
                else:
                    named = pa.nulls(num_rows, pa.string())
        any_named = any_named or named.null_count < num_rows
        groups.append(named)
    return pa.concat_arrays(groups) if any_named else None


def _members(parquet: pq.ParquetFile, fields: list[_Media]) -> pa.Array:
    """The names that rows give to the media whose bytes they hold."""
    groups = range(parquet.num_row_groups)
    named = [
        _leaf(parquet, media.path, groups, media.element)
        for media in fields
        if media.leaf is not None and media.path is not None
    ]
    return pc.coalesce(*named) if named else pa.nulls(parquet.metadata.num_rows, pa.string())


def _leaf(
    parquet: pq.ParquetFile, leaf: str, groups: Iterable[int], element: int | None = None, *, is_there: bool = False
) -> pa.Array:
    """One leaf of some row groups, few rows at a time; text as plain strings.

    Args:
        is_there: give whether each row has a value, in place of the values.
    """
    top = leaf if leaf in parquet.schema_arrow.names else leaf.rpartition(".")[0]
    if element is not None:
        top = leaf.split(".list.")[0]
    found, num_bytes = [], 0
    for group in groups:
        chunks = _chunks(parquet, group, leaf)
        num_rows = _batch_rows(chunks)
        for batch in parquet.iter_batches(num_rows, row_groups=[group], columns=[leaf], use_pandas_metadata=False):
            values = _plain(batch.column(batch.schema.get_field_index(top)))
            if element is not None:
                values = _elements(values, element)
            if pa.types.is_struct(values.type):
                values = pc.struct_field(values, leaf.rpartition(".")[2])
            if is_there:
                found.append(pc.is_valid(values))
                continue
            num_bytes += values.nbytes
            _require_ratio(num_bytes, sum(chunk.total_compressed_size for chunk in chunks), leaf)
            found.append(values.cast(pa.string()) if _holds_text(values.type) else values)
    return pa.concat_arrays(found) if found else pa.nulls(0, pa.bool_() if is_there else pa.string())


def _batch_rows(chunks: list[Any]) -> int:
    """How many rows to read at a time, of which each may have the largest value of the group."""
    largest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
    return max(1, min(MAX_BATCH_ROWS, MIN_RATIO_BYTES // max(1, largest)))


def _read_leaves(parquet: pq.ParquetFile, file: "CountedFile", leaves: list[str], name: str) -> pa.Table:
    """Columns of a file, unless they unpack to far more than they take in it.

    A text may be written once and named by each row that has it. So columns of texts are read as numbers of distinct
    texts, of which it can be said what they unpack to; and texts within structs and lists, for which Arrow can't do
    that, few rows at a time.

    Raises:
        DatasetError: they unpack to too much.
    """
    chunks = {
        leaf: [one for at in range(parquet.num_row_groups) for one in _chunks(parquet, at, leaf)] for leaf in leaves
    }
    packed, unpacked = (
        sum(getattr(one, f"total_{which}_size") for found in chunks.values() for one in found)
        for which in ("compressed", "uncompressed")
    )
    _require_ratio(unpacked, packed, name)
    with UNPACKING.hold(2 * unpacked):
        return _unpack(parquet, file, chunks, packed, name)


def _unpack(
    parquet: pq.ParquetFile, file: "CountedFile", chunks: dict[str, list[Any]], packed: int, name: str
) -> pa.Table:
    """
    Args:
        chunks: of each leaf.
        packed: bytes that all of them take in the file.
    """
    inner = [
        leaf
        for leaf, found in chunks.items()
        if any(one.path_in_schema != one.path_in_schema.split(".")[0] or _has_prefixes(one) for one in found)
    ]
    flat = [leaf for leaf in chunks if leaf not in inner]
    parts = []
    if flat:
        texts = [leaf for leaf in flat if any(one.physical_type == "BYTE_ARRAY" for one in chunks[leaf])]
        handle = pa.PythonFile(file, mode="r")
        distinct = pq.ParquetFile(handle, pre_buffer=True, metadata=parquet.metadata, read_dictionary=texts)
        parts.append(distinct.read(columns=flat, use_pandas_metadata=False))
        _require_ratio(sum(map(_unpacked_bytes, parts[-1].columns)), packed, name)
    if inner:
        batches, num_bytes = [], 0
        num_rows = _batch_rows([one for leaf in inner for one in chunks[leaf]])
        for batch in parquet.iter_batches(num_rows, columns=inner, use_pandas_metadata=False):
            num_bytes += batch.nbytes
            _require_ratio(num_bytes, packed, name)
            batches.append(batch)
        parts.append(pa.Table.from_batches(batches) if batches else parquet.read(columns=inner))
    return pa.table(
        {name: column for part in parts for name, column in zip(part.column_names, part.columns, strict=True)}
    )


def _has_prefixes(chunk: Any) -> bool:
    """Whether values are written as what differs from the ones before: each may be as large as all of the column."""
    return any(encoding.startswith("DELTA") and encoding.endswith("BYTE_ARRAY") for encoding in chunk.encodings)


def _require_ratio(unpacked: int, packed: int, name: str) -> None:
    ratio = LARGE_RATIO if LARGE_BYTES < unpacked <= MAX_RATIO * packed else MAX_RATIO
    if unpacked > max(MIN_RATIO_BYTES, ratio * packed):
        raise DatasetError(
            f'the columns of "{name}" unpack from {packed:,d} to {unpacked:,d} bytes, more than {ratio} times as '
            "many, which is not read: name columns of other texts, or write it in smaller files"
        )


def _unpacked_bytes(values: pa.ChunkedArray | pa.Array) -> int:
    """What a column takes once each row has its own copy of its texts."""
    if isinstance(values, pa.ChunkedArray):
        return sum(map(_unpacked_bytes, values.chunks))
    if pa.types.is_dictionary(values.type):
        lengths = pc.binary_length(values.dictionary).cast(pa.int64())
        return int(pc.sum(lengths.take(values.indices)).as_py() or 0)
    whole: int = values.nbytes
    return whole


def _media_batch_rows(parquet: pq.ParquetFile, group: int, leaf: str) -> int:
    """How many rows of a group to read at a time: few where their media are large."""
    chunks = _chunks(parquet, group, leaf)
    num_bytes = sum(chunk.total_uncompressed_size for chunk in chunks)
    num_rows = 1 if any(map(_has_prefixes, chunks)) else max(1, parquet.metadata.row_group(group).num_rows)
    mean: int = num_bytes // num_rows
    return max(1, min(MEDIA_BATCH_ROWS, MEDIA_BATCH_BYTES // max(1, mean)))


def _num_nulls(parquet: pq.ParquetFile, group: int, leaf: str) -> int | None:
    """How many values of a leaf are null; None where the file doesn't say."""
    chunks = _chunks(parquet, group, leaf)
    statistics = chunks[0].statistics if chunks else None
    return int(statistics.null_count) if statistics is not None and statistics.has_null_count else None


def _chunks(parquet: pq.ParquetFile, group: int, leaf: str) -> list[Any]:
    row_group = parquet.metadata.row_group(group)
    columns = [row_group.column(index) for index in range(row_group.num_columns)]
    return [
        column for column in columns if column.path_in_schema == leaf or column.path_in_schema.startswith(f"{leaf}.")
    ]


def _holds_text(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _holds_bytes(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_null(kind)
    )


class CountedFile:
    """A Parquet file that counts the bytes read from it, and looks at the pages in them.

    Attributes:
        watch: None while only the footer is read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.num_bytes = 0
        self.watch: parquet_pages.Watch | None = None
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        if self.watch is None and size > MAX_FOOTER_BYTES:
            raise DatasetError(
                f"the footer of a Parquet file has {size:,d} bytes, more than the limit of {MAX_FOOTER_BYTES:,d}: "
                "write it in smaller files, or with fewer columns"
            )
        data = self.file.read(size)
        self.num_bytes += len(data)
        if self.watch is not None:
            self.watch.see(self._position, data)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = self.file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self.file.tell()

    @property
    def closed(self) -> bool:
        return self.file.closed

    def close(self) -> None:
        self.file.close()

    def flush(self) -> None: ...

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
