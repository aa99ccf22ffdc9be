"""However small the pieces are in which tables are made, they are those that a build from scratch makes as a whole."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hf_assets import files, fingerprint, folder
from hf_assets.config import loading
from hf_assets.encode.lookup import Lookup
from hf_assets.store import generations
from hf_assets.store.remaking import Remaking
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import (
    change_captions,
    change_media,
    change_resolution,
    insert_in_front,
    tighten_filter,
)
from hf_assets_tests.contract.image_rows import Row
from hf_assets_tests.contract.pieces import make_small, tables_of
from hf_assets_tests.contract.world import STAGES, World


def reshard(world: World, models: Models) -> None:
    """Pieces begin and end at other rows."""
    world.push(world.rows[:1], world.rows[1:4], world.rows[4:])


WALK: tuple[tuple[Callable[[World, Models], object], int], ...] = (
    (insert_in_front, 2),
    (reshard, 3),
    (change_captions, 1),
    (change_media, 4),
    (tighten_filter, 2),
    (change_resolution, 5),
)


def require_counts_of_all(world: World) -> None:
    """What is said to be stored is what the whole table names, not what was looked up."""
    (recipe,) = loading.load(world.folder / "datasets.json").recipes
    for name, store in (("vae_latents", recipe.folders.latents), ("text_embeds", recipe.folders.embeds)):
        keys, said = pc.unique(world.table(name)[generations.NAMING[name]]), world.runs[-1].metadata[name]
        index = TensorStore(store).index()
        num_bytes = pc.sum(index["num_bytes"].filter(pc.is_in(index["key"], value_set=keys))).as_py()
        assert (said["computed"] + said["reused"], said["bytes_stored"]) == (len(keys), num_bytes)


def test_a_walk_of_edits_in_small_pieces_ends_where_a_build_as_a_whole_does(
    world: World, models: Models, scratch: Callable[[World], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 2)  # of such pieces some are taken over, and versions are made
    for edit, num_rows in WALK:
        with pytest.MonkeyPatch.context() as patch:
            make_small(patch, num_rows)
            edit(world, models)
            world.materialize()
            require_counts_of_all(world)
    world.check()
    whole = scratch(world)
    assert world.contents() == whole.contents()
    assert tables_of(world) == tables_of(whole)
    assert world.runs[-1].versions == whole.runs[-1].versions
    kept, found = (json.loads(folder.piece_facts(one.metadata_folder).read_bytes()) for one in (world, whole))
    assert kept == found  # what the report says of pieces that were taken over, too


def test_rows_that_are_added_are_all_that_pass_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 2)
    rows = [world.rows[number] for number in world.table("training_set")["row"].to_pylist()[:3] * 2]
    world.push(rows)
    world.materialize()
    passed: dict[str, set[int]] = {}
    real = Remaking.tables

    def tables(self: Remaking, one: TableFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for rows in real(self, one, columns):
            passed.setdefault(self.outputs[0].stem, set()).update(rows["row"].to_pylist())
            yield rows

    monkeypatch.setattr(Remaking, "tables", tables)
    claims = folder.claims(world.metadata_folder)
    shutil.rmtree(claims)
    world.push(rows, rows[:1])  # files are named by their number, too
    world.materialize()
    assert passed == {stage: {6} for stage in STAGES[1:]}
    for name, column in generations.NAMING.items():  # what is taken over is claimed, too
        claimed = [pq.read_table(path)["key"].to_pylist() for path in claims.glob(f"{name}.*")]
        assert {key for keys in claimed for key in keys} == set(world.table(name)[column].to_pylist())
    world.check()


def test_a_generation_that_is_lost_names_all_again_and_pieces_may_have_no_captions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 2)
    rows = [row.but(caption=None) if number in (4, 5, 8) else row for number, row in enumerate(world.rows)]
    world.push(rows)
    world.materialize()
    shutil.rmtree(world.metadata_folder / "generations")
    world.push(rows, rows[:1])  # the pieces before are taken over, and their keys are in no generation
    world.materialize()
    training = world.table("training_set")
    keys = {key for row in training["embed_keys"].to_pylist() for key in row}
    keys |= {*training["latent_key"].to_pylist(), *training["empty_caption_key"].to_pylist()}
    newest = generations.newest(world.metadata_folder)
    assert newest is not None
    table = files.read_table(newest)
    assert table is not None
    assert set(table["key"].to_pylist()) == keys
    world.check()


CAPTIONS = ("one", "two", "three", "four", "five", "six", "seven", "eight")


def media_of_two_pieces(world: World) -> list[Row]:
    """Of four rows each."""
    return [world.rows[number] for number in world.table("training_set")["row"].to_pylist()[:4] * 2]


def push_captions(world: World, media: Sequence[Row], captions: Sequence[str]) -> None:
    world.push([row.but(caption=text) for row, text in zip(media, captions, strict=True)])
    world.materialize()


def test_what_the_rows_of_a_remade_piece_had_is_not_looked_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 4)
    push_captions(world, media_of_two_pieces(world), CAPTIONS)
    asked: dict[str, int] = {}
    real = Lookup.add

    def add(self: Lookup, rows: pa.ChunkedArray, *more: Any) -> None:
        asked[self.store.folder.name] = asked.get(self.store.folder.name, 0) + len(rows)
        real(self, rows, *more)

    monkeypatch.setattr(Lookup, "add", add)
    world.entry["where"] = "caption != 'two' AND caption != 'six'"
    world.materialize()
    assert asked == {"photos": 0, "text": 1}  # the empty caption, which each piece has and the first one names
    world.check()


def test_a_caption_that_moves_to_another_piece_stands_in_the_table_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "HASHED_ROWS", 4)
    captions, media = list(CAPTIONS), media_of_two_pieces(world)
    for row, text in ((0, "one"), (0, "five"), (7, "two"), (1, "three"), (4, "one"), (0, "one")):
        captions[row] = text
        push_captions(world, media, captions)
        assert world.table("text_embeds")["caption"].to_pylist() == ["", *dict.fromkeys(captions)]
    world.check()
