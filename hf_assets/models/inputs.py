"""What a pipeline's VAE can be given, found out from configurations alone: no weights are loaded.

Shape letters: B batch, F frames, H W pixels, S samples of audio.
"""

import contextlib
import inspect
import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hf_assets.errors import ModelError
from hf_assets.models import class_memory, families, model_loading, normalisation
from hf_assets.models.components import vae_component
from hf_assets.models.pipeline import Component, Pipeline
from hf_assets.models.prompt import pipeline_class

if TYPE_CHECKING:
    import torch

# Bump when `input_of` finds something else in the same classes and configurations.
VERSION = 1

# Large enough for two cells of the coarsest known autoencoder (64 px), and costs nothing on the meta device.
PROBE_SIDE_PX = 256
# Every known temporal stride (4, 6, 8) divides it.
PROBE_FRAMES, PROBE_FRAMES_SIDE_PX = 24, 64
PROBE_SECONDS = 1

RGB, RGBA = 3, 4


class VaeInput(NamedTuple):
    """The media that a pipeline's VAE reads.

    Attributes:
        makes: what the pipeline makes of its latents. One that makes videos also reads images, as one frame.
        num_channels: 3 for RGB, 4 where an opaque alpha channel is added to it, or the channels of audio.
        reads_frames: whether the autoencoder itself takes (B, 3, F, H, W); else frames are images to it.
        spatial_multiple: what width and height in pixels must be multiples of; 1 for audio.
        temporal_stride: frames per latent frame after the first one, which stands for itself; 1 where each does.
        sample_rate_hz: of audio; None for images and videos.
        hop_samples: samples of audio per latent step; None for images and videos.
        has_distribution: whether it gives a mean and a deviation, and not just latents.
    """

    makes: Literal["image", "video", "audio"]
    num_channels: int
    reads_frames: bool = False
    spatial_multiple: int = 1
    temporal_stride: int = 1
    sample_rate_hz: int | None = None
    hop_samples: int | None = None
    has_distribution: bool = True

    @property
    def keeps_frames(self) -> bool:
        """Whether latents have a frame axis: as the denoiser reads them, whatever the autoencoder is made for."""
        return self.makes == "video"

    def fitting_frames(self, num_frames: int) -> int:
        """The largest number of frames, at most `num_frames`, that the VAE encodes without leaving out any: 1 + k t."""
        return num_frames - (num_frames - 1) % self.temporal_stride

    def fitting_samples(self, num_samples: int) -> int:
        """The largest number of samples of audio, at most `num_samples`, that is whole latent steps."""
        return num_samples - num_samples % (self.hop_samples or 1)


def input_of(pipeline: Pipeline) -> VaeInput:
    """Measure with a VAE on the meta device. Only small configuration files are fetched.

    Raises:
        ModelError: there is no VAE, or it reads neither images nor videos nor audio.
    """
    component = vae_component(pipeline)
    vae = _without_weights(component)
    if (rate := sample_rate_hz(vae)) is not None:
        return _audio(pipeline, component, vae, rate)
    num_channels, reads_frames, made = _measure_images(pipeline, component, vae)
    return VaeInput(
        makes="video" if _makes_videos(pipeline, reads_frames) else "image",
        num_channels=num_channels,
        reads_frames=reads_frames,
        spatial_multiple=_spatial_multiple(pipeline, component.name, vae, made.mean),
        temporal_stride=_temporal_stride(vae, num_channels) if reads_frames else 1,
        has_distribution=made.deviation is not None,
    )


def without_weights(pipeline: Pipeline) -> Any:
    """The pipeline's VAE on the meta device: its configuration and shapes.

    Raises:
        ModelError: there is none, or it can't be made.
    """
    return _without_weights(vae_component(pipeline))


def remembered_input(pipeline: Pipeline) -> VaeInput:
    """`input_of`, which is the same for one version of diffusers and one configuration (`class_memory`).

    Raises:
        ModelError: see `input_of`.
    """
    component = vae_component(pipeline)
    config = f"{component.folder}/config.json".lstrip("/")
    if config not in component.repository.paths:
        return input_of(pipeline)  # which says so
    question = [
        *("input", VERSION, pipeline.class_name, component.class_name, component.repository.read_json(config)),
        *(_denoiser_patch(pipeline), str(families.of(pipeline.class_name).latents)),
        str(families.autoencoder(component.class_name)),
    ]
    return VaeInput(**class_memory.recall(question, lambda: input_of(pipeline)._asdict()))


def spatial_multiple(pipeline: Pipeline) -> int:
    """What width and height in pixels must be multiples of. Needs the configurations only, no weights.

    It is lcm(pixels per latent cell x the denoiser's patch, what the pipeline's own image processor asks for), where
    the first is measured with a VAE on the meta device, or what the table of families says.

    Raises:
        ModelError: the pipeline makes audio, or see `input_of`.
    """
    reads = remembered_input(pipeline)
    if reads.makes == "audio":
        raise ModelError(f"{pipeline.name} makes audio: choose a pipeline that makes images or videos")
    return reads.spatial_multiple


def sample_rate_hz(vae: Any) -> int | None:
    """Of the audio that an autoencoder reads; None if it reads images."""
    rate = getattr(vae.config, "sampling_rate", None) or getattr(vae.config, "sample_rate", None)
    return None if rate is None else int(rate)


class Posterior(NamedTuple):
    """What an autoencoder makes of media.

    Attributes:
        deviation: in the shape of the mean; None for an autoencoder that gives no distribution, but latents alone.
    """

    mean: "torch.Tensor"
    deviation: "torch.Tensor | None"


def posterior(vae: Any, media: "torch.Tensor") -> Posterior:
    """Encode, with any autoencoder of diffusers."""
    # LongCat's autoencoder draws unless it is asked not to.
    settled = {"sample_posterior": False} if "sample_posterior" in inspect.signature(vae.encode).parameters else {}
    output = vae.encode(media, **settled)
    distribution = getattr(output, "latent_dist", None)
    if distribution is not None:
        mean = distribution.mode()
        deviation = getattr(distribution, "std", None)
        return Posterior(mean, None if deviation is None else deviation.expand_as(mean))
    return Posterior(output.latent if hasattr(output, "latent") else output.latents, None)


def _without_weights(component: Component) -> Any:
    """The VAE on the meta device."""
    import diffusers

    at = f"{component.repository.name}/{component.folder}".rstrip("/")
    kind = model_loading.class_of(component.repository, component.library, component.class_name)
    if not issubclass(kind, diffusers.ModelMixin) or not (hasattr(kind, "encode") and hasattr(kind, "decode")):
        raise ModelError(f"{at} holds a {component.class_name}, which is no autoencoder: name one with the key vae")
    if f"{component.folder}/config.json".lstrip("/") not in component.files:
        raise ModelError(f"{at} has no config.json: fetch the model again")
    try:
        vae = model_loading.shell(component.repository, component.library, component.class_name, component.folder)
        return vae.to("meta")  # what was made at import is elsewhere (Cosmos)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{at} can't be made a {component.class_name}: {error}") from error


def _has_frames(vae: Any) -> bool:
    """Stable Video Diffusion's has frames in its decoder only, and Qwen-Image 2.1's none that shows."""
    import torch

    return any(isinstance(layer, torch.nn.Conv3d) for layer in getattr(vae, "encoder", vae).modules())


def _measure_images(pipeline: Pipeline, component: Component, vae: Any) -> tuple[int, bool, Posterior]:
    """Channels of the images that it reads, whether it wants a frame axis, and what it makes of one image."""
    side = PROBE_SIDE_PX
    likely = _has_frames(vae)
    shapes = [
        (num_channels, reads_frames, (1, num_channels, *((1,) if reads_frames else ()), side, side))
        for reads_frames in (likely, not likely)
        for num_channels in (RGB, RGBA)
    ]
    reasons = []
    for num_channels, reads_frames, shape in shapes:
        made = _try(vae, shape)
        if not isinstance(made, Exception) and made.mean.ndim == len(shape):
            return num_channels, reads_frames, made
        reasons.append(made)
    raise ModelError(
        f"{pipeline.name}: {component.class_name} encodes neither images nor videos nor waveforms "
        f"({_first_line(reasons[0])}): choose a pipeline that makes one of them"
    )


def _try(vae: Any, shape: tuple[int, ...]) -> Posterior | Exception:
    """What it makes of something of that shape, or what it says against it."""
    import torch

    try:
        with torch.inference_mode():
            return posterior(vae, torch.empty(shape, device="meta"))
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        return error


def _first_line(reason: object) -> str:
    return str(reason).partition("\n")[0]


def _spatial_multiple(pipeline: Pipeline, name: str, vae: Any, z: "torch.Tensor") -> int:
    if (listed := families.of(pipeline.class_name).latents.spatial_multiple) is not None:
        return listed
    cell_px = PROBE_SIDE_PX // normalisation.normalise(vae, z, normalisation.rule_of(pipeline)).shape[-1]
    return math.lcm(cell_px * _denoiser_patch(pipeline), _processor_multiple(pipeline, name, vae))


def _temporal_stride(vae: Any, num_channels: int) -> int:
    side = PROBE_FRAMES_SIDE_PX
    one, many = (_try(vae, (1, num_channels, frames, side, side)) for frames in (1, 1 + PROBE_FRAMES))
    if isinstance(one, Exception) or isinstance(many, Exception):
        return 1  # it has a frame axis, and reads images only (Qwen-Image 2.1)
    return PROBE_FRAMES // (many.mean.shape[2] - one.mean.shape[2])


def _audio(pipeline: Pipeline, component: Component, vae: Any, rate: int) -> VaeInput:
    names = ("audio_channels", "num_channels", "in_channels", "input_channels", "dec_out_channels")
    listed = [int(vae.config[name]) for name in names if name in vae.config]
    reasons = []
    for num_channels in dict.fromkeys([*listed, 1]):
        made = _try(vae, (1, num_channels, rate * PROBE_SECONDS))
        if not isinstance(made, Exception) and made.mean.ndim == 3:
            hop = _hop_samples(vae, made.mean.shape[-1], rate)
            draws = made.deviation is not None
            return VaeInput("audio", num_channels, sample_rate_hz=rate, hop_samples=hop, has_distribution=draws)
        reasons.append(made)
    raise ModelError(
        f"{pipeline.name}: {component.class_name} encodes no waveforms ({_first_line(reasons[0])}): "
        "choose a pipeline whose VAE reads audio itself, and not its spectrogram"
    )


def _hop_samples(vae: Any, num_steps: int, rate: int) -> int:
    known = {**vae.config, **vars(vae)}
    for name in ("hop_length", "downsampling_ratio"):
        if known.get(name) is not None:
            return int(known[name])
    for name in ("downsampling_ratios", "encoder_rates"):
        if name in vae.config:
            return math.prod(vae.config[name])
    return rate * PROBE_SECONDS // num_steps


def _makes_videos(pipeline: Pipeline, reads_frames: bool) -> bool:
    """By the processor that the pipeline's constructor makes: its source is read, since some can't be called bare."""
    source = "".join(
        inspect.getsource(kind.__init__)
        for kind in pipeline_class(pipeline).__mro__
        if kind.__module__.startswith("diffusers.pipelines.") and "__init__" in vars(kind)
    )
    return "self.video_processor" in source or (reads_frames and "self.image_processor" not in source)


def _processor_multiple(pipeline: Pipeline, name: str, vae: Any) -> int:
    """What the pipeline's own processor asks width and height to be multiples of: 1 if it has none.

    The pipeline object is built around nothing but a VAE. Some constructors stop at another component that isn't
    there; they have made the processor before that, or else the rule has to do without.
    """
    kind = pipeline_class(pipeline)
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    empty = {parameter.name: None for parameter in parameters if parameter.default is inspect.Parameter.empty}
    bare = kind.__new__(kind)
    stopped = (AttributeError, ImportError, NameError, TypeError, ValueError)
    with model_loading.quiet(), contextlib.suppress(*stopped):
        bare.__init__(**{**empty, name: vae})
    made = vars(bare)
    processor = made.get("image_processor") or made.get("video_processor")
    return 1 if processor is None else int(processor.config.vae_scale_factor)


def _denoiser_patch(pipeline: Pipeline) -> int:
    """How many latent cells, in height or width, become one token of the denoiser."""
    for name in ("transformer", "unet"):
        config = f"{name}/config.json"
        if config in pipeline.repository.paths:
            patch = pipeline.repository.read_json(config).get("patch_size") or 1
            return int(patch[-1] if isinstance(patch, list) else patch)
    return 1
