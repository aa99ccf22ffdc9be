"""Dagster: one module per asset, each with `build(recipe)`."""
