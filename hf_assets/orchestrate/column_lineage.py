"""From which columns of the assets above each column comes, as the page's column lineage shows it."""

from collections.abc import Iterable

import dagster as dg

from hf_assets import schema
from hf_assets.config.recipe import Recipe
from hf_assets.kinds.medium import medium_of

PLACE = tuple(("raw_dataset", name) for name in schema.LOCATION.names)
# By asset and column; a column that isn't named comes from that of its name in the first asset of `SAME`, if any.
ORIGINS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "captions": dict.fromkeys(("captions", "lyrics"), (("filtered", schema.COLUMNS),)),
    "text_embeds": {
        "caption": (("captions", "captions"),),
        "embed_key": (("captions", "captions"),),
        "lyrics": (("captions", "lyrics"),),
    },
    "training_set": {
        "source_path": (("raw_dataset", "source_path"),),
        "file": (("raw_dataset", "row"),),
        "captions": (("captions", "captions"),),
        "lyrics": (("captions", "lyrics"),),
        "latent_key": (("vae_latents", "latent_key"),),
        "latent_shape": (("vae_latents", "latent_shape"),),
        "embed_keys": (("text_embeds", "embed_key"),),
        "empty_caption_key": (("text_embeds", "embed_key"),),
    },
}
SAME = {"filtered": "raw_dataset", "captions": "filtered", "vae_latents": "buckets", "training_set": "buckets"}
# Where tensors lie, and how audio is cut, follows from no column.
OWN = {"shard", "num_bytes"}


def of(recipe: Recipe, asset: str, columns: Iterable[str]) -> dg.TableColumnLineage | None:
    """The lineage of a stage's table; None where nothing is above it."""
    deps = {name: _deps(recipe, asset, name) for name in columns if name not in OWN}
    found = {
        name: [dg.TableColumnDep(dg.AssetKey(recipe.key(above)), column) for above, column in origins]
        for name, origins in deps.items()
        if origins
    }
    return dg.TableColumnLineage(found) if found else None


def _deps(recipe: Recipe, asset: str, column: str) -> tuple[tuple[str, str], ...]:
    if (named := ORIGINS.get(asset, {}).get(column)) is not None:
        return named
    if asset == "buckets":
        return (("captions", "row"),) if column == "row" else PLACE
    if asset == "vae_latents" and column != "row":
        return tuple(("buckets", name) for name in ("media_hash", *medium_of(recipe).keyed))
    return ((SAME[asset], column),) if asset in SAME else ()
