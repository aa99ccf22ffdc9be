"""Tables in Parquet that say something of media beside them, read whole."""

from pathlib import Path

import pyarrow as pa

from hf_assets.sources.formats import bad_rows, parquet
from hf_assets.sources.formats.faults import Fault


def read(local: Path, name: str, found: list[Fault]) -> pa.Table:
    """The rows of which all texts are UTF-8.

    Args:
        name: for messages.
        found: is given the other rows.

    Raises:
        DatasetError: it is no Parquet, or no row is left.
    """
    table = parquet.read_table(local)
    if not table.num_columns:
        return table
    good, bad = bad_rows.of_texts({column: table[column].combine_chunks() for column in table.column_names}, name)
    found += bad
    return table.take(pa.array(good)) if bad else table
