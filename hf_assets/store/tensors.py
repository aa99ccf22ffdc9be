"""Tensors by key: immutable safetensors shards and an append-only Parquet index.

A shard is named by the hash of its bytes; within it a sample's tensors are named `{key}.{tensor}`. Each shard has one index part, named by the
hash of its own bytes; the part's appearance is the commit. Keys are content, so concurrent writers are harmless. A shard or a part that is
missing, truncated or altered is noticed here, and its keys count as missing.
"""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hf_assets import files, fingerprint

if TYPE_CHECKING:
    import torch

OK = "ok"

# One row per tensor of a sample; for a sample that failed, one row with its reason in `status` and no shard.
INDEX = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("tensor", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("shape", pa.list_(pa.int32())),
        pa.field("dtype", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("message", pa.string()),
        pa.field("checksum", pa.string()),  # of the tensor's bytes
        pa.field("shard_bytes", pa.int64()),
        pa.field("shard_mtime_ns", pa.int64()),
        pa.field("written_at", pa.timestamp("s", tz="UTC")),
    ]
)


class Sample(NamedTuple):
    """A sample's tensors under its key."""

    key: str
    tensors: Mapping[str, "torch.Tensor"]

    @property
    def num_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class TensorStore:
    """A folder of shards with its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index_folder = folder / "index"

    def shard_path(self, shard: str) -> Path:
        return self.folder / f"{shard}.safetensors"

    def index(self) -> pa.Table:
        """All samples whose shard is whole, and all failures (`INDEX`)."""
        parts = [part for path in sorted(self._files(self.index_folder)) if (part := _read_part(path)) is not None]
        table = pa.concat_tables(parts) if parts else INDEX.empty_table()
        damaged = self._damaged(table)
        if damaged:
            is_damaged = pc.fill_null(pc.is_in(table["shard"], value_set=pa.array(sorted(damaged), pa.string())), False)
            table = table.filter(pc.invert(is_damaged))
        return table

    def write(self, samples: Iterable[Sample], header: Mapping[str, str]) -> str:
        """Write samples as one shard and commit them.

        Args:
            header: what made the tensors; kept in the shard's metadata.

        Returns:
            The shard's name.
        """
        from safetensors.torch import save

        # clones: safetensors refuses tensors that share memory, as the samples of one batch do
        tensors = {
            f"{sample.key}.{name}": tensor.detach().cpu().contiguous().clone()
            for sample in samples
            for name, tensor in sample.tensors.items()
        }
        data = save(tensors, metadata=dict(header))
        shard = fingerprint.of_bytes(data)
        files.write_atomically(self.shard_path(shard), data)
        status = self.shard_path(shard).stat()
        rows = []
        for full_name, tensor in tensors.items():
            key, name = full_name.split(".", 1)
            rows.append(
                {
                    "key": key,
                    "tensor": name,
                    "shard": shard,
                    "shape": list(tensor.shape),
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "status": OK,
                    "checksum": checksum(tensor),
                    "shard_bytes": len(data),
                    "shard_mtime_ns": status.st_mtime_ns,
                    "written_at": _now(),
                }
            )
        self._commit(rows)
        return shard

    def fail(self, failures: Mapping[str, tuple[str, str]]) -> None:
        """Commit that samples can't be computed: key -> (reason, message)."""
        if failures:
            self._commit(
                [
                    {"key": key, "status": reason, "message": message, "written_at": _now()}
                    for key, (reason, message) in failures.items()
                ]
            )

    def _commit(self, rows: list[dict[str, object]]) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), sink, compression="zstd")
        data = memoryview(sink.getvalue())
        files.write_atomically(self.index_folder / f"{fingerprint.of_bytes(data)}.parquet", data)

    def _damaged(self, index: pa.Table) -> set[str]:
        """Shards that are missing or aren't what the index says.

        Size and time tell that a file wasn't touched since it was written; one that was touched, or moved here, is read and hashed
        once, and that is remembered.
        """
        written = (
            index.select(["shard", "shard_bytes", "shard_mtime_ns"])
            .filter(pc.is_valid(index["shard"]))
            .group_by("shard")
        )
        expected = written.aggregate([("shard_bytes", "max"), ("shard_mtime_ns", "max")])
        present = {entry.name: entry.stat() for entry in os.scandir(self.folder)} if self.folder.is_dir() else {}
        verified = self._verified()
        checked: dict[str, list[int]] = {}
        damaged = set()
        for shard, num_bytes, mtime_ns in zip(
            *(expected[name].to_pylist() for name in expected.column_names), strict=True
        ):
            status = present.get(f"{shard}.safetensors")
            if status is None or status.st_size != num_bytes:
                damaged.add(shard)
            elif status.st_mtime_ns != mtime_ns and verified.get(shard) != [status.st_size, status.st_mtime_ns]:
                if fingerprint.of_file(self.shard_path(shard)) == shard:
                    checked[shard] = [status.st_size, status.st_mtime_ns]
                else:
                    damaged.add(shard)
        if checked:
            files.write_atomically(self.index_folder / "verified.json", json.dumps({**verified, **checked}).encode())
        return damaged

    def _verified(self) -> dict[str, list[int]]:
        try:
            known: dict[str, list[int]] = json.loads((self.index_folder / "verified.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return known

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return [path for path in folder.glob("*.parquet") if not path.name.startswith(files.TEMPORARY_PREFIX)]


def stored_keys(index: pa.Table) -> pa.Array:
    """The keys of an index that can be read."""
    return pc.unique(index.filter(pc.equal(index["status"], OK))["key"])


def failures(index: pa.Table) -> pa.Table:
    """The keys of an index that failed and weren't computed since: key, status, message, written_at; the latest of each."""
    failed = index.filter(pc.not_equal(index["status"], OK))
    failed = failed.filter(pc.invert(pc.is_in(failed["key"], value_set=stored_keys(index))))
    latest = failed.select(["key", "status", "message", "written_at"]).sort_by([("written_at", "descending")])
    first = (
        latest.append_column("position", pa.array(range(len(latest)), pa.int64()))
        .group_by("key")
        .aggregate([("position", "min")])
    )
    return latest.take(first["position_min"])


def checksum(tensor: "torch.Tensor") -> str:
    """Hash of a tensor's bytes."""
    import torch

    return fingerprint.of_bytes(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().data)


def _read_part(path: Path) -> pa.Table | None:
    data = path.read_bytes()
    if fingerprint.of_bytes(data) != path.stem:
        return None
    return pq.read_table(pa.BufferReader(data), schema=INDEX)


def _now() -> datetime:
    return datetime.now(UTC)
