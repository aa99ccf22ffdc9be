"""How many tokens some of the captions have, counted while their tokenizers are loaded anyway."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files
from hf_assets.blobs import Location
from hf_assets.folder import token_counts
from hf_assets.stages.captions import MAX_CHARACTERS

if TYPE_CHECKING:
    from hf_assets.models.text import TextEncoder

# The captions that are counted: those whose keys, which are hashes, come first.
COUNT = 1024
SCHEMA = pa.schema([pa.field("embed_key", pa.string()), pa.field("tokens", pa.int32())])


def chosen(keyed: pa.Table) -> pa.Table:
    """The captions to count.

    Args:
        keyed: `caption` and `embed_key` of all the dataset's captions.
    """
    pairs = keyed.select(["caption", "embed_key"])
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
    except Exception:  # a tokenizer that nobody tried: its embeds are stored and right, only this number is missing
        return
    if tokens is None:
        return
    kept = known.filter(pc.is_in(known["embed_key"], value_set=wanted["embed_key"].combine_chunks()))
    added = pa.table([new["embed_key"], pa.array(tokens, pa.int32())], schema=SCHEMA)
    files.write_table(token_counts(root), pa.concat_tables([kept, added]))


def counts_of(root: Location, keyed: pa.Table) -> np.ndarray:
    """The numbers of tokens of those of the captions that were counted."""
    known = _known_counts(root)
    found: np.ndarray = known.filter(pc.is_in(known["embed_key"], value_set=keyed["embed_key"].combine_chunks()))[
        "tokens"
    ].to_numpy()
    return found


def _known_counts(root: Location) -> pa.Table:
    table = files.read_table(token_counts(root))
    return SCHEMA.empty_table() if table is None or table.schema.names != SCHEMA.names else table
