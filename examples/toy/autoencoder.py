"""A small VAE that learns some photographs by heart: 4 x 4 pixels become 4 numbers.

Shape letters: B batch.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch.nn.functional import l1_loss

BATCH, LEARNING_RATE = 4, 3e-3
# So little of the loss is the latents' distance from a normal distribution.
KL_WEIGHT = 1e-6


def train(photos: torch.Tensor, num_steps: int, say: Callable[[str], None]) -> AutoencoderKL:
    """
    Args:
        photos: (B, 3, 64, 64), -1 to 1.
    """
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[16, 32, 32],
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        mid_block_add_attention=False,
        sample_size=64,
    ).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, num_steps)
    for step in range(1, num_steps + 1):
        some = photos[torch.randint(len(photos), (BATCH,))]
        some = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, some, some.flip(-1))
        posterior = vae.encode(some).latent_dist
        loss = l1_loss(vae.decode(posterior.sample()).sample, some) + KL_WEIGHT * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(num_steps // 4, 1) == 0:
            say(f"  VAE, step {step:>4}: mean error {loss.item() * 127.5:.1f} of 255")
    vae = vae.eval()
    with torch.no_grad():
        spread = vae.encode(photos).latent_dist.mean.std().item()
    vae.register_to_config(scaling_factor=round(1 / spread, 4))  # latents as a denoiser expects them: spread 1
    return vae


def save(vae: AutoencoderKL, folder: Path) -> None:
    """In place of the random one of a tiny pipeline."""
    vae.save_pretrained(folder)
