"""No two samples whose tensors differ have one key, whatever a dataset's author writes."""

import itertools

import pyarrow as pa
import pytest
from blake3 import blake3

from hf_assets import fingerprint, schema
from hf_assets.stages import keys

SIZES = ("resized_size", "target_size", "crop_top_left")


def buckets(**columns: object) -> pa.Table:
    sizes = {name: pa.array([[640, 480]], schema.SIZE) for name in SIZES}
    texts = {name: pa.array([value], pa.string()) for name, value in columns.items()}
    return pa.table({"media_hash": ["m"], **sizes, **texts})


def key(optional: tuple[str, ...] = (), encoder: str = "e", **columns: object) -> str:
    (found,) = keys.latent_keys(buckets(**columns), SIZES, encoder, optional).to_pylist()
    return str(found)


def test_a_latents_key_can_be_computed_by_hand() -> None:
    line = "latent 1|encoder 1:e|media_hash 1:m|resized_size 7:640,480|target_size 7:640,480|crop_top_left 7:640,480"
    assert key() == blake3(line.encode()).hexdigest()[:32]
    assert key(("decoding",), decoding="gray") == blake3(f"{line}|decoding 4:gray".encode()).hexdigest()[:32]


def test_an_optional_part_that_is_null_is_as_if_it_did_not_exist() -> None:
    assert key(("decoding",), decoding=None) == key(("decoding",)) == key()
    assert key(("decoding", "other"), decoding="x") == key(("decoding",), decoding="x")


def test_one_row_with_an_optional_part_moves_no_other() -> None:
    plain = keys.latent_keys(pa.concat_tables([buckets(), buckets()]), SIZES, "e").to_pylist()
    table = pa.concat_tables([buckets(decoding=None), buckets(decoding="tone-mapped")])
    one, other = keys.latent_keys(table, SIZES, "e", ("decoding",)).to_pylist()
    assert plain == [one, one]
    assert other != one


def test_parts_never_read_as_other_parts() -> None:
    both = ("a", "b")
    found = [
        key(both),
        key(both, a="x"),
        key(both, b="x"),  # the same text in another part
        key(both, a="x", b="y"),
        key(both, a="x|b 1:y"),
        key(both, a=""),  # empty is not null
        key(both, a="1:x"),
        key(both, encoder="e|a 1:x"),
    ]
    for (i, one), (j, other) in itertools.combinations(enumerate(found), 2):
        assert one != other, (i, j)


def test_a_key_needs_every_part_that_is_not_optional() -> None:
    with pytest.raises(AssertionError, match="without a key"):
        keys.latent_keys(buckets(column=None), (*SIZES, "column"), "e")


def test_rows_have_the_same_keys_in_any_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"media_hash": list("abcdefg"), "column": list("tuvwxyz")})
    whole = keys.latent_keys(table, ["column"], "e").to_pylist()
    captions = keys.embed_keys(pa.chunked_array([list("ab"), list("cdefg")], pa.large_string()), "e").to_pylist()
    monkeypatch.setattr(keys, "BATCH_ROWS", 3)
    assert keys.latent_keys(pa.concat_tables([table[:2], table[2:]]), ["column"], "e").to_pylist() == whole
    assert keys.embed_keys(pa.chunked_array([list("abcdefg")], pa.large_string()), "e").to_pylist() == captions
    assert len(set(whole)) == len(set(captions)) == 7


def test_nothing_has_keys_of_the_usual_type() -> None:
    assert keys.latent_keys(buckets()[:0], SIZES, "e").type == pa.string()
    assert keys.embed_keys(pa.chunked_array([], pa.large_string()), "e").type == pa.string()


def test_hashes_are_blake3s_and_not_xxh3s() -> None:
    assert fingerprint.of_bytes(b"") == "af1349b9f5f9a1a6a0404dea36dcc949"  # the first half of BLAKE3's own test vector
    assert fingerprint.of_bytes(b"a") != fingerprint.checksum(b"a")
    assert fingerprint.HASH_BYTES * 8 >= 128
