"""Keeping stores and results sound: the commands `verify` and `gc`, and the checks of assets.

`maintenance.verify` reads everything that is stored against its checksums; `maintenance.collect_garbage` finds what no
training set of the last generations names, and removes it if asked to. `check_results` computes what each asset check
reports: coverage, finite values, duplicates, the error budget; `known_results` repeats what is known to be the same.

How a store is searched and swept is `store.gc`; here it is decided for which datasets. Open `maintenance` first.
"""
