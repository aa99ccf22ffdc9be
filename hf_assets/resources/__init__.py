"""Dagster's resources: what differs between deployments and is in no key.

`gpu.GpuResource` (device, batch sizes, threads, and the device's lock), `hub.HubResource` (opens a dataset's source),
`tables.TablesIOManager` (keeps each asset's table as Parquet in the dataset's metadata folder). All can be set by run
config, and by environment variables.

Modules here do without `from __future__ import annotations`, since Dagster reads annotations. Open `gpu` first.
"""
