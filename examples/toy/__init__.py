"""From eight photographs to a toy that draws them, on the CPU and without a network: `python -m examples.toy`."""
