"""The one rule that turns any autoencoder's posterior into the latents that its denoiser reads, and back.

Shape letters: B batch, C latent channels, f h w latent cells (frames, height, width), s latent steps of audio.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hf_assets.errors import ModelError
from hf_assets.models import families, model_loading
from hf_assets.models.pipeline import Pipeline

if TYPE_CHECKING:
    import torch

# What pipelines call an autoencoder that is quantized in its decoder only: they scale its latents by nothing, whatever
# its configuration or its class has for a factor.
MOVQ = "movq"
# What Stable Cascade's and Wuerstchen's pipelines call theirs, of which they decode latents times its `scale_factor`.
VQGAN, VQGAN_SCALE = "vqgan", 0.3764
SCHEDULER_CONFIG = "scheduler/scheduler_config.json"


class LatentSettings(BaseModel):
    """What of the posterior is stored, and how it is computed.

    Attributes:
        kind: `mode` is its mean; `sample` one draw from it; `moments` its mean and its deviation.
        tiling: whether large media are encoded in tiles, whose seams change the latents.
        norms, weights: other precisions than the one that all is computed in (`precision`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mode", "moments", "sample"] = "mode"
    tiling: bool = False
    norms: Literal["float32"] | None = None
    weights: Literal["float8"] | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings that came later change no hash of those who don't set them."""
        return {name: value for name, value in dump(self).items() if value is not None}

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that aren't the default ones: new settings leave old fingerprints as they are."""
        return self.model_dump(exclude_defaults=True)


class Rule(NamedTuple):
    """A family's row for latents, with what the row only names looked up.

    Attributes:
        multiplier: what latents are multiplied by besides.
    """

    family: families.Latents = families.Latents()
    multiplier: float = 1.0

    @property
    def changed(self) -> dict[str, Any]:
        """What differs from the rule without exceptions, for fingerprints."""
        defaults = families.Latents()._asdict()
        exceptions = {name: value for name, value in self.family._asdict().items() if value != defaults[name]}
        exceptions.pop("unsupported", None)
        return {**exceptions, "multiplier": self.multiplier} if self.multiplier != 1 else exceptions


NO_EXCEPTION = Rule()


def rule_of(pipeline: Pipeline) -> Rule:
    """How the pipeline departs from its VAE's configuration.

    Raises:
        ModelError: it scales by a number of its scheduler, which has none, or of which diffusers has no such class.
    """
    family = families.of(pipeline.class_name).latents
    if MOVQ in pipeline.components:
        family = family._replace(ignores_factor=True)
    if VQGAN in pipeline.components and family.factor is None:
        config = f"{VQGAN}/config.json"
        known = pipeline.repository.read_json(config) if config in pipeline.repository.paths else {}
        family = family._replace(factor=1 / float(known.get("scale_factor", VQGAN_SCALE)))
    return Rule(family, _sigma_data(pipeline) if family.times_sigma_data else 1.0)


class Scaling(NamedTuple):
    """`latents = (z - mean) * scale`, each broadcastable to (B, C, ...) in float32.

    Attributes:
        patchify: whether 2 x 2 cells become one with four times the channels before that.
    """

    mean: "torch.Tensor"
    scale: "torch.Tensor"
    patchify: bool = False


def normalise(vae: Any, z: "torch.Tensor", rule: Rule = NO_EXCEPTION) -> "torch.Tensor":
    """Latents as the denoiser expects them, computed in float32 and returned in the dtype of `z`.

    The pipelines compute this in the dtype of `z`; in float32 the two are equal.

    Args:
        z: (B, C, s), (B, C, h, w) or (B, C, f, h, w), of the posterior.

    Returns:
        the shape of `z`, or (B, 4C, h/2, w/2) for an autoencoder with batch-norm statistics (Flux 2).
    """
    return _apply(vae, z, rule, lambda cells, scaling: (cells - scaling.mean) * scaling.scale)


def normalise_deviation(vae: Any, deviation: "torch.Tensor", rule: Rule = NO_EXCEPTION) -> "torch.Tensor":
    """The deviation of the normalised latents: `normalise(mean) + normalise_deviation(std) * noise` is a draw."""
    return _apply(vae, deviation, rule, lambda cells, scaling: cells * scaling.scale.abs())


def denormalise(vae: Any, latents: "torch.Tensor", rule: Rule = NO_EXCEPTION) -> "torch.Tensor":
    """What the decoder reads: the inverse of `normalise`."""
    family = rule.family
    scaling = scaling_of(vae, latents, rule)
    cells = patchify(latents, family.patch_first) if scaling.patchify and family.undoes_patches else latents
    z = (cells.float() / scaling.scale + scaling.mean).to(latents.dtype)
    return unpatchify(z, family.patch_first) if scaling.patchify else z


def _apply(
    vae: Any, z: "torch.Tensor", rule: Rule, change: "Callable[[torch.Tensor, Scaling], torch.Tensor]"
) -> "torch.Tensor":
    family = rule.family
    scaling = scaling_of(vae, z, rule)
    cells = patchify(z, family.patch_first) if scaling.patchify else z
    changed = change(cells.float(), scaling).to(z.dtype)
    return unpatchify(changed, family.patch_first) if scaling.patchify and family.undoes_patches else changed


def scaling_of(vae: Any, like: "torch.Tensor", rule: Rule = NO_EXCEPTION) -> Scaling:
    """Read from the autoencoder which of diffusers' three rules is its own.

    Batch-norm statistics (Flux 2); else a mean and deviation for each channel, in the configuration (Wan, Qwen-Image,
    Mochi, some SDXL) or as buffers (LTX); else one factor and shift (all others).
    """
    import torch

    def per_channel(values: Any) -> torch.Tensor:
        numbers = torch.as_tensor(values, dtype=torch.float32)
        if not numbers.is_meta:  # of an autoencoder without its weights
            numbers = numbers.to(like.device)
        num_channels = like.shape[1]
        if like.ndim == 5 and len(numbers) > num_channels:  # Cosmos 1 has a number for each channel and latent frame
            return numbers.view(1, num_channels, -1, 1, 1)[:, :, : like.shape[2]]
        return numbers.view(1, -1, *[1] * (like.ndim - 2))

    if families.autoencoder(type(vae).__name__).normalises_itself:
        return Scaling(per_channel([0.0]), per_channel([1.0]))
    config, family = vae.config, rule.family
    statistics = dict(vae.named_children()).get("bn")
    if statistics is not None:
        eps = config.batch_norm_eps if family.batch_norm_eps is None else family.batch_norm_eps
        deviation = per_channel((statistics.running_var.float() + eps).sqrt())
        return Scaling(per_channel(statistics.running_mean), rule.multiplier / deviation, patchify=True)

    own_factor = None if family.ignores_factor else getattr(config, "scaling_factor", None)
    factor = (1.0 if own_factor is None else own_factor) if family.factor is None else family.factor
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    buffers = dict(vae.named_buffers(recurse=False))
    if mean is None and "latents_mean" in buffers:
        mean, std = buffers["latents_mean"], buffers["latents_std"]
    if mean is not None and std is not None:
        return Scaling(per_channel(mean), rule.multiplier * factor / per_channel(std))

    shift = None if family.ignores_shift else getattr(config, "shift_factor", None)
    return Scaling(per_channel([shift or 0.0]), per_channel([rule.multiplier * factor]))


def patchify(z: "torch.Tensor", patch_first: bool = False) -> "torch.Tensor":
    """(B, C, h, w) -> (B, 4C, h/2, w/2), in the channel order of diffusers' `Flux2Pipeline._patchify_latents`.

    Args:
        patch_first: in that of `Ideogram4Pipeline` instead.
    """
    batch, channels, height, width = z.shape
    cells = z.reshape(batch, channels, height // 2, 2, width // 2, 2)
    cells = cells.permute(0, 3, 5, 1, 2, 4) if patch_first else cells.permute(0, 1, 3, 5, 2, 4)
    return cells.reshape(batch, channels * 4, height // 2, width // 2)


def unpatchify(latents: "torch.Tensor", patch_first: bool = False) -> "torch.Tensor":
    """(B, 4C, h, w) -> (B, C, 2h, 2w)."""
    batch, channels, height, width = latents.shape
    if patch_first:
        cells = latents.reshape(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        cells = latents.reshape(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return cells.reshape(batch, channels // 4, height * 2, width * 2)


def _sigma_data(pipeline: Pipeline) -> float:
    """Of the pipeline's scheduler: its configuration's, else its class's own."""
    repository = pipeline.repository
    config = repository.read_json(SCHEDULER_CONFIG) if SCHEDULER_CONFIG in repository.paths else {}
    if "sigma_data" in config:
        return float(config["sigma_data"])
    kind = model_loading.class_of(repository, *pipeline.components["scheduler"])
    parameter = inspect.signature(kind.__init__).parameters.get("sigma_data")
    if parameter is None:
        raise ModelError(
            f"{pipeline.name}: its {kind.__name__} has no sigma_data, by which latents of {pipeline.class_name} are "
            "scaled: give it the scheduler of the original model"
        )
    return float(parameter.default)
