"""What work would fetch and store, and how long it would take, told from listings, headers and earlier runs."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.errors import DatasetError, HfAssetsError, ModelError
from hf_assets.models.components import Component
from hf_assets.sources import api
from hf_assets.sources.spec import DataFile, Snapshot
from hf_assets.store import tensors
from hf_assets.workers import encoders

REQUEST_THREADS = 8
# So many stored samples tell what one takes.
SAMPLED = 4096
ITEM_BYTES = {"bool": 1, "uint8": 1, "float16": 2, "bfloat16": 2, "int32": 4, "float32": 4, "int64": 8, "float64": 8}

# Where neither the store nor a configuration tells: as Flux and Qwen-Image have it, more than most.
USUAL_CHANNELS, USUAL_CELL_PX = 16, 8
USUAL_TOKENS = 512


def bytes_to_fetch(snapshot: Snapshot, files: Iterable[DataFile]) -> int:
    """Bytes that reading media from these files would download: those that the Hugging Face cache lacks."""
    if snapshot.is_local:
        return 0
    paths = {file.hash: file.path for file in files}
    return _to_download("dataset", snapshot.repository, snapshot.commit, list(paths.values()), DatasetError)


def model_bytes_to_fetch(components: Iterable[Component]) -> int:
    """Bytes that loading these components would download."""
    return sum(
        _to_download("model", one.repository.name, one.repository.sha, one.files, ModelError)
        for one in components
        if one.repository.sha is not None
    )


def latent_bytes_per_px(todo: encoders.Work, stored: pa.Table, vae: Component) -> float:
    """Bytes of a latent per pixel of its target size: as this encoder's stored ones have it, else by its configuration.

    Args:
        stored: see `Work.stored`.
    """
    item_bytes = ITEM_BYTES[todo.encoder.header["dtype"]]
    if len(stored):
        sample = stored.slice(0, SAMPLED)
        width, height = (half.astype(np.int64) for half in schema.halves(sample["target_size"]))
        return float(item_bytes * num_elements(sample["shape"]).sum() / (width * height).sum())
    channels, cell_px = _cells(vae.repository.read_json(f"{vae.folder}/config.json".lstrip("/")))
    return item_bytes * channels / cell_px**2


def embed_bytes(todo: encoders.Work, stored: pa.Table, components: list[Component], max_tokens: int | None) -> float:
    """Mean bytes of a caption's embeds: of those that this encoder has stored, else as its configurations tell.

    Args:
        max_tokens: what `encode_prompt` is told, where it is.
    """
    if len(stored):
        sample = pc.unique(stored.slice(0, SAMPLED)[todo.key])
        rows = todo.index.filter(pc.is_in(todo.index["key"], value_set=sample))
        rows = rows.filter(pc.equal(rows["status"], tensors.OK))
        per_item = pa.array(list(ITEM_BYTES.values())).take(pc.index_in(rows["dtype"], pa.array(list(ITEM_BYTES))))
        return float((num_elements(rows["shape"]) * per_item.to_numpy()).sum() / len(sample))
    configs = [one.repository.read_json(f"{one.folder}/config.json") for one in components if one.is_model]
    return ITEM_BYTES[todo.encoder.header["dtype"]] * sum(_text_elements(config, max_tokens) for config in configs)


def seconds(work: Iterable[tuple[int, float | None]]) -> float | None:
    """Time for (samples, samples per second); None where a rate is needed and not known."""
    needed = [(count, rate) for count, rate in work if count]
    return None if any(not rate for _, rate in needed) else sum(count / rate for count, rate in needed if rate)


def num_elements(shapes: pa.ChunkedArray) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The product of each list."""
    lists = shapes.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    values = lists.flatten().to_numpy().astype(np.int64)
    products = np.ones(len(lists), np.int64)
    if len(values):
        starts = np.cumsum(lengths) - lengths
        products[lengths > 0] = np.multiply.reduceat(values, starts[lengths > 0])
    return products


def _cells(config: dict[str, Any]) -> tuple[int, int]:
    """(channels, pixels per cell) of an autoencoder's latents, from how diffusers names them."""
    channels = config.get("latent_channels") or config.get("z_dim") or USUAL_CHANNELS
    for name in ("scale_factor_spatial", "spatial_compression_ratio"):
        if isinstance(config.get(name), int):
            return int(channels), int(config[name])
    for name in ("encoder_block_out_channels", "down_block_out_channels", "block_out_channels"):
        if isinstance(config.get(name), list):
            patch = config.get("patch_size")
            return int(channels), 2 ** (len(config[name]) - 1) * (patch if isinstance(patch, int) else 1)
    if isinstance(config.get("temperal_downsample"), list):  # Wan and Qwen-Image spell it so
        return int(channels), 2 ** len(config["temperal_downsample"])
    return int(channels), USUAL_CELL_PX


def _text_elements(config: dict[str, Any], max_tokens: int | None) -> int:
    """Tokens times width of one text encoder: what it returns for a caption that fills it."""
    inner = config.get("text_config")
    known = {**config, **inner} if isinstance(inner, dict) else config
    width = known.get("hidden_size") or known.get("d_model") or known.get("projection_dim") or 0
    positions = known.get("max_position_embeddings") or USUAL_TOKENS
    tokens = positions if positions < USUAL_TOKENS else max_tokens or USUAL_TOKENS
    return int(tokens) * int(width)


def _to_download(
    kind: str, name: str, revision: str | None, paths: Iterable[str], error: type[HfAssetsError]
) -> int:
    from huggingface_hub import DryRunFileInfo, hf_hub_download

    def num_bytes(path: str) -> int:
        info = api.call(
            lambda: hf_hub_download(name, path, repo_type=kind, revision=revision, dry_run=True),
            kind=kind,
            name=name,
            revision=revision,
            error=error,
        )
        assert isinstance(info, DryRunFileInfo)
        return (info.file_size or 0) if info.will_download else 0

    with ThreadPoolExecutor(REQUEST_THREADS) as pool:
        return sum(pool.map(num_bytes, paths))
