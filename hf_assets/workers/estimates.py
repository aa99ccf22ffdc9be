"""What work would fetch and store, and how long it would take, told from listings, headers and earlier runs."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.errors import DatasetError, ModelError
from hf_assets.models.components import Component
from hf_assets.sources import api
from hf_assets.sources.parquet import media_bytes
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot
from hf_assets.workers import encoders
from hf_assets.workers.medium import Medium
from hf_assets.workers.reading import FileRows

REQUEST_THREADS = 8
# So many stored samples tell what one takes.
SAMPLED = 4096
ITEM_BYTES = {"float8_e4m3fn": 1, "float16": 2, "bfloat16": 2, "float32": 4}

# Where neither the store nor a configuration tells: as Flux and Qwen-Image have it, more than most.
USUAL_TOKENS = 512


def bytes_to_fetch(
    source: Source, snapshot: Snapshot, column: str, unknown: Sequence[FileRows], missing: Sequence[FileRows]
) -> int:
    """Bytes that reading media would download: those that the Hugging Face cache lacks; streamed, those that are read.

    Args:
        unknown: rows that are looked at, and probably encoded then.
        missing: rows that are encoded.
    """
    if snapshot.is_local:
        return 0
    if source.spec.streaming:  # nothing is kept, so what is looked at now is read again to be encoded
        return 2 * _to_stream(source, snapshot, column, unknown) + _to_stream(source, snapshot, column, missing)
    parts = (*unknown, *missing)
    num_bytes = source.bytes_to_read(snapshot, [part.file for part in parts if part.is_whole])
    paths = {part.file.hash: part.file.path for part in parts if not part.is_whole and not part.file.content}
    asked = api.Asked("dataset", snapshot.repository, snapshot.commit, DatasetError)
    return num_bytes + _to_download(asked, paths.values())


def _to_stream(source: Source, snapshot: Snapshot, column: str, parts: Sequence[FileRows]) -> int:
    """Bytes of the media files, and of the media of the row groups, that hold these rows."""

    def num_bytes(part: FileRows) -> int:
        with source.open_ranges(snapshot, part.file) as handle:
            return media_bytes(handle, column, part.file_rows, part.file.path)

    with ThreadPoolExecutor(REQUEST_THREADS) as pool:
        in_rows = sum(pool.map(num_bytes, [part for part in parts if not part.is_whole and not part.file.content]))
    return in_rows + source.bytes_to_read(snapshot, [part.file for part in parts if part.is_whole])


def model_bytes_to_fetch(components: Iterable[Component]) -> int:
    """Bytes that loading these components would download."""
    return sum(
        _to_download(api.Asked("model", one.repository.name, one.repository.sha, ModelError), one.files)
        for one in components
        if one.repository.sha is not None
    )


def latent_bytes_per_volume(medium: Medium, todo: encoders.Work, vae: Component) -> float:
    """Bytes of a latent per pixel, or what else the medium counts: as stored, else as the configuration tells."""
    rows, tensors = _sample(todo)
    if len(rows):
        return float(pc.sum(tensors["num_bytes"]).as_py() / pc.sum(rows["volume"]).as_py())
    config = vae.repository.read_json(f"{vae.folder}/config.json".lstrip("/"))
    return ITEM_BYTES[todo.encoder.header["dtype"]] * medium.elements_per_volume(config)


def embed_bytes(todo: encoders.Work, components: list[Component], max_tokens: int | None) -> float:
    """Mean bytes of a caption's embeds: of those that this encoder has stored, else as its configurations tell.

    Args:
        max_tokens: what `encode_prompt` is told, where it is.
    """
    rows, tensors = _sample(todo)
    if len(rows):
        every = todo.held.filter(pc.is_in(todo.held["key"], value_set=tensors["key"].combine_chunks()))
        return float(pc.sum(every["num_bytes"]).as_py() / pc.count_distinct(every["key"]).as_py())
    configs = [one.repository.read_json(f"{one.folder}/config.json") for one in components if one.is_model]
    return ITEM_BYTES[todo.encoder.header["dtype"]] * sum(_text_elements(config, max_tokens) for config in configs)


def seconds(work: Iterable[tuple[int, float | None]]) -> float | None:
    """Time for (samples, samples per second); None where a rate is needed and not known."""
    needed = [(count, rate) for count, rate in work if count]
    return None if any(not rate for _, rate in needed) else sum(count / rate for count, rate in needed if rate)


def _sample(todo: encoders.Work) -> tuple[pa.Table, pa.Table]:
    """Some of the rows whose key is stored, and the row of the index that names the first tensor of each."""
    positions = np.flatnonzero(todo.held_at.is_valid().to_numpy())[:SAMPLED]
    return todo.keyed.take(positions), todo.held.take(todo.held_at.take(positions))


def _text_elements(config: dict[str, Any], max_tokens: int | None) -> int:
    """Tokens times width of one text encoder: what it returns for a caption that fills it."""
    inner = config.get("text_config")
    known = {**config, **inner} if isinstance(inner, dict) else config
    width = known.get("hidden_size") or known.get("d_model") or known.get("projection_dim") or 0
    positions = known.get("max_position_embeddings") or USUAL_TOKENS
    tokens = positions if positions < USUAL_TOKENS else max_tokens or USUAL_TOKENS
    return int(tokens) * int(width)


def _to_download(asked: api.Asked, paths: Iterable[str]) -> int:
    from huggingface_hub import DryRunFileInfo, hf_hub_download

    def num_bytes(path: str) -> int:
        info = api.call(
            lambda: hf_hub_download(asked.name, path, repo_type=asked.kind, revision=asked.revision, dry_run=True),
            asked,
        )
        assert isinstance(info, DryRunFileInfo)
        return (info.file_size or 0) if info.will_download else 0

    with ThreadPoolExecutor(REQUEST_THREADS) as pool:
        return sum(pool.map(num_bytes, paths))
