"""Hugging Face datasets to latents and text embeddings for training diffusion models, as Dagster assets.

For other Dagster projects: the component `hf_assets.HuggingFaceDatasets`, and `hf_assets.build_definitions`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_assets.building import build_definitions as build_definitions
    from hf_assets.component import HuggingFaceDatasets as HuggingFaceDatasets

__all__ = ["HuggingFaceDatasets", "build_definitions"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: the reader needs no Dagster."""
    if name == "build_definitions":
        from hf_assets.building import build_definitions

        return build_definitions
    if name == "HuggingFaceDatasets":
        from hf_assets.component import HuggingFaceDatasets

        return HuggingFaceDatasets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """With the names that are imported later: `dg` looks for components here."""
    return sorted({*globals(), *__all__})
