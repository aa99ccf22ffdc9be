"""What the report says of all rows, piece by piece: of a piece that is taken over it was found out by an earlier run.

Facts follow from a piece's rows alone, so they are kept by the hash of these: of the pieces of one training set, in one
file that each run writes anew.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import draw, files, folder, schema
from hf_assets.blobs import Location
from hf_assets.draw import numbers
from hf_assets.draw.numbers import Counts
from hf_assets.stages import naming
from hf_assets.store import spot_checks
from hf_assets.store.pieces import Piece

# Bump when other facts are found out: older ones are then as if they weren't there.
VERSION = 1
LEAST = pa.schema([schema.TRAINING_SET.field(name) for name in ("row", naming.NAME, "bucket", "latent_key")])


class Facts:
    """What is counted of rows of the training set.

    Attributes:
        sizes: samples by bucket.
        lengths: characters of each caption.
        least: of the rows, the first ones in the order of their latents' keys, which is as good as at random: each key
            once.
    """

    def __init__(self) -> None:
        self.sizes: Counter[str] = Counter()
        self.lengths = Counts()
        self.least = LEAST.empty_table()

    @property
    def num_samples(self) -> int:
        return self.sizes.total()

    def add(self, samples: pa.Table) -> None:
        """More rows, whichever piece they lie in."""
        self.sizes.update(dict(draw.sizes(samples)))
        self.lengths.add(numbers.lengths(samples))
        self._add_least(samples.select(LEAST.names).cast(LEAST))

    def include(self, others: "Facts") -> None:
        """What was found out of others."""
        self.sizes.update(others.sizes)
        self.lengths.include(others.lengths)
        self._add_least(others.least)

    def _add_least(self, rows: pa.Table) -> None:
        if not len(rows):
            return
        few = rows.take(pc.select_k_unstable(rows, 4 * spot_checks.MAX_SAMPLES, [("latent_key", "ascending")]))
        keys = pc.unique(few["latent_key"])
        if len(keys) < spot_checks.MAX_SAMPLES < len(rows):  # many rows of one key
            few, keys = rows, pc.unique(rows["latent_key"])
        both = pa.concat_tables([self.least, few])
        first = spot_checks.first(pc.unique(both["latent_key"]))
        self.least = both.take(pc.index_in(first, value_set=both["latent_key"].combine_chunks())).combine_chunks()

    def as_json(self) -> dict[str, Any]:
        return {
            "sizes": dict(self.sizes),
            "lengths": [self.lengths.values.tolist(), self.lengths.counts.tolist()],
            "least": self.least.to_pylist(),
        }

    @classmethod
    def of_json(cls, known: Mapping[str, Any]) -> Self:
        """
        Raises:
            KeyError, TypeError, ValueError, pyarrow.ArrowException: these are none.
        """
        found = cls()
        found.sizes.update(known["sizes"])
        found.lengths.add_counted(*known["lengths"])
        found.least = pa.Table.from_pylist(known["least"], schema=LEAST)
        return found


def load(root: Location) -> dict[str, Facts]:
    """What is kept, by the hashes of pieces; nothing where it can't be read."""
    try:
        content = json.loads(folder.piece_facts(root).read_bytes())
        known = content["pieces"] if content["version"] == VERSION else {}
        return {one: Facts.of_json(facts) for one, facts in known.items()}
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return {}


def save(root: Location, facts: Mapping[int, Facts], pieces: Iterable[Piece]) -> None:
    """Keep what was found out of a table's pieces, by their numbers."""
    found = {piece.hash: facts[piece.number].as_json() for piece in pieces if piece.num_rows}
    data = json.dumps({"version": VERSION, "pieces": found}, separators=(",", ":")).encode()
    files.write_atomically(folder.piece_facts(root), data)
