"""However small the pieces are in which tables are made, they are those that a build from scratch makes as a whole."""

from collections.abc import Callable

import pytest

from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.edits import (
    change_captions,
    change_media,
    change_resolution,
    insert_in_front,
    tighten_filter,
)
from hf_assets_tests.contract.pieces import make_small, tables_of
from hf_assets_tests.contract.world import World


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


def test_a_walk_of_edits_in_small_pieces_ends_where_a_build_as_a_whole_does(
    world: World, models: Models, scratch: Callable[[World], World]
) -> None:
    for edit, num_rows in WALK:
        with pytest.MonkeyPatch.context() as patch:
            make_small(patch, num_rows)
            edit(world, models)
            world.materialize()
    world.check()
    whole = scratch(world)
    assert world.contents() == whole.contents()
    assert tables_of(world) == tables_of(whole)
    assert world.runs[-1].versions == whole.runs[-1].versions
