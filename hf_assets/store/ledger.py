"""What is known of each row's media, by the content of the file it lies in.

So a row's bytes are looked at once, whatever the revision is called.
"""

from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import blobs, files, fingerprint
from hf_assets.blobs import Location
from hf_assets.store import memo
from hf_assets.store.memo import State

TIME = pa.timestamp("us", tz="UTC")

# In place of a reason: the row is to be looked at once more.
RETRY = "retry"

# In place of a file's hash in a part's name: its rows are whole files, each with its hash.
WHOLE_FILES = "files"
FILE_HASH = pa.field("file_hash", pa.string(), nullable=False)


class Ledger:
    """Facts about the media of one column: (file hash, row in file) -> media hash, and what else a look finds.

    Append-only Parquet parts in one folder, named `{file hash}.{what was looked at, and how}.{content hash}.parquet`;
    a part's appearance is the commit, so concurrent writers are harmless. Of media that are files of their own, a part
    has many: (file hash) -> the same.

    Attributes:
        looks: schema of what one look found. A row with a `reason` could not be read as media; its facts are null.
        known: schema of what all looks together say: the last one's findings, when the first and the last were.
        written: the parts that were added by way of this object.
    """

    def __init__(self, folder: Location, column: str, probed_by: int | str, facts: pa.Schema) -> None:
        self.folder = folder
        self.way = fingerprint.of_value([column, probed_by])
        found = [
            pa.field("file_row", pa.int64(), nullable=False),
            pa.field("media_hash", pa.string()),
            *facts,
            pa.field("reason", pa.string()),
            pa.field("message", pa.string()),
        ]
        self.looks = pa.schema([*found, pa.field("seen_at", TIME)])
        self.known = pa.schema([*found, pa.field("first_seen", TIME), pa.field("last_seen", TIME)])
        self.whole_looks = self.looks.append(FILE_HASH)
        self.whole_known = self.known.append(FILE_HASH)
        self.written: dict[str, State] = {}

    def read(self, file_hashes: set[str]) -> dict[str, pa.Table]:
        """The known rows (`known`) of each of these files, each row once."""
        listed = self.parts()
        return {
            file_hash: facts
            for file_hash in file_hashes
            if (facts := self.facts(listed.get(file_hash, []))) is not None
        }

    def parts(self) -> dict[str, list[Location]]:
        """The parts that there are now, by the file whose rows they are about."""
        found = defaultdict(list)
        for blob in blobs.at(self.folder).list():
            file_hash, _, rest = blob.name.partition(".")
            if rest.startswith(f"{self.way}.") and rest.endswith(".parquet"):
                found[file_hash].append(self.folder / blob.name)
        return found

    def facts(self, parts: list[Location]) -> pa.Table | None:
        """What all parts of one file say (`known`), each row once; None where none can be read."""
        tables = [table.cast(self.looks) for path in parts if (table := files.read_table(path)) is not None]
        return (
            _facts(pa.concat_tables(tables), "file_row").select(self.known.names).cast(self.known) if tables else None
        )

    def read_whole(self) -> pa.Table:
        """What is known of media that are files of their own (`whole_known`), each once."""
        paths = self.parts().get(WHOLE_FILES, [])
        tables = [table.cast(self.whole_looks) for path in paths if (table := files.read_table(path)) is not None]
        if not tables:
            return self.whole_known.empty_table()
        facts = _facts(pa.concat_tables(tables), FILE_HASH.name)
        return facts.select(self.whole_known.names).cast(self.whole_known)

    def add(self, file_hash: str, looks: pa.Table) -> None:
        """Commit what was seen (`looks`) of rows of one file."""
        path = self.folder / f"{file_hash}.{self.way}.{fingerprint.of_table(looks)}.parquet"
        files.write_table(path, looks)
        if (state := memo.state_of(path)) is not None:
            self.written[path.name] = state

    def add_whole(self, looks: pa.Table) -> None:
        """Commit what was seen (`whole_looks`) of media that are files of their own."""
        self.add(WHOLE_FILES, looks)

    def retry_whole(self, file_hashes: list[str]) -> None:
        """Let media that are files of their own be looked at once more."""
        now = datetime.now(UTC)
        rows = [{"file_hash": one, "file_row": -1, "reason": RETRY, "seen_at": now} for one in file_hashes]
        self.add_whole(pa.Table.from_pylist(rows, schema=self.whole_looks))

    def retry(self, file_hash: str, file_rows: list[int]) -> None:
        """Let rows of one file be looked at once more."""
        rows = [{"file_row": row, "reason": RETRY, "seen_at": datetime.now(UTC)} for row in file_rows]
        self.add(file_hash, pa.Table.from_pylist(rows, schema=self.looks))


def _facts(looks: pa.Table, key: str) -> pa.Table:
    """The last look at each row, unless that is a wish to look again."""
    if pc.count_distinct(looks[key]).as_py() == len(looks) and not pc.any(pc.equal(looks["reason"], RETRY)).as_py():
        return looks.append_column("first_seen", looks["seen_at"]).append_column("last_seen", looks["seen_at"])
    rows = looks[key].combine_chunks().dictionary_encode().indices.to_numpy()
    times = looks["seen_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((times, rows))
    is_last = np.append(np.diff(rows[order]) != 0, True)[: len(order)]
    last = looks.take(pa.array(order[is_last]))
    seen = looks.filter(pc.fill_null(pc.not_equal(looks["reason"], RETRY), True)).group_by(key)
    spans = seen.aggregate([("seen_at", "min"), ("seen_at", "max")])
    spans = spans.take(pc.index_in(last[key], value_set=spans[key].combine_chunks()))
    facts = last.drop_columns("seen_at")
    facts = facts.append_column("first_seen", spans["seen_at_min"]).append_column("last_seen", spans["seen_at_max"])
    return facts.filter(pc.fill_null(pc.not_equal(last["reason"], RETRY), True))
