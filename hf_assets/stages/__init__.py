"""Pure functions over Arrow tables: same input, same output. No disk, no network, no clock, no Dagster.

In the order of the graph: `filtering.judge` (which rows are kept, and why not), `captions.extract`, the part and shape
of media (`geometry.assign` for images, `frames` for videos, `audio`, `composites`), `keys` (the key of each latent and
embed), `joining.join` (the training set). `expressions` and `custom` are the filters that users write; `rewriting`
edits captions; `sampling` chooses rows by their content.

A module's `VERSION` is bumped when it gives other results for the same input. Random choices are drawn from content
and a seed. Open `filtering` first.
"""
