"""The rows of the training set, put together from the tables of what was made of them, a bounded number at a time.

Rows meet by their number. Captions meet their embeds by a hash, on the disk: a caption's embed may have been made for
any row before.
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
from hf_assets.config.recipe import Recipe
from hf_assets.kinds.medium import medium_of
from hf_assets.stages import captions as captions_stage
from hf_assets.stages import joining, naming
from hf_assets.stages.aligning import Cursor, Tables, side_by_side
from hf_assets.store import spilling
from hf_assets.store.spilling import DistinctTexts, SpilledRows

_LINE = pa.field("row", pa.int64())
_TEXT, _KEY = pa.field("text", fingerprint.PACKED), pa.field("embed_key", fingerprint.PACKED)
_NAMED = pa.schema([pa.field("key", fingerprint.PACKED)])
# So many keys are made different ones at once.
NAMED_ROWS = 262_144


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
        text_embeds: Tables,
    ) -> None:
        self._medium, self._has_text = medium_of(recipe), recipe.model.pipeline.has_text
        self._raw_dataset, self._captions, self._buckets = raw_dataset, captions, buckets
        self._latents, self._embeds = vae_latents, text_embeds
        self.num_incomplete = 0

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="hf-assets-training-set-")
        self._media = DistinctTexts().__enter__()
        place = Path(self._folder.name)
        self._named = {name: SpilledRows(place / name, _NAMED, "key") for name in ("latents", "embeds")}
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
            self.num_incomplete += len(rows) - len(table)
            self._media.add(table["media_hash"])
            for name, keys in (("latents", table["latent_key"]), ("embeds", joining.embed_keys_of(table))):
                self._named[name].add(pa.table([fingerprint.pack(keys)], schema=_NAMED))
            yield table

    def keys(self) -> Iterator[pa.Array]:
        """The keys of the latents, and then of the embeds, that these rows name, each once."""
        for spilled in self._named.values():
            for piece in spilled.pieces(NAMED_ROWS):
                yield fingerprint.unpack(pa.chunked_array([pc.unique(piece["key"])])).combine_chunks()

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
        for embeds in self._embeds():
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._media.__exit__(kind, error, trace)
        for spilled in self._named.values():
            spilled.close()
        self._folder.cleanup()


def _texts(lines: pa.Table) -> pa.ChunkedArray:
    """A packed hash of each caption with what is encoded with it."""
    return fingerprint.packed_of_strings(captions_stage.identities(lines))
