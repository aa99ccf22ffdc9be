"""Tensors by key: immutable safetensors shards and an index of them.

A shard is named by the hash of its bytes; within it a sample's tensors are named `{key}.{tensor}`. Keys are content,
so concurrent writers are harmless. A shard or a part of the index that is missing, truncated or altered is noticed
here, and its keys count as missing.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import blobs, fingerprint
from hf_assets.blobs import Location, State, atomic
from hf_assets.errors import StoreError
from hf_assets.store import generations, index, runs, shards
from hf_assets.store.index import INDEX, OK, RETRY, now

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"
# In the folder of the index: what `TensorStore.damaged` found out by reading.
MEMORY = ".verified.json"

# What shows whether a shard is as it was written.
SHARD_FACTS = pa.schema([index.INDEX.field(name) for name in ("shard", "shard_bytes", "shard_mtime_ns")])


def shard_name(shard: str) -> str:
    """Its name in the store's folder."""
    return f"{shard}{SUFFIX}"


class Sample(NamedTuple):
    """A sample's tensors under its key.

    Attributes:
        text: of a caption, its hash by another function than the key's.
    """

    key: str
    tensors: Mapping[str, "torch.Tensor"]
    text: str | None = None

    @property
    def num_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class TensorStore:
    """A folder of shards with its index.

    Attributes:
        blobs: the folder; `index_blobs`: the one of the index's parts.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.index_folder = folder / "index"
        self.blobs = blobs.at(folder)
        self.index_blobs = self.blobs.within("index")
        self._commits = 0

    def shard_path(self, shard: str) -> Location:
        return self.folder / shard_name(shard)

    def open_index(self) -> runs.OpenIndex:
        """The index as it is now, to look up many keys a part at a time."""
        return runs.OpenIndex(self.index_blobs)

    def look_up(
        self,
        keys: pa.Array | pa.ChunkedArray,
        columns: Sequence[str],
        present: Mapping[str, State] | None = None,
        opened: runs.OpenIndex | None = None,
    ) -> pa.Table:
        """The rows of `index` that some keys have.

        Args:
            keys: each once, as texts or packed.
            columns: of `index.INDEX` besides the key.
            present: see `present`, where it is known already.
            opened: the index, where it is open already.

        Returns:
            `key`, as it was given, and `columns`.
        """
        names = dict.fromkeys((*columns, *SHARD_FACTS.names))
        wanted = runs.Wanted(keys)
        found = opened.find(wanted, list(names)) if opened else runs.find(self.index_blobs, wanted, list(names))
        damaged = self.damaged(found, present)
        if damaged:
            found = found.filter(pc.invert(pc.is_in(found["shard"], value_set=pa.array(sorted(damaged), pa.string()))))
        whole = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
        return found.select(columns).add_column(0, "key", whole.take(found[runs.AT].combine_chunks()))

    def index(self) -> pa.Table:
        """All samples whose shard is whole, and all failures (`INDEX`)."""
        table = index.join_parts(index.read_parts(self.index_blobs))
        damaged = self.damaged(table)
        if not damaged:
            return table
        is_damaged = pc.is_in(table["shard"], value_set=pa.array(sorted(damaged), pa.string()))
        return table.filter(pc.invert(is_damaged))

    def write(self, samples: Iterable[Sample], header: Mapping[str, str]) -> str:
        """Write samples as one shard and commit them.

        Args:
            header: what made the tensors; kept in the shard's metadata.

        Returns:
            The shard's name.

        Raises:
            StoreError: the disk is full.
        """
        samples = list(samples)
        texts = {sample.key: sample.text for sample in samples}
        # clones: safetensors refuses tensors that share memory, as the samples of one batch do
        tensors = {
            f"{sample.key}.{name}": tensor.detach().cpu().contiguous().clone()
            for sample in samples
            for name, tensor in sample.tensors.items()
        }
        data = shards.pack(tensors, header)
        shard, facts = self.place(data)
        offsets = shards.offsets(data)
        rows = []
        for full_name, tensor in tensors.items():
            key, name = full_name.split(".", 1)
            rows.append(
                {
                    "key": key,
                    "tensor": name,
                    "shape": list(tensor.shape),
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "status": OK,
                    "text": texts[key],
                    "checksum": checksum(tensor),
                    "num_bytes": tensor.numel() * tensor.element_size(),
                    "offset": offsets[full_name],
                    **facts,
                }
            )
        self.commit_rows(rows)
        return shard

    def place(self, data: bytes) -> tuple[str, dict[str, object]]:
        """Put a shard into the folder. It is no data before it is committed.

        Returns:
            its name, and what the index is to say about it.
        """
        shard = fingerprint.of_bytes(data)
        blob = self.blobs.put(shard_name(shard), data)
        # whoever's clock is behind, what is young by the place's clock must not look old
        written_at = max(now(), datetime.fromtimestamp(blob.modified_ns / 1e9, UTC))
        facts = {"shard": shard, "shard_bytes": len(data), "shard_mtime_ns": blob.modified_ns}
        return shard, {**facts, "written_at": written_at}

    def fail(self, failures: Mapping[str, tuple[str, str]], tried_by: str = "") -> None:
        """Commit that samples can't be computed: key -> (reason, message).

        Args:
            tried_by: version of the code that can't; another one tries again.
        """
        rows = [
            {"key": key, "status": reason, "message": message, "tried_by": tried_by, "written_at": now()}
            for key, (reason, message) in failures.items()
        ]
        self.commit_rows(rows)

    def retry(self, keys: pa.Array) -> int:
        """Let samples that failed count as missing, until they fail again.

        Returns:
            How many of `keys` had failed.
        """
        failed = index.failures(self.look_up(pc.unique(keys), index.ATTEMPT))
        # later than the failure, whatever this machine's clock says
        rows = [
            {"key": key, "status": RETRY, "written_at": max(now(), last_seen + timedelta(microseconds=1))}
            for key, last_seen in zip(failed["key"].to_pylist(), failed["last_seen"].to_pylist(), strict=True)
        ]
        self.commit_rows(rows)
        return len(rows)

    @contextlib.contextmanager
    def in_use(self, user: Location, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
        """Keep garbage collection away while a run looks up keys and writes. Any number of runs may do so at a time.

        Args:
            user: metadata folder of the dataset; what its tables name is no garbage from now on.
            say: is given a line where the folder is made: who may use it.
        """
        if isinstance(self.folder, Path) and (line := atomic.make_folder(self.folder)) is not None:
            say(line)
        generations.register(self.folder, user)
        with self.blobs.in_use():
            self._merge()
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep runs away.

        Raises:
            StoreError: a run is at work here.
        """
        with self.blobs.alone():
            yield

    def commit_rows(self, rows: list[dict[str, object]]) -> None:
        if rows:
            index.commit(self.index_blobs, pa.Table.from_pylist(rows, schema=INDEX))
            self._commits += 1
            if self._commits % runs.MERGED_PARTS == 0:
                self._merge()

    def _merge(self) -> None:
        """Merge the index's parts, if there are many: it saves time only, and never stops a run."""
        with contextlib.suppress(OSError, StoreError):
            runs.merge(self.index_blobs)

    def damaged(self, table: pa.Table, present: Mapping[str, State] | None = None) -> set[str]:
        """Shards of an index that are missing or aren't what it says.

        Args:
            present: see `present`, where it is known already.

        Size and time show that a file wasn't touched since it was written; one that was touched, or moved here, is
        read and hashed once, and that is remembered.
        """
        expected = (
            table.select(["shard", "shard_bytes", "shard_mtime_ns"])
            .filter(pc.is_valid(table["shard"]))
            .group_by("shard")
            .aggregate([("shard_bytes", "max"), ("shard_mtime_ns", "max")])
        )
        present = self.present() if present is None else present
        remembered = self._read_memory()
        looked_at: dict[str, list[int]] = {}
        damaged = set()
        for shard, num_bytes, written_ns in zip(
            *(expected[name].to_pylist() for name in expected.column_names), strict=True
        ):
            state = present.get(shard)
            if state is None or state[0] != num_bytes:
                damaged.add(shard)
            elif state[1] != written_ns:
                seen = [*state]
                known = remembered.get(shard, [])
                is_whole = bool(known[2]) if known[:2] == seen else self.is_whole(shard)
                looked_at[shard] = [*seen, int(is_whole)]
                if not is_whole:
                    damaged.add(shard)
        if any(remembered.get(shard) != facts for shard, facts in looked_at.items()):
            # saves time only: a reader may have no right to write here
            with contextlib.suppress(OSError, StoreError):
                others = {shard: facts for shard, facts in remembered.items() if shard in present}
                self.index_blobs.put(MEMORY, json.dumps({**others, **looked_at}).encode())
        return damaged

    def present(self) -> dict[str, State]:
        """The shards that lie in the folder, committed or not, each with its size and time."""
        states = self.blobs.states()
        return {name.removesuffix(SUFFIX): state for name, state in states.items() if name.endswith(SUFFIX)}

    def is_whole(self, shard: str) -> bool:
        """Read all of a shard: whether its bytes are those that it is named for."""
        name = shard_name(shard)
        path = self.blobs.local_path(name)
        try:
            return (fingerprint.of_bytes(self.blobs.get(name)) if path is None else fingerprint.of_file(path)) == shard
        except OSError:  # gone, or on a bad disk
            return False

    def _read_memory(self) -> dict[str, list[int]]:
        """Shards whose time isn't the one in the index: size, time, and whether they were whole then."""
        try:
            known: dict[str, list[int]] = json.loads(self.index_blobs.get(MEMORY))
        except (OSError, ValueError):
            return {}
        return known


def checksum(tensor: "torch.Tensor") -> str:
    """Of a tensor's bytes, against accidents."""
    import torch

    return fingerprint.checksum(tensor.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().data)
