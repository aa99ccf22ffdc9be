"""What a training set must hold, computed without hf_assets' own encoders, stores or tables."""

import io
from functools import cache
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image


def latent(image: bytes, sample: dict[str, Any], vae: diffusers.AutoencoderKL) -> torch.Tensor:
    """The picture, resized and cropped as the sample says, encoded alone by the VAE itself. (C, h, w)"""
    with torch.inference_mode():
        return vae.encode(_pixels(image, sample)).latent_dist.mode()[0] * vae.config.scaling_factor


def deviation(image: bytes, sample: dict[str, Any], vae: diffusers.AutoencoderKL) -> torch.Tensor:
    """The deviation of what `latent` is the mean of. (C, h, w)"""
    with torch.inference_mode():
        return vae.encode(_pixels(image, sample)).latent_dist.std[0] * vae.config.scaling_factor


def _pixels(image: bytes, sample: dict[str, Any]) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(image)).convert("RGB"))).permute(2, 0, 1)[None]
    width, height = sample["resized_size"]
    pixels = torch.nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    (top, left), (w, h) = sample["crop_top_left"], sample["target_size"]
    return pixels[:, :, top : top + h, left : left + w].to(torch.float32) / 127.5 - 1


def embed(caption: str, pipeline: diffusers.StableDiffusionPipeline) -> torch.Tensor:
    """The caption, encoded alone by the pipeline itself. (L, D)"""
    with torch.inference_mode():
        return pipeline.encode_prompt(caption, torch.device("cpu"), 1, False)[0][0]


@cache
def vae_of(folder: str) -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL.from_pretrained(folder)


@cache
def pipeline_of(folder: str) -> diffusers.StableDiffusionPipeline:
    return diffusers.StableDiffusionPipeline.from_pretrained(folder, unet=None, vae=None)
