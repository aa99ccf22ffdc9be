"""The same rows as datasets of many kinds."""

import csv
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from hf_assets_tests.contract.image_rows import Row, parquet

Files = dict[str, bytes]


class Kind(NamedTuple):
    """A way to keep rows in files.

    Attributes:
        entry: keys of the config's entry.
        files: of parts of the split, under names that begin with the second argument.
        by_path: media are files of their own, so that a row that moves is known without a look.
        through_the_graph: whether the whole graph is run on it, and not its rows read only.
    """

    entry: dict[str, Any]
    files: Callable[[list[list[Row]], str], Files]
    by_path: bool = False
    through_the_graph: bool = True


def number(parts: list[list[Row]]) -> list[list[tuple[str, Row]]]:
    """Rows with a name each: of its image, so that an image keeps its name wherever its row is."""
    return [[(f"{hash_of(row.image)}.png", row) for row in part] for part in parts]


def hash_of(data: bytes | None) -> str:
    return f"{sum(data or b''):08d}{len(data or b'')}"


def media_files(parts: list[list[Row]], folder: str) -> Files:
    return {f"{folder}/{name}": row.image or b"" for part in number(parts) for name, row in part}


def jsonl(part: list[tuple[str, Row]], column: str, folder: str) -> bytes:
    lines = [json.dumps({column: f"{folder}{name}", "caption": row.caption}) for name, row in part]
    return "\n".join(lines).encode()


def imagefolder(parts: list[list[Row]], begin: str) -> Files:
    rows = [row for part in number(parts) for row in part]
    folder = f"train/{begin}" if begin else "train"
    return {f"{folder}/metadata.jsonl": jsonl(rows, "file_name", ""), **media_files(parts, folder)}


def webdataset(parts: list[list[Row]], begin: str) -> Files:
    files = {}
    for index, part in enumerate(parts):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for n, row in enumerate(part):
                for ending, data in (("png", row.image or b""), ("txt", (row.caption or "").encode())):
                    info = tarfile.TarInfo(f"{n:04}.{ending}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        files[f"data/train-{begin}{index:04}.tar"] = stream.getvalue()
    return files


def json_lines(parts: list[list[Row]], begin: str) -> Files:
    tables = {f"data/train-{begin}{n}.jsonl": jsonl(part, "image", "pictures/") for n, part in enumerate(number(parts))}
    return {**tables, **media_files(parts, "pictures")}


def csv_beside(parts: list[list[Row]], begin: str) -> Files:
    files = media_files(parts, "data/p")
    for index, part in enumerate(number(parts)):
        text = io.StringIO()
        csv.writer(text).writerows([["image", "caption"], *([f"./p/{name}", row.caption] for name, row in part)])
        files[f"data/train-{begin}{index}.csv"] = text.getvalue().encode()
    return files


def arrow(parts: list[list[Row]], begin: str) -> Files:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    files = {}
    for index, part in enumerate(parts):
        media = pa.array([{"bytes": row.image, "path": None} for row in part], kind)
        table = pa.table({"image": media, "caption": [row.caption for row in part]})
        stream = io.BytesIO()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        files[f"data/train-{begin}{index}.arrow"] = stream.getvalue()
    return files


def lance(parts: list[list[Row]], begin: str) -> Files:
    """A Lance dataset with a fragment for each part."""
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            write_lance(Path(folder), f"data/train{begin}.lance", part)
        return files_below(Path(folder))


def write_lance(folder: Path, root: str, rows: list[Row], **options: Any) -> Any:
    """Append rows to a Lance dataset; and this."""
    import lance

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    media = pa.array([{"bytes": row.image, "path": None} for row in rows], kind)
    table = pa.table({"image": media, "caption": pa.array([row.caption for row in rows], pa.string())})
    place = folder / root
    place.mkdir(parents=True, exist_ok=True)
    return lance.write_dataset(table, place, mode="append" if any(place.iterdir()) else "create", **options)


def files_below(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def parquet_of_paths(parts: list[list[Row]], begin: str) -> Files:
    """Structs without bytes, as `datasets` writes them where media aren't embedded."""
    files = media_files(parts, "clips")
    for index, part in enumerate(number(parts)):
        table = pa.Table.from_pylist(
            [{"image": {"bytes": None, "path": f"clips/{name}"}, "caption": row.caption} for name, row in part],
            schema=pa.schema(
                [
                    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
                    ("caption", pa.string()),
                ]
            ),
        )
        stream = io.BytesIO()
        pa.parquet.write_table(table, stream)
        files[f"data/train-{begin}{index}.parquet"] = stream.getvalue()
    return files


def zipped(parts: list[list[Row]], begin: str) -> Files:
    files = {}
    for index, part in enumerate(number(parts)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, row in part:
                archive.writestr(zipfile.ZipInfo(f"in/{name}"), row.image or b"")  # without the time of day
            archive.writestr(zipfile.ZipInfo("in/metadata.jsonl"), jsonl(part, "file_name", ""))
        files[f"data/train-{begin}{index}.zip"] = stream.getvalue()
    return files


def plain_parquet(parts: list[list[Row]], begin: str) -> Files:
    return {f"data/train-{begin}{n}.parquet": parquet(part) for n, part in enumerate(parts)}


def text_files(parts: list[list[Row]], begin: str) -> Files:
    """A folder of media: rows come in the order of their names."""
    files = {}
    for n, row in enumerate(row for part in parts for row in part):
        files[f"{begin}deep/{n:03}.png"] = row.image or b""
        files[f"{begin}deep/{n:03}.txt"] = (row.caption or "").encode()
    return files


def caption_table(parts: list[list[Row]], begin: str) -> Files:
    rows = [row for part in parts for row in part]
    lines = [["name", "text"], *([f"{begin}{n:03}", row.caption] for n, row in enumerate(rows))]
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    media = {f"{begin}{n:03}.png": row.image or b"" for n, row in enumerate(rows)}
    return {"captions.csv": text.getvalue().encode(), **media}


HUB = {"type": "huggingface"}
LOCAL = {"type": "local"}
TABLE = {"path": "captions.csv", "filename_column": "name", "caption_column": "text"}
KINDS = {
    "imagefolder": Kind(HUB, imagefolder, by_path=True),
    "webdataset": Kind({**HUB, "image_column": "png", "caption_column": "txt"}, webdataset),
    "jsonl": Kind(HUB, json_lines, by_path=True, through_the_graph=False),
    "csv": Kind(HUB, csv_beside, by_path=True),
    "arrow": Kind(HUB, arrow),
    "lance": Kind(HUB, lance),
    "parquet of paths": Kind(HUB, parquet_of_paths, by_path=True),
    "zip": Kind(HUB, zipped, through_the_graph=False),
    "streamed": Kind({**HUB, "streaming": True}, plain_parquet),
    "streamed files": Kind({**HUB, "streaming": True}, csv_beside, by_path=True),
    "textfile": Kind({**LOCAL, "caption_strategy": "textfile"}, text_files, by_path=True),
    "table": Kind(
        {**LOCAL, "caption_strategy": "csv", "csv": TABLE}, caption_table, by_path=True, through_the_graph=False
    ),
}
