"""What neither a pipeline's configuration nor its code says: one row for each pipeline class.

A pipeline without a row works by the rules alone, as `Family()` says.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple


class Shell(NamedTuple):
    """A component of which the text side reads the configuration, so that it can't be None there.

    Attributes:
        unless: the component that makes this one unnecessary, where there is one.
    """

    component: str
    unless: str | None = None


class Output(NamedTuple):
    """An embedding of one caption, as the example of the family gives it.

    Attributes:
        shape: tokens (of the longest caption) times width, layers among them where there are several.
        padding: what the positions beyond the caption hold.
            `none`: there are none.
            `zeros`: zeros. They aren't stored, and come back as they were.
            `ignored`: values that the denoiser doesn't attend to, as `mask` says (tested). They aren't stored, and
            come back as zeros.
            `read`: values that the denoiser attends to. They are stored.
        mask: the output that says which positions the denoiser attends to.
    """

    shape: tuple[int, ...]
    padding: Literal["none", "zeros", "ignored", "read"] = "none"
    mask: str = ""


def masked(*shape: int, by: str) -> Output:
    return Output(shape, "ignored", by)


def zeros(*shape: int) -> Output:
    return Output(shape, "zeros")


def whole(*shape: int) -> Output:
    return Output(shape, "read")


class Text(NamedTuple):
    """What is special about a family's captions.

    Attributes:
        outputs: the embeddings by name, without the masks and coordinates beside them.
        batches: whether one forward over several captions gives each caption what it gets alone, to 1e-5 (tested). All
            others are encoded one caption at a time: some pad to the longest caption of the batch.
        shell: the component to stand in for without its weights.
        unsupported: why captions can't be encoded as generation does, if so.
        own_defaults: arguments that `encode_prompt` makes of None just as `__call__` makes them (tested).
        rewriter: whether a language model of the pipeline may write captions anew when it generates, which isn't done
            here: they are encoded as they are.
    """

    outputs: Mapping[str, Output] = MappingProxyType({})
    batches: bool = False
    shell: Shell | None = None
    unsupported: str | None = None
    own_defaults: tuple[str, ...] = ()
    rewriter: bool = False

    @property
    def ignored(self) -> dict[str, str]:
        """Output -> the mask of the positions of it that matter."""
        return {name: output.mask for name, output in self.outputs.items() if output.padding == "ignored"}


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
_WITH_IMAGE = Text(unsupported="with each its text encoder reads the image to edit, which a dataset row has not")

# pipeline class -> its row
FAMILIES: dict[str, Family] = {
    "AceStepPipeline": Family(
        "ACE-Step",
        "ACE-Step/acestep-v15-base-diffusers",
        "audio",
        text=Text(
            {"text_hidden_states": Output((256, 1024)), "lyric_hidden_states": Output((2048, 1024))},
            own_defaults=("instruction",),
        ),
    ),
    "AuraFlowPipeline": Family(
        "AuraFlow", "fal/AuraFlow", text=Text({"prompt_embeds": zeros(256, 2048)}, batches=True)
    ),
    "BriaFibo2Pipeline": Family("Bria FIBO 2", latents=Latents(undoes_patches=True)),
    "ChromaPipeline": Family(
        "Chroma", "lodestones/Chroma1-HD", text=Text({"prompt_embeds": whole(512, 4096)}, batches=True)
    ),
    "CogVideoXPipeline": Family(
        "CogVideoX", "THUDM/CogVideoX-2b", "video", text=Text({"prompt_embeds": whole(226, 4096)}, batches=True)
    ),
    "CogView4Pipeline": Family("CogView4", "THUDM/CogView4-6B", text=Text({"prompt_embeds": Output((1024, 4096))})),
    "Cosmos2TextToImagePipeline": Family("Cosmos 2 image", "nvidia/Cosmos-Predict2-2B-Text2Image"),
    "Cosmos2VideoToWorldPipeline": Family("Cosmos 2 video to world", "nvidia/Cosmos-Predict2-2B-Video2World", "video"),
    "CosmosTextToWorldPipeline": Family(
        "Cosmos text to world", "nvidia/Cosmos-1.0-Diffusion-7B-Text2World", "video", latents=_BY_SIGMA
    ),
    "CosmosVideoToWorldPipeline": Family(
        "Cosmos video to world", "nvidia/Cosmos-1.0-Diffusion-7B-Video2World", "video", latents=_BY_SIGMA
    ),
    # Its statistics were trained with this number, which its configuration doesn't hold.
    "ErnieImagePipeline": Family("ERNIE-Image", text=Text(rewriter=True), latents=Latents(batch_norm_eps=1e-5)),
    "Flux2KleinPipeline": Family(
        "Flux.2 Klein",
        "black-forest-labs/FLUX.2-klein-base-9B",
        text=Text({"prompt_embeds": whole(512, 12288)}, batches=True),
    ),
    "Flux2Pipeline": Family(
        "Flux.2", "black-forest-labs/FLUX.2-dev", text=Text({"prompt_embeds": whole(512, 15360)}, batches=True)
    ),
    "FluxPipeline": Family(
        "Flux",
        "black-forest-labs/FLUX.1-dev",
        text=Text(
            {"prompt_embeds": whole(512, 4096), "pooled_prompt_embeds": Output((768,))},
            batches=True,
        ),
    ),
    "GlmImagePipeline": Family("GLM-Image", "zai-org/GLM-Image", latents=Latents(ignores_factor=True)),
    "HiDreamImagePipeline": Family(
        "HiDream",
        "HiDream-ai/HiDream-I1-Full",
        text=Text(
            {
                "prompt_embeds_t5": whole(128, 4096),
                "prompt_embeds_llama3": whole(32, 128, 4096),
                "pooled_prompt_embeds": Output((2048,)),
            },
            batches=True,
        ),
    ),
    "HunyuanDiTPipeline": Family(
        "HunyuanDiT",
        "Tencent-Hunyuan/HunyuanDiT-Diffusers",
        text=Text(
            {"prompt_embeds": masked(77, 1024, by="prompt_attention_mask"), "prompt_embeds_2": whole(256, 2048)},
            batches=True,
        ),
    ),
    "HunyuanImagePipeline": Family(
        "HunyuanImage",
        "hunyuanvideo-community/HunyuanImage-2.1-Diffusers",
        text=Text(
            {
                "prompt_embeds": masked(1000, 3584, by="prompt_embeds_mask"),
                "prompt_embeds_2": masked(128, 1472, by="prompt_embeds_mask_2"),
            },
            batches=True,
        ),
    ),
    "HunyuanVideo15Pipeline": Family(
        "HunyuanVideo 1.5",
        "hunyuanvideo-community/HunyuanVideo-1.5-480p_t2v",
        "video",
        text=Text(
            {
                "prompt_embeds": masked(1000, 3584, by="prompt_embeds_mask"),
                "prompt_embeds_2": masked(256, 1472, by="prompt_embeds_mask_2"),
            },
            batches=True,
            shell=Shell("vae"),
        ),
    ),
    "HunyuanVideoPipeline": Family(
        "HunyuanVideo",
        "hunyuanvideo-community/HunyuanVideo",
        "video",
        text=Text(
            {"prompt_embeds": masked(256, 4096, by="prompt_attention_mask"), "pooled_prompt_embeds": Output((768,))},
            batches=True,
        ),
    ),
    "Ideogram4Pipeline": Family("Ideogram 4", "ideogram-ai/ideogram-v4", latents=Latents(patch_first=True)),
    # Sides are rounded up to 64 px.
    "Kandinsky3Pipeline": Family(
        "Kandinsky 3",
        "kandinsky-community/kandinsky-3",
        text=Text({"prompt_embeds": zeros(128, 4096)}),
        latents=Latents(spatial_multiple=64),
    ),
    "Kandinsky3Img2ImgPipeline": Family(
        "Kandinsky 3 image to image",
        "kandinsky-community/kandinsky-3",
        latents=Latents(spatial_multiple=64),
    ),
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
    "Kandinsky6SRPipeline": Family(
        "Kandinsky 6 super resolution",
        latents=Latents(unsupported="its VAE is given pixels of -1 to 0.9922, as no other is"),
    ),
    "KolorsPipeline": Family(
        "Kolors",
        "Kwai-Kolors/Kolors-diffusers",
        text=Text({"prompt_embeds": whole(256, 4096), "pooled_prompt_embeds": Output((4096,))}, batches=True),
    ),
    "Krea2Pipeline": Family(
        "Krea 2",
        "krea/Krea-2",
        text=Text({"prompt_embeds": masked(512, 12, 2560, by="prompt_embeds_mask")}, batches=True),
    ),
    "LongCatImageEditPipeline": Family("LongCat image edit", "meituan-longcat/LongCat-Image-Edit", text=_WITH_IMAGE),
    "LongCatImagePipeline": Family("LongCat image", "meituan-longcat/LongCat-Image", text=Text(rewriter=True)),
    "LTX2Pipeline": Family(
        "LTX-2",
        "Lightricks/LTX-2",
        "video",
        text=Text({"prompt_embeds": zeros(1024, 188160)}, batches=True),
    ),
    "LTXPipeline": Family(
        "LTX-Video",
        "Lightricks/LTX-Video",
        "video",
        text=Text({"prompt_embeds": masked(128, 4096, by="prompt_attention_mask")}, batches=True),
    ),
    "Lumina2Pipeline": Family(
        "Lumina 2",
        "Alpha-VLLM/Lumina-Image-2.0",
        text=Text({"prompt_embeds": masked(256, 2304, by="prompt_attention_mask")}, batches=True),
    ),
    "MochiPipeline": Family(
        "Mochi",
        "genmo/mochi-1-preview",
        "video",
        text=Text({"prompt_embeds": masked(256, 4096, by="prompt_attention_mask")}, batches=True),
    ),
    "OvisImagePipeline": Family(
        "Ovis Image", "AIDC-AI/Ovis-Image-7B", text=Text({"prompt_embeds": zeros(256, 2048)}, batches=True)
    ),
    "PixArtSigmaPipeline": Family(
        "PixArt-Sigma",
        "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        text=Text({"prompt_embeds": masked(300, 4096, by="prompt_attention_mask")}, batches=True),
    ),
    "QwenImageEditInpaintPipeline": Family("Qwen-Image edit, inpaint", "Qwen/Qwen-Image-Edit", text=_WITH_IMAGE),
    "QwenImageEditPipeline": Family("Qwen-Image edit", "Qwen/Qwen-Image-Edit", text=_WITH_IMAGE),
    "QwenImageEditPlusPipeline": Family("Qwen-Image edit plus", "Qwen/Qwen-Image-Edit-2509", text=_WITH_IMAGE),
    "QwenImagePipeline": Family("Qwen-Image", "Qwen/Qwen-Image", text=Text({"prompt_embeds": Output((512, 3584))})),
    "SanaPipeline": Family(
        "Sana",
        "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
        text=Text({"prompt_embeds": masked(300, 2304, by="prompt_attention_mask")}, batches=True),
    ),
    "SanaSprintImg2ImgPipeline": Family(
        "Sana Sprint image to image", "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", latents=_BY_SIGMA
    ),
    "SanaSprintPipeline": Family(
        "Sana Sprint", "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", latents=_BY_SIGMA
    ),
    "StableAudioPipeline": Family(
        "Stable Audio",
        "stabilityai/stable-audio-open-1.0",
        "audio",
        text=Text({"prompt_embeds": zeros(128, 768)}, batches=True, shell=Shell("transformer")),
    ),
    # Its decoder multiplies by the scale_factor of its autoencoder, which no rule knows.
    "StableCascadeDecoderPipeline": Family(
        "Stable Cascade decoder", "stabilityai/stable-cascade", latents=Latents(factor=1 / 0.3764)
    ),
    "StableCascadePriorPipeline": Family(
        "Stable Cascade prior",
        "stabilityai/stable-cascade-prior",
        latents=Latents(unsupported="an EfficientNet makes them, which is no part of the pipeline"),
    ),
    "StableDiffusion3Pipeline": Family(
        "Stable Diffusion 3",
        "stabilityai/stable-diffusion-3-medium-diffusers",
        # Without T5 the pipeline makes zeros as wide as the transformer reads.
        text=Text(
            {"prompt_embeds": whole(333, 4096), "pooled_prompt_embeds": Output((2048,))},
            batches=True,
            shell=Shell("transformer", unless="text_encoder_3"),
        ),
    ),
    "StableDiffusionPipeline": Family(
        "Stable Diffusion 1.5",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        text=Text(
            {"prompt_embeds": whole(77, 768)},
            batches=True,
        ),
    ),
    "StableDiffusionUpscalePipeline": Family(
        "Stable Diffusion upscaler", "stabilityai/stable-diffusion-x4-upscaler", latents=Latents(factor=0.08333)
    ),
    "StableDiffusionXLPipeline": Family(
        "Stable Diffusion XL",
        "stabilityai/stable-diffusion-xl-base-1.0",
        text=Text(
            {"prompt_embeds": whole(77, 2048), "pooled_prompt_embeds": Output((1280,))},
            batches=True,
        ),
    ),
    "WanPipeline": Family(
        "Wan", "Wan-AI/Wan2.1-T2V-14B-Diffusers", "video", text=Text({"prompt_embeds": zeros(512, 4096)}, batches=True)
    ),
    "ZImagePipeline": Family(
        "Z-Image", "Tongyi-MAI/Z-Image-Turbo", text=Text({"prompt_embeds": Output((512, 2560))}, batches=True)
    ),
}


def of(class_name: str) -> Family:
    """The row of a pipeline class; of one that isn't in the table, the row that says nothing special."""
    return FAMILIES.get(class_name, Family(class_name))


def unlisted(class_name: str) -> str | None:
    """What a run says about a pipeline class that has no row; None for one that has."""
    if class_name in FAMILIES:
        return None
    return f"{class_name} is not in the table of families: its latents follow the general rule (docs/latents.md)"


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
