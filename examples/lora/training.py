"""The loop of diffusers' text-to-image LoRA script, and the two ways in which a batch comes to it.

Shape letters: B batch, C latent channels, H W pixels, h w latent cells, L tokens, D width.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn
from torch.nn.functional import mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class Batch(NamedTuple):
    """What the loop needs of some samples: latents (B, C, h, w), and text (B, L, D)."""

    latents: torch.Tensor
    encoder_hidden_states: torch.Tensor


class Encoders:
    """What the script keeps in memory to encode each batch again, in each epoch."""

    def __init__(self, pipeline: Path) -> None:
        self.vae = AutoencoderKL.from_pretrained(pipeline, subfolder="vae")
        self.tokenizer = CLIPTokenizer.from_pretrained(pipeline, subfolder="tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(pipeline, subfolder="text_encoder")

    @torch.no_grad()
    def __call__(self, batch: dict[str, Any]) -> Batch:
        """
        Args:
            batch: `pixel_values` (B, 3, H, W), -1 to 1, and `caption`.
        """
        latents = self.vae.encode(batch["pixel_values"]).latent_dist.sample() * self.vae.config.scaling_factor
        tokens = self.tokenizer(
            batch["caption"],
            max_length=self.tokenizer.model_max_length,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        # contiguous, as what is stored: the noise of `randn_like` is drawn in the order in which numbers lie in memory
        return Batch(latents.contiguous(), self.text_encoder(tokens.input_ids, return_dict=False)[0])


def stored(batch: dict[str, Any]) -> Batch:
    """The same of a training set whose `model.latents` is "moments": a new draw each time, and no encoder.

    Args:
        batch: as `hf_assets.training.collate` makes it.
    """
    latents = batch["latents"] + batch["latents_std"] * torch.randn_like(batch["latents"])
    return Batch(latents, batch["prompt_embeds"])


class Lora(nn.Module):
    """A linear layer with a small one beside it, as peft's."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = (
            nn.Linear(base.in_features, rank, bias=False),
            nn.Linear(rank, base.out_features, bias=False),
        )
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = self.base(hidden) + self.up(self.down(hidden))
        return adapted


def with_lora(unet: UNet2DConditionModel, rank: int = 4) -> list[nn.Parameter]:
    """Put LoRA layers into the attention of a UNet whose own weights stay. Returns what is trained."""
    unet.requires_grad_(False)
    found = [
        name for name, layer in unet.named_modules() if name.endswith(PROJECTIONS) and isinstance(layer, nn.Linear)
    ]
    for name in found:
        parent, _, own = name.rpartition(".")
        setattr(unet.get_submodule(parent), own, Lora(unet.get_submodule(name), rank))
    return [weight for weight in unet.parameters() if weight.requires_grad]


def train(
    pipeline: Path, batches: Iterable[dict[str, Any]], prepare: Callable[[dict[str, Any]], Batch], seed: int = 0
) -> list[float]:
    """Train from batches. Returns the loss of each step.

    Args:
        prepare: `Encoders(pipeline)`, as the script has it, or `stored`.
    """
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(pipeline, subfolder="unet")
    scheduler = DDPMScheduler.from_pretrained(pipeline, subfolder="scheduler")
    optimizer = torch.optim.AdamW(with_lora(unet), lr=1e-3)
    losses = []
    for batch in batches:
        latents, encoder_hidden_states = prepare(batch)
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),))
        noisy = scheduler.add_noise(latents, noise, timesteps)
        predicted = unet(noisy, timesteps, encoder_hidden_states, return_dict=False)[0]
        loss = mse_loss(predicted.float(), noise.float())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
