"""Read training sets, and mix them. Needs torch, safetensors and pyarrow; no Dagster, no encoders."""

from hf_assets.config.training_part import Part
from hf_assets.training.collating import collate
from hf_assets.training.mixed_batches import Batch, MixedBatches
from hf_assets.training.mixture import Mixture
from hf_assets.training.training_set import TrainingSet

__all__ = ["Batch", "MixedBatches", "Mixture", "Part", "TrainingSet", "collate"]
