"""What neither a pipeline's configuration nor its code tells: one row for each pipeline class.

A pipeline without a row works by the rules alone, as `Family()` says.
"""

from typing import Literal, NamedTuple


class Shell(NamedTuple):
    """A component of which the text side reads the configuration, so that it can't be None there.

    Attributes:
        unless: the component that makes this one unnecessary, where there is one.
    """

    component: str
    unless: str | None = None


class Text(NamedTuple):
    """What is special about a family's captions.

    Attributes:
        batches: whether one forward over several captions gives each caption what it gets alone, to 1e-5 (tested). All
            others are encoded one caption at a time: some pad to the longest caption of the batch.
        shell: the component to stand in for without its weights.
    """

    batches: bool = False
    shell: Shell | None = None


class Latents(NamedTuple):
    """How a family's latents depart from what the VAE's own configuration says.

    Attributes:
        unsupported: why they can't be made, if so.
        ignores_shift: whether the pipeline ignores the configuration's shift_factor.
        ignores_factor: whether it ignores the configuration's scaling_factor.
        factor: what it puts in place of that scaling_factor.
        times_sigma_data: whether it multiplies by the sigma_data of its scheduler.
        batch_norm_eps: what it puts in place of the configuration's batch_norm_eps.
        patch_first: whether the channels of a 2 x 2 patch are ordered by their place in the patch first.
        undoes_patches: whether the patches are taken apart again after they are normalised.
        spatial_multiple: what width and height in pixels must be multiples of, where the rule finds another number.
    """

    unsupported: str | None = None
    ignores_shift: bool = False
    ignores_factor: bool = False
    factor: float | None = None
    times_sigma_data: bool = False
    batch_norm_eps: float | None = None
    patch_first: bool = False
    undoes_patches: bool = False
    spatial_multiple: int | None = None


class Autoencoder(NamedTuple):
    """What an autoencoder class needs, in whichever pipeline.

    Attributes:
        one_at_a_time: whether it fails on a batch of more than one.
        normalises_itself: whether its `encode` gives normalised latents already.
        black: the number for black; white is 1.
        unsupported: why it can't be used, if so.
    """

    one_at_a_time: bool = False
    normalises_itself: bool = False
    black: float = -1.0
    unsupported: str | None = None


class Family(NamedTuple):
    """One row of the table.

    Attributes:
        repository: an example on the Hub.
    """

    title: str = ""
    repository: str = ""
    makes: Literal["image", "video", "audio"] = "image"
    text: Text = Text()
    latents: Latents = Latents()


_BY_SIGMA = Latents(times_sigma_data=True)

# pipeline class -> its row
FAMILIES: dict[str, Family] = {
    "AceStepPipeline": Family("ACE-Step", "ACE-Step/acestep-v15-base-diffusers", "audio"),
    "AuraFlowPipeline": Family("AuraFlow", "fal/AuraFlow"),
    "BriaFibo2Pipeline": Family("Bria FIBO 2", latents=Latents(undoes_patches=True)),
    "ChromaPipeline": Family("Chroma", "lodestones/Chroma1-HD"),
    "CogVideoXPipeline": Family("CogVideoX", "THUDM/CogVideoX-2b", "video"),
    "CogView4Pipeline": Family("CogView4", "THUDM/CogView4-6B"),
    "Cosmos2TextToImagePipeline": Family("Cosmos 2 image", "nvidia/Cosmos-Predict2-2B-Text2Image"),
    "Cosmos2VideoToWorldPipeline": Family("Cosmos 2 video to world", "nvidia/Cosmos-Predict2-2B-Video2World", "video"),
    "CosmosTextToWorldPipeline": Family(
        "Cosmos text to world", "nvidia/Cosmos-1.0-Diffusion-7B-Text2World", "video", latents=_BY_SIGMA
    ),
    "CosmosVideoToWorldPipeline": Family(
        "Cosmos video to world", "nvidia/Cosmos-1.0-Diffusion-7B-Video2World", "video", latents=_BY_SIGMA
    ),
    # Its statistics were trained with this number, which its configuration doesn't hold.
    "ErnieImagePipeline": Family("ERNIE-Image", latents=Latents(batch_norm_eps=1e-5)),
    "Flux2KleinPipeline": Family("Flux.2 Klein", "black-forest-labs/FLUX.2-klein-base-9B"),
    "Flux2Pipeline": Family("Flux.2", "black-forest-labs/FLUX.2-dev"),
    "FluxPipeline": Family("Flux", "black-forest-labs/FLUX.1-dev", text=Text(batches=True)),
    "GlmImagePipeline": Family("GLM-Image", "zai-org/GLM-Image", latents=Latents(ignores_factor=True)),
    "HiDreamImagePipeline": Family("HiDream", "HiDream-ai/HiDream-I1-Full"),
    "HunyuanDiTPipeline": Family("HunyuanDiT", "Tencent-Hunyuan/HunyuanDiT-Diffusers"),
    "HunyuanImagePipeline": Family("HunyuanImage", "hunyuanvideo-community/HunyuanImage-2.1-Diffusers"),
    "HunyuanVideo15Pipeline": Family(
        "HunyuanVideo 1.5",
        "hunyuanvideo-community/HunyuanVideo-1.5-480p_t2v",
        "video",
        text=Text(shell=Shell("vae")),
    ),
    "HunyuanVideoPipeline": Family("HunyuanVideo", "hunyuanvideo-community/HunyuanVideo", "video"),
    "Ideogram4Pipeline": Family("Ideogram 4", "ideogram-ai/ideogram-v4", latents=Latents(patch_first=True)),
    "Kandinsky5I2IPipeline": Family(
        "Kandinsky 5 image to image",
        "kandinskylab/Kandinsky-5.0-I2I-Lite-sft-Diffusers",
        latents=Latents(ignores_shift=True),
    ),
    "Kandinsky5I2VPipeline": Family(
        "Kandinsky 5 image to video",
        "kandinskylab/Kandinsky-5.0-I2V-Pro-sft-5s-Diffusers",
        "video",
        latents=Latents(ignores_shift=True),
    ),
    "Kandinsky5T2IPipeline": Family(
        "Kandinsky 5 image", "kandinskylab/Kandinsky-5.0-T2I-Lite-sft-Diffusers", latents=Latents(ignores_shift=True)
    ),
    "Kandinsky5T2VPipeline": Family(
        "Kandinsky 5 video",
        "kandinskylab/Kandinsky-5.0-T2V-Lite-sft-5s-Diffusers",
        "video",
        latents=Latents(ignores_shift=True),
    ),
    "KolorsPipeline": Family("Kolors", "Kwai-Kolors/Kolors-diffusers"),
    "Krea2Pipeline": Family("Krea 2", "krea/Krea-2"),
    "LTX2Pipeline": Family("LTX-2", "Lightricks/LTX-2", "video"),
    "LTXPipeline": Family("LTX-Video", "Lightricks/LTX-Video", "video"),
    "Lumina2Pipeline": Family("Lumina 2", "Alpha-VLLM/Lumina-Image-2.0"),
    "MochiPipeline": Family("Mochi", "genmo/mochi-1-preview", "video"),
    "OvisImagePipeline": Family("Ovis Image", "AIDC-AI/Ovis-Image-7B"),
    "PixArtSigmaPipeline": Family("PixArt-Sigma", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"),
    "QwenImagePipeline": Family("Qwen-Image", "Qwen/Qwen-Image"),
    "SanaPipeline": Family("Sana", "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers"),
    "SanaSprintImg2ImgPipeline": Family(
        "Sana Sprint image to image", "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", latents=_BY_SIGMA
    ),
    "SanaSprintPipeline": Family(
        "Sana Sprint", "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", latents=_BY_SIGMA
    ),
    "StableAudioPipeline": Family(
        "Stable Audio", "stabilityai/stable-audio-open-1.0", "audio", text=Text(shell=Shell("transformer"))
    ),
    "StableDiffusion3Pipeline": Family(
        "Stable Diffusion 3",
        "stabilityai/stable-diffusion-3-medium-diffusers",
        # Without T5 the pipeline makes zeros as wide as the transformer reads.
        text=Text(batches=True, shell=Shell("transformer", unless="text_encoder_3")),
    ),
    "StableDiffusionPipeline": Family(
        "Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", text=Text(batches=True)
    ),
    "StableDiffusionUpscalePipeline": Family(
        "Stable Diffusion upscaler", "stabilityai/stable-diffusion-x4-upscaler", latents=Latents(factor=0.08333)
    ),
    "StableDiffusionXLPipeline": Family(
        "Stable Diffusion XL", "stabilityai/stable-diffusion-xl-base-1.0", text=Text(batches=True)
    ),
    "WanPipeline": Family("Wan", "Wan-AI/Wan2.1-T2V-14B-Diffusers", "video"),
    "ZImagePipeline": Family("Z-Image", "Tongyi-MAI/Z-Image-Turbo"),
}


def of(class_name: str) -> Family:
    """The row of a pipeline class; of one that isn't in the table, the row that says nothing special."""
    return FAMILIES.get(class_name, Family(class_name))


# Components outside the library diffusers that no `encode_prompt` uses: their weights are neither fetched nor loaded.
NOT_TEXT = frozenset(
    {
        "feature_extractor",
        "image_encoder",
        "image_normalizer",
        "image_processor",
        "safety_checker",
        "scheduler",
        "vae",
        "vocoder",
    }
)

# Pipelines whose text side isn't one call of `encode_prompt`, and why.
UNSUPPORTED_TEXT = {
    "AceStepPipeline": "it encodes lyrics beside the caption",
    "HunyuanDiTPipeline": "it calls encode_prompt once for each of its two text encoders",
    "HunyuanImagePipeline": "its encode_prompt fails on two captions, which find the batch axis (diffusers 0.42)",
}

# autoencoder class -> what is special about it
AUTOENCODERS: dict[str, Autoencoder] = {
    "AutoencoderKLAllegro": Autoencoder(
        unsupported="diffusers 0.42 encodes with it in tiles of 24 frames of 320 x 320 px, and drops what fills none"
    ),
    # A mask is broadcast wrongly (diffusers 0.42).
    "AutoencoderKLHunyuanVideo15": Autoencoder(one_at_a_time=True),
    "AutoencoderRAE": Autoencoder(normalises_itself=True, black=0.0),
}


def autoencoder(class_name: str) -> Autoencoder:
    """The row of an autoencoder class; of one that isn't in the table, the row that says nothing special."""
    return AUTOENCODERS.get(class_name, Autoencoder())
