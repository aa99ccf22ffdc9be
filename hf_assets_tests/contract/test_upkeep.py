"""Damage, two runs at once, quarantine and garbage collection, through the real graph and the real commands."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hf_assets import cli, files
from hf_assets.encode import latents
from hf_assets.encode.shard_writer import ShardWriter
from hf_assets.errors import StoreError
from hf_assets.store.tensors import TensorStore
from hf_assets.training import TrainingSet
from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.edits import (
    COLUMNS,
    NEW_EMBEDS,
    NEW_LATENTS,
    change_caption_column,
    delete_rows,
    new,
    other_vae_repository,
    tighten_filter,
)
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.contract.world import STAGES, World
from hf_assets_tests.store.damage import SEEN, UNSEEN

HEADER, DATA, END = (SEEN[f"a bit flipped {place}"] for place in ("in the header", "in the data", "at the end"))
UNSEEN_DATA = UNSEEN["a bit flipped unseen in the data"]
ALL = ("--delete", "--grace", "0", "--keep", "1")


class Said(NamedTuple):
    code: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def command(world: World, *arguments: str) -> Said:
    """Run `hf-assets` with this world's config."""
    world.definitions()  # writes the config
    done = CliRunner().invoke(cli.app, [*arguments, "--config", str(world.folder / "datasets.json")])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def latents_folder(world: World) -> Path:
    return world.folder / "cache/photos/vae/photos"


def text_folder(world: World) -> Path:
    return world.folder / "cache/text"


def biggest_shard(folder: Path) -> tuple[Path, int]:
    """A shard, and how many samples it holds: each has one tensor here."""
    counts = {row["values"]: row["counts"] for row in TensorStore(folder).index()["shard"].value_counts().to_pylist()}
    shard = max(counts, key=lambda name: (counts[name], name))
    return TensorStore(folder).shard_path(shard), counts[shard]


# Damage


def test_a_run_of_the_whole_graph_heals_every_table(world: World) -> None:
    before = world.contents()
    for stage, damage in zip(
        STAGES, [HEADER, DATA, END, *[SEEN["truncated"], SEEN["emptied"], DATA, END]], strict=True
    ):
        damage(world.metadata_folder / f"{stage}.parquet")
    found = command(world, "verify")
    assert found.code == 1
    assert all(f"  {stage}.parquet: altered" in found.out for stage in STAGES)
    assert world.materialize().encoded == (0, 0)
    assert world.contents() == before
    assert command(world, "verify").code == 0


def test_a_stage_alone_names_the_asset_whose_table_is_damaged(world: World) -> None:
    DATA(world.metadata_folder / "raw_dataset.parquet")
    with pytest.raises(Exception) as raised:  # noqa: PT011  Dagster wraps it
        world.materialize(selection="key:photos/filtered")
    assert "raw_dataset.parquet is damaged: materialize photos/raw_dataset again" in str(
        raised.value.__cause__ or raised.value
    )


@pytest.mark.parametrize("damage", [SEEN["deleted"], DATA], ids=["deleted", "a bit flipped"])
def test_a_damaged_shard_costs_its_samples(damage: Callable[[Path], None], world: World) -> None:
    before = world.contents()
    latent, num_latents = biggest_shard(latents_folder(world))
    embed, num_embeds = biggest_shard(text_folder(world))
    damage(latent)
    damage(embed)
    assert 0 < num_latents < ALL_LATENTS
    assert world.materialize().encoded == (num_latents, num_embeds)
    assert world.contents() == before
    world.check()


def test_damage_that_nothing_shows_is_found_by_verify_and_healed_by_the_next_run(world: World) -> None:
    before = world.contents()
    shard, num_samples = biggest_shard(latents_folder(world))
    UNSEEN_DATA(shard)
    part = next((text_folder(world) / "index").glob("[!.]*.parquet"))
    DATA(part)
    assert world.materialize(selection="key:photos/vae_latents").computed["vae_latents"] == 0  # nothing shows it
    found = command(world, "verify", "--id", "photos")
    assert found.code == 1
    assert f"{shard.name}: altered" in found.out
    assert f"index/{part.name}: altered" in found.out
    assert "`hf-assets run` computes these again" in found.errors
    assert world.materialize().encoded == (num_samples, ALL_EMBEDS)
    assert world.contents() == before
    world.check()
    healed = command(world, "verify")
    assert healed.code == 0
    assert "9 samples" in healed.out


def test_damaged_memory_of_the_source_is_read_anew(world: World) -> None:
    before = world.contents()
    ledger = sorted((world.metadata_folder / "ledger").iterdir())[0]
    rows = len(files.read_table(ledger))  # type: ignore[arg-type]
    DATA(ledger)
    END(sorted((world.metadata_folder / "columns").iterdir())[0])
    counts = world.materialize()
    assert counts.encoded == (0, 0)
    assert (counts.computed["buckets"], counts.computed["raw_dataset"]) == (rows, 5)
    assert world.contents() == before


# Two at once

RUN = """
import sys
from pathlib import Path
import dagster as dg
from hf_assets.config import loading
from hf_assets.definitions import build_definitions
defs = build_definitions(loading.load(Path(sys.argv[1])))
done = dg.materialize(list(a for a in defs.assets), resources=defs.resources)
assert done.success
"""


def test_two_runs_at_once_and_a_reader_beside_them(world: World) -> None:
    old = world.training_set()
    world.push(world.rows[:5], world.rows[5:], new(world))
    world.definitions()
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, str(world.folder / "datasets.json")], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    opened = 0
    while any(run.poll() is None for run in runs):
        training = TrainingSet.open(world.metadata_folder)
        assert len(training) in (10, 12)
        training[len(training) - 1]
        old[9]
        opened += 1
    assert [run.wait() for run in runs] == [0, 0], [run.stderr.read() for run in runs if run.stderr]
    for run in runs:
        assert run.stderr is not None
        run.stderr.close()
    assert opened > 3
    assert world.materialize().encoded == (0, 0)
    world.check()
    assert len(world.training_set()) == 12
    # what both of them computed lies there twice, or once where their shards were the same
    assert command(world, "gc", *ALL).code == 0
    assert len(TensorStore(latents_folder(world)).index()) == ALL_LATENTS + NEW_LATENTS
    assert len(TensorStore(text_folder(world)).index()) == ALL_EMBEDS + NEW_EMBEDS
    world.check()


def test_a_run_keeps_garbage_collection_from_the_stores_that_it_writes_to(
    world: World, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = []
    flush = ShardWriter.flush

    def try_to_collect(self: ShardWriter) -> None:
        with pytest.raises(StoreError, match="a run is using"), self.store.alone():
            pass
        with self.store.in_use(world.metadata_folder):  # another run may
            guarded.append(self.store.folder)
        flush(self)

    monkeypatch.setattr(ShardWriter, "flush", try_to_collect)
    change_caption_column(world, models)
    other_vae_repository(world, models)
    world.materialize()
    assert set(guarded) == {latents_folder(world), text_folder(world)}


# Quarantine

BROKEN = [Row(b"this is no picture", "broken", COLUMNS), Row(image_bytes(7, 200, 200)[:-900], "cut", COLUMNS)]


def times(world: World) -> dict[str, tuple[str, str]]:
    """(first, last) seen of each failed sample."""
    rows = command(world, "quarantine", "--json").json["photos"]
    return {row["stage"]: (row["first_seen"], row["last_seen"]) for row in rows}


def test_a_failed_sample_is_tried_again_when_asked_and_only_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.push(world.rows[:5], world.rows[5:], BROKEN)
    world.materialize()
    listed = command(world, "quarantine")
    assert listed.out.splitlines()[0] == "photos: 2 samples failed"
    assert "data/train-00002-of-00003.parquet#0  buckets  undecodable" in listed.out
    assert "data/train-00002-of-00003.parquet#1  vae_latents" in listed.out
    first = times(world)
    assert all(begin == end for begin, end in first.values())

    counts = world.materialize()
    assert counts.metadata["vae_latents"]["bytes_read"] == 0
    assert times(world) == first

    assert "marked: the next run tries these again" in command(world, "quarantine", "--retry").out
    counts = world.materialize()
    assert counts.metadata["vae_latents"]["bytes_read"] == len(BROKEN[1].image or b"")
    again = times(world)
    for stage in ("buckets", "vae_latents"):
        assert again[stage][0] == first[stage][0] < again[stage][1]

    world.materialize()
    assert times(world) == again

    monkeypatch.setattr(latents, "VERSION", "another version of the code")
    world.materialize()
    assert times(world)["vae_latents"][0] > again["vae_latents"][1]

    world.push(world.rows[:5], world.rows[5:10], [row.but(image=image_bytes(8)) for row in BROKEN])
    world.materialize()
    assert command(world, "quarantine").out == "photos: no sample failed\n"
    assert len(world.training_set()) == 12


# Garbage


def tighten_then_loosen(world: World, models: Models) -> None:
    tighten_filter(world, models)
    world.materialize()
    del world.entry["filter_func"]


def vae_there_and_back(world: World, models: Models) -> None:
    model, folder = copy.deepcopy(world.model), world.vae_folder
    other_vae_repository(world, models)
    world.materialize()
    world.config["model"], world.vae_folder = model, folder


@pytest.mark.parametrize(
    "history",
    [tighten_filter, delete_rows, other_vae_repository, change_caption_column, tighten_then_loosen, vae_there_and_back],
    ids=lambda history: history.__name__,
)
def test_after_any_history_garbage_collection_and_a_run_compute_nothing(
    history: Callable[[World, Models], None], world: World, models: Models
) -> None:
    history(world, models)
    world.materialize()
    before = world.contents()
    reader = world.training_set()
    assert command(world, "gc", *ALL).code == 0
    for index in range(len(before["row"])):
        reader[index]
    world.check()
    counts = world.materialize()
    assert counts.encoded == (0, 0)
    assert world.contents() == before
    assert command(world, "verify").code == 0


def test_an_undo_after_garbage_collection_costs_exactly_what_went(world: World, models: Models) -> None:
    before = world.contents()
    tighten_filter(world, models)
    other_vae_repository(world, models)
    world.materialize()
    reported = command(world, "gc", "--grace", "0", "--keep", "1", "--json").json
    done = command(world, "gc", *ALL, "--json").json
    went = [done[str(folder)]["dead_samples"] for folder in (latents_folder(world), text_folder(world))]
    assert went == [reported[str(folder)]["dead_samples"] for folder in (latents_folder(world), text_folder(world))]
    assert went[0] == ALL_LATENTS
    del world.entry["filter_func"], world.model["vae"]
    world.vae_folder = world.pipeline_folder + "/vae"
    assert world.materialize().encoded == tuple(went)
    assert world.contents() == before
    world.check()


def test_without_delete_and_within_the_grace_period_nothing_goes(world: World, models: Models) -> None:
    other_vae_repository(world, models)
    world.materialize()
    present = sorted(path for path in world.folder.rglob("*") if path.is_file())
    report = command(world, "gc", "--grace", "0", "--keep", "1")
    assert "not in use: 9 samples" in report.out
    assert "nothing was removed; --delete does" in report.out
    young = command(world, "gc", "--delete", "--keep", "1", "--json").json
    assert young[str(latents_folder(world))]["dead_samples"] == 0
    left = {path for path in world.folder.rglob("*") if path.is_file()}
    assert {path for path in present if path.suffix == ".safetensors"} <= left


def test_the_last_training_sets_are_kept(world: World, models: Models) -> None:
    config, rows, vae_folder = copy.deepcopy(world.config), world.rows, world.vae_folder
    other_vae_repository(world, models)
    change_caption_column(world, models)
    world.materialize()
    assert command(world, "gc", "--delete", "--grace", "0", "--keep", "2").code == 0
    world.config, world.rows, world.vae_folder = config, rows, vae_folder
    assert world.materialize().encoded == (0, 0)
    world.check()


def test_what_a_run_encoded_before_it_was_stopped_is_kept(world: World, models: Models) -> None:
    other_vae_repository(world, models)
    change_caption_column(world, models)
    stages = " or ".join(f'key:"photos/{stage}"' for stage in STAGES if stage != "training_set")
    assert world.materialize(selection=stages).computed["vae_latents"] == ALL_LATENTS
    assert command(world, "gc", *ALL).code == 0
    assert world.materialize().encoded == (0, 0)
    world.check()


def test_a_dataset_of_another_config_that_shares_the_text_cache_keeps_its_embeds(world: World) -> None:
    other = World(world.folder, world.hub, world.dataset, world.config, world.rows)
    other.config["datasets"][0].update(id="others", caption_column="alternative")
    other.materialize()
    assert command(world, "gc", *ALL).code == 0  # with the config that doesn't name it
    assert other.materialize().encoded == (0, 0)

    (world.folder / "cache/others").rename(world.folder / "elsewhere")
    refused = command(world, "gc", *ALL)
    assert refused.code == 1
    assert f"a dataset that uses {text_folder(world)} had its tables in" in refused.errors
    assert len(TensorStore(text_folder(world)).index()) > ALL_EMBEDS


def test_a_folder_that_a_run_is_using_is_left_and_the_others_are_tidied(world: World, models: Models) -> None:
    tighten_filter(world, models)
    change_caption_column(world, models)
    world.materialize()
    with TensorStore(latents_folder(world)).in_use(world.metadata_folder):
        done = command(world, "gc", *ALL, "--json")
    assert done.code == 1
    assert done.errors == f"a run is using {latents_folder(world)}: try again when it is done\n"
    assert done.json[str(latents_folder(world))]["freed_bytes"] is None
    assert done.json[str(text_folder(world))]["freed_bytes"] > 0


def test_what_is_remembered_of_files_that_are_gone_goes_when_no_kept_training_set_was_read_from_them(
    world: World,
) -> None:
    import os

    rows = world.rows
    world.push(rows[1:5], rows[6:])
    world.materialize()
    for folder in ("ledger", "columns"):
        for path in (world.metadata_folder / folder).iterdir():
            os.utime(path, (0, 0))
    tables = str(world.metadata_folder)
    assert len(command(world, "gc", "--grace", "0", "--keep", "2", "--json").json[tables]["stray_files"]) == 0
    strays = command(world, "gc", *ALL, "--json").json[tables]["stray_files"]
    assert sorted(Path(path).parent.name for path in strays) == ["columns"] * 2 + ["generations"] + ["ledger"] * 2
    counts = world.materialize()
    assert (counts.encoded, counts.computed["buckets"], counts.computed["raw_dataset"]) == ((0, 0), 0, 0)


def test_a_run_claims_what_its_tables_name(world: World) -> None:
    world.materialize()
    claims = world.metadata_folder / "generations" / "claims"
    for stage, key in (("vae_latents", "latent_key"), ("text_embeds", "embed_key")):
        (claim,) = claims.glob(f"{stage}.*.parquet")
        claimed = pq.read_table(claim)["key"].to_pylist()
        assert claimed == world.table(stage)[key].to_pylist()
