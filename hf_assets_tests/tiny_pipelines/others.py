"""Families whose `__call__` or constructor asks for more than the general rules, and those that came last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from hf_assets.models import model_loading
from hf_assets_tests.tiny_pipelines import autoencoders, text_encoders, tokenizers
from hf_assets_tests.tiny_pipelines.images import flow
from hf_assets_tests.tiny_pipelines.text_encoders import WIDTH


class Guard:
    """Where Cosmos' own guard needs a library."""


def _umt5() -> dict[str, Any]:
    return {"text_encoder": text_encoders.t5(tokenizers.t5(), multilingual=True), "tokenizer": tokenizers.t5()}


def _t5() -> dict[str, Any]:
    return {"text_encoder": text_encoders.t5(tokenizers.t5()), "tokenizer": tokenizers.t5()}


def _clip() -> dict[str, Any]:
    tokenizer = tokenizers.clip()
    return {"text_encoder": text_encoders.clip(tokenizer, projection=WIDTH), "tokenizer": tokenizer}


def _qwen2_5_vl() -> dict[str, Any]:
    return {"text_encoder": text_encoders.qwen2_5_vl(tokenizers.qwen()), "tokenizer": tokenizers.qwen()}


def _qwen3_vl(*, layers: int = 10) -> dict[str, Any]:
    """A processor of Qwen 3 VL needs torchvision: a tokenizer does for text alone."""
    return {
        "text_encoder": text_encoders.qwen3_vl_for_text(tokenizers.qwen(), layers=layers),
        "processor": tokenizers.qwen(),
    }


def longcat_audio() -> Any:
    vae = diffusers.LongCatAudioDiTVae(channels=8, c_mults=[1, 1], strides=[2, 2], latent_dim=4, encoder_latent_dim=8)
    transformer = diffusers.LongCatAudioDiTTransformer(
        dit_dim=16, dit_depth=1, dit_heads=2, dit_text_dim=WIDTH, latent_dim=4
    )
    return diffusers.LongCatAudioDiTPipeline(vae=vae.eval(), transformer=transformer, **_umt5())


def nucleus() -> Any:
    return diffusers.NucleusMoEImagePipeline(
        transformer=None, scheduler=flow(), vae=autoencoders.qwen_image(), **_qwen3_vl()
    )


def sana_wm() -> Any:
    tokenizer = tokenizers.gemma()
    encoder = text_encoders.decoder("Gemma2ForCausalLM", "Gemma2Config", tokenizer, head_dim=8, sliding_window=64)
    return diffusers.SanaWMPipeline(
        tokenizer=tokenizer, text_encoder=encoder, vae=autoencoders.ltx(), transformer=None, scheduler=flow()
    )


def cosmos2() -> Any:
    return diffusers.Cosmos2TextToImagePipeline(
        transformer=None, vae=autoencoders.wan(), scheduler=flow(), safety_checker=Guard(), **_t5()
    )


def dreamlite() -> Any:
    return diffusers.DreamLitePipeline(
        vae=_tiny(), unet=None, scheduler=flow(), tokenizer=tokenizers.qwen(), **_qwen3_vl(layers=2)
    )


def dreamlite_mobile() -> Any:
    return diffusers.DreamLiteMobilePipeline(
        vae=_tiny(), unet=None, scheduler=flow(), tokenizer=tokenizers.qwen(), **_qwen3_vl(layers=2)
    )


def _tiny() -> Any:
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4,
        scaling_factor=0.5,
        shift_factor=0.25,
    ).eval()


def cascade_prior() -> Any:
    return diffusers.StableCascadePriorPipeline(prior=None, scheduler=diffusers.DDPMWuerstchenScheduler(), **_clip())


def cascade_decoder() -> Any:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    vqgan = PaellaVQModel(levels=2, bottleneck_blocks=1, embed_dim=8, latent_channels=4, num_vq_embeddings=16)
    return diffusers.StableCascadeDecoderPipeline(
        decoder=None, scheduler=diffusers.DDPMWuerstchenScheduler(), vqgan=vqgan.eval(), **_clip()
    )


def lucy() -> Any:
    return diffusers.LucyEditPipeline(vae=autoencoders.wan(), scheduler=flow(), **_umt5())


def helios_pyramid() -> Any:
    return diffusers.HeliosPyramidPipeline(
        vae=autoencoders.wan(), scheduler=diffusers.HeliosScheduler(), transformer=None, **_umt5()
    )


def hunyuan_refiner() -> Any:
    return diffusers.HunyuanImageRefinerPipeline(
        scheduler=flow(), vae=autoencoders.hunyuan_image_refiner(), transformer=None, **_qwen2_5_vl()
    )


def kandinsky6() -> Any:
    clip = tokenizers.clip()
    return diffusers.Kandinsky6TI2VAPipeline(
        transformer=None,
        vae=autoencoders.hunyuan_video(),
        text_encoder_2=text_encoders.clip(clip),
        tokenizer_2=clip,
        scheduler=flow(),
        **_qwen2_5_vl(),
    )


def ernie() -> Any:
    tokenizer = tokenizers.qwen()
    return diffusers.ErnieImagePipeline(
        transformer=None,
        vae=autoencoders.kl_flux2(),
        text_encoder=text_encoders.decoder("Qwen3Model", "Qwen3Config", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        scheduler=flow(),
        pe=None,
        pe_tokenizer=None,
    )


def bria_fibo2() -> Any:
    return diffusers.BriaFibo2Pipeline(
        transformer=None, scheduler=flow(), vae=autoencoders.kl_flux2(), **_qwen3_vl(layers=36)
    )


def audioldm2() -> Any:
    from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel

    tokenizer, t5 = tokenizers.roberta(), tokenizers.t5()
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    clap = transformers.ClapModel(
        transformers.ClapConfig(
            text_config={**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 80, "pad_token_id": 1},
            audio_config={
                "spec_size": 64,
                "window_size": 4,
                "num_mel_bins": 64,
                "patch_size": 4,
                "patch_stride": [4, 4],
                "depths": [1, 1],
                "num_attention_heads": [1, 1],
                "patch_embeds_hidden_size": 8,
                "hidden_size": 16,
            },
            projection_dim=16,
        )
    )
    language = transformers.GPT2Config(n_embd=16, n_head=2, n_layer=1, n_positions=99, max_new_tokens=3)
    return diffusers.AudioLDM2Pipeline(
        vae=diffusers.AutoencoderKL(in_channels=1, out_channels=1, norm_num_groups=4, block_out_channels=(8,)),
        text_encoder=clap.eval(),
        text_encoder_2=text_encoders.t5(t5),
        projection_model=AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=WIDTH, langauge_model_dim=16),
        language_model=transformers.GPT2LMHeadModel(language).eval(),
        tokenizer=tokenizer,
        tokenizer_2=t5,
        feature_extractor=None,
        unet=None,
        scheduler=diffusers.DDIMScheduler(),
        vocoder=None,
    )


def dit() -> Any:
    """It reads no captions."""
    return diffusers.DiTPipeline(
        transformer=diffusers.DiTTransformer2DModel(
            sample_size=8,
            in_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=8,
            norm_num_groups=4,
            num_embeds_ada_norm=10,
        ),
        vae=autoencoders.kl(channels=4),
        scheduler=diffusers.DDIMScheduler(),
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "audioldm2": audioldm2,
    "bria_fibo2": bria_fibo2,
    "cascade_decoder": cascade_decoder,
    "cascade_prior": cascade_prior,
    "cosmos2": cosmos2,
    "dit": dit,
    "dreamlite": dreamlite,
    "dreamlite_mobile": dreamlite_mobile,
    "ernie": ernie,
    "helios_pyramid": helios_pyramid,
    "hunyuan_refiner": hunyuan_refiner,
    "kandinsky6": kandinsky6,
    "longcat_audio": longcat_audio,
    "lucy": lucy,
    "nucleus": nucleus,
    "sana_wm": sana_wm,
}


def build(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Save the tiny pipeline into a folder, and return the folder. Its denoiser is left empty."""
    with torch.random.fork_rng(devices=[]), model_loading.quiet():
        torch.manual_seed(seed)
        FAMILIES[family]().save_pretrained(folder)
    return folder
