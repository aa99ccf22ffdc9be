"""What is found out piece by piece, and kept, comes to what all rows give at once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hf_assets import fingerprint, folder
from hf_assets.show import piece_facts
from hf_assets.show.piece_facts import LEAST, Facts
from hf_assets.store.pieces import Piece
from hf_assets.store.spot_checks import MAX_SAMPLES

NUM_ROWS = 300
COLUMNS = pa.schema([*LEAST, pa.field("captions", pa.list_(pa.large_string()))])


def samples(num_keys: int) -> pa.Table:
    rows = [
        {
            "row": row,
            "source_path": f"{row}.png" if row % 2 else None,
            "bucket": f"{64 * (row % 3)}x64",
            "latent_key": fingerprint.of_value(row % num_keys),
            "captions": ["a" * (row % 7)] * (row % 3),
        }
        for row in range(NUM_ROWS)
    ]
    return pa.Table.from_pylist(rows, schema=COLUMNS)


def said(facts: Facts) -> dict[str, Any]:
    return {**facts.as_json(), "least": sorted(one["latent_key"] for one in facts.least.to_pylist())}


@pytest.mark.parametrize("num_keys", [1, MAX_SAMPLES, NUM_ROWS])
def test_pieces_come_to_the_whole_also_those_that_were_kept(tmp_path: Path, num_keys: int) -> None:
    rows = samples(num_keys)
    pieces = [Piece(number, 100, f"hash {number}") for number in range(3)]
    found = {piece.number: Facts() for piece in pieces}
    for number, facts in found.items():
        facts.add(rows.slice(100 * number, 60))
        facts.add(rows.slice(100 * number + 60, 40))
    piece_facts.save(tmp_path, found, [*pieces, Piece(7, 0, "")])
    kept = piece_facts.load(tmp_path)
    assert list(kept) == [piece.hash for piece in pieces]
    every, whole = Facts(), Facts()
    for facts in kept.values():
        every.include(facts)
    whole.add(rows)
    assert said(every) == said(whole)
    assert every.num_samples == NUM_ROWS
    assert every.sizes == Counter({"0x64": 100, "64x64": 100, "128x64": 100})
    assert dict(zip(every.lengths.values.tolist(), every.lengths.counts.tolist(), strict=True)) == Counter(
        row % 7 for row in range(NUM_ROWS) for _ in range(row % 3)
    )
    keys = sorted({fingerprint.of_value(row % num_keys) for row in range(NUM_ROWS)})
    assert said(every)["least"] == keys[:MAX_SAMPLES]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"version": 1, "pieces": {"a": {}}}', b'{"version": 0, "pieces": {}}']
)
def test_what_can_not_be_read_is_as_if_it_were_not_there(tmp_path: Path, content: bytes) -> None:
    folder.piece_facts(tmp_path).parent.mkdir()
    folder.piece_facts(tmp_path).write_bytes(content)
    assert piece_facts.load(tmp_path) == {}
