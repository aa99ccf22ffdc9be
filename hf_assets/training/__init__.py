"""Read training sets. Needs torch, safetensors and pyarrow; no Dagster, no encoders."""

from hf_assets.training.training_set import TrainingSet

__all__ = ["TrainingSet"]
