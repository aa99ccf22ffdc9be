"""Which version of the decoder looked at media: the table of buckets says so, since what it found is part of keys.

So a table of another version is never used for decoding.
"""

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.errors import DatasetError
from hf_assets.kinds.medium import medium_of
from hf_assets.media import steps

DECODER = b"hf_assets.decoder"


def with_decoder_version(table: pa.Table, recipe: Recipe) -> pa.Table:
    """The table, with the decoder's version in its schema metadata."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), DECODER: medium_of(recipe).probed_by})


def confirm(buckets: pa.Table, recipe: Recipe) -> None:
    """Make sure that media are decoded by the version that looked at them.

    Raises:
        DatasetError: they were looked at by another.
    """
    found = (buckets.schema.metadata or {}).get(DECODER, b"").decode()
    if found != medium_of(recipe).probed_by:
        raise DatasetError(
            f"the media of {recipe.id} were last probed by another version of hf_assets: materialize buckets again"
        )


def counts(buckets: pa.Table) -> dict[str, int]:
    """How many samples were converted in colour, tone-mapped, or read otherwise than plainly; only what there is."""
    decoding = buckets[schema.DECODING.name]
    if decoding.null_count == len(decoding):
        return {}
    groups = {"colour_converted": (*steps.CONVERTED, *steps.TONE_MAPPED), "tone_mapped": steps.TONE_MAPPED}
    found = {"decoded_specially": len(decoding) - decoding.null_count}
    for name, members in groups.items():
        pattern = rf"(^| )({'|'.join(members)})-"
        found[name] = pc.sum(pc.match_substring_regex(decoding, pattern)).as_py() or 0
    return {name: count for name, count in found.items() if count}
