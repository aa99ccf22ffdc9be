"""What becomes of the training set: which samples come, go, or change, compared with the last one.

A sample is its source path, else its media's hash; of several with one identity, the first is compared with the first.
Those that keep their number are compared before, where they are (`comparison`).
Only numbers are held: 8 bytes for each thing that is compared.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.stages import captions as captions_stage

# What identifies or names a sample, and isn't how it is cut; or what follows from the model.
NOT_GEOMETRY = {
    *("row", "file", schema.SOURCE_PATH.name, "media_hash", "captions", "lyrics", "latent_key", "latent_shape"),
    *("embed_keys", "empty_caption_key", schema.DECODING.name, "shard"),
}
# Why a sample goes of which nothing more is known.
GONE = "not in the dataset any more"
MAYBE_GONE = "gone, or in files not read yet"
FAILED = "quarantined"

Numbers = np.ndarray
NONE: Numbers = np.empty(0, np.int64)


class Changes(NamedTuple):
    """Rows of the split, or of the last training set where samples go.

    Attributes:
        before: samples of the last training set; None: there is none.
        after: samples of the next one, of those whose media are known.
        added, media, recaptioned, recropped: rows of the split; `media`: whose file holds something else.
        removed: by reason, rows of the last training set.
        unread: rows of the split whose media are not read yet: new ones, or other bytes in place of known ones.
    """

    before: int | None
    after: int
    added: Numbers
    media: Numbers
    recaptioned: Numbers
    recropped: Numbers
    removed: dict[str, Numbers]
    unread: Numbers = NONE

    @property
    def is_nothing(self) -> bool:
        """Whether the training set stays as it is."""
        every = (*self.by_kind.values(), *self.removed.values(), self.unread)
        return self.before is not None and not any(len(rows) for rows in every)

    @property
    def by_kind(self) -> dict[str, Numbers]:
        """The rows of the split, by what becomes of them."""
        return {name: getattr(self, name) for name in ("added", "media", "recaptioned", "recropped")}

    def as_json(self) -> dict[str, object]:
        """The numbers of samples."""
        removed = {reason: len(rows) for reason, rows in self.removed.items()}
        return {
            "before": self.before,
            "after": self.after,
            **{name: len(rows) for name, rows in self.by_kind.items()},
            "unread": len(self.unread),
            "removed": removed,
        }


class Samples:
    """A training set as numbers, gathered table by table.

    Args:
        geometry: columns that say how a sample is cut.
        has_paths: whether samples are identified by their paths, where they have some.
    """

    def __init__(self, geometry: Collection[str], *, has_paths: bool) -> None:
        self.geometry, self.has_paths = sorted(geometry), has_paths
        self._parts: list[tuple[Numbers, ...]] = []
        self._texts: list[tuple[Numbers, Numbers]] = []
        self._number = 0

    def add(self, table: pa.Table) -> None:
        """Take samples: `row`, `media_hash`, `captions`, maybe `lyrics` and `source_path`, and the geometry."""
        if not len(table):
            return
        named = [name for name in ("row", "captions", "lyrics") if name in table.column_names]
        lists = table["captions"].combine_chunks()
        texts = hash_texts(captions_stage.lines(table.select(named)))
        self._texts.append((lists.value_parent_indices().to_numpy() + self._number, texts))
        self._number += len(table)
        media = hashed(table["media_hash"])
        self._parts.append(
            (table["row"].to_numpy(), ids(table, self.has_paths), media, hashed(_joined(table, self.geometry)))
        )

    def settle(self, failed_rows: Numbers, failed_texts: Numbers) -> tuple[Numbers, ...]:
        """Row, identity, media, geometry and captions of each sample that has a latent and a caption.

        Returns:
            these five; and the identities of those that failed.
        """
        if not self._parts:
            none = np.empty(0, np.uint64)
            return (none.astype(np.int64), none, none, none, none, none)
        row, identity, media, geometry = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        parent, text = (np.concatenate(column) for column in zip(*self._texts, strict=True))
        is_there = ~np.isin(text, failed_texts)
        parent, text = parent[is_there], text[is_there]
        counts = np.bincount(parent, minlength=len(row))
        place = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
        captions = np.zeros(len(row), np.uint64)
        np.add.at(captions, parent, fingerprint.scramble(text + place.astype(np.uint64) * fingerprint.GOLDEN))
        is_whole = ~np.isin(row, failed_rows) & (counts > 0)
        return (*(column[is_whole] for column in (row, identity, media, geometry, captions)), identity[~is_whole])


def compare(
    before: Samples | None,
    after: Samples,
    left_out: dict[str, Numbers],
    failed_rows: Numbers = NONE,
    failed_texts: Numbers = NONE,
    otherwise: str = GONE,
    unread: tuple[Numbers, Numbers] = (NONE, NONE),
) -> Changes:
    """What changes between two training sets.

    Args:
        left_out: the identities of rows that are left out, by reason.
        failed_rows: of the split, whose latents failed.
        failed_texts: hashes of captions that failed.
        otherwise: why a sample goes that isn't left out.
        unread: rows of the split whose media are not read yet, and the identities of those that have paths: they stay.
    """
    unread_rows, unread_ids = unread
    row, identity, media, geometry, captions, failed = after.settle(failed_rows, failed_texts)
    if before is None:
        return Changes(None, len(row), row, NONE, NONE, NONE, {}, unread_rows)
    old_row, old_id, old_media, old_geometry, old_captions, _ = before.settle(NONE, NONE)
    at, is_known = _find(_numbered(old_id), _numbered(identity))
    new = row[is_known]
    is_same_media = media[is_known] == old_media[at]
    gone = np.ones(len(old_row), bool)
    gone[at] = False
    gone &= ~np.isin(old_id, unread_ids)
    return Changes(
        len(old_row),
        len(row),
        row[~is_known],
        new[~is_same_media],
        new[captions[is_known] != old_captions[at]],
        new[is_same_media & (geometry[is_known] != old_geometry[at])],
        _removed(old_row[gone], old_id[gone], [*left_out.items(), (FAILED, failed)], otherwise),
        unread_rows,
    )


def _removed(
    rows: Numbers, identity: Numbers, left_out: Sequence[tuple[str, Numbers]], otherwise: str
) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for reason, there in left_out:
        is_it = np.isin(identity, there)
        if is_it.any():
            found[reason] = np.concatenate([found.get(reason, NONE), rows[is_it]])
        rows, identity = rows[~is_it], identity[~is_it]
    return found | ({otherwise: rows} if len(rows) else {})


def _numbered(identity: Numbers) -> Numbers:
    """Identities, of which each stands once: the second of one becomes another."""
    order = np.argsort(identity, kind="stable")
    ordered = identity[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    counts = np.diff(np.append(starts, len(ordered)))
    place = np.empty(len(identity), np.uint64)
    place[order] = (np.arange(len(ordered)) - np.repeat(starts, counts)).astype(np.uint64)
    numbered: Numbers = fingerprint.scramble(identity + place * fingerprint.GOLDEN)
    return numbered


def _find(old: Numbers, new: Numbers) -> tuple[Numbers, Numbers]:
    """Where each of `new` that is in `old` stands in it; and which of `new` are."""
    if not len(old):
        return np.empty(0, np.int64), np.zeros(len(new), bool)
    order = np.argsort(old)
    at = np.minimum(np.searchsorted(old[order], new), len(old) - 1)
    is_known = old[order][at] == new
    return order[at[is_known]], is_known


def ids(table: pa.Table, has_paths: bool) -> Numbers:
    """The identity of each row: its path, where it has one and these count, else its media's hash."""
    names = table["media_hash"].cast(pa.large_string())
    if has_paths:
        names = pc.coalesce(table[schema.SOURCE_PATH.name].cast(pa.large_string()), names)
    return hashed(names)


def hash_texts(texts: pa.Table) -> Numbers:
    """Of each caption, with its lyrics where it has some: as `reasons.hash_texts` has them."""
    named = [name for name in texts.column_names if name in ("caption", schema.LYRICS.name)]
    return first_halves(fingerprint.packed_of_strings(captions_stage.identities(texts.select(named))))


def hashed(texts: pa.Array | pa.ChunkedArray) -> Numbers:
    """(N,) uint64: of texts; null has one as well. It is Python's own hash, which has another key in each process."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    found = [np.fromiter(map(hash, pc.fill_null(one, "\0").to_pylist()), np.int64, len(one)) for one in chunks]
    return np.concatenate([np.empty(0, np.int64), *found]).view(np.uint64)


def first_halves(packed: pa.ChunkedArray) -> Numbers:
    """(N,) uint64: of packed hashes, their first 8 bytes."""
    found = [np.empty(0, np.uint64)]
    for chunk in packed.chunks:
        if len(chunk):
            halves = np.frombuffer(chunk.buffers()[1], np.uint64).reshape(-1, 2)
            found.append(halves[chunk.offset : chunk.offset + len(chunk), 0])
    return np.concatenate(found)


def geometry_of(before: Collection[str], after: Collection[str]) -> set[str]:
    """The columns by which two tables say how samples are cut."""
    return {name for name in before if name in after} - NOT_GEOMETRY


def _joined(table: pa.Table, names: Collection[str]) -> pa.ChunkedArray:
    """Of each row, all values of these columns as one text."""
    parts = [part for name in names for part in _texts(table[name])]
    if not parts:
        return pa.chunked_array([pa.array([""] * len(table), pa.large_string())])
    return pc.binary_join_element_wise(*parts, ",", null_handling="replace", null_replacement="-")


def _texts(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    if pa.types.is_fixed_size_list(column.type):
        for index in range(column.type.list_size):
            yield pc.list_element(column, index).cast(pa.string())
    else:
        yield column.cast(pa.string())


def by_reason(parts: Collection[tuple[str, Numbers]]) -> dict[str, Numbers]:
    """Identities by reason, of parts of them."""
    found: dict[str, list[Numbers]] = {}
    for reason, identities in parts:
        found.setdefault(reason, []).append(identities)
    return {reason: np.concatenate(some) for reason, some in found.items()}
