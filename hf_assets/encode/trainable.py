"""The rows of the training set, put together from the tables of what was made of them, a bounded number at a time.

Rows meet by their number. Captions meet their embeds by a hash, on the disk: a caption's embed may have been made for
any row before.
"""

import contextlib
import heapq
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.config.recipe import Recipe
from hf_assets.kinds.medium import medium_of
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining, naming
from hf_assets.stages.aligning import Cursor, Tables, side_by_side
from hf_assets.store import pieces, spilling
from hf_assets.store.draft import DraftTable
from hf_assets.store.remaking import Remaking
from hf_assets.store.spilling import DistinctTexts, SpilledRows
from hf_assets.store.table_file import TableFile

_LINE = pa.field("row", pa.int64())
_TEXT, _KEY = pa.field("text", fingerprint.PACKED), pa.field("embed_key", fingerprint.PACKED)
# The keys that rows name, with the number of the piece in which the rows lie.
_NAMED = pa.schema([pa.field("piece", pa.int64()), pa.field("key", fingerprint.PACKED)])
# What is read of rows that are taken over.
KEPT_COLUMNS = ("row", "file", "media_hash")
# Of so many captions at most, the embeds are looked for by the captions themselves.
FEW_CAPTIONS = 262_144


class TrainingRows(contextlib.AbstractContextManager["TrainingRows"]):
    """The samples that have a latent and, where there is text, an embedded caption.

    Attributes:
        num_incomplete: captioned rows that have not.
    """

    def __init__(
        self,
        recipe: Recipe,
        raw_dataset: Tables,
        captions: Tables,
        buckets: Tables,
        vae_latents: Tables,
        embeds: Tables,
    ) -> None:
        self._medium, self._has_text = medium_of(recipe), recipe.model.pipeline.has_text
        self._raw_dataset, self._captions, self._buckets = raw_dataset, captions, buckets
        self._latents, self._embeds = vae_latents, embeds
        self.num_incomplete = 0
        self._taken_over: Remaking | None = None

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hf-assets-training-set-")
        self._media = DistinctTexts().__enter__()
        place = Path(self._folder.name)
        self._path = place / "named"
        self._named = pa.ipc.new_stream(str(self._path), _NAMED)
        return self

    def tables(self) -> Iterator[pa.Table]:
        """The training set (`joining.join`), in tables of which there is at least one."""
        medium = self._medium
        raw = self._raw_dataset(["row", schema.SOURCE_PATH.name])
        together = side_by_side(self._captions(), self._buckets(), self._latents(), raw)
        answers, empty = self._answers()
        for (rows, media, latents, named), texts in zip(together, self._embedded(answers), strict=True):
            table = joining.join(
                rows,
                texts,
                media,
                latents,
                medium.extension,
                medium.training,
                empty=empty,
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
        return table

    def _count(self, num_captioned: int, table: pa.Table) -> None:
        """Rows of the training set, made of so many captioned ones."""
        self.num_incomplete += num_captioned - len(table)
        self._media.add_hashes(table["media_hash"])

    def _name(self, table: pa.Table) -> None:
        """Note the keys that rows name which are made anew."""
        for number, rows in pieces.cut(table):
            packed = _keys_of(rows)
            self._named.write_table(pa.table([pa.repeat(number, len(packed)), packed], schema=_NAMED))

    def keys(self, known: Collection[int] = ()) -> Iterator[tuple[int, pa.Array]]:
        """The keys of the latents and embeds that these rows name, each once in its piece, with the piece's number,
        ascending. Nothing is added after that.

        Args:
            known: numbers of pieces that needn't be among them.
        """
        return heapq.merge(self._made_keys(), self._kept_keys(known), key=lambda named: named[0])

    def _made_keys(self) -> Iterator[tuple[int, pa.Array]]:
        self._named.close()
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                if len(batch):
                    yield batch.column("piece")[0].as_py(), _unpacked(batch.column("key"))

    def _kept_keys(self, known: Collection[int]) -> Iterator[tuple[int, pa.Array]]:
        over = self._taken_over
        if over is None:
            return
        for number in [one for one in over.kept if one not in known]:
            yield number, _unpacked(_keys_of(over.kept_rows(over.outputs[0], number)))

    def num_media(self) -> int:
        """How many different media these rows have."""
        return self._media.count()

    def _embedded(self, answers: SpilledRows) -> Iterator[pa.Table]:
        """Of each table of captions, those that have an embed: `row`, `caption` and `embed_key`, in their order."""
        found = Cursor(part.sort_by("row") for part in answers.parts())
        start = 0
        for rows in self._captions():
            lines = captions_stage.lines(rows.select(schema.CAPTIONS.names))
            answer = found.until(start + len(lines) - 1)
            of_line = lines.take(pa.array(answer["row"].to_numpy() - start))
            keys = fingerprint.unpack(answer["embed_key"])
            yield pa.table(
                {"row": of_line["row"], "caption": of_line["caption"].cast(schema.CAPTION), "embed_key": keys}
            )
            start += len(lines)

    def _answers(self) -> tuple[SpilledRows, pa.Table]:
        """The embed's key of each caption that has one; captions are numbered through all rows. And the rows of the
        empty caption.
        """
        place = Path(self._folder.name)
        known = SpilledRows(place / "known", pa.schema([_TEXT, _KEY]), "text")
        empty: list[pa.Table] = []
        few = self._few_captions()
        for embeds in self._embeds():
            if few is not None:
                is_asked = pc.or_(
                    pc.is_in(embeds["caption"], value_set=few), pc.equal(embeds["caption"], schema.EMPTY_CAPTION)
                )
                embeds = embeds.filter(is_asked)
            known.add(pa.table([_texts(embeds), fingerprint.pack(embeds["embed_key"])], schema=known.schema))
            read = captions_stage.companions(embeds)
            empty.append(embeds.filter(pc.equal(embeds["caption"], schema.EMPTY_CAPTION)))
        asked = SpilledRows(place / "asked", pa.schema([_LINE, _TEXT]), "text")
        start = 0
        for rows, media in side_by_side(self._captions(), self._buckets()):
            lines = captions_stage.lines(joining.with_companions(rows, media, read))
            numbers = pa.array(np.arange(start, start + len(lines)))
            start += len(lines)
            if schema.DURATION.name in read:  # a clip that isn't encoded has none
                has_one = pc.is_valid(lines[schema.DURATION.name])
                lines, numbers = lines.filter(has_one), numbers.filter(has_one.combine_chunks())
            asked.add(pa.table([numbers, _texts(lines)], schema=asked.schema))
        answers = SpilledRows(place / "answers", pa.schema([_LINE, _KEY]), "row", spilling.by_position(start))
        for questions, there in zip(asked.parts(), known.parts(), strict=True):
            at = pc.index_in(questions["text"], value_set=there["text"].combine_chunks())
            keys = there["embed_key"].take(at.drop_null())
            answers.add(pa.table([questions["row"].filter(pc.is_valid(at)), keys], schema=answers.schema))
        return answers, pa.concat_tables(empty)

    def _few_captions(self) -> pa.Array | None:
        """The captions of these rows, each once; None where they are many."""
        found = pa.array([], schema.CAPTION)
        for rows in self._captions():
            some = pa.chunked_array([found, captions_stage.distinct(rows)])
            if len(some) > FEW_CAPTIONS:
                return None
            found = pc.unique(some)
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._media.__exit__(kind, error, trace)
        self._named.close()
        self._folder.cleanup()


def _keys_of(rows: pa.Table) -> pa.Array:
    """The keys that rows of the training set name, each once, packed."""
    keys = pa.chunked_array([*rows["latent_key"].chunks, *joining.embed_keys_of(rows).chunks], pa.string())
    return pc.unique(fingerprint.pack(keys))


def _unpacked(keys: pa.Array) -> pa.Array:
    return fingerprint.unpack(pa.chunked_array([keys])).combine_chunks()


def _texts(lines: pa.Table) -> pa.ChunkedArray:
    """A packed hash of each caption with what is encoded with it."""
    return fingerprint.packed_of_strings(captions_stage.identities(lines))
