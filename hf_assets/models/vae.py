"""The VAE side of a pipeline: images, videos or audio to latents and back, without a text encoder or denoiser.

Shape letters: B batch, C latent channels, F frames, H W pixels, S samples of audio, f h w s latent cells.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hf_assets.errors import ModelError
from hf_assets.models import acceleration, families, folding, inputs, model_loading, normalisation, precision
from hf_assets.models.components import vae_component
from hf_assets.models.inputs import RGB, RGBA, VaeInput
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import Component, Pipeline

# Bump when a change to this side of the package changes a latent.
VERSION = 1

if TYPE_CHECKING:
    import torch

    from hf_assets.models.model_loading import Device

# An autoencoder for images gets so many frames of a video at a time.
FRAMES_AT_A_TIME = 8


def load_vae(
    pipeline: Pipeline, device: "Device", dtype: "torch.dtype", settings: LatentSettings | None = None
) -> "Vae":
    """Load the pipeline's VAE, and nothing else of it.

    Raises:
        ModelError: there is no VAE, it can't be used with these settings, or its weights can't be loaded.
    """
    settings = settings or LatentSettings()
    component = vae_component(pipeline)
    reads = inputs.input_of(pipeline)  # before the weights: it may say that they are of no use
    if settings.kind != "mode" and not reads.has_distribution:
        raise ModelError(
            f"{pipeline.name}: {component.class_name} gives no distribution, so there are neither moments nor draws: "
            f'set latents to "mode", not "{settings.kind}"'
        )
    return Vae(pipeline, reads, settings, functools.partial(_open, component, device, settings), dtype)


def _open(component: Component, device: "Device", settings: LatentSettings, dtype: "torch.dtype") -> Any:
    """The autoencoder with its weights."""
    model = model_loading.load_model(component, device, dtype)
    folding.fold(model)
    if settings.tiling:
        try:
            model.enable_tiling()
        except (AttributeError, NotImplementedError) as error:
            raise ModelError(
                f"{component.repository.name}: {component.class_name} can't encode in tiles: set vae_tiling to false"
            ) from error
    return model


class Vae:
    """One autoencoder on one device.

    Use it in a `with` block: its memory is given back at the end, so that a text encoder finds room.

    Attributes:
        reads: what it can be given.
        dtype: of the weights and of the latents.
        batches: whether it may be given more than one sample at a time (it takes any number, and loops where not).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        reads: VaeInput,
        settings: LatentSettings,
        load: "Callable[[torch.dtype], Any]",
        dtype: "torch.dtype",
    ) -> None:
        model = load(dtype)
        self.reads = reads
        self.settings = settings
        self.device: Device = model.device
        self.dtype: torch.dtype = model.dtype
        if settings.weights == "float8":
            precision.weights_in_float8(model)
        if settings.norms == "float32":
            precision.norms_in_float32(model)
        self._row = families.autoencoder(type(model).__name__)
        self.batches = not self._row.one_at_a_time
        self._name = pipeline.name
        self._load = load
        self.model = model
        self._rule = normalisation.rule_of(pipeline)
        self._posterior: acceleration.Compute = self._compute

    @property
    def spatial_multiple(self) -> int:
        """What width and height in pixels must be multiples of."""
        return self.reads.spatial_multiple

    def encode(self, media: "torch.Tensor", *, in_float32: bool = False) -> "torch.Tensor":
        """Encode to the mean of the posterior, normalised as the denoiser expects: the same input, the same latents.

        Args:
            media: on any device, one of
                (B, 3, H, W) images, uint8, RGB, 0 to 255; H and W are multiples of `spatial_multiple`;
                (B, 3, F, H, W) videos, likewise; F is 1 + k x `reads.temporal_stride`;
                (B, `reads.num_channels`, S) audio at `reads.sample_rate_hz`, float, -1 to 1; S is a multiple of
                `reads.hop_samples`.
            in_float32: compute with the weights in float32: for samples that overflow in half precision.

        Returns:
            (B, C, h, w), (B, C, f, h, w) for a pipeline that makes videos (an image is one frame there), or (B, C, s),
            in the VAE's dtype, on its device. Values may be non-finite in half precision.
        """
        return self._encode(media, in_float32)["latents"]

    def encode_each(
        self, media: "torch.Tensor", seeds: Sequence[int], *, in_float32: bool = False
    ) -> "dict[str, torch.Tensor]":
        """Encode to what the settings want to be stored.

        Args:
            media: see `encode`.
            seeds: one for each sample, from which it is drawn where a draw is wanted, whatever batch it is in.
            in_float32: see `encode`.

        Returns:
            `latents`, and for moments `latents_std`, so that `latents + latents_std * noise` is a draw from the
            posterior; each as `encode` gives them, the dtype included.
        """
        return self._encode(media, in_float32, seeds)

    def decode(self, encoded: "torch.Tensor") -> "torch.Tensor":
        """Turn latents back into media, for looking at and listening to.

        Args:
            encoded: as `encode` returns them.

        Returns:
            (B, 3, H, W) or (B, 3, F, H, W) uint8, RGB, 0 to 255; or (B, channels, S) float32, -1 to 1; on the VAE's
            device.
        """
        import torch

        encoded = encoded.to(self.device, self.dtype)
        with torch.inference_mode():
            z = encoded.unsqueeze(2) if self._drops_frames else encoded
            if encoded.ndim == 5 and not self.reads.reads_frames:
                z, num_samples = z.transpose(1, 2).flatten(0, 1), len(z)
            z = normalisation.denormalise(self.model, z, self._rule)
            decoded = torch.cat([self._decode(part) for part in self._parts(z)])
            if self.reads.makes == "audio":
                return decoded.float().clamp(-1, 1)
            if encoded.ndim == 5 and not self.reads.reads_frames:
                decoded = decoded.reshape(num_samples, -1, *decoded.shape[1:]).transpose(1, 2)
            decoded = decoded.squeeze(2) if self._drops_frames else decoded
            black = self._row.black
            levels = (decoded[:, :RGB].float() - black) * (255 / (1 - black))
            return levels.round().clamp(0, 255).to(torch.uint8)

    def accelerate(self, *, channels_last: bool = False, compiled: bool = False, recorded: bool = False) -> None:
        """Make it faster on some GPUs (`acceleration`).

        Raises:
            ModelError: see `acceleration.compile_encoder`, `acceleration.CudaGraphs`.
        """
        if channels_last:
            acceleration.lay_out(self.model)
        if compiled:
            acceleration.compile_encoder(self.model)
        if recorded:
            self._posterior = acceleration.Recorded(self._compute)

    def release(self) -> None:
        """Give the memory back. The VAE can't be used afterwards."""
        self.model = None
        self._posterior = self._compute
        vars(self).pop("_in_float32", None)
        model_loading.free_memory(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def _drops_frames(self) -> bool:
        """Image pipelines on a video VAE (Qwen-Image) train on latents without frames; video pipelines keep them."""
        return self.reads.reads_frames and not self.reads.keeps_frames

    @functools.cached_property
    def _in_float32(self) -> Any:
        """Loaded when the first sample overflows: not all autoencoders can be copied."""
        import torch

        return self._load(torch.float32)

    def _compute(self, media: "torch.Tensor") -> inputs.Posterior:
        return inputs.posterior(self.model, media)

    def _encode(
        self, media: "torch.Tensor", in_float32: bool, seeds: Sequence[int] | None = None
    ) -> "dict[str, torch.Tensor]":
        import torch

        model = self._in_float32 if in_float32 else self.model
        with torch.inference_mode():
            read = self._audio(media) if self.reads.makes == "audio" else self._pixels(media)
            read = read.to(model.dtype if in_float32 else self.dtype)
            num_frames = read.shape[2] if read.ndim == 5 and not self.reads.reads_frames else None
            if num_frames is not None:
                read = read.transpose(1, 2).flatten(0, 1)
            compute = functools.partial(inputs.posterior, model) if in_float32 else self._posterior
            parts = [compute(part) for part in self._parts(read)]
            mean = torch.cat([mean for mean, _ in parts])
            tensors = {"latents": mean}
            if seeds is not None and self.settings.kind != "mode":
                deviation = torch.cat([deviation for _, deviation in parts if deviation is not None])
                if self.settings.kind == "moments":
                    tensors["latents_std"] = normalisation.normalise_deviation(model, deviation, self._rule)
                else:
                    tensors["latents"] = mean.float() + deviation.float() * _noise(mean, seeds)
            tensors["latents"] = normalisation.normalise(model, tensors["latents"], self._rule)
            return {name: self._with_frames(tensor, num_frames).to(self.dtype) for name, tensor in tensors.items()}

    def _pixels(self, media: "torch.Tensor") -> "torch.Tensor":
        """(B, channels, H, W) or (B, channels, F, H, W) float32, as the autoencoder reads them."""
        import torch

        assert media.dtype == torch.uint8, f"pixels are {media.dtype}, not uint8"
        assert media.ndim in (4, 5), f"pixels are neither images nor videos: {tuple(media.shape)}"
        assert media.shape[1] == RGB, f"pixels are not RGB: {tuple(media.shape)}"
        # Copied as uint8, a quarter of the bytes, and converted there in float32, as diffusers' processors do.
        black = self._row.black
        images = media.to(self.device, non_blocking=True).float().div(255 / (1 - black)).add(black)
        if self.reads.num_channels == RGBA:
            images = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
        if images.ndim == 4 and (self.reads.reads_frames or self.reads.keeps_frames):
            images = images.unsqueeze(2)
        if images.ndim == 5:
            num_frames, stride = images.shape[2], self.reads.temporal_stride
            assert num_frames == self.reads.fitting_frames(num_frames), f"{num_frames} frames are not 1 + k x {stride}"
            assert num_frames == 1 or self.reads.keeps_frames, f"{self._name} makes images, not videos"
        return images

    def _audio(self, media: "torch.Tensor") -> "torch.Tensor":
        assert media.is_floating_point(), f"audio is {media.dtype}, not float"
        assert media.ndim == 3, f"audio is no (B, channels, S): {tuple(media.shape)}"
        num_samples = media.shape[2]
        assert num_samples == self.reads.fitting_samples(num_samples), f"{num_samples} samples are no whole steps"
        return media.to(self.device, non_blocking=True).float()

    def _with_frames(self, tensor: "torch.Tensor", num_frames: int | None) -> "torch.Tensor":
        if num_frames is not None:
            return tensor.reshape(-1, num_frames, *tensor.shape[1:]).transpose(1, 2)
        return tensor.squeeze(2) if self._drops_frames else tensor

    def _decode(self, z: "torch.Tensor") -> "torch.Tensor":
        import torch

        decoded = self.model.decode(z, **_decoder_options(self.model, z))
        return decoded if isinstance(decoded, torch.Tensor) else decoded.sample

    def _parts(self, batch: "torch.Tensor") -> Sequence["torch.Tensor"]:
        import torch

        if not self.batches:
            return torch.split(batch, 1)
        are_frames_of_a_video = self.reads.keeps_frames and not self.reads.reads_frames
        return torch.split(batch, FRAMES_AT_A_TIME) if are_frames_of_a_video else [batch]


def _noise(like: "torch.Tensor", seeds: Sequence[int]) -> "torch.Tensor":
    """Standard normal numbers of the shape of `like`, each sample's from its own seed, the same on every device.

    Args:
        like: (B, ...) or (B x F, ...), B being the number of seeds.
    """
    import torch

    shape = (len(like) // len(seeds), *like.shape[1:])
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn).to(like.device)


def _decoder_options(vae: Any, z: "torch.Tensor") -> dict[str, Any]:
    """What three decoders want to know besides: that each frame is decoded alone, that no noise is left, and, as
    Kandinsky's pipelines ask it to, that latents are taken as they are.
    """
    import torch

    options: dict[str, Any] = {}
    if "num_frames" in inspect.signature(vae.decode).parameters:
        options["num_frames"] = 1
    if getattr(vae.config, "timestep_conditioning", False):
        options["temb"] = torch.zeros(len(z), device=z.device, dtype=z.dtype)
    if "force_not_quantize" in inspect.signature(vae.decode).parameters:
        options["force_not_quantize"] = True
    return options
