"""`python -m examples.train`: make two datasets, encode them, train a tiny UNet from both."""

import argparse
import os
from pathlib import Path

from examples.train import project


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.train", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=project.ROOT / "train_data", help="where all of it lies")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    say(f"Making two datasets and a tiny Stable Diffusion in {arguments.folder} …")
    config = project.make(arguments.folder.absolute())
    say("Encoding them: dagster asset materialize -m hf_assets.definitions --select '*' …")
    project.materialize(config)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # read on import; else it asks for torchvision
    import torch

    from examples.train.training import Trainer, described

    trainer = Trainer(config, say)
    say(described(trainer.mixture, trainer.batches))
    halfway = arguments.steps // 2
    checkpoint = config.parent / "checkpoint.pt"
    torch.save(trainer.train(halfway), checkpoint)

    resumed = Trainer(config, say)
    resumed.resume(torch.load(checkpoint))
    resumed.losses, resumed.had = trainer.losses, trainer.had
    where = resumed.batches.state_dict()
    say(f"saved and loaded: epoch {where['epoch'] + 1} after {where['step']} of {len(resumed.batches)} steps")
    resumed.train(arguments.steps - halfway)


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
