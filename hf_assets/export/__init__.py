"""Views of training sets that other trainers read: their caches and datasets, written from what is stored.

Nothing is encoded. `exporting.export` writes one dataset in one format; `FORMATS` says which there are. A `place.Place`
holds what was exported: payloads in a pool, named by what is in them, and generations of hard links to them, so that a
payload is written once, whatever it is called. `view.View` is what an export reads. `simpletuner_cache` writes a file
for each sample; the other formats write shards, which `sharding` fills and keeps.

Knows no Dagster. Open `exporting` first.
"""
