"""What a run changed in the training set, for the report's head."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.plan import changes
from hf_assets.plan.comparison import Comparison, places_of_common
from hf_assets.stages import naming
from hf_assets.stages.aligning import END, Cursor

NAMES = 5
WORDS = {
    "added": "added",
    "recaptioned": "with other captions",
    "recropped": "cut in another way",
}
NOTHING = "Nothing: the training set is the one of the last run."
KEY = "latent_key"
# Columns of the last training set that say nothing of what changed.
NOT_COMPARED = ("file", "latent_shape", "embed_keys", "empty_caption_key")


class SinceLast:
    """What differs between the training set that is on the disk and the one that is being made."""

    def __init__(self, recipe: Recipe, before: Iterator[pa.Table] | None) -> None:
        """
        Args:
            before: the rows of the one on the disk, but for those that the new one takes over; None: there is none.
        """
        self._root = recipe.folders.metadata
        self._before = None if before is None else Cursor(before)
        self._num_samples = 0
        self._comparison: Comparison | None = None
        self._new_keys: list[np.ndarray] = [np.empty(0, np.uint64)]

    def add(self, samples: pa.Table) -> None:
        """The next rows of the new one, but for those that are taken over."""
        self._num_samples += len(samples)
        if self._before is not None:
            self._compare(self._before.until(samples["row"][-1].as_py() if len(samples) else -1), samples)

    def _compare(self, old: pa.Table, new: pa.Table) -> None:
        if self._comparison is None:
            has_paths = naming.NAME in old.column_names  # an earlier release noted none
            geometry = changes.geometry_of(old.column_names, new.column_names)
            self._comparison = Comparison(geometry, has_paths=has_paths)
        self._comparison.add(old, new)
        if KEY in old.column_names:
            at_old, at_new = places_of_common(old["row"].to_numpy(), new["row"].to_numpy())
            before, now = (changes.first_halves(fingerprint.pack(some[KEY])) for some in (old, new))
            is_new = np.ones(len(now), bool)
            is_new[at_new] = before[at_old] != now[at_new]
            self._new_keys.append(now[is_new])

    def lines(self) -> list[str]:
        """A line for each kind of change."""
        if self._before is None:
            return [f"This is the first training set: {_number(self._num_samples)}."]
        rest = self._before.until(END)
        if len(rest):
            self._compare(rest, rest.slice(0, 0))
        if self._comparison is None:
            return [NOTHING]
        found = self._comparison.changes()
        lines = [
            f"{_number(len(rows))} {WORDS[kind]}: {_names(self._root, 'raw_dataset', rows)}"
            for kind, rows in found.by_kind.items()
            if len(rows) and kind in WORDS
        ]
        lines += [
            f"{_number(len(rows))} gone: {_names(self._root, 'training_set', rows)}" for rows in found.removed.values()
        ]
        if count := self._num_new_latents():
            verb = "has" if count == 1 else "have"
            lines.append(f"{_number(count)} {verb} a latent that the last training set didn't have.")
        return lines or [NOTHING]

    def _num_new_latents(self) -> int:
        """Samples whose latent no sample of the last training set has: keys are hashes, of which half is enough."""
        wanted, counts = np.unique(np.concatenate(self._new_keys), return_counts=True)
        if not len(wanted):
            return 0
        is_known = np.zeros(len(wanted), bool)
        for table in files.read_tables(folder.table(self._root, "training_set"), [KEY]) or ():
            before = np.sort(changes.first_halves(fingerprint.pack(table[KEY])))
            at = np.minimum(np.searchsorted(wanted, before), len(wanted) - 1)
            is_known[at[wanted[at] == before]] = True
        return int(counts[~is_known].sum())


def _number(count: int) -> str:
    return f"{count:,} sample" if count == 1 else f"{count:,} samples"


def _names(root: Location, table: str, rows: "changes.Numbers") -> str:
    wanted = pa.array(rows[:NAMES])
    tables = files.read_tables(folder.table(root, table), ["row", naming.NAME]) or ()
    some = [naming.name_of(row) for part in tables for row in _rows(part, wanted)]
    more = f" and {len(rows) - len(some):,} more" if len(rows) > len(some) else ""
    return f"{', '.join(some)}{more}"


def _rows(table: pa.Table, wanted: pa.Array) -> list[dict[str, object]]:
    found: list[dict[str, object]] = table.filter(pc.is_in(table["row"], value_set=wanted)).to_pylist()
    return found
