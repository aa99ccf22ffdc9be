"""Dagster's glue that is neither an asset nor a resource.

`asset.stage_asset` makes an asset of a stage's body, which gives a `results.Step`: what its result follows from, and
how it is made. `results.made_now` and `results.made_before` are what Dagster is given, `results.fail_in_one_line` is
how an asset fails, and `lineage` lets it read only tables that belong together.

Refreshing by itself: `automation` has the sensor and the schedule, `polling` asks what moved outside, `history` reads
from Dagster's event log what is stale, running or has failed, `observations` records what was found.
`prefixes` renames resources, `records` and `metadata` translate between the event log and the page.

Open `asset` first, then `automation`.
"""
