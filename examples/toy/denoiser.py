"""A small UNet that learns which latents belong to which caption, and draws from noise."""

from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DConditionModel
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from hf_assets.training import TrainingSet, collate

BATCH, LEARNING_RATE = 8, 1e-3
DRAWING_STEPS = 20
# What the UNet finds in a noisy latent: a mix of noise and picture, which at the noisiest is the picture. Of the noise
# alone (`epsilon`) the pictures' colours can't be told there, and they drift to the mean's.
TARGET = "v_prediction"


def train(training_set: TrainingSet, num_steps: int, say: Callable[[str], None]) -> UNet2DConditionModel:
    """Learn to part noise from latents, each batch of which comes with its captions' embeds."""
    sample = training_set[0]
    unet = UNet2DConditionModel(
        sample_size=sample["latents"].shape[-1],
        in_channels=4,
        out_channels=4,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[64, 96],
        layers_per_block=1,
        attention_head_dim=8,
        norm_num_groups=16,
        cross_attention_dim=sample["prompt_embeds"].shape[-1],
    ).train()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, num_steps)
    noising = DDPMScheduler(prediction_type=TARGET)
    loader = DataLoader(training_set, batch_size=BATCH, collate_fn=collate)
    batch = next(iter(loader))  # eight samples are all there are
    captions = apart(batch["prompt_embeds"])
    losses: list[float] = []
    for step in range(1, num_steps + 1):
        noise = torch.randn_like(batch["latents"])
        times = torch.randint(noising.config.num_train_timesteps, (len(noise),))
        noisy = noising.add_noise(batch["latents"], noise, times)
        target = noising.get_velocity(batch["latents"], noise, times)
        loss = mse_loss(unet(noisy, times, encoder_hidden_states=captions).sample, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % max(num_steps // 5, 1) == 0:
            say(f"  UNet, step {step:>4}: loss {sum(losses[-100:]) / len(losses[-100:]):.3f}")
    return unet.eval()


def apart(prompt_embeds: torch.Tensor) -> torch.Tensor:
    """Embeds (B, 77, D) of all captions, as their distance from the mean: the random text encoder of the toy, unlike a
    real one, gives nearly the same for each.
    """
    from_mean = prompt_embeds - prompt_embeds.mean(0)
    return from_mean / from_mean.std()


@torch.no_grad()
def draw(unet: UNet2DConditionModel, prompt_embeds: torch.Tensor) -> torch.Tensor:
    """Latents, (B, 4, h, w), one for each of the embeds, from noise alone."""
    schedule = DDIMScheduler(prediction_type=TARGET, clip_sample=False, timestep_spacing="trailing")
    schedule.set_timesteps(DRAWING_STEPS)
    captions = apart(prompt_embeds)
    latents = torch.randn(len(prompt_embeds), 4, unet.config.sample_size, unet.config.sample_size)
    for time in schedule.timesteps:
        found = unet(latents, time, encoder_hidden_states=captions).sample
        latents = schedule.step(found, time, latents).prev_sample
    return latents
