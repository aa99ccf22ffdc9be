"""How many tokens some of the captions have, counted while their tokenizers are loaded anyway."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, schema
from hf_assets.blobs import Location
from hf_assets.folder import token_counts
from hf_assets.stages.captions import MAX_CHARACTERS

if TYPE_CHECKING:
    from hf_assets.models.text import TextEncoder

# The captions that are counted: those whose keys, which are hashes, come first.
COUNT = 65_536
# `cut_by`: the tokenizers that cut the caption, each with its limit: `tokenizer 77`.
SCHEMA = pa.schema(
    [
        pa.field("embed_key", pa.string()),
        pa.field("tokens", pa.int32()),
        pa.field("cut_by", pa.list_(pa.string())),
    ]
)
NUM_LONGEST = 5


class Cuts(NamedTuple):
    """Which of the captions that were counted are cut.

    Attributes:
        by: how many each tokenizer cuts, by its name and limit.
        longest: some of them with their tokens, the longest first.
    """

    num_counted: int
    num_cut: int
    by: dict[str, int]
    longest: list[tuple[int, str]]


def chosen(keyed: pa.Table) -> pa.Table:
    """The captions to count; the empty one is none of the dataset's.

    Args:
        keyed: `caption` and `embed_key` of all the dataset's captions.
    """
    pairs = keyed.select(["caption", "embed_key"])
    pairs = pairs.filter(pc.not_equal(pairs["caption"], schema.EMPTY_CAPTION))
    pairs = pairs.filter(pc.less_equal(pc.utf8_length(pairs["caption"]), MAX_CHARACTERS))
    return pairs.take(pc.select_k_unstable(pairs, COUNT, [("embed_key", "ascending")]))


def count(root: Location, wanted: pa.Table, text: "TextEncoder") -> None:
    """Count the tokens of those captions that weren't counted before.

    Args:
        wanted: see `chosen`.
    """
    known = _known_counts(root)
    new = wanted.filter(pc.invert(pc.is_in(wanted["embed_key"], value_set=known["embed_key"].combine_chunks())))
    try:
        tokens = text.num_tokens(new["caption"].to_pylist()) if len(new) else None
        limits = text.tokens(new["caption"].to_pylist()) if len(new) else {}
    except Exception:  # a tokenizer that nobody tried: its embeds are stored and right, only this number is missing
        return
    if tokens is None:
        return
    cut_by = [
        [f"{name} {one.limit}" for name, one in limits.items() if one.tokens[at] > one.limit] for at in range(len(new))
    ]
    columns = [new["embed_key"], pa.array(tokens, pa.int32()), pa.array(cut_by, SCHEMA.field("cut_by").type)]
    added = pa.table(columns, schema=SCHEMA)

    def with_added(table: pa.Table | None) -> pa.Table:
        there = _checked(table)
        is_kept = pc.is_in(there["embed_key"], value_set=wanted["embed_key"].combine_chunks())
        is_new = pc.invert(pc.is_in(added["embed_key"], value_set=there["embed_key"].combine_chunks()))
        return pa.concat_tables([there.filter(is_kept), added.filter(is_new)])

    files.update_table(token_counts(root), with_added)


class Counted:
    """Those of some captions that were counted; captions come in several tables.

    Attributes:
        num_captions: all that came, without the empty one.
    """

    def __init__(self, root: Location) -> None:
        self._root, self.num_captions = root, 0
        self._known: pa.Table | None = None

    def add(self, keyed: pa.Table) -> None:
        """
        Args:
            keyed: `caption` and `embed_key`. When the first ones come, all were counted that will be.
        """
        if self._known is None:
            self._known = _known_counts(self._root)
            self._captions = pa.nulls(len(self._known), pa.large_string())
        self.num_captions += pc.sum(pc.not_equal(keyed["caption"], schema.EMPTY_CAPTION)).as_py() or 0
        known = self._known["embed_key"].combine_chunks()
        if not len(known):
            return
        # these are the first ones in their order, so of very many only few are compared
        keyed = keyed.filter(pc.less_equal(keyed["embed_key"], pc.max(known)))
        at = pc.index_in(known, value_set=keyed["embed_key"].combine_chunks())
        captions = keyed["caption"].cast(pa.large_string()).combine_chunks()
        self._captions = pc.coalesce(self._captions, captions.take(at))

    @property
    def _counts(self) -> pa.Table:
        if self._known is None:
            return SCHEMA.append(pa.field("caption", pa.large_string())).empty_table()
        is_there = pc.is_valid(self._captions)
        return self._known.append_column("caption", self._captions).filter(is_there)

    @property
    def tokens(self) -> np.ndarray:
        """The number of tokens of each."""
        found: np.ndarray = self._counts["tokens"].to_numpy()
        return found

    def cuts(self) -> Cuts:
        """Which of them are cut."""
        counts = self._counts
        cut = counts.filter(pc.greater(pc.list_value_length(counts["cut_by"]), 0))
        by = {one["values"]: one["counts"] for one in pc.value_counts(pc.list_flatten(cut["cut_by"])).to_pylist()}
        longest = cut.take(pc.select_k_unstable(cut, min(NUM_LONGEST, len(cut)), [("tokens", "descending")]))
        pairs = list(zip(longest["tokens"].to_pylist(), longest["caption"].to_pylist(), strict=True))
        return Cuts(len(counts), len(cut), by, pairs)


def _known_counts(root: Location) -> pa.Table:
    return _checked(files.read_table(token_counts(root)))


def _checked(table: pa.Table | None) -> pa.Table:
    """The table, if it is one of these."""
    return SCHEMA.empty_table() if table is None or table.schema.names != SCHEMA.names else table
