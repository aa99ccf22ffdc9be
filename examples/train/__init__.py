"""Train a tiny UNet from two datasets, on the CPU and without a network: `python -m examples.train`."""
