"""Families that make audio."""

from typing import Any

import diffusers

from hf_assets_tests.tiny_pipelines import autoencoders, text_encoders, tokenizers
from hf_assets_tests.tiny_pipelines.text_encoders import WIDTH


def stableaudio() -> Any:
    tokenizer = tokenizers.t5()
    return diffusers.StableAudioPipeline(
        vae=autoencoders.oobleck(rate_hz=44100),
        text_encoder=text_encoders.t5(tokenizer),
        tokenizer=tokenizer,
        projection_model=diffusers.StableAudioProjectionModel(
            text_encoder_dim=WIDTH, conditioning_dim=WIDTH, min_value=0, max_value=512
        ),
        transformer=diffusers.StableAudioDiTModel(
            sample_size=4,
            in_channels=8,
            num_layers=1,
            attention_head_dim=4,
            num_key_value_attention_heads=2,
            out_channels=8,
            cross_attention_dim=32,
            time_proj_dim=8,
            global_states_input_dim=64,
            cross_attention_input_dim=WIDTH,
        ),
        scheduler=diffusers.EDMDPMSolverMultistepScheduler(),
    )


def acestep() -> Any:
    from diffusers.pipelines.ace_step import AceStepConditionEncoder

    tokenizer = tokenizers.qwen()
    return diffusers.AceStepPipeline(
        vae=autoencoders.oobleck(rate_hz=48000),
        text_encoder=text_encoders.decoder("Qwen3Model", "Qwen3Config", tokenizer, head_dim=8),
        tokenizer=tokenizer,
        transformer=None,
        condition_encoder=AceStepConditionEncoder(
            hidden_size=WIDTH,
            intermediate_size=64,
            text_hidden_dim=WIDTH,
            timbre_hidden_dim=8,
            num_lyric_encoder_hidden_layers=2,
            num_timbre_encoder_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            rope_theta=10000.0,
            sliding_window=16,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )
