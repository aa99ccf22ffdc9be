"""A training set that was exported as Parquet, from a folder or from the Hub, as a torch dataset."""

import bisect
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

from hf_assets import fingerprint
from hf_assets.errors import DatasetError, StoreError
from hf_assets.hub import api

SHAPE, DTYPE = "_shape", "_dtype"
# Row groups that are kept in memory; each is about as large as a few samples.
KEPT_GROUPS = 16


class ExportedSet(Dataset[dict[str, Any]]):
    """The samples of one dataset, as `TrainingSet` gives them; each has one caption.

    `ds[i]` has `latents`, the tensors of the text side by their names, `caption`, and what is known of the media
    (`media_hash`, `original_size`, `target_size`, `crop_top_left`, …). It goes into a `Mixture` like a `TrainingSet`.

    Attributes:
        table: of each sample all that is no tensor.
        shapes: those that latents have.
        shape_codes: for each sample, which of `shapes`.
        epoch: as of a `TrainingSet`; a sample has one caption here, whatever it is.
        has_empty_caption, has_text: as of a `TrainingSet`; the embed of the empty caption is not exported.
    """

    has_empty_caption, has_text = False, True

    def __init__(self, files: list[Path]) -> None:
        """
        Args:
            files: of the dataset, in order.

        Raises:
            StoreError: one is damaged, or no export.
        """
        self.files, self.epoch = files, 0
        self._open: dict[Path, pq.ParquetFile] = {}
        self._groups: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()
        try:
            schemas = [pq.read_schema(file) for file in files]
            names = schemas[0].names
            self.tensors = [name for name in names if name + SHAPE in names and name + DTYPE in names]
            facts = [name for name in names if name not in self.tensors]
            self.table = pa.concat_tables([pq.read_table(file, columns=facts) for file in files])
            self._starts = [0, *accumulate(self._file(file).metadata.num_rows for file in files)]
            self._shapes = self.table["latents" + SHAPE].to_pylist()
        except (OSError, KeyError, IndexError, pa.ArrowException) as error:
            raise StoreError(
                f"{files[0].parent if files else 'nothing'} is no whole export as Parquet: {error}"
            ) from None
        self.table = self.table.append_column("latent_key", self.table["id"])
        distinct = sorted({tuple(shape) for shape in self._shapes})
        self.shapes: list[tuple[int, ...]] = distinct
        codes = {shape: code for code, shape in enumerate(distinct)}
        self.shape_codes = np.array([codes[tuple(shape)] for shape in self._shapes], np.int64)

    @classmethod
    def open(cls, name: str | Path, revision: str | None = None) -> Self:
        """Open a folder, or a dataset on the Hub, of which the files are fetched once.

        Args:
            name: the folder that `hf-assets export parquet` says, or `user/name`.
            revision: branch, tag or commit, of a dataset on the Hub.

        Raises:
            StoreError, DatasetError: there is none, or it isn't whole.
        """
        folder = Path(os.path.expanduser(name))
        if not folder.is_dir():
            folder = _fetched(str(name), revision)
        files = sorted((folder / "data").glob("*.parquet"))
        if not files:
            raise StoreError(f'"{name}" holds no data/*.parquet: export it with `hf-assets export parquet`')
        return cls([file.resolve() for file in files])

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"ExportedSet({len(self):,} samples in {len(self.files):,} files)"

    @cached_property
    def content(self) -> str:
        """Hash of its samples and their order."""
        return fingerprint.of_table(self.table, ["latent_key"])

    @cached_property
    def buckets(self) -> dict[tuple[int, ...], list[int]]:
        """Shape of the latents -> indices of the samples that have it."""
        return {shape: np.flatnonzero(self.shape_codes == code).tolist() for code, shape in enumerate(self.shapes)}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.read(index, 0)

    def read_batch(
        self, indices: Sequence[int], draw: int, *, caption_dropout: float = 0.0, **facts: Any
    ) -> list[dict[str, Any]]:
        """These samples, each with some facts more."""
        assert not caption_dropout, "a mixture refuses it"
        return [{**self.read(index, draw), **facts} for index in indices]

    def read(self, index: int, draw: int) -> dict[str, Any]:
        """`self[index]`, in whatever epoch."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self):,}")
        row = self._row(index % len(self))
        sample: dict[str, Any] = {}
        for name, value in row.items():
            if name in self.tensors:
                sample[name] = _tensor(value, row[name + SHAPE], row[name + DTYPE])
            elif not name.endswith((SHAPE, DTYPE)) or name.rpartition("_")[0] not in self.tensors:
                sample[name] = value
        return sample

    def _row(self, index: int) -> dict[str, Any]:
        number = bisect.bisect_right(self._starts, index) - 1
        file, at, group = self._file(self.files[number]), index - self._starts[number], 0
        while at >= (rows := file.metadata.row_group(group).num_rows):
            at, group = at - rows, group + 1
        if (number, group) not in self._groups:
            try:
                self._groups[number, group] = file.read_row_group(group).to_pylist()
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"{self.files[number]} is damaged ({error}): export or fetch it again") from None
            if len(self._groups) > KEPT_GROUPS:
                self._groups.popitem(last=False)
        row: dict[str, Any] = self._groups[number, group][at]
        return row

    def _file(self, path: Path) -> pq.ParquetFile:
        if path not in self._open:
            self._open[path] = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        return self._open[path]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_groups": OrderedDict()}  # each process opens the files itself


def _tensor(data: bytes, shape: list[int], dtype: str) -> torch.Tensor:
    kind = getattr(torch, dtype)
    return torch.frombuffer(bytearray(data), dtype=kind).view(shape) if data else torch.empty(shape, dtype=kind)


def _fetched(name: str, revision: str | None) -> Path:
    """The folder of a dataset of the Hub in the Hugging Face cache, at one commit."""
    from huggingface_hub import HfApi, snapshot_download

    subject = api.Subject("dataset", name, revision, DatasetError)
    info = api.call(lambda: HfApi().dataset_info(name, revision=revision), subject)
    wanted = ["data/*.parquet"]
    return Path(
        api.call(
            lambda: snapshot_download(name, repo_type="dataset", revision=info.sha, allow_patterns=wanted), subject
        )
    )
