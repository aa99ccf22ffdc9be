"""A plan says what a run then does: for every edit of the contract the same numbers, and the right reasons."""

import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hf_assets import fingerprint
from hf_assets.cli import app
from hf_assets.config import loading
from hf_assets.encode import encoders, latents
from hf_assets.store import index
from hf_assets.store.tensors import TensorStore
from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.edits import COLUMNS, EDITS, Edit, change_media, new
from hf_assets_tests.contract.image_rows import Row, files_of, parquet
from hf_assets_tests.contract.world import World

STAGES = ("vae_latents", "text_embeds")
OF_IMAGES = [edit for edit in EDITS if "image" in edit.kinds]
UNKNOWN = "unknown_until_read"
# Caches, which a plan may fill: what is kept of new files' columns, of revisions and of models.
CACHES = ("columns", "sources")
# A latent of 8 x 8 cells and an embed of 77 tokens, in float32.
LATENT_BYTES, EMBED_BYTES = 4 * 8 * 8 * 4, 77 * 32 * 4


NONE: dict[str, int] = {}
UNCHANGED = {"added": 0, "media": 0, "recaptioned": 0, "recropped": 0, "unread": 0, "removed": {}}


class Reasons(NamedTuple):
    """What a plan says of an edit: latents and captions to compute, by reason."""

    latents: dict[str, int] = NONE
    captions: dict[str, int] = NONE


# Files are known by their content, so all rows of a rewritten file are unknown until it is read.
REASONS = {
    "1": Reasons(),
    "2": Reasons(),
    "3": Reasons({UNKNOWN: 2}, {"caption": 1}),
    "4": Reasons({UNKNOWN: 7}, {"caption": 1}),
    "5a": Reasons({UNKNOWN: 10}),
    "5b": Reasons({UNKNOWN: 10}),
    "6": Reasons({UNKNOWN: 7}, {"caption": 1}),
    "7": Reasons({UNKNOWN: 8}),
    "8": Reasons({UNKNOWN: 5}),
    "9": Reasons({UNKNOWN: 5}, {"caption": 1}),
    "10": Reasons(),
    "11": Reasons({UNKNOWN: 10}),
    "12": Reasons(),
    "13": Reasons({UNKNOWN: 2}, {"caption": 2}),  # rows that a filter dropped were never read
    "14": Reasons({}, {"caption": 10}),
    "15a": Reasons({"geometry": ALL_LATENTS}),
    "15b": Reasons({"geometry": 4}),
    "16a": Reasons({"geometry": 5}),
    "16b": Reasons({"geometry": 6}),
    "17a": Reasons({"vae": ALL_LATENTS}),
    "17b": Reasons({"vae": ALL_LATENTS}),
    "18": Reasons({}, {"encoder": ALL_EMBEDS}),
    "19": Reasons({"dtype": ALL_LATENTS}, {"dtype": ALL_EMBEDS}),
    "-": Reasons(),
    "20a": Reasons(),
    "20b": Reasons(),
}


def command(world: World, *options: str) -> Result:
    """Run `hf-assets plan` on what the world's config says now."""
    world.folder.mkdir(parents=True, exist_ok=True)
    file = world.folder / "datasets.json"
    file.write_text(json.dumps(world.config))
    return CliRunner().invoke(app, ["plan", "--config", str(file), *options])


def planned(world: World) -> dict[str, Any]:
    result = command(world, "--json")
    assert result.exit_code == 0, result.output
    plan: dict[str, Any] = json.loads(result.stdout)[world.entry["id"]]
    return plan


def reasons(plan: dict[str, Any]) -> Reasons:
    return Reasons(*(plan[stage]["compute"] for stage in STAGES))


def kept_files(world: World) -> dict[str, tuple[int, int]]:
    """Every table, tensor and ledger file with its size and time."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in world.folder.rglob("*")
        if path.is_file() and path.name != "datasets.json" and not set(path.parts) & set(CACHES)
    }


@pytest.mark.parametrize("edit", OF_IMAGES, ids=lambda edit: f"{edit.number} {edit.name}")
def test_a_plan_says_what_the_run_then_does(edit: Edit, world: World, models: Models) -> None:
    edit.apply(world, models)
    before = kept_files(world)
    plan = planned(world)
    assert kept_files(world) == before
    assert reasons(plan) == REASONS[edit.number]
    run = world.materialize()
    for stage in STAGES:
        known = {reason: count for reason, count in plan[stage]["compute"].items() if reason != UNKNOWN}
        unknown = plan[stage]["compute"].get(UNKNOWN, 0)
        computed, reused = run.metadata[stage]["computed"], run.metadata[stage]["reused"]
        assert sum(known.values()) <= computed <= sum(known.values()) + unknown
        assert plan[stage]["reuse"] <= reused <= plan[stage]["reuse"] + unknown
        assert plan[stage]["reuse"] + sum(known.values()) <= computed + reused
    num_samples = run.metadata["training_set"]["dagster/row_count"]
    if not any(UNKNOWN in plan[stage]["compute"] for stage in STAGES):
        assert plan["training_set"]["after"] == num_samples
    after = planned(world)
    assert after["training_set"] == {**UNCHANGED, "before": num_samples, "after": num_samples}
    assert reasons(after) == Reasons()
    assert after["bytes_to_fetch"] == after["bytes_to_store"] == after["model_bytes_to_fetch"] == after["seconds"] == 0
    assert [after[stage]["reuse"] for stage in STAGES] == [
        run.metadata[stage]["computed"] + run.metadata[stage]["reused"] for stage in STAGES
    ]


def test_every_edit_of_the_contract_has_its_reasons() -> None:
    assert set(REASONS) == {edit.number for edit in OF_IMAGES}


def test_before_the_first_run_all_is_unknown_or_new(
    world: World, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path / "machine"))  # one that never saw this model
    models.push("models/unfetched", models.folder / "one")
    world.model["pretrained_model_name_or_path"] = "models/unfetched"
    world.entry["cache_dir"] = "cache/fresh"
    world.config["datasets"].append(
        {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "cache/fresh_text", "default": True}
    )
    world.push(world.rows[:5], world.rows[5:] + new(world))
    plan = planned(world)
    assert reasons(plan) == Reasons({UNKNOWN: 12}, {"caption": ALL_EMBEDS + 1})
    assert plan["seconds"] is None
    files = files_of(world.rows[:5], world.rows[5:])
    assert plan["bytes_to_fetch"] == sum(map(len, files.values()))  # type: ignore[arg-type]
    parts = ("vae", "text_encoder", "tokenizer")
    weights = [path for part in parts for path in (models.folder / "one" / part).iterdir() if path.is_file()]
    # What configurations are needed for an estimate was fetched by it.
    fetched = sum((models.folder / "one" / part / "config.json").stat().st_size for part in ("vae", "text_encoder"))
    assert plan["model_bytes_to_fetch"] == sum(path.stat().st_size for path in weights) - fetched
    assert plan["bytes_to_store"] == 12 * LATENT_BYTES + (ALL_EMBEDS + 1) * EMBED_BYTES
    assert plan["bytes_per_caption"] == EMBED_BYTES
    assert planned(world) == plan
    run = world.materialize()
    assert run.encoded == (ALL_LATENTS + 2, ALL_EMBEDS + 1)
    assert planned(world)["bytes_to_fetch"] == 0
    world.entry["cache_dir"] = "cache/another"
    assert planned(world)["seconds"] > 0  # what the machine measured with the same model


def test_once_headers_are_read_changed_media_differ_from_new_ones(world: World, models: Models) -> None:
    change_media(world, models)
    world.push(world.rows[:5], [*world.rows[5:], new(world)[0]])
    world.materialize(selection="*photos/buckets")
    plan = planned(world)
    assert reasons(plan) == Reasons({"media": 2, "new": 1}, {"caption": 1})
    assert world.materialize().encoded == (3, 1)


def test_new_media_in_front_are_new_though_they_moved_others(world: World) -> None:
    world.push(new(world) + world.rows[:5], world.rows[5:])
    world.materialize(selection="*photos/buckets")
    assert reasons(planned(world)).latents == {"new": 2}


def test_new_media_are_new_whatever_else_changed_and_an_encoder_goes_before_geometry(world: World) -> None:
    world.push(world.rows[:5], world.rows[5:] + new(world))
    world.entry["resolution"] = 96
    world.materialize(selection="*photos/buckets")
    world.model["dtype"] = "bfloat16"
    assert reasons(planned(world)) == Reasons({"new": 2, "dtype": 9}, {"caption": 1, "dtype": 10})


@pytest.mark.parametrize("harm", [Path.unlink, lambda shard: shard.write_bytes(shard.read_bytes()[:-1])])
def test_lost_shards_are_damaged_and_only_their_samples_computed(world: World, harm: Any) -> None:
    for folder in ("photos/vae/photos", "text"):
        shard = max((world.folder / "cache" / folder).glob("*.safetensors"), key=lambda path: path.stat().st_size)
        harm(shard)
    plan = planned(world)
    assert set(reasons(plan).latents) == set(reasons(plan).captions) == {"damaged"}
    computed = tuple(sum(counts.values()) for counts in reasons(plan))
    assert world.materialize().encoded == computed
    assert reasons(planned(world)) == Reasons()


def test_an_embed_of_another_caption_is_neither_planned_to_be_reused_nor_reused(world: World) -> None:
    parts = TensorStore(world.folder / "cache" / "text").index_blobs
    rows = index.join_parts(index.read_parts(parts))
    victim = rows["key"][0].as_py()
    text = pc.if_else(pc.equal(rows["key"], victim), fingerprint.second_of_text("of a stranger"), rows["text"])
    for blob in list(parts.list()):
        parts.delete(blob.name)
    index.commit(parts, rows.set_column(rows.column_names.index("text"), index.INDEX.field("text"), text))
    assert sum(planned(world)["text_embeds"]["compute"].values()) == 1
    assert world.materialize().encoded == (0, 1)
    assert reasons(planned(world)) == Reasons()


def test_a_plan_reads_columns_but_no_media(world: World) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4, 200, 200, 3), dtype=np.uint8)
    large = [Row(_png(pixels), f"large {n}", COLUMNS) for n, pixels in enumerate(noise)]
    data = parquet(large)
    world.push(world.rows[:5], world.rows[5:], large)
    world.hub.reset_counters()
    plan = planned(world)
    assert plan["vae_latents"]["compute"] == {UNKNOWN: 4}
    assert len(data) > 400_000
    assert plan["bytes_to_fetch"] == len(data)
    # pyarrow reads 64 KiB for the footer, then each column chunk on its own
    assert 0 < world.hub.bytes_sent(world.dataset, "data/train-00002") < 70_000
    world.hub.reset_counters()
    assert planned(world) == plan
    assert world.hub.bytes_sent(world.dataset) == 0  # the columns were kept
    assert world.materialize().metadata["raw_dataset"]["bytes_read"] == 0  # the run takes them from there too


def test_what_is_stored_and_how_long_it_takes_is_known_from_earlier_runs(world: World) -> None:
    world.entry["aspect_bucket_alignment"] = 16
    plan = planned(world)
    assert plan["vae_latents"]["compute"] == {"geometry": 4}
    assert plan["seconds"] == pytest.approx(4 / _recorded_rate(world), abs=1e-3)
    stored = _tensor_bytes(world)
    world.materialize()
    assert plan["bytes_to_store"] == _tensor_bytes(world) - stored
    rate = _recorded_rate(world)
    assert world.materialize().computed["vae_latents"] == 0
    assert _recorded_rate(world) == rate


def test_a_row_that_failed_is_not_planned_again(world: World) -> None:
    world.push(world.rows[:5], world.rows[5:], [Row(b"no picture", "none", COLUMNS)])
    assert reasons(planned(world)) == Reasons({UNKNOWN: 1}, {"caption": 1})
    assert world.materialize().encoded == (0, 1)
    assert reasons(planned(world)) == Reasons()


def test_what_failed_is_planned_again_once_it_is_marked_for_a_retry(world: World) -> None:
    world.entry["aspect_bucket_alignment"] = 16
    assert sum(planned(world)["vae_latents"]["compute"].values()) == 4
    world.materialize(selection="*photos/buckets")
    (recipe,) = loading.load(world.folder / "datasets.json").recipes
    encoder, store = latents.vae_of(recipe), TensorStore(recipe.folders.latents)
    keys = latents.latent_keys(recipe, world.table("buckets"), encoder)
    missing = keys.filter(pc.invert(pc.is_in(keys, value_set=index.stored_keys(store.index()))))
    failed = missing[:1]
    store.fail({failed[0].as_py(): ("non_finite", "as a test has it")}, encoder.tried_by)
    plan = planned(world)["vae_latents"]
    assert (plan["compute"], plan["quarantined"]) == ({"geometry": 3}, 1)
    assert world.materialize().computed["vae_latents"] == 3
    store.retry(failed.combine_chunks())
    plan = planned(world)["vae_latents"]
    assert (plan["compute"], plan["quarantined"]) == ({"retry": 1}, 0)
    assert world.materialize().computed["vae_latents"] == 1
    assert reasons(planned(world)) == Reasons()


def test_the_text_is_short_and_says_what_the_json_says(world: World) -> None:
    assert command(world).stdout == "photos: nothing to do; 9 latents and 10 captions are stored\n"
    world.entry["aspect_bucket_alignment"] = 16
    heading, becomes, latents, captions, cost = command(world).stdout.splitlines()
    assert becomes.startswith("  training set: ")
    assert becomes.endswith(" re-cropped; 10 before, 10 after")
    assert heading == "photos:"
    assert latents == "  latents: 4 of 9 to encode (resized or cropped differently), 5 reused"
    assert captions == "  captions: none to encode, 10 reused"
    assert re.fullmatch(r"  fetch \d+ kB of data, store about 4.0 kB, about \d+ s to encode", cost)


def test_a_wrong_config_ends_with_2_and_a_missing_dataset_or_model_with_1(world: World) -> None:
    assert command(world, "--id", "other").exit_code == 2
    world.model["pretrained_model_name_or_path"] = "models/absent"
    assert command(world).exit_code == 1
    world.entry["dataset_name"] = "contract/absent"
    result = command(world, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "contract/absent" in result.stderr
    world.entry["resolutoin"] = 64
    assert command(world).exit_code == 2


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _recorded_rate(world: World) -> float:
    record = encoders.read_record(world.metadata_folder / "vae_latents.parquet")
    assert record is not None
    assert record.samples_per_second is not None
    return record.samples_per_second


def _tensor_bytes(world: World) -> int:
    shapes = [
        shape
        for part in (world.folder / "cache" / "photos" / "vae" / "photos" / "index").glob("*.parquet")
        for shape in pq.read_table(part)["shape"].to_pylist()
    ]
    return sum(4 * int(np.prod(shape)) for shape in shapes)
