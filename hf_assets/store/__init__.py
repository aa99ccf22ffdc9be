"""Tensors under content keys, and what is remembered of media: everything that is kept between runs.

`tensors.TensorStore` is a folder of immutable shards (`shards`, `packing`) with an append-only `index`; a part of the
index that appears is the commit, and `runs` holds the rows of many parts, sorted. `tensor_reader` reads tensors by key,
a batch at a time (`extents`, `stacking`), from files (`local_shards`) or an object store (`remote_shards`). `ledger`
keeps facts about media by the hash of their file, so that a row's bytes are looked at once in its life. `table_file`
keeps an asset's table, and `memo` what it was made from, so that a run with nothing to do opens none. A table is
written as a `draft`, in `pieces` of the split, and `remaking` takes over those of the last one that are as they were
(`row_groups`).

`generations` notes which keys training sets name; `gc` removes what none does; `verifying` and `spot_checks` read
what is stored against its checksums. Concurrent writers are harmless: a key decides its bytes.

Open `tensors` first.
"""
