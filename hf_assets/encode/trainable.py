"""The rows of the training set, put together from the tables of what was made of them, a bounded number at a time.

Rows meet by their number, captions their embeds as `embedded` says.
"""

import contextlib
import heapq
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.encode.embedded import Embedded
from hf_assets.kinds.medium import medium_of
from hf_assets.stages import joining, naming
from hf_assets.stages.aligning import Tables, side_by_side
from hf_assets.store import pieces
from hf_assets.store.draft import DraftTable
from hf_assets.store.remaking import Remaking
from hf_assets.store.spilling import DistinctTexts, RowsInOrder
from hf_assets.store.table_file import TableFile

# The keys that rows name, with the number of the piece in which the rows lie.
_NAMED = pa.schema([pa.field("piece", pa.int64()), pa.field("key", fingerprint.PACKED)])
# Of the table's metadata: how many different media its samples have.
NUM_MEDIA = b"hf_assets.num_media"
# What is read of rows that are taken over.
KEPT_COLUMNS = ("row", "file", "media_hash")


class TrainingRows(contextlib.AbstractContextManager["TrainingRows"]):
    """The samples that have a latent and, where there is text, an embedded caption.

    Attributes:
        num_incomplete: captioned rows that have not.
        num_media: different ones, of all rows that were written.
    """

    def __init__(
        self,
        recipe: Recipe,
        raw_dataset: Tables,
        captions: Tables,
        buckets: Tables,
        vae_latents: Tables,
        text_embeds: TableFile,
    ) -> None:
        self._medium, self._has_text = medium_of(recipe), recipe.model.pipeline.has_text
        self._raw_dataset, self._captions, self._buckets = raw_dataset, captions, buckets
        self._latents, self._text_embeds = vae_latents, text_embeds
        self.num_incomplete = self.num_media = 0
        self._taken_over: Remaking | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            place = Path(stack.enter_context(TemporaryDirectory(prefix="hf-assets-training-set-")))
            self._media = stack.enter_context(DistinctTexts())
            self._named = RowsInOrder(place / "named", _NAMED)
            stack.callback(self._named.close)
            self._open = stack.pop_all()
        return self

    def tables(self) -> Iterator[pa.Table]:
        """The training set (`joining.join`), in tables of which there is at least one."""
        medium = self._medium
        raw = self._raw_dataset(["row", schema.SOURCE_PATH.name])
        together = side_by_side(self._captions(), self._buckets(), self._latents(), raw)
        embedded = self._open.enter_context(Embedded(self._captions, self._buckets, self._text_embeds))
        for (rows, media, latents, named), texts in zip(together, embedded.rows(), strict=True):
            table = joining.join(
                rows,
                texts,
                media,
                latents,
                medium.extension,
                medium.training,
                empty=embedded.empty,
                has_text=self._has_text,
            )
            table = naming.with_source_paths(table, named)
            self._count(len(rows), table)
            self._name(table)
            yield table

    def write(
        self,
        remaking: Remaking,
        captions: TableFile,
        *show: Callable[[pa.Table, int | None], None],
    ) -> DraftTable:
        """The training set's table: these rows, and what is taken over from the last one.

        Args:
            remaking: whose first output is the training set.
            captions: all captioned rows.
            show: is given the rows, in order; of those that are taken over `KEPT_COLUMNS` and their piece's number.
        """
        path = remaking.outputs[0]
        table, self._taken_over = remaking.draft(path), remaking
        for number, some in remaking.in_order(self.tables(), path, KEPT_COLUMNS):
            if number is not None:
                self._count(remaking.num_rows(captions, number), some)
            else:
                table.add(some)
            for one in show:
                one(some, number)
        table.complete()
        self.num_media = self._media.count()
        table.note({NUM_MEDIA: str(self.num_media)})
        return table

    def _count(self, num_captioned: int, table: pa.Table) -> None:
        """Rows of the training set, made of so many captioned ones."""
        self.num_incomplete += num_captioned - len(table)
        self._media.add_hashes(table["media_hash"])

    def _name(self, table: pa.Table) -> None:
        """Note the keys that rows name which are made anew."""
        for number, rows in pieces.cut(table):
            packed = _keys_of(rows)
            self._named.add(pa.table([pa.repeat(number, len(packed)), packed], schema=_NAMED))

    def keys(self, known: Collection[int] = ()) -> Iterator[tuple[int, pa.Array]]:
        """The keys of the latents and embeds that these rows name, each once in its piece, with the piece's number,
        ascending. Nothing is added after that.

        Args:
            known: numbers of pieces that needn't be among them.
        """
        return heapq.merge(self._made_keys(), self._kept_keys(known), key=lambda named: named[0])

    def _made_keys(self) -> Iterator[tuple[int, pa.Array]]:
        for rows in self._named.tables():
            if len(rows):
                yield rows["piece"][0].as_py(), _unpacked(rows["key"])

    def _kept_keys(self, known: Collection[int]) -> Iterator[tuple[int, pa.Array]]:
        over = self._taken_over
        if over is None:
            return
        for number in [one for one in over.kept if one not in known]:
            yield number, _unpacked(_keys_of(over.old_rows(over.outputs[0], number)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _keys_of(rows: pa.Table) -> pa.Array:
    """The keys that rows of the training set name, each once, packed."""
    keys = pa.chunked_array([*rows["latent_key"].chunks, *joining.embed_keys_of(rows).chunks], pa.string())
    return pc.unique(fingerprint.pack(keys))


def _unpacked(keys: pa.Array | pa.ChunkedArray) -> pa.Array:
    column = keys if isinstance(keys, pa.ChunkedArray) else pa.chunked_array([keys])
    return fingerprint.unpack(column).combine_chunks()
