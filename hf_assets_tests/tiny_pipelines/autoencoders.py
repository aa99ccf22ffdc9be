"""Autoencoders of every class that the families use, with the real factors of compression and few channels."""

from typing import Any

import diffusers


def kl(
    *,
    channels: int,
    scaling_factor: float = 0.18215,
    shift_factor: float | None = None,
    quant_conv: bool = True,
) -> Any:
    """Four blocks, so that 8 x 8 pixels become one latent cell."""
    return diffusers.AutoencoderKL(
        **_blocks(channels, quant_conv), scaling_factor=scaling_factor, shift_factor=shift_factor
    ).eval()


def kl_flux() -> Any:
    return kl(channels=16, scaling_factor=0.3611, shift_factor=0.1159, quant_conv=False)


def kl_flux2() -> Any:
    vae = diffusers.AutoencoderKLFlux2(**_blocks(32, quant_conv=True)).eval()
    vae.bn.running_mean.uniform_(-1, 1)
    vae.bn.running_var.uniform_(0.5, 2)
    return vae


def movq() -> Any:
    """Kandinsky's: its decoder reads latents, quantized or not, at each norm."""
    blocks = {name: value for name, value in _blocks(4, quant_conv=True).items() if not name.startswith("use_")}
    blocks |= {"block_out_channels": (32,) * 4, "norm_num_groups": 32}  # as its spatial norms have it
    return diffusers.VQModel(**blocks, num_vq_embeddings=16, vq_embed_dim=4, norm_type="spatial").eval()


def _blocks(channels: int, quant_conv: bool) -> dict[str, Any]:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (8,) * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 64,
        "latent_channels": channels,
        "use_quant_conv": quant_conv,
        "use_post_quant_conv": quant_conv,
    }


def dc() -> Any:
    """Sana's: six blocks, so 32 x 32 pixels a cell, and no distribution."""
    blocks = ("ResBlock",) * 5 + ("EfficientViTBlock",)
    multiscales = ((),) * 5 + ((5,),)
    return diffusers.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=(8,) * 6,
        decoder_block_out_channels=(8,) * 6,
        encoder_qkv_multiscales=multiscales,
        decoder_qkv_multiscales=multiscales,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    ).eval()


def hunyuan_image() -> Any:
    return diffusers.AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(32,) * 6,
        layers_per_block=1,
        spatial_compression_ratio=32,
        sample_size=128,
        scaling_factor=0.75289,
    ).eval()


def qwen_image() -> Any:
    return diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()


def wan() -> Any:
    return diffusers.AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()


def ltx() -> Any:
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, True, False),
        decoder_spatio_temporal_scaling=(True, True, True, False),
        patch_size=4,
        patch_size_t=1,
    ).eval()
    vae.latents_mean.uniform_(-1, 1)
    vae.latents_std.uniform_(0.5, 2)
    return vae


def ltx2() -> Any:
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 4,
        patch_size=4,
        patch_size_t=1,
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    ).eval()
    vae.latents_mean.uniform_(-1, 1)
    vae.latents_std.uniform_(0.5, 2)
    return vae


def ltx2_audio() -> Any:
    return diffusers.AutoencoderKLLTX2Audio(
        base_channels=4,
        output_channels=2,
        ch_mult=(1,),
        num_res_blocks=1,
        attn_resolutions=None,
        in_channels=2,
        resolution=32,
        latent_channels=2,
        norm_type="pixel",
        causality_axis="height",
        dropout=0.0,
        mid_block_add_attention=False,
        sample_rate=16000,
        mel_hop_length=160,
        is_causal=True,
        mel_bins=8,
    ).eval()


def cogvideox() -> Any:
    return diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8,) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
    ).eval()


def hunyuan_video() -> Any:
    return diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
    ).eval()


def hunyuan_image_refiner() -> Any:
    return diffusers.AutoencoderKLHunyuanImageRefiner(
        latent_channels=8, block_out_channels=(32,) * 5, layers_per_block=1
    ).eval()


def hunyuan_video15() -> Any:
    return diffusers.AutoencoderKLHunyuanVideo15(
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(32,) * 5,
        layers_per_block=1,
        spatial_compression_ratio=16,
        temporal_compression_ratio=4,
    ).eval()


def mochi() -> Any:
    return diffusers.AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
    ).eval()


def oobleck(*, rate_hz: int) -> Any:
    """1,920 samples a cell, stereo."""
    return diffusers.AutoencoderOobleck(
        encoder_hidden_size=16,  # mean and deviation of eight channels
        downsampling_ratios=[2, 4, 4, 6, 10],
        decoder_channels=3,
        decoder_input_channels=8,
        audio_channels=2,
        channel_multiples=[1, 1, 1, 1, 1],
        sampling_rate=rate_hz,
    ).eval()
