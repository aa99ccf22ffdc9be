"""Families that make images."""

from typing import Any

import diffusers

from hf_assets_tests.tiny_pipelines import autoencoders, text_encoders, tokenizers
from hf_assets_tests.tiny_pipelines.text_encoders import WIDTH, WIDTH_2


def sd15() -> Any:
    tokenizer = tokenizers.clip()
    return diffusers.StableDiffusionPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.18215),
        text_encoder=text_encoders.clip(tokenizer),
        tokenizer=tokenizer,
        unet=unet(cross_attention_dim=WIDTH),
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    tokenizer = tokenizers.clip()
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.13025),
        text_encoder=text_encoders.clip(tokenizer),
        text_encoder_2=text_encoders.clip(tokenizer, width=WIDTH_2, projection=WIDTH_2),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            cross_attention_dim=WIDTH + WIDTH_2,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH_2,  # six sizes and coordinates, and the pooled text
        ),
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1),
    )


def sd3() -> Any:
    clip, t5 = tokenizers.clip(), tokenizers.t5()
    return diffusers.StableDiffusion3Pipeline(
        vae=autoencoders.kl(channels=16, scaling_factor=1.5305, shift_factor=0.0609, quant_conv=False),
        text_encoder=text_encoders.clip(clip, projection=WIDTH),
        text_encoder_2=text_encoders.clip(clip, width=WIDTH_2, projection=WIDTH_2),
        text_encoder_3=text_encoders.t5(t5, width=96),  # at least as wide as both CLIPs: they are padded to it
        tokenizer=clip,
        tokenizer_2=clip,
        tokenizer_3=t5,
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_attention_heads=4,
            attention_head_dim=8,
            caption_projection_dim=32,
            joint_attention_dim=96,
            pooled_projection_dim=WIDTH + WIDTH_2,
            pos_embed_max_size=8,
        ),
        scheduler=flow(),
    )


def flux() -> Any:
    clip, t5 = tokenizers.clip(), tokenizers.t5()
    return diffusers.FluxPipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.clip(clip),
        text_encoder_2=text_encoders.t5(t5),
        tokenizer=clip,
        tokenizer_2=t5,
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,  # 16 latent channels, packed 2 x 2
            num_layers=1,
            num_single_layers=1,
            num_attention_heads=2,
            attention_head_dim=16,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=flow(),
    )


def kandinsky3() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.Kandinsky3Pipeline(
        movq=autoencoders.movq(),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        unet=None,
        scheduler=diffusers.DDPMScheduler(),
    )


def flow() -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler()


def chroma() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.ChromaPipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def flux2() -> Any:
    """Its layers 10, 20 and 30 are read."""
    tokenizer = tokenizers.qwen()
    return diffusers.Flux2Pipeline(
        vae=autoencoders.kl_flux2(),
        text_encoder=text_encoders.mistral3(tokenizer, layers=31),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def flux2_klein() -> Any:
    """Its layers 9, 18 and 27 are read."""
    tokenizer = tokenizers.qwen()
    return diffusers.Flux2KleinPipeline(
        vae=autoencoders.kl_flux2(),
        text_encoder=text_encoders.decoder("Qwen3ForCausalLM", "Qwen3Config", tokenizer, layers=28, head_dim=8),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def qwenimage() -> Any:
    tokenizer = tokenizers.qwen()
    return diffusers.QwenImagePipeline(
        vae=autoencoders.qwen_image(),
        text_encoder=text_encoders.qwen2_5_vl(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def krea2() -> Any:
    tokenizer = tokenizers.qwen()
    return diffusers.Krea2Pipeline(
        vae=autoencoders.qwen_image(),
        text_encoder=text_encoders.qwen3_vl(tokenizer, layers=3),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
        text_encoder_select_layers=(0, 1, 2),
    )


def zimage() -> Any:
    tokenizer = tokenizers.qwen()
    return diffusers.ZImagePipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.decoder("Qwen3Model", "Qwen3Config", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def ovis() -> Any:
    tokenizer = tokenizers.qwen()
    return diffusers.OvisImagePipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.decoder("Qwen3Model", "Qwen3Config", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def sana() -> Any:
    tokenizer = tokenizers.gemma()
    return diffusers.SanaPipeline(
        vae=autoencoders.dc(),
        text_encoder=text_encoders.decoder("Gemma2Model", "Gemma2Config", tokenizer, head_dim=8, sliding_window=64),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def lumina2() -> Any:
    tokenizer = tokenizers.gemma()
    return diffusers.Lumina2Pipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.decoder("Gemma2Model", "Gemma2Config", tokenizer, head_dim=8, sliding_window=64),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def hidream() -> Any:
    clip, t5, llama = tokenizers.clip(), tokenizers.t5(), tokenizers.llama()
    return diffusers.HiDreamImagePipeline(
        vae=autoencoders.kl_flux(),
        text_encoder=text_encoders.clip(clip, projection=WIDTH, positions=248),
        text_encoder_2=text_encoders.clip(clip, width=WIDTH_2, projection=WIDTH_2, positions=218),
        text_encoder_3=text_encoders.t5(t5),
        text_encoder_4=text_encoders.decoder("LlamaForCausalLM", "LlamaConfig", llama),
        tokenizer=clip,
        tokenizer_2=clip,
        tokenizer_3=t5,
        tokenizer_4=llama,
        transformer=None,
        scheduler=flow(),
    )


def pixart() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.PixArtSigmaPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.13025),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def auraflow() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.AuraFlowPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.13025),
        text_encoder=text_encoders.t5(tokenizer, multilingual=True),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def hunyuandit() -> Any:
    bert, t5 = tokenizers.bert(), tokenizers.t5()
    return diffusers.HunyuanDiTPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.13025),
        text_encoder=text_encoders.bert(bert),
        tokenizer=bert,
        text_encoder_2=text_encoders.t5(t5),
        tokenizer_2=t5,
        transformer=None,
        scheduler=diffusers.DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def kolors() -> Any:
    tokenizer = tokenizers.chatglm()
    return diffusers.KolorsPipeline(
        vae=autoencoders.kl(channels=4, scaling_factor=0.13025),
        text_encoder=text_encoders.chatglm(tokenizer),
        tokenizer=tokenizer,
        unet=None,
        scheduler=diffusers.EulerDiscreteScheduler(),
    )


def cogview4() -> Any:
    tokenizer = tokenizers.glm()
    return diffusers.CogView4Pipeline(
        vae=autoencoders.kl(channels=16, scaling_factor=1.0, shift_factor=0.0, quant_conv=False),
        text_encoder=text_encoders.decoder("GlmModel", "GlmConfig", tokenizer, head_dim=8, pad_token_id=0),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def hunyuanimage() -> Any:
    qwen, byt5 = tokenizers.qwen(), tokenizers.byt5()
    return diffusers.HunyuanImagePipeline(
        vae=autoencoders.hunyuan_image(),
        text_encoder=text_encoders.qwen2_5_vl(qwen, layers=4),
        text_encoder_2=text_encoders.t5(byt5),
        tokenizer=qwen,
        tokenizer_2=byt5,
        transformer=None,
        scheduler=flow(),
    )


def unet(**settings: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        **settings,
    ).eval()
