"""Read a split's rows and media, as the graph does; and as `datasets` does."""

from pathlib import Path
from typing import Any

from hf_assets import schema
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.sources import rows
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.rows import Rows
from hf_assets.sources.source import Source, source_of
from hf_assets.sources.spec import Snapshot, SourceSpec

WANTED = WantedColumns("image", ("caption",))


def read(name: str, memory: Path, wanted: WantedColumns = WANTED, **spec: Any) -> tuple[Rows, Source, Snapshot]:
    source = source_of(SourceSpec(dataset_name=name, **spec), memory)
    snapshot = source.resolve()
    return rows.read(source, snapshot, wanted, memory / "columns", lambda line: None), source, snapshot


def samples(name: str, memory: Path, wanted: WantedColumns = WANTED, **spec: Any) -> list[tuple[Any, bytes | None]]:
    """(caption, media) of every row."""
    found, source, snapshot = read(name, memory, wanted, **spec)
    captions = schema.column(found.table, wanted.required[0]).to_pylist()
    media = list(media_of(by_file(found.table, snapshot), source, snapshot, wanted.media))
    assert [one.row for one in media] == found.table["row"].to_pylist() == list(range(len(captions)))
    return list(zip(captions, [one.data for one in media], strict=True))


def as_datasets_reads(name: str, wanted: WantedColumns, **arguments: Any) -> list[tuple[Any, bytes | None]]:
    import datasets

    made = datasets.load_dataset(name, split="train", **arguments)
    if not isinstance(made.features[wanted.media], datasets.Image):
        made = made.cast_column(wanted.media, datasets.Image())
    made = made.cast_column(wanted.media, datasets.Image(decode=False))
    media = [row[wanted.media] for row in made]
    data = [one["bytes"] or Path(one["path"]).read_bytes() for one in media]
    return list(zip(made[wanted.required[0]], data, strict=True))
