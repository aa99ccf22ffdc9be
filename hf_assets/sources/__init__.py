"""Rows and media bytes of a dataset, from the Hub or from a folder.

`source.source_of(spec)` opens a `Source`: it resolves a split to a `spec.Snapshot`, whose files and hashes can't change
any more, and reads from exactly that. `rows.read` gives the wanted columns of all rows; media are read later, file by
file, for just the rows that need them.

`data_files` finds the files of a split as `datasets` does; `listing` remembers what a repository holds; `named_media`
resolves media that rows name by path; `slices` reads `split: "train[:10%]"`. Where files lie is `places`, what they
are is `formats`.

Open `source` first, then `rows`.
"""
