"""What a training set must hold, computed without hf_assets' own encoders, stores or tables."""

import io
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import av
import diffusers
import numpy as np
import soundfile
import torch
from PIL import Image


def latent(image: bytes, sample: dict[str, Any], vae: diffusers.AutoencoderKL) -> torch.Tensor:
    """The image, resized and cropped as the sample says, encoded alone by the VAE itself. (C, h, w)"""
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


def latent_of_clip(data: bytes, sample: dict[str, Any], vae: diffusers.AutoencoderKLLTXVideo) -> torch.Tensor:
    """The clip's frames, as the sample says, encoded alone by the VAE itself, as the pipeline does. (C, f, h, w)"""
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    taken = frames[sample["first_frame"] :][: sample["num_frames"]]
    assert len(taken) == sample["num_frames"]
    pixels = torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2)
    width, height = sample["resized_size"]
    pixels = torch.nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    (top, left), (w, h) = sample["crop_top_left"], sample["target_size"]
    pixels = pixels[:, :, top : top + h, left : left + w].to(torch.float32) / 127.5 - 1
    with torch.inference_mode():
        z = vae.encode(pixels.transpose(0, 1)[None]).latent_dist.mode()
        scaled = diffusers.LTXImageToVideoPipeline._normalize_latents(
            z, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )
        return scaled[0]


def embed(caption: str, pipeline: diffusers.StableDiffusionPipeline) -> torch.Tensor:
    """The caption, encoded alone by the pipeline itself. (L, D)"""
    with torch.inference_mode():
        return pipeline.encode_prompt(caption, torch.device("cpu"), 1, False)[0][0]


def embed_for_videos(caption: str, pipeline: diffusers.LTXPipeline) -> torch.Tensor:
    """The caption, encoded alone by the pipeline itself; zeros where its mask says that nobody looks. (L, D)"""
    with torch.inference_mode():
        embeds, mask = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)[:2]
        return embeds[0] * mask[0, :, None]


def latent_of_sound(data: bytes, sample: dict[str, Any], vae: diffusers.AutoencoderOobleck) -> torch.Tensor:
    """The clip's samples, as the sample says, encoded alone by the VAE itself. (C, s)"""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert rate == vae.config.sampling_rate
    taken = torch.from_numpy(samples)[sample["first_sample"] :][: sample["num_samples"]].T
    assert taken.shape[1] == sample["num_samples"]
    with torch.inference_mode():
        return vae.encode(taken.expand(vae.config.audio_channels, -1)[None]).latent_dist.mode()[0]


def embed_of_song(
    caption: str, lyrics: str | None, bucket: dict[str, Any], pipeline: diffusers.AceStepPipeline
) -> dict[str, torch.Tensor]:
    """Caption, lyrics and the length of what is taken, encoded alone by the pipeline itself. (L, D) each"""
    seconds = bucket["num_samples"] / bucket["sample_rate_hz"]
    with torch.inference_mode():
        text, _, words, _ = pipeline.encode_prompt(caption, lyrics or "", torch.device("cpu"), audio_duration=seconds)
        return {"text_hidden_states": text[0], "lyric_hidden_states": words[0]}


@cache
def vae_of(folder: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about how Oobleck is written
        return diffusers.AutoModel.from_pretrained(folder)


@cache
def pipeline_of(folder: str) -> Any:
    denoiser = next(name for name in ("unet", "transformer") if (Path(folder) / name).exists())
    return diffusers.DiffusionPipeline.from_pretrained(folder, vae=None, **{denoiser: None})
