"""The whole graph on real photographs, on the CPU and without a network: `python -m examples.demo`, or `make demo`."""
