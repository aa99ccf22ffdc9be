"""Failed keys as rows that a person can act on."""

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import schema


def quarantined(keyed: pa.Table, key: str, failures: pa.Table, raw_dataset: pa.Table, stage: str) -> pa.Table:
    """The rows whose key failed, with address and reason (`schema.QUARANTINE`).

    Args:
        keyed: has `row` and the column `key`.
        failures: see `store.tensors.failures`.
    """
    positions = pc.index_in(keyed[key], value_set=failures["key"].combine_chunks())
    failed = pc.is_valid(positions)
    found = failures.take(positions.filter(failed))
    rows = keyed.filter(failed)["row"]
    place = raw_dataset.take(pc.index_in(rows, value_set=raw_dataset["row"].combine_chunks()))
    address = pc.binary_join_element_wise(
        place["file_path"].cast(pa.string()), place["file_row"].cast(pa.string()), "#"
    )
    stages = pa.array([stage] * len(rows), pa.string())
    return pa.table(
        [rows, address, found["key"], stages, found["status"], found["message"], found["written_at"]],
        schema=schema.QUARANTINE,
    )
