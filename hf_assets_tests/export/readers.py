"""What each format's own reader finds in an export: caption -> latents, for samples with captions of their own."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import webdataset

from hf_assets_tests.export.simpletuner_reader import Caches

Contents = dict[str, torch.Tensor]


def of_simpletuner(place: Path) -> Contents:
    caches = Caches(place / "multidatabackend.json", "photos", "wan")
    assert {caches.caption(file) for file in caches.captions} <= set(caches.captions.values())
    return {caches.caption(file): caches.latents(file) for file in caches.captions}


def of_parquet(place: Path) -> Contents:
    return {
        row["caption"]: torch.frombuffer(bytearray(row["latents"]), dtype=torch.float32).view(row["latents_shape"])
        for row in pq.read_table(place / "photos" / "data").to_pylist()
    }


def of_webdataset(place: Path) -> Contents:
    folder = place / "photos"
    tars = [str(folder / name) for name in json.loads((folder / "sizes.json").read_text())]
    samples = [sample for tar in tars for sample in samples_of(tar)]
    assert len({sample["__key__"] for sample in samples}) == len(samples)
    return {sample["txt"]: sample["latents.pth"] for sample in samples}


def samples_of(tar: str) -> list[dict[str, Any]]:
    """The samples of a tar as `webdataset` groups and decodes them."""
    with open(tar, "rb") as stream:  # its own pipeline leaves files open
        members = webdataset.tariterators.tar_file_expander([{"url": tar, "stream": stream}])
        grouped = list(webdataset.tariterators.group_by_keys(members))
    decode = webdataset.autodecode.Decoder([webdataset.autodecode.basichandlers])
    return [decode(sample) for sample in grouped]


def of_fastvideo(place: Path) -> Contents:
    """As its reader does: all Parquet files below a folder, numbers by NumPy."""
    files = [Path(root) / name for root, _, names in os.walk(f"{place}/photos/") for name in sorted(names)]
    rows = [row for file in files if file.suffix == ".parquet" for row in pq.read_table(file).to_pylist()]
    return {
        row["caption"]: torch.from_numpy(
            np.frombuffer(row["vae_latent_bytes"], row["vae_latent_dtype"]).reshape(row["vae_latent_shape"]).copy()
        )
        for row in rows
    }


READERS: dict[str, Callable[[Path], Contents]] = {
    "simpletuner": of_simpletuner,
    "parquet": of_parquet,
    "webdataset": of_webdataset,
    "fastvideo": of_fastvideo,
}
