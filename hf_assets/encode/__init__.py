"""What runs on a device: rows to facts, shapes, latents and embeds. Knows no Dagster.

In the order of the graph: `bucketing.assign` (probes media by `probe`, then computes shapes), `latents.encode`,
`embeds.encode`. Each gives an `outcome.Outcome`: the table of its asset and what it counted.

What they share: `encoders` (which model at which commit, and what its store holds), `media_files` (the media of rows,
file by file), `batches` (full batches of one shape, halved where memory runs out), `shard_writer`, `quarantine` (failed
samples as rows), `progress`. `pins` and `revisions` fix a model that can move to one commit for a whole run.

Open `latents` first. Nothing here decides what is computed: keys do (`stages.keys`), looked up in `store.tensors`.
"""
