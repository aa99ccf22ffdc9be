"""Read training sets, and mix them: what a trainer imports. Needs torch, safetensors and pyarrow; no Dagster.

`TrainingSet.open(folder)` reads one dataset; `Mixture.from_config(file)` all datasets of a config, with probabilities,
repeats and start and end steps as SimpleTuner has them; `ExportedSet.open` reads one that was exported as Parquet, also
from the Hub; `Mixture.batches()` is a `batch_sampler` for a `DataLoader`
that can stop and go on exactly; `collate` stacks samples.

How batches come about: `passes` shuffles one dataset, `interleaving` orders several by weight, `timeline` says who
takes part at which step, `mixed_batches` puts them together. Open `training_set` first.
"""

from hf_assets.config.training_part import Part
from hf_assets.training.collating import collate
from hf_assets.training.exported_set import ExportedSet
from hf_assets.training.mixed_batches import Batch, MixedBatches
from hf_assets.training.mixture import Mixture
from hf_assets.training.training_set import TrainingSet

__all__ = ["Batch", "ExportedSet", "MixedBatches", "Mixture", "Part", "TrainingSet", "collate"]
