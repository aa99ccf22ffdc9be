"""Lance datasets: folders of fragments, of which each is turned into Parquet by itself.

Lance reads a folder as it is now, and `datasets` reads of the Hub what `main` holds. So the newest manifest of a commit
is read apart from all else, to see which files make up which fragment; these are fetched as any other file is, and laid
out in a folder that holds nothing else.
"""

import contextlib
import functools
import importlib.util
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.errors import DatasetError
from hf_assets.sources.formats import bad_rows, conversion
from hf_assets.sources.formats.conversion import LANCE, Format
from hf_assets.sources.formats.faults import Fault
from hf_assets.sources.spec import DataFile, Part

# Bump when a change to this module changes the rows of a fragment.
VERSION = 1

# A fragment's `DataFile.content_hash`: this, and a hash of what its files hold and what the manifest says of them.
MARK = "fragment:"

MANIFEST = re.compile(r"(?P<root>(?:.+/)?)_versions/(?P<number>\d+)\.manifest")
# A manifest whose name has so many digits counts down from this, so that the newest one is listed first.
COUNTING_DOWN_DIGITS, COUNTING_DOWN_FROM = 20, 2**64 - 1
# Folders by which `datasets` knows a Lance dataset.
INNER = frozenset({"_indices", "_transactions", "_versions"})
DELETIONS = "_deletions"
# What a manifest says of a fragment that has no part in its rows, or is known by the contents of files.
NO_IDENTITY = frozenset({"id", "path", "base_id", "file_size_bytes", "deletion_file", "row_id_meta"}) | {
    f"{event}_at_version_meta" for event in ("created", "last_updated")
}

# Read at a time, and ahead.
BATCH_ROWS = 16
BATCH_BYTES = 8 << 20
BUFFER_BYTES = 32 << 20
# What stands in a blob's place until it is read; and its `kind` where the blob lies elsewhere.
DESCRIPTOR = {"kind", "position", "size", "blob_id", "blob_uri"}
ELSEWHERE = 3


def roots(paths: Iterable[str]) -> list[str]:
    """The Lance datasets that files belong to, with a slash behind each; none where all are single files of Lance.

    A branch, which lies within its dataset, is left out: it is another state of the same rows.
    """
    inner = (path.rsplit("/", 2) for path in paths if PurePosixPath(path).parent.name in INNER)
    found = dict.fromkeys(f"{above[0]}/" if len(above) == 3 else "" for above in inner)
    return [root for root in found if not any(root.startswith(f"{other}tree/") for other in found)]


def is_bookkeeping(path: str) -> bool:
    """Whether a file lies in one of a Lance dataset's folders that hold no rows."""
    return PurePosixPath(path).parent.name in {*INNER, DELETIONS}


def is_deletion(path: str) -> bool:
    """Whether a file lists deleted rows, which has no rows of its own."""
    return PurePosixPath(path).parent.name == DELETIONS


def patch_datasets() -> None:
    """Let `datasets` not take a Lance dataset for something else; where pylance isn't installed, nothing is touched.

    It goes by the most frequent ending (5.2), and counts lists of deleted rows (.arrow), of which there can be more
    than files with rows.
    """
    if importlib.util.find_spec("lance") is not None:
        _patch_datasets_once()


@functools.cache
def _patch_datasets_once() -> None:
    from datasets import load

    infer = getattr(load, "infer_module_for_data_files_list", None)
    if infer is None:  # not public: where it is gone, other kinds than Lance needn't suffer
        return

    def infer_by_rows(paths: list[str], download_config: Any = None) -> Any:
        if not roots(paths):
            return infer(paths, download_config)
        found = infer([path for path in paths if not is_bookkeeping(path)], download_config)
        return found if found[0] is not None else (LANCE, {})

    load.infer_module_for_data_files_list = infer_by_rows


def is_fragment(file: DataFile) -> bool:
    return file.content_hash.startswith(MARK)


class Fragment(NamedTuple):
    """Some rows of a Lance dataset.

    Attributes:
        file: what the split lists in its place.
        number: in the manifest; None: the dataset has no rows.
        needed: the files that its rows are read from, beside the manifest.
    """

    file: DataFile
    root: str
    number: int | None
    manifest: DataFile
    needed: tuple[DataFile, ...]


class Repository:
    """The files of a repository at one commit, or of a folder.

    Args:
        paths: of all files; asked for where there are Lance datasets.
        entries: hashes and sizes of files, in the order of their paths.
        fetch: a local path of one.
    """

    def __init__(
        self,
        paths: Callable[[], Iterable[str]],
        entries: Callable[[list[str]], list[DataFile]],
        fetch: Callable[[DataFile], Path],
    ) -> None:
        self.list = paths
        self.entries = entries
        self.fetch = fetch
        self._fragments: dict[str, list[Fragment]] = {}
        self._reading = threading.Lock()

    def split(self, paths: list[str], parts: tuple[Part, ...]) -> tuple[list[DataFile], tuple[Part, ...]]:
        """The files of a split, with their fragments in place of Lance datasets.

        Args:
            paths: of files, and `roots`.
        """
        single = [path for path in paths if not _is_root(path)]
        entries = dict(zip(single, self.entries(single), strict=True))
        listed = [
            [fragment.file for fragment in self.fragments(path)] if _is_root(path) else [entries[path]]
            for path in paths
        ]
        counted, start = [], 0
        for part in parts:
            num_files = sum(map(len, listed[start : start + part.num_files]))
            counted.append(part._replace(num_files=num_files))
            start += part.num_files
        return [file for files in listed for file in files], tuple(counted)

    def convert(self, file: DataFile, format: Format, target: Path) -> None:
        """Write the rows of a fragment as Parquet, few in memory at a time.

        Raises:
            DatasetError: it can't be read, or it isn't there any more.
        """
        root = max((root for root in self._newest if file.path.startswith(root)), key=len, default=None)
        listed = [] if root is None else self.fragments(root)
        fragment = next((one for one in listed if one.file.content_hash == file.content_hash), None)
        if fragment is None:
            raise DatasetError(f'"{file.path}" has changed since raw_dataset was made: materialize raw_dataset again')
        laid_out = self._lay_out(fragment.root, fragment.manifest, fragment.needed)
        with laid_out as folder, conversion.unreadable(file.path, LANCE, folder):
            lost: list[Fault] = []
            conversion.write(lambda: _batches(folder, fragment, format, lost), target, lost)

    def fragments(self, root: str) -> list[Fragment]:
        """What the newest manifest of a Lance dataset lists, in the order of the rows.

        Raises:
            DatasetError: there is none, it can't be read, or it names files that aren't there.
        """
        with self._reading:
            if root not in self._fragments:
                self._fragments[root] = self._read_manifest(root)
            return self._fragments[root]

    def _read_manifest(self, root: str) -> list[Fragment]:
        lance = conversion.require_lance()
        if root not in self._newest:
            raise DatasetError(f'"{root}_versions" holds no manifest, without which a Lance dataset is none: add it')
        [manifest] = self.entries([self._newest[root]])
        with self._lay_out(root, manifest, ()) as folder, conversion.unreadable(manifest.path, LANCE, folder):
            dataset = lance.dataset(folder)
            fields = [_field_identity(field) for field in dataset.lance_schema.fields()]
            columns = [fields, [str(kind) for kind in dataset.schema.types]]
            metadata = [fragment.metadata for fragment in dataset.get_fragments()]
        if not metadata:
            content = fingerprint.of_value([VERSION, columns])
            return [Fragment(DataFile(manifest.path, MARK + content, 0), root, None, manifest, ())]
        needed = [self._files_of(root, one) for one in metadata]
        entries = self.entries([path for paths in needed for path in paths])
        found = []
        for one, paths in zip(metadata, needed, strict=True):
            files, entries = entries[: len(paths)], entries[len(paths) :]
            content = fingerprint.of_value([VERSION, columns, _identity(one.to_json()), [file.hash for file in files]])
            file = DataFile(paths[0], MARK + content, sum(file.num_bytes for file in files))
            found.append(Fragment(file, root, one.id, manifest, tuple(files)))
        return found

    def _files_of(self, root: str, metadata: Any) -> list[str]:
        """Paths of a fragment's files, the first one of which names it."""
        described = metadata.to_json()
        held = [described.get(name) for name in ("files", "overlays", "deletion_file")]
        if any(base is not None for base in _values(held, "base_id")):
            raise DatasetError(
                f'the Lance dataset "{root}" keeps rows in another place, as a shallow clone does, where they have no '
                "hash: copy them into it"
            )
        paths = [f"{root}data/{path}" for path in _values(held, "path")]
        if metadata.deletion_file is not None:
            paths.append(root + metadata.deletion_file.path(metadata.id))
        for path in paths:
            if path not in self.paths:
                raise DatasetError(f'"{self._newest[root]}" names "{path}", which isn\'t there: add the file')
        blobs = [blob for path in paths for blob in self._blobs.get(path.removesuffix(".lance"), ())]
        return [*paths, *sorted(blobs)]

    @functools.cached_property
    def paths(self) -> frozenset[str]:
        return frozenset(self.list())

    @functools.cached_property
    def _newest(self) -> dict[str, str]:
        """The newest manifest of every Lance dataset."""
        found: dict[str, tuple[int, str]] = {}
        for path in self.paths:
            if match := MANIFEST.fullmatch(path):
                digits = match["number"]
                counts_down = len(digits) == COUNTING_DOWN_DIGITS
                version = COUNTING_DOWN_FROM - int(digits) if counts_down else int(digits)
                found[match["root"]] = max(found.get(match["root"], (-1, "")), (version, path))
        return {root: path for root, (_, path) in found.items()}

    @functools.cached_property
    def _blobs(self) -> dict[str, list[str]]:
        """Blobs that are files of their own, by their folder, which is named as the data file that lists them."""
        found: dict[str, list[str]] = {}
        for path in self.paths:
            if path.endswith(".blob"):
                found.setdefault(path.rpartition("/")[0], []).append(path)
        return found

    @contextlib.contextmanager
    def _lay_out(self, root: str, manifest: DataFile, needed: Iterable[DataFile]) -> Iterator[str]:
        """A folder with these files of a Lance dataset, and no others."""
        with tempfile.TemporaryDirectory() as folder:
            for file in (manifest, *needed):
                place = Path(folder) / file.path.removeprefix(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(self.fetch(file).resolve())
            yield folder


def _is_root(path: str) -> bool:
    return path == "" or path.endswith("/")


def _values(described: Any, name: str) -> list[Any]:
    """All that a description names so, at any depth."""
    inner = described.values() if isinstance(described, dict) else described if isinstance(described, list) else ()
    own = [described[name]] if isinstance(described, dict) and name in described else []
    return own + [value for one in inner for value in _values(one, name)]


def _identity(described: Any) -> Any:
    """What a manifest says of a fragment's files that decides its rows, other than which files these are."""
    if isinstance(described, dict):
        return {name: _identity(value) for name, value in described.items() if name not in NO_IDENTITY}
    return [_identity(value) for value in described] if isinstance(described, list) else described


def _field_identity(field: Any) -> list[Any]:
    return [field.name(), field.id(), [_field_identity(child) for child in field.children()]]


def _batches(folder: str, fragment: Fragment, format: Format, lost: list[Fault]) -> Iterator[pa.Table]:
    """The rows of a fragment as `datasets` gives them, with blobs as bytes.

    Args:
        lost: is given the rows that can't be read, anew with each call.
    """
    import datasets

    lance = conversion.require_lance()
    features = None if format.features is None else datasets.Features.from_dict(format.features).arrow_schema
    columns = format.settings.get("columns")
    dataset = lance.dataset(folder)
    rows = dataset.scanner(columns=columns, blob_handling="all_binary", limit=1)
    yield _without_lance_types(rows.projected_schema.empty_table(), features)
    if fragment.number is None:
        return
    found = dataset.get_fragment(fragment.number)
    _require_own_blobs(found, columns)
    lost.clear()
    for batch in _around_bad_rows(found, columns, lost):
        yield _without_lance_types(pa.Table.from_batches([batch]), features)


def _around_bad_rows(fragment: Any, columns: list[str] | None, lost: list[Fault]) -> Iterator[pa.RecordBatch]:
    """The rows that can be read; Lance itself ends at the first that can't.

    Raises:
        ArrowException: none can.
    """

    def scan(start: int, num_rows: int | None = None) -> Iterator[pa.RecordBatch]:
        return iter(
            fragment.scanner(
                columns=columns,
                offset=start or None,
                limit=num_rows,
                blob_handling="all_binary",
                batch_size=BATCH_ROWS,
                batch_size_bytes=BATCH_BYTES,
                batch_readahead=1,
                io_buffer_size=BUFFER_BYTES,
            ).to_batches()
        )

    start, num_rows = 0, fragment.count_rows()
    while start < num_rows:
        try:
            for batch in scan(start):
                yield batch
                start += batch.num_rows
            break
        except (pa.ArrowException, ValueError) as error:
            count = min(BATCH_ROWS, num_rows - start)
            for some in bad_rows.read_around(lambda first, count: list(scan(first, count)), start, count, lost):
                yield from some
            start += count
            if start == num_rows == len(lost):
                raise error


def _without_lance_types(table: pa.Table, features: pa.Schema | None) -> pa.Table:
    """A batch with the types that README.md names, and none of Lance's own."""
    from datasets.table import table_cast

    if features is not None:
        return table_cast(table, features).replace_schema_metadata(None)
    columns = [
        pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        if isinstance(column.type, pa.BaseExtensionType)
        else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _require_own_blobs(fragment: Any, columns: list[str] | None) -> None:
    """Lance would read the files of this machine, or of another, that a blob names."""
    kinds = fragment.scanner(columns=columns).projected_schema
    described = [field.name for field in kinds if list(_descriptors(pa.array([], field.type)))]
    if not described:
        return
    for batch in fragment.to_batches(columns=described, batch_readahead=1):
        for column in batch.columns:
            for descriptors in _descriptors(column):
                if pc.any(pc.equal(pc.struct_field(descriptors, "kind"), ELSEWHERE)).as_py():
                    raise DatasetError(
                        f"a column of {', '.join(described)} keeps media outside the dataset, where they have no hash: "
                        "write the dataset with the media in it"
                    )


def _descriptors(values: pa.Array) -> Iterator[pa.StructArray]:
    """The descriptors of blobs in a column, at any depth."""
    if schema.is_list(values.type):
        yield from _descriptors(values.flatten())
    elif pa.types.is_struct(values.type):
        names = [field.name for field in values.type]
        if set(names) >= DESCRIPTOR:
            yield values
        else:
            for name in names:
                yield from _descriptors(pc.struct_field(values, name))
