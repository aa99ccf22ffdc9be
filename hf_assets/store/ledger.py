"""What is known of each row's media, by the content of the file it lies in: so a row's bytes are looked at once, whatever the revision is called."""

from collections import defaultdict
from pathlib import Path

import pyarrow as pa

from hf_assets import files, fingerprint

# A row with a `reason` could not be read as media; its size is null.
SCHEMA = pa.schema(
    [
        pa.field("file_row", pa.int64(), nullable=False),
        pa.field("media_hash", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("seen_at", pa.timestamp("s", tz="UTC")),
    ]
)


class Ledger:
    """Facts about the media of one column: (file hash, row in file) -> media hash, size.

    Append-only Parquet parts in one folder, named `{file hash}.{what was looked at, and how}.{content hash}.parquet`; a part's appearance is the
    commit, so concurrent writers are harmless.
    """

    def __init__(self, folder: Path, column: str, probe_version: int) -> None:
        self.folder = folder
        self.way = fingerprint.of_value([column, probe_version])

    def read(self, file_hashes: set[str]) -> dict[str, pa.Table]:
        """The known rows of each of these files; a row that two parts know is listed twice, with the same facts."""
        parts = defaultdict(list)
        for path in self.folder.glob(f"*.{self.way}.*.parquet"):
            file_hash = path.name.split(".")[0]
            if file_hash in file_hashes and (table := files.read_table(path)) is not None:
                parts[file_hash].append(table)
        return {file_hash: pa.concat_tables(tables) for file_hash, tables in parts.items()}

    def add(self, file_hash: str, facts: pa.Table) -> None:
        """Commit facts (`SCHEMA`) about rows of one file."""
        files.write_table(self.folder / f"{file_hash}.{self.way}.{fingerprint.of_table(facts)}.parquet", facts)
