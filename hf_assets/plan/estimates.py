"""What work would fetch and store, and how long it would take, from listings, headers and earlier runs."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.encode import encoders, spool
from hf_assets.encode.media_files import READS, FileRows, bytes_by_range
from hf_assets.errors import DatasetError, ModelError
from hf_assets.hub import api
from hf_assets.kinds.medium import Medium
from hf_assets.models.pipeline import Component
from hf_assets.sources.formats.parquet import media_bytes
from hf_assets.sources.source import Source
from hf_assets.sources.spec import Snapshot

REQUEST_THREADS = 8
# So many stored samples of each part show what one takes.
SAMPLED = 64
ITEM_BYTES = {"float8_e4m3fn": 1, "float16": 2, "bfloat16": 2, "float32": 4}

# Where neither the store nor a configuration says: as Flux and Qwen-Image have it, more than most.
USUAL_TOKENS = 512


def bytes_to_fetch(
    source: Source, snapshot: Snapshot, column: str, unknown: Sequence[FileRows], missing: Sequence[FileRows]
) -> int:
    """Bytes that reading media would download: of files that the Hugging Face cache lacks, or of those row groups of
    them that are read by range, as often as they are; streamed, those that are read.

    Args:
        unknown: rows that are looked at, and probably encoded then.
        missing: rows that are encoded.
    """
    if snapshot.is_local:
        return 0
    if source.spec.streaming:  # what is looked at now is read again to be encoded, as far as it isn't kept until then
        looked_at = _to_stream(source, snapshot, column, unknown)
        again = max(looked_at - spool.bound_bytes(), 0)
        return looked_at + again + _to_stream(source, snapshot, column, missing)
    num_bytes = source.bytes_to_read(snapshot, [part.file for part in (*unknown, *missing) if part.is_whole])
    parts = [(part, reads) for reads, some in ((READS, unknown), (1, missing)) for part in some]
    in_rows = [(part, reads) for part, reads in parts if not part.is_whole and not part.file.content]
    with ThreadPoolExecutor(REQUEST_THREADS) as pool:
        by_range = list(pool.map(lambda one: bytes_by_range(one[0], source, snapshot, column), in_rows))
    whole = {
        part.file.hash: part.file.path for (part, _), found in zip(in_rows, by_range, strict=True) if found is None
    }
    num_bytes += sum(
        found * reads
        for (part, reads), found in zip(in_rows, by_range, strict=True)
        if found is not None and part.file.hash not in whole
    )
    asked = api.Subject("dataset", snapshot.repository, snapshot.commit, DatasetError)
    return num_bytes + _to_download(asked, whole.values())


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
    wanted: dict[tuple[str, str], set[str]] = {}
    for one in components:
        parts = [(one.repository, one.files)]
        if one.single_file is not None:
            parts.append((one.single_file.repository, (one.single_file.path,)))
        for repository, paths in parts:
            if repository.sha is not None:
                wanted.setdefault((repository.name, repository.sha), set()).update(paths)
    return sum(
        _to_download(api.Subject("model", name, sha, ModelError), sorted(paths))
        for (name, sha), paths in wanted.items()
    )


def latent_bytes_per_volume(medium: Medium, encoder: encoders.Encoder, vae: Component) -> float:
    """Bytes of a latent per pixel, or what else the medium counts, by the configuration."""
    config = vae.repository.read_json(f"{vae.folder}/config.json".lstrip("/"))
    return ITEM_BYTES[encoder.header.dtype] * medium.elements_per_volume(config)


def embed_bytes(encoder: encoders.Encoder, components: list[Component], max_tokens: int | None) -> float:
    """Bytes of a caption's embeds, by the configurations.

    Args:
        max_tokens: what `encode_prompt` is given, where it is.
    """
    configs = [one.repository.read_json(f"{one.folder}/config.json") for one in components if one.is_model]
    return ITEM_BYTES[encoder.header.dtype] * sum(text_elements(config, max_tokens) for config in configs)


def stored_sizes(todo: encoders.Work) -> tuple[int, int]:
    """Of some of the stored samples, the bytes of all their tensors, and their amount (`amount`)."""
    positions = np.flatnonzero(todo.held_at.is_valid().to_numpy())[:SAMPLED]
    rows = todo.keyed.take(pa.array(positions))
    keys = pc.unique(rows[todo.key])
    every = todo.held.filter(pc.is_in(todo.held["key"], value_set=keys))
    first = rows.take(pc.index_in(keys, value_set=rows[todo.key].combine_chunks()))
    return pc.sum(every["num_bytes"]).as_py() or 0, amount(first)


def amount(rows: pa.Table) -> int:
    """How much these rows are: their volume, where they have one, else their number."""
    return (pc.sum(rows["volume"]).as_py() or 0) if "volume" in rows.column_names else len(rows)


def seconds(work: Iterable[tuple[int, float | None]]) -> float | None:
    """Time for (samples, samples per second); None where a rate is needed and not known."""
    needed = [(count, rate) for count, rate in work if count]
    return None if any(not rate for _, rate in needed) else sum(count / rate for count, rate in needed if rate)


def device_hours(work: Iterable[tuple[int, float | None]]) -> float | None:
    """Of (samples, seconds of a device for each); None where one is needed and not known."""
    needed = [(count, device_s) for count, device_s in work if count]
    return None if any(not each for _, each in needed) else sum(count * each for count, each in needed if each) / 3600


def text_elements(config: dict[str, Any], max_tokens: int | None) -> int:
    """Tokens times width of one text encoder: what it returns for a caption that fills it."""
    inner = config.get("text_config")
    known = {**config, **inner} if isinstance(inner, dict) else config
    width = known.get("hidden_size") or known.get("d_model") or known.get("projection_dim") or 0
    positions = known.get("max_position_embeddings") or USUAL_TOKENS
    tokens = positions if positions < USUAL_TOKENS else max_tokens or USUAL_TOKENS
    return int(tokens) * int(width)


def _to_download(asked: api.Subject, paths: Iterable[str]) -> int:
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
