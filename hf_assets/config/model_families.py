"""Which repository a trainer's name of a model stands for, and what its family decides besides.

Facts of SimpleTuner 4.10.1 (`model_family`, `model_flavour`), as data of our own. What is made of them: `model_choice`.
What diffusers' pipelines need is in `models.families`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

USUAL_ALIGNMENT_PX = 64


class ModelFamily(NamedTuple):
    """One family.

    Attributes:
        default: the flavour where none is named; None: one has to be.
        repositories: flavour -> Hub id.
        pipeline: diffusers' class that most of its flavours are loaded by; None: it has none with encoders for them.
        alignment: both edges of a target are multiples of this, in pixels; None: the usual one.
        alignments: flavour -> another alignment.
        is_i2v: whether videos train from their first frame unless they say otherwise.
        i2v_flavours: how the names of the flavours begin whose videos always do.
    """

    default: str | None
    repositories: Mapping[str, str]
    pipeline: str | None
    alignment: int | None = None
    alignments: Mapping[str, int] = MappingProxyType({})
    is_i2v: bool = False
    i2v_flavours: str | None = None


FAMILIES: dict[str, ModelFamily] = {
    "ace_step": ModelFamily(
        "base",
        {
            "base": "ACE-Step/ACE-Step-v1-3.5B",
            "v15-turbo": "ACE-Step/Ace-Step1.5",
            "v15-base": "ACE-Step/Ace-Step1.5",
            "v15-sft": "ACE-Step/Ace-Step1.5",
        },
        None,
    ),
    "anima": ModelFamily(
        "preview-3",
        {
            "release": "circlestone-labs/Anima-Base-v1.0-Diffusers",
            "base-v1.0": "circlestone-labs/Anima-Base-v1.0-Diffusers",
            "preview-3": "CalamitousFelicitousness/Anima-Preview-3-sdnext-diffusers",
            "preview-2": "CalamitousFelicitousness/Anima-Preview-2-sdnext-diffusers",
            "preview": "CalamitousFelicitousness/Anima-sdnext-diffusers",
            "gazingstars123-2.9b": "Gazingstars123/Anima-2.9B",
        },
        None,
        alignment=16,
    ),
    "auraflow": ModelFamily(
        "v0.3",
        {
            "pony": "purplesmartai/pony-v7-base",
            "v0.3": "terminusresearch/auraflow-v0.3",
            "v0.2": "fal/AuraFlow-v0.2",
            "v0.1": "fal/AuraFlow",
        },
        "AuraFlowPipeline",
    ),
    "boogu_image": ModelFamily(
        "v0.1-turbo",
        {
            "v0.1-base": "SimpleTuner/Boogu-Image-0.1-Base",
            "v0.1-base-fp8": "SimpleTuner/Boogu-Image-0.1-Base",
            "v0.1-turbo": "SimpleTuner/Boogu-Image-0.1-Turbo",
            "v0.1-turbo-fp8": "SimpleTuner/Boogu-Image-0.1-Turbo",
            "v0.1-edit": "SimpleTuner/Boogu-Image-0.1-Edit",
            "v0.1-edit-fp8": "SimpleTuner/Boogu-Image-0.1-Edit",
        },
        None,
    ),
    "chroma": ModelFamily(
        "base",
        {
            "base": "lodestones/Chroma1-Base",
            "hd": "lodestones/Chroma1-HD",
            "flash": "lodestones/Chroma1-Flash",
        },
        "ChromaPipeline",
    ),
    "cosmos2image": ModelFamily(
        "2b",
        {
            "2b": "nvidia/Cosmos-Predict2-2B-Text2Image",
            "14b": "nvidia/Cosmos-Predict2-14B-Text2Image",
        },
        "Cosmos2TextToImagePipeline",
        alignment=16,
    ),
    "cosmos3": ModelFamily(
        "nano",
        {
            "edge": "nvidia/Cosmos3-Edge",
            "nano": "nvidia/Cosmos3-Nano",
            "super": "nvidia/Cosmos3-Super",
            "super-i2v": "nvidia/Cosmos3-Super-Image2Video",
            "super-t2i": "nvidia/Cosmos3-Super-Text2Image",
        },
        "Cosmos3OmniPipeline",
        alignment=16,
    ),
    "deepfloyd": ModelFamily(
        None,
        {
            "i-medium-400m": "DeepFloyd/IF-I-M-v1.0",
            "i-large-900m": "DeepFloyd/IF-I-L-v1.0",
            "i-xlarge-4.3b": "DeepFloyd/IF-I-XL-v1.0",
            "ii-medium-450m": "DeepFloyd/IF-II-M-v1.0",
            "ii-large-1.2b": "DeepFloyd/IF-II-L-v1.0",
        },
        None,
        alignment=32,
    ),
    "ernie": ModelFamily(
        "base",
        {
            "base": "baidu/ERNIE-Image",
            "turbo": "baidu/ERNIE-Image-Turbo",
        },
        "ErnieImagePipeline",
    ),
    "flux": ModelFamily(
        "krea",
        {
            "dev": "black-forest-labs/flux.1-dev",
            "krea": "black-forest-labs/flux.1-krea-dev",
            "schnell": "black-forest-labs/flux.1-schnell",
            "kontext": "black-forest-labs/flux.1-kontext-dev",
            "fluxbooru": "terminusresearch/fluxbooru-v0.3",
            "libreflux": "jimmycarter/LibreFlux-SimpleTuner",
        },
        "FluxPipeline",
    ),
    "flux2": ModelFamily(
        "klein-9b",
        {
            "dev": "black-forest-labs/FLUX.2-dev",
            "klein-4b": "black-forest-labs/FLUX.2-klein-base-4B",
            "klein-9b": "black-forest-labs/FLUX.2-klein-base-9B",
        },
        "Flux2Pipeline",
        alignment=16,
    ),
    "flux3_image": ModelFamily(
        "klein-base",
        {
            "klein-base": "black-forest-labs/flux-3-image-klein-base",
            "klein": "black-forest-labs/flux-3-image-klein",
        },
        None,
        alignment=16,
    ),
    "heartmula": ModelFamily("3b", {"3b": "HeartMuLa/HeartMuLa-oss-3B"}, None),
    "hidream": ModelFamily(
        "full",
        {
            "dev": "HiDream-ai/HiDream-I1-Dev",
            "full": "HiDream-ai/HiDream-I1-Full",
            "fast": "HiDream-ai/HiDream-I1-Fast",
        },
        "HiDreamImagePipeline",
    ),
    "hunyuanvideo": ModelFamily(
        "t2v-480p",
        {
            "t2v-480p": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
            "t2v-720p": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_t2v",
            "t2v-480p-distilled": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v_distilled",
            "i2v-480p": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v",
            "i2v-720p": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_i2v",
            "i2v-480p-distilled": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_i2v_distilled",
            "i2v-720p-distilled": "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-720p_i2v_distilled",
        },
        "HunyuanVideo15Pipeline",
        i2v_flavours="i2v",
    ),
    "ideogram": ModelFamily(
        "fp8",
        {
            "fp8": "ideogram-ai/ideogram-4-fp8",
            "nf4": "ideogram-ai/ideogram-4-nf4",
        },
        "Ideogram4Pipeline",
    ),
    "infinitetalk": ModelFamily(
        "single-14b-480p", {"single-14b-480p": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"}, "WanImageToVideoPipeline"
    ),
    "kandinsky5-image": ModelFamily(
        "t2i-lite-sft",
        {
            "t2i-lite-sft": "kandinskylab/Kandinsky-5.0-T2I-Lite-sft-Diffusers",
            "t2i-lite-pretrain": "kandinskylab/Kandinsky-5.0-T2I-Lite-pretrain-Diffusers",
            "i2i-lite-sft": "kandinskylab/Kandinsky-5.0-I2I-Lite-sft-Diffusers",
            "i2i-lite-pretrain": "kandinskylab/Kandinsky-5.0-I2I-Lite-pretrain-Diffusers",
        },
        "Kandinsky5T2IPipeline",
    ),
    "kandinsky5-video": ModelFamily(
        "t2v-lite-sft-5s",
        {
            "t2v-lite-sft-5s": "kandinskylab/Kandinsky-5.0-T2V-Lite-sft-5s-Diffusers",
            "t2v-lite-pretrain-5s": "kandinskylab/Kandinsky-5.0-T2V-Lite-pretrain-5s-Diffusers",
            "t2v-lite-sft-10s": "kandinskylab/Kandinsky-5.0-T2V-Lite-sft-10s-Diffusers",
            "t2v-lite-pretrain-10s": "kandinskylab/Kandinsky-5.0-T2V-Lite-pretrain-10s-Diffusers",
            "t2v-pro-sft-5s-hd": "kandinskylab/Kandinsky-5.0-T2V-Pro-sft-5s-Diffusers",
            "t2v-pro-sft-10s-hd": "kandinskylab/Kandinsky-5.0-T2V-Pro-sft-10s-Diffusers",
            "t2v-pro-pretrain-5s-hd": "kandinskylab/Kandinsky-5.0-T2V-Pro-pretrain-5s-Diffusers",
            "t2v-pro-pretrain-10s-hd": "kandinskylab/Kandinsky-5.0-T2V-Pro-pretrain-10s-Diffusers",
            "i2v-lite-5s": "kandinskylab/Kandinsky-5.0-I2V-Lite-5s-Diffusers",
            "i2v-pro-sft-5s": "kandinskylab/Kandinsky-5.0-I2V-Pro-sft-5s-Diffusers",
        },
        "Kandinsky5T2VPipeline",
        i2v_flavours="i2v",
    ),
    "kolors": ModelFamily("1.0", {"1.0": "terminusresearch/kwai-kolors-1.0"}, "KolorsPipeline"),
    "krea2": ModelFamily(
        "raw",
        {
            "raw": "krea/Krea-2-Raw",
            "turbo": "krea/Krea-2-Turbo",
        },
        "Krea2Pipeline",
    ),
    "longcat_image": ModelFamily(
        "final",
        {
            "final": "meituan-longcat/LongCat-Image",
            "dev": "meituan-longcat/LongCat-Image-Dev",
            "edit": "meituan-longcat/LongCat-Image-Edit",
        },
        "LongCatImagePipeline",
    ),
    "longcat_video": ModelFamily("final", {"final": "meituan-longcat/LongCat-Video"}, None),
    "ltxvideo": ModelFamily(
        "0.9.5",
        {
            "0.9.5": "Lightricks/LTX-Video-0.9.5",
            "0.9.0": "Lightricks/LTX-Video",
        },
        "LTXPipeline",
        is_i2v=True,
    ),
    "ltxvideo2": ModelFamily(
        "dev",
        {
            "dev": "Lightricks/LTX-2",
            "dev-fp4": "Lightricks/LTX-2",
            "dev-fp8": "Lightricks/LTX-2",
            "2.3-dev": "dg845/LTX-2.3-Diffusers",
            "2.3-distilled": "dg845/LTX-2.3-Distilled-Diffusers",
            "2.5-dev": "Lightricks/LTX-2.5",
            "2.5-distilled": "Lightricks/LTX-2.5",
        },
        "LTX2Pipeline",
        is_i2v=True,
    ),
    "lumina2": ModelFamily(
        "2.0",
        {
            "2.0": "Alpha-VLLM/Lumina-Image-2.0",
            "neta-lumina": "terminusresearch/neta-lumina-v1",
        },
        "Lumina2Pipeline",
    ),
    "mageflow": ModelFamily(
        "base",
        {
            "base": "natalie5/Mage-Flow-Base",
            "default": "natalie5/Mage-Flow",
            "turbo": "natalie5/Mage-Flow-Turbo",
            "edit-base": "natalie5/Mage-Flow-Edit-Base",
            "edit": "natalie5/Mage-Flow-Edit",
            "edit-turbo": "natalie5/Mage-Flow-Edit-Turbo",
        },
        None,
        alignment=16,
    ),
    "minimaxh3": ModelFamily(
        "fl2va",
        {
            "fl2va": "MiniMaxAI/MiniMax-H3",
            "ref2va": "MiniMaxAI/MiniMax-H3",
            "convrot-int8": "MiniMaxAI/MiniMax-H3",
            "convrot-int4": "MiniMaxAI/MiniMax-H3",
            "nvfp4": "MiniMaxAI/MiniMax-H3",
            "fp8-e4m3fn": "MiniMaxAI/MiniMax-H3",
        },
        None,
    ),
    "minimaxmusic": ModelFamily("music3", {"music3": "MiniMaxAI/MiniMax-Music3"}, None),
    "moss_image": ModelFamily(
        "sft",
        {
            "base": "OpenMOSS-Team/MOSS-Image-Base",
            "sft": "OpenMOSS-Team/MOSS-Image-SFT",
            "base-edit": "OpenMOSS-Team/MOSS-Image-Base",
            "sft-edit": "OpenMOSS-Team/MOSS-Image-SFT",
        },
        None,
        alignment=16,
    ),
    "omnigen": ModelFamily("v1", {"v1": "Shitao/OmniGen-v1-diffusers"}, "OmniGenPipeline"),
    "pixart_sigma": ModelFamily(
        "900M-1024-v0.6",
        {
            "900M-1024-v0.6": "terminusresearch/pixart-900m-1024-ft-v0.6",
            "900M-1024-v0.7-stage1": "terminusresearch/pixart-900m-1024-ft-v0.7-stage1",
            "900M-1024-v0.7-stage2": "terminusresearch/pixart-900m-1024-ft-v0.7-stage2",
            "600M-512": "PixArt-alpha/PixArt-Sigma-XL-2-512-MS",
            "600M-1024": "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
            "600M-2048": "PixArt-alpha/PixArt-Sigma-XL-2-2K-MS",
        },
        "PixArtSigmaPipeline",
    ),
    "qwen_image": ModelFamily(
        "v2.1",
        {
            "v1.0": "Qwen/Qwen-Image",
            "v2.0": "Qwen/Qwen-Image-2512",
            "v2.1": "Qwen/Qwen-Image-2.1",
            "edit-v1": "Qwen/Qwen-Image-Edit",
            "edit-v2": "Qwen/Qwen-Image-Edit-2509",
            "edit-v2+": "Qwen/Qwen-Image-Edit-2509",
            "edit-v3": "Qwen/Qwen-Image-Edit-2511",
        },
        "QwenImagePipeline",
        alignment=32,
    ),
    "sana": ModelFamily(
        "sana1.5-4.8b-1024",
        {
            "sana1.5-4.8b-1024": "Efficient-Large-Model/SANA1.5_4.8B_1024px_diffusers",
            "sana1.5-1.6b-1024": "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
            "sana1.0-1.6b-2048": "Efficient-Large-Model/Sana_1600M_2Kpx_BF16_diffusers",
            "sana1.0-1.6b-1024": "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
            "sana1.0-600m-1024": "Efficient-Large-Model/Sana_600M_1024px_diffusers",
            "sana1.0-600m-512": "Efficient-Large-Model/Sana_600M_512px_diffusers",
        },
        "SanaPipeline",
    ),
    "sanavideo": ModelFamily(
        "2b-480p", {"2b-480p": "Efficient-Large-Model/SANA-Video_2B_480p_diffusers"}, "SanaVideoPipeline"
    ),
    "sd1x": ModelFamily(
        "dreamshaper",
        {
            "1.5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "1.4": "CompVis/stable-diffusion-v1-4",
            "dreamshaper": "Lykon/dreamshaper-8",
            "realvis": "SG161222/RealVisXL_V5.0",
        },
        "StableDiffusionPipeline",
    ),
    "sd2x": ModelFamily(
        "pseudoflex-v2",
        {
            "digitaldiffusion": "Junglerally/Digital-Diffusion",
            "pseudoflex-v2": "bghira/pseudo-flex-v2",
            "pseudojourney": "bghira/pseudo-journey-v2",
            "2.1": "stabilityai/stable-diffusion-2-1",
            "2.0": "stabilityai/stable-diffusion-2-0",
        },
        "StableDiffusionPipeline",
    ),
    "sd3": ModelFamily(
        "medium",
        {
            "medium": "stabilityai/stable-diffusion-3.5-medium",
            "large": "stabilityai/stable-diffusion-3.5-large",
        },
        "StableDiffusion3Pipeline",
    ),
    "sdxl": ModelFamily(
        "base-1.0",
        {
            "base-1.0": "stabilityai/stable-diffusion-xl-base-1.0",
            "refiner-1.0": "stabilityai/stable-diffusion-xl-refiner-1.0",
            "base-0.9": "stabilityai/stable-diffusion-xl-base-0.9",
            "refiner-0.9": "stabilityai/stable-diffusion-xl-refiner-0.9",
        },
        "StableDiffusionXLPipeline",
    ),
    "stable_cascade": ModelFamily(
        "stage-c",
        {
            "stage-c": "stabilityai/stable-cascade-prior",
            "stage-c-lite": "stabilityai/stable-cascade-prior",
        },
        None,
    ),
    "wan": ModelFamily(
        "t2v-480p-1.3b-2.1",
        {
            "t2v-480p-1.3b-2.1": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            "t2v-480p-14b-2.1": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
            "i2v-14b-2.1": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
            "i2v-14b-2.1-720p": "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
            "i2v-14b-2.2-high": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            "i2v-14b-2.2-low": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
            "animegen-t2v-high": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
            "animegen-t2v-low": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
            "flf2v-14b-2.1": "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
            "vace-1.3b-2.1": "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
            "vace-14b-2.1": "Wan-AI/Wan2.1-VACE-14B-diffusers",
            "ti2v-5b-2.2": "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        },
        "WanPipeline",
        alignment=32,
        alignments={"ti2v-5b-2.2": 64},
        i2v_flavours="i2v-",
    ),
    "z_image": ModelFamily(
        "turbo-ostris-v2",
        {
            "base": "TONGYI-MAI/Z-Image",
            "turbo": "TONGYI-MAI/Z-Image-Turbo",
            "turbo-ostris-v2": "TONGYI-MAI/Z-Image-Turbo",
            "ostris-de-turbo": "TONGYI-MAI/Z-Image-Turbo",
        },
        "ZImagePipeline",
    ),
    "z_image_omni": ModelFamily(
        "base",
        {
            "base": "TONGYI-Lab/Z-Image-Base",
            "edit": "TONGYI-Lab/Z-Image-Edit",
        },
        "ZImageOmniPipeline",
    ),
    "zlab_i1": ModelFamily("3b", {"3b": "bghira/zlab-i1-diffusers"}, None),
}
