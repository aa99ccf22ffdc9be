"""Latents as the autoencoder gives them, for trainers that normalise by themselves."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hf_assets.errors import ModelError
from hf_assets.models import inputs, normalisation
from hf_assets.models.pipeline import Pipeline

if TYPE_CHECKING:
    import torch

    Undo = Callable[[torch.Tensor], torch.Tensor]


def undo_scaling(pipeline: Pipeline) -> "tuple[Undo, Undo]":
    """What takes the normalisation from a sample's latents, and from their deviation; both in float32.

    The numbers are those of the VAE's configuration; its weights aren't fetched.

    Raises:
        ModelError: the numbers are among the weights, or its latents are of patches.
    """
    vae, rule = inputs.without_weights(pipeline), normalisation.rule_of(pipeline)

    def scaling(latents: "torch.Tensor") -> normalisation.Scaling:
        found = normalisation.scaling_of(vae, latents[None], rule)
        if found.patchify or found.mean.is_meta or found.scale.is_meta:
            raise ModelError(
                f"{pipeline.name}: latents without normalisation can't be made of a {type(vae).__name__}'s, whose "
                "statistics are among its weights: choose another format"
            )
        return found

    def mean(latents: "torch.Tensor") -> "torch.Tensor":
        found = scaling(latents)
        return (latents[None].float() / found.scale + found.mean)[0]

    def deviation(latents: "torch.Tensor") -> "torch.Tensor":
        return (latents[None].float() / scaling(latents).scale.abs())[0]

    return mean, deviation
