"""The VAE side of a pipeline: pixels to latents and back, without a text encoder or denoiser in memory.

Shape letters: B batch, C latent channels, F frames, H W pixels, f h w latent cells.
"""

import copy
import functools
import inspect
import math
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hf_assets.errors import ModelError
from hf_assets.models import families, latents, loading
from hf_assets.models.components import Component, vae_component
from hf_assets.models.prompt import pipeline_class
from hf_assets.models.source import Pipeline

# Bump when a change to this side of the package changes a latent.
VERSION = 1

if TYPE_CHECKING:
    import torch

    from hf_assets.models.loading import Device

# Large enough for two cells of the coarsest known autoencoder (64 px), and costs nothing on the meta device.
PROBE_SIDE_PX = 256


def load_vae(pipeline: Pipeline, device: "Device", dtype: "torch.dtype") -> "Vae":
    """Load the pipeline's VAE, and nothing else of it.

    Raises:
        ModelError: there is no VAE, it is not one for pictures, or its weights can't be loaded.
    """
    component = vae_component(pipeline)
    model = loading.load_model(component, device, dtype)
    _require_pictures(pipeline, component, model)
    return Vae(pipeline, model, device, dtype)


def spatial_multiple(pipeline: Pipeline) -> int:
    """What width and height in pixels must be multiples of. Needs the configurations only, no weights.

    It is lcm(pixels per latent cell x the denoiser's patch, what the pipeline's own image processor asks for), where
    the first is measured with a VAE on the meta device.

    Raises:
        ModelError: there is no VAE, or it is not one for pictures.
    """
    import torch

    component = vae_component(pipeline)
    vae = loading.shell(component.repository, component.library, component.class_name, component.folder)
    _require_pictures(pipeline, component, vae)
    frames = (1,) if _reads_frames(vae) else ()
    with torch.inference_mode():
        z = _posterior_mean(vae, torch.empty(1, 3, *frames, PROBE_SIDE_PX, PROBE_SIDE_PX, device="meta"))
    cell_px = PROBE_SIDE_PX // z.shape[-1]

    processor = _processor(pipeline, vae)
    asked_px = 1 if processor is None else processor.config.vae_scale_factor
    return math.lcm(cell_px * _denoiser_patch(pipeline), asked_px)


class Vae:
    """One autoencoder on one device.

    Use it in a `with` block: its memory is given back at the end, so that a text encoder finds room.

    Attributes:
        dtype: of the weights and of the latents.
        batches: whether it may be given more than one sample at a time (it takes any number, and loops where not).
    """

    def __init__(self, pipeline: Pipeline, model: Any, device: "Device", dtype: "torch.dtype") -> None:
        self.device = device
        self.dtype = dtype
        self.batches = type(model).__name__ not in families.ONE_AT_A_TIME
        self._model = model
        self._pipeline = pipeline
        self._ignores_shift = families.of(pipeline.class_name).latents.ignores_shift
        self._reads_frames = _reads_frames(model)
        # Image pipelines on a video VAE (Qwen-Image) train on latents without a frame axis; video pipelines keep it.
        self._drops_frames = self._reads_frames and not _makes_videos(pipeline)

    @functools.cached_property
    def spatial_multiple(self) -> int:
        """What width and height in pixels must be multiples of."""
        return spatial_multiple(self._pipeline)

    def encode(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """Encode to the mean of the posterior, normalised as the denoiser expects: the same input, the same latents.

        Args:
            pixels: (B, 3, H, W) pictures or (B, 3, F, H, W) videos, uint8, RGB, 0 to 255, on any device. H and W are
                multiples of `spatial_multiple`.

        Returns:
            (B, C, h, w), or (B, C, f, h, w) for a pipeline that makes videos (a picture is one frame there), in the
            VAE's dtype, on its device. Values may be non-finite in half precision: see `encode_float32`.
        """
        return self._encode(self._model, pixels)

    def encode_float32(self, pixels: "torch.Tensor") -> "torch.Tensor":
        """Encode with a float32 copy of the weights: for samples that overflow in half precision.

        The copy lives for this call only. Arguments and result are those of `encode`, the dtype included.
        """
        import torch

        model = copy.deepcopy(self._model).to(torch.float32)
        return self._encode(model, pixels).to(self.dtype)

    def decode(self, encoded: "torch.Tensor") -> "torch.Tensor":
        """Turn latents back into pixels, for looking at.

        Args:
            encoded: as `encode` returns them.

        Returns:
            (B, 3, H, W) or (B, 3, F, H, W) uint8, RGB, 0 to 255, on the VAE's device.
        """
        import torch

        encoded = encoded.to(self.device, self.dtype)
        with torch.inference_mode():
            z = latents.denormalise(self._model, encoded, ignores_shift=self._ignores_shift)
            z = z.unsqueeze(2) if self._drops_frames else z
            decoded = torch.cat([self._model.decode(part, return_dict=False)[0] for part in self._parts(z)])
            decoded = decoded.squeeze(2) if self._drops_frames else decoded
            return decoded.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)

    def release(self) -> None:
        """Give the memory back. The VAE can't be used afterwards."""
        self._model = None
        loading.free_memory(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _encode(self, model: Any, pixels: "torch.Tensor") -> "torch.Tensor":
        import torch

        assert pixels.dtype == torch.uint8, f"pixels are {pixels.dtype}, not uint8"
        assert pixels.ndim == 4 or self._reads_frames, f"this VAE reads (B, 3, H, W), not {tuple(pixels.shape)}"
        with torch.inference_mode():
            # Copied as uint8, a quarter of the bytes, and converted there in float32, as diffusers' processors do.
            images = pixels.to(self.device, non_blocking=True).float().div(127.5).sub(1).to(model.dtype)
            images = images.unsqueeze(2) if self._reads_frames and images.ndim == 4 else images
            z = torch.cat([_posterior_mean(model, part) for part in self._parts(images)])
            normalised = latents.normalise(model, z, ignores_shift=self._ignores_shift)
            return normalised.squeeze(2) if self._drops_frames else normalised

    def _parts(self, batch: "torch.Tensor") -> list["torch.Tensor"]:
        return [batch] if self.batches else [batch[index : index + 1] for index in range(len(batch))]


def _posterior_mean(vae: Any, images: "torch.Tensor") -> Any:
    output = vae.encode(images)
    if hasattr(output, "latent_dist"):
        return output.latent_dist.mode()
    return output.latent if hasattr(output, "latent") else output.latents


def _reads_frames(vae: Any) -> bool:
    import torch

    return any(isinstance(layer, torch.nn.Conv3d) for layer in vae.modules())


def _require_pictures(pipeline: Pipeline, component: Component, vae: Any) -> None:
    import torch

    if any(isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d) for layer in vae.modules()):
        raise ModelError(
            f"{pipeline.name}: {component.class_name} encodes sound, not pictures: "
            "choose a pipeline that makes pictures or videos"
        )


def _bare_pipeline(pipeline: Pipeline, vae: Any) -> Any:
    """The pipeline object around nothing but a VAE: for what its constructor derives from the VAE's configuration."""
    kind = pipeline_class(pipeline)
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    empty = {parameter.name: None for parameter in parameters if parameter.default is inspect.Parameter.empty}
    with loading.quiet():
        return kind(**{**empty, "vae": vae})


def _processor(pipeline: Pipeline, vae: Any) -> Any:
    bare = _bare_pipeline(pipeline, vae)
    return getattr(bare, "image_processor", None) or getattr(bare, "video_processor", None)


def _makes_videos(pipeline: Pipeline) -> bool:
    component = vae_component(pipeline)
    vae = loading.shell(component.repository, component.library, component.class_name, component.folder)
    return hasattr(_bare_pipeline(pipeline, vae), "video_processor")


def _denoiser_patch(pipeline: Pipeline) -> int:
    """How many latent cells, in height or width, become one token of the denoiser."""
    for name in ("transformer", "unet"):
        config = f"{name}/config.json"
        if config in pipeline.repository.paths:
            patch = pipeline.repository.read_json(config).get("patch_size") or 1
            return int(patch[-1] if isinstance(patch, list) else patch)
    return 1
