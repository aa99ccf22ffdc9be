"""Families that make videos."""

from typing import Any

import diffusers

from hf_assets_tests.tiny_pipelines import autoencoders, text_encoders, tokenizers
from hf_assets_tests.tiny_pipelines.images import flow
from hf_assets_tests.tiny_pipelines.text_encoders import WIDTH


def wan() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.WanPipeline(
        vae=autoencoders.wan(),
        text_encoder=text_encoders.t5(tokenizer, multilingual=True),
        tokenizer=tokenizer,
        transformer=None,
        transformer_2=None,
        scheduler=flow(),
    )


def ltx() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.LTXPipeline(
        vae=autoencoders.ltx(),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )


def ltx2() -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder

    tokenizer = tokenizers.gemma()
    connectors = LTX2TextConnectors(
        caption_channels=WIDTH,
        text_proj_in_factor=3,
        video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
        connector_rope_base_seq_len=32,
        rope_theta=10000.0,
        rope_double_precision=False,
        causal_temporal_positioning=False,
        rope_type="split",
    ).eval()
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=32,
        out_channels=2,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        leaky_relu_negative_slope=0.1,
        output_sampling_rate=16000,
    ).eval()
    return diffusers.LTX2Pipeline(
        vae=autoencoders.ltx2(),
        audio_vae=autoencoders.ltx2_audio(),
        text_encoder=text_encoders.gemma3(tokenizer),
        tokenizer=tokenizer,
        connectors=connectors,
        vocoder=vocoder,
        transformer=None,
        scheduler=flow(),
        processor=None,
    )


def cogvideox() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.CogVideoXPipeline(
        vae=autoencoders.cogvideox(),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


def hunyuanvideo() -> Any:
    llama, clip = tokenizers.llama(), tokenizers.clip()
    return diffusers.HunyuanVideoPipeline(
        vae=autoencoders.hunyuan_video(),
        text_encoder=text_encoders.decoder("LlamaModel", "LlamaConfig", llama),
        text_encoder_2=text_encoders.clip(clip),
        tokenizer=llama,
        tokenizer_2=clip,
        transformer=None,
        scheduler=flow(),
    )


def hunyuanvideo15() -> Any:
    qwen, byt5 = tokenizers.qwen(), tokenizers.byt5()
    return diffusers.HunyuanVideo15Pipeline(
        vae=autoencoders.hunyuan_video15(),
        text_encoder=text_encoders.qwen2_5_vl_text(qwen, layers=4),
        text_encoder_2=text_encoders.t5(byt5),
        tokenizer=qwen,
        tokenizer_2=byt5,
        transformer=None,
        scheduler=flow(),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=1.0),
    )


def mochi() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.MochiPipeline(
        vae=autoencoders.mochi(),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        transformer=None,
        scheduler=flow(),
    )
