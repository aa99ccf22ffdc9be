"""What runs on a device: rows to facts, shapes, latents and embeds. Knows no Dagster.

In the order of the graph: `choosing` (filters, captions), `bucketing.assign` (probes media by `probe`, then computes
shapes), `latents.encode`, `embeds.encode`. Each gives an `outcome.Outcome`: the table of its asset and what it counted.
What a table takes over from the last run is in `taken_over`; `trainable` joins the rows of the training set, `embedded`
gives their captions the embeds.

What is missing is cut into units (`unit`), which a worker runs as an assembly line (`worker`, with `pipes`, `batches`,
`transfers`, `tally`, `shard_writer`); `line` says what a stage must be able to do there, `latent_stage` and
`embed_stage` do it.

What both share: `encoders` (which model at which commit, and what its store holds), `media_files` (the media of rows,
file by file), `quarantine` (failed samples as rows), `progress`. `pins` and `revisions` fix a model that can move to
one commit for a whole run; `decoders` notes which version of the decoder looked at media.

Open `latents` first. Nothing here decides what is computed: keys do (`stages.keys`), looked up in `store.tensors`.
"""
