"""Columns are shown in few words."""

import pyarrow as pa
import pytest

from hf_assets import schema
from hf_assets.draw import columns


@pytest.mark.parametrize(
    ("arrow", "shown"),
    [
        (pa.int64(), "int64"),
        (schema.SIZE, "int32[2]"),
        (pa.list_(pa.large_string()), "string[]"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (
            pa.struct([("a", pa.struct([("b", pa.float32())])), ("c", pa.list_(pa.int8()))]),
            "{a: {b: float}, c: int8[]}",
        ),
        (pa.struct([("a\x1b]0;x\x07", pa.int8())]), "{a\\x1b]0;x\\x07: int8}"),  # the author of a dataset named it
    ],
)
def test_types_are_short(arrow: pa.DataType, shown: str) -> None:
    assert columns.kind(arrow) == shown


def test_every_column_of_our_tables_has_its_meaning() -> None:
    tables = (schema.BUCKETS, schema.CAPTIONS, schema.VAE_LATENTS, schema.TEXT_EMBEDS, schema.TRAINING_SET)
    others = (schema.VIDEO_BUCKETS, schema.AUDIO_BUCKETS, schema.LOCATION, pa.schema([schema.CELL, schema.LYRICS]))
    names = {name for table in (*tables, *others) for name in table.names}
    assert names <= set(columns.MEANING)


@pytest.mark.parametrize(("value", "shown"), [(0.0333333, 0.03333), (19.97465, 19.97), (123456, 123456), ("x", "x")])
def test_fractions_have_four_digits(value: object, shown: object) -> None:
    assert columns.short(value) == shown
