"""The training itself: what a trainer does with a mixture, with a checkpoint in the middle."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from hf_assets.training import MixedBatches, Mixture, collate

SEED = 0
LEARNING_RATE = 3e-3
SHOWN_STEPS = 20  # over which a shown loss is averaged
NUM_WORKERS = 1


class Trainer:
    """A UNet that learns to find the noise in latents, from batches of a mixture."""

    def __init__(self, config: Path, say: Callable[[str], None]) -> None:
        torch.manual_seed(SEED)
        self.mixture = Mixture.from_config(config)
        self.batches = self.mixture.batches(seed=SEED)
        self.unet = UNet2DConditionModel.from_pretrained(config.parent / "model/unet").train()
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=LEARNING_RATE)
        self.schedule = DDPMScheduler()
        self.losses: list[float] = []
        self.had: Counter[str] = Counter()
        self.say = say

    def train(self, num_steps: int) -> dict[str, Any]:
        """Go on for some steps.

        Returns:
            a checkpoint.
        """
        for _, batch in zip(range(num_steps), self._endless(), strict=False):
            self.optimizer.zero_grad()
            loss = self._loss(batch)
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
            self.had[batch["dataset"][0]] += len(batch["dataset"])
            if len(self.losses) % SHOWN_STEPS == 0:
                mean = sum(self.losses[-SHOWN_STEPS:]) / SHOWN_STEPS
                self.say(f"step {len(self.losses):>4}   loss {mean:.3f}   samples so far: {shares(self.had)}")
        return {
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(after=batch),  # the worker has asked for more than these
        }

    def resume(self, checkpoint: dict[str, Any]) -> None:
        self.unet.load_state_dict(checkpoint["unet"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.batches.load_state_dict(checkpoint["batches"])

    def _endless(self) -> Iterator[dict[str, Any]]:
        loader = DataLoader(
            self.mixture,
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=NUM_WORKERS,
            persistent_workers=True,
        )
        while True:
            yield from loader  # an epoch, or what is left of it

    def _loss(self, batch: dict[str, Any]) -> torch.Tensor:
        latents = batch["latents"]
        noise = torch.randn_like(latents)
        times = torch.randint(self.schedule.config.num_train_timesteps, (len(latents),))
        noisy = self.schedule.add_noise(latents, noise, times)
        predicted_noise = self.unet(noisy, times, encoder_hidden_states=batch["prompt_embeds"]).sample
        return mse_loss(predicted_noise, noise)


def described(mixture: Mixture, batches: MixedBatches) -> str:
    """What is mixed, one line for each dataset."""
    lines = []
    for name, training_set in mixture.sets.items():
        part = mixture.parts[name]
        shapes = ", ".join(
            f"{len(rows)} of {'x'.join(map(str, shape))}" for shape, rows in training_set.buckets.items()
        )
        lines.append(f"  {name:<9} probability {part.probability}, batches of {part.train_batch_size}: {shapes}")
    return "\n".join([f"{len(mixture)} samples, {len(batches)} steps an epoch:", *lines])


def shares(counts: Counter[str]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{name} {count} ({count / total:.0%})" for name, count in sorted(counts.items(), reverse=True))
