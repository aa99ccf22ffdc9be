"""Dagster: one module per asset of a dataset, each with `build(recipe)`; and the checks of these assets.

An asset is wiring: it reads its inputs, calls one function of `encode` or `stages`, and returns the table with
metadata. What all assets share (key, group, code version, how they fail) is `orchestrate.asset.stage_asset`.

In the order of the graph: `hub_revision` (observed, not made), `raw_dataset`, `filtered`, `captions`, `buckets`,
`vae_latents`, `text_embeds`, `training_set`; then `checks`. No asset imports another: they meet as tables, whose
columns `schema` names. Modules here do without `from __future__ import annotations`, since Dagster reads annotations.

Open `vae_latents` first, then `orchestrate.asset`.
"""
