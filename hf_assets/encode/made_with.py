"""What a training set was made with, noted in its table: its config may say something else by now."""

import json
from typing import Any

import pyarrow as pa

from hf_assets.config.recipe import Recipe

KEY = b"hf_assets.made_with"


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The source, and the settings that aren't the usual ones: JSON."""
    return {
        "source": recipe.source.dataset_name,
        **{
            name: block.model_dump(mode="json", exclude_defaults=True)
            for name, block in (("model", recipe.model), ("settings", recipe.settings), ("filter", recipe.filter))
        },
    }


def to_metadata(recipe: Recipe) -> dict[bytes, bytes]:
    """Schema metadata that `noted` reads."""
    return {KEY: json.dumps(settings_of(recipe)).encode()}


def noted(schema: pa.Schema, recipe: Recipe) -> dict[str, Any]:
    """What a training set's table says; of an earlier release's, which says nothing, what its config says now."""
    found = (schema.metadata or {}).get(KEY)
    return settings_of(recipe) if found is None else dict(json.loads(found))
