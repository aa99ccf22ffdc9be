"""The embed of each caption of some rows.

A caption's embed may have been made for any row before, so it stands in the piece of the row where the caption comes
first: most are found in their own row's piece. The others meet all embeds by a hash, on the disk.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, schema
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining
from hf_assets.stages.aligning import Cursor, Tables, side_by_side
from hf_assets.store import pieces, spilling
from hf_assets.store.spilling import RowsInOrder, SpilledRows
from hf_assets.store.table_file import TableFile

_LINE = pa.field("line", pa.int64())
_TEXT, _KEY = pa.field("text", fingerprint.PACKED), pa.field("embed_key", fingerprint.PACKED)
_ANSWERS = pa.schema([_LINE.with_name("row"), _KEY])
# Of so many captions at most, the embeds are looked for by the captions themselves.
FEW_CAPTIONS = 262_144


class Embedded(contextlib.AbstractContextManager["Embedded"]):
    """The captions that have an embed, of rows of bounded number at a time.

    Attributes:
        empty: the rows of the empty caption, of which there is none where it has no embed.
    """

    empty: pa.Table

    def __init__(self, captions: Tables, buckets: Tables, text_embeds: TableFile) -> None:
        """
        Args:
            captions: of the rows.
            buckets: of these rows, where there are any.
            text_embeds: of all captions.
        """
        self._captions, self._buckets, self._text_embeds = captions, buckets, text_embeds

    def __enter__(self) -> Self:
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._place = Path(stack.enter_context(TemporaryDirectory(prefix="hf-assets-embedded-")))
            self._pieces = pieces.open_pieces(self._text_embeds.path)
            if self._pieces is not None:
                stack.enter_context(self._pieces)
            self._open = stack.pop_all()
        return self

    def rows(self) -> Iterator[pa.Table]:
        """Of each table of captions, those that have an embed: `row`, `caption` and `embed_key`, in their order."""
        answers = list(map(Cursor, self._answers()))
        start = 0
        for rows in self._captions():
            lines = captions_stage.lines(rows.select(schema.CAPTIONS.names))
            last = start + len(lines) - 1
            answer = pa.concat_tables([found.until(last) for found in answers]).sort_by("row")
            of_line = lines.take(pa.array(answer["row"].to_numpy() - start))
            keys = fingerprint.unpack(answer["embed_key"])
            yield pa.table(
                {"row": of_line["row"], "caption": of_line["caption"].cast(schema.CAPTION), "embed_key": keys}
            )
            start += len(lines)

    def _answers(self) -> tuple[Iterator[pa.Table], Iterator[pa.Table]]:
        """The embed's key of each caption that has one, by the caption's number through all rows, ascending: of those
        that stand in the row's own piece, and of the others.
        """
        read = captions_stage.companions(self._piece(-1))
        near = RowsInOrder(self._place / "near", _ANSWERS)
        asked = SpilledRows(self._place / "asked", pa.schema([_LINE, _TEXT]), "text")
        few: pa.Array | None = pa.array([], schema.CAPTION)
        start = 0
        for rows, media in side_by_side(self._captions(), self._buckets()):
            lines = captions_stage.lines(joining.with_companions(rows, media, read))
            lines = lines.append_column(_LINE, pa.array(np.arange(start, start + len(lines))))
            start += len(lines)
            if schema.DURATION.name in read:  # a clip that isn't encoded has none
                lines = lines.filter(pc.is_valid(lines[schema.DURATION.name]))
            for number, some in pieces.cut(lines):
                there = self._piece(number)
                at = pc.index_in(captions_stage.identities(some), value_set=_joined(captions_stage.identities(there)))
                is_there = pc.is_valid(at)
                keys = fingerprint.pack(there["embed_key"].take(at.drop_null()))
                near.add(pa.table([some["line"].filter(is_there), keys], schema=_ANSWERS))
                far = some.filter(pc.invert(is_there))
                asked.add(pa.table([far["line"], _texts(far)], schema=asked.schema))
                few = _with_few(few, far["caption"])
        self.empty = self._find_empty(schema.DURATION.name in read)
        return near.tables(), self._far(asked, few, start)

    def _far(self, asked: SpilledRows, few: pa.Array | None, num_lines: int) -> Iterator[pa.Table]:
        """The answers that are looked for among all embeds."""
        answers = SpilledRows(self._place / "far", _ANSWERS, "row", spilling.by_position(num_lines))
        if asked.num_rows:
            known = SpilledRows(self._place / "known", pa.schema([_TEXT, _KEY]), "text")
            for embeds in self._text_embeds.tables():
                if few is not None:
                    embeds = embeds.filter(pc.is_in(embeds["caption"], value_set=few))
                known.add(pa.table([_texts(embeds), fingerprint.pack(embeds["embed_key"])], schema=known.schema))
            for questions, there in zip(asked.parts(), known.parts(), strict=True):
                at = pc.index_in(questions["text"], value_set=_joined(there["text"]))
                keys = there["embed_key"].take(at.drop_null())
                answers.add(pa.table([questions["line"].filter(pc.is_valid(at)), keys], schema=_ANSWERS))
        return (part.sort_by("row") for part in answers.parts())

    def _find_empty(self, of_each_duration: bool) -> pa.Table:
        found: list[pa.Table] = []
        for embeds in self._text_embeds.tables():
            found.append(embeds.filter(pc.equal(embeds["caption"], schema.EMPTY_CAPTION)))
            if len(found[-1]) and not of_each_duration:
                break
        return pa.concat_tables(found)

    def _piece(self, number: int) -> pa.Table:
        """The embeds that stand in one piece; of a table without pieces, none."""
        if self._pieces is not None:
            return self._pieces.read(number)
        return next(self._text_embeds.tables()).slice(0, 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _with_few(few: pa.Array | None, captions: pa.ChunkedArray) -> pa.Array | None:
    """Some captions and others, each once; None where they are many."""
    if few is None or not len(captions):
        return few
    found = pc.unique(pa.chunked_array([few, *captions.cast(schema.CAPTION).chunks]))
    return found if len(found) <= FEW_CAPTIONS else None


def _texts(lines: pa.Table) -> pa.ChunkedArray:
    """A packed hash of each caption with what is encoded with it."""
    return fingerprint.packed_of_strings(captions_stage.identities(lines))


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
