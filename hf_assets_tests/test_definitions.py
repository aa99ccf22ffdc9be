"""The code location: quick to load, one group per dataset."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from hf_assets.assets import buckets, captions, filtered, raw_dataset, text_embeds, training_set, vae_latents
from hf_assets.config import loading
from hf_assets.definitions import build_definitions
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.local_hub import LocalHub

HEAVY = ("torch", "diffusers", "transformers", "datasets", "lance", "ray", "av", "soundfile", "huggingface_hub")


def config_file(folder: Path, *ids: str) -> Path:
    file = folder / "datasets.json"
    datasets = [{"id": id, "type": "huggingface", "dataset_name": "user/photos"} for id in ids]
    file.write_text(
        json.dumps(
            {
                "model": {"pretrained_model_name_or_path": "user/model"},
                "datasets": datasets,
                "refresh": {"cron": "0 3 * * *"},
            }
        )
    )
    return file


def test_loading_the_definitions_imports_nothing_heavy(tmp_path: Path) -> None:
    look = f"print(sorted({set(HEAVY)!r} & set(sys.modules)))"
    code = f"import sys, hf_assets.definitions as d; assert d.defs.assets; {look}"
    environment = {"HF_ASSETS_CONFIG": str(config_file(tmp_path, "photos")), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dataset_is_one_group_of_assets_and_all_load(tmp_path: Path) -> None:
    defs = build_definitions(loading.load(config_file(tmp_path, "photos", "my-art.v2")))
    dg.Definitions.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    stages = (
        "hub_revision",
        "vae_revision",
        "text_revision",
        "raw_dataset",
        "filtered",
        "captions",
        "buckets",
        "vae_latents",
        "text_embeds",
        "training_set",
    )
    assert groups == {**{f"photos/{s}": "photos" for s in stages}, **{f"my-art.v2/{s}": "my_art_v2" for s in stages}}


def test_assets_that_use_the_device_share_a_pool(tmp_path: Path) -> None:
    graph = build_definitions(loading.load(config_file(tmp_path, "photos"))).resolve_asset_graph()
    pooled = {key.path[-1] for key in graph.get_all_asset_keys() if graph.get(key).pools == {"gpu"}}
    assert pooled == {"vae_latents", "text_embeds"}


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("filter_func", {"quality_thresholds": {"clip": 0.5}}, {"raw_dataset", "filtered"}),  # another column is read
        ("caption_column", "text", {"raw_dataset", "captions"}),
        ("resolution", 512, {"buckets"}),
        ("crop", True, {"buckets"}),
        ("revision", "v2", {"raw_dataset"}),
        ("cache_dir", "elsewhere", set()),
        ("repeats", 3, set()),
    ],
)
def test_an_edit_changes_the_code_version_of_just_the_assets_that_read_it(
    tmp_path: Path, key: str, value: object, changed: set[str]
) -> None:
    def versions(entry: dict[str, object]) -> dict[str, str | None]:
        config = {
            "model": {"pretrained_model_name_or_path": "user/model"},
            "datasets": [{"id": "photos", "type": "huggingface", "dataset_name": "user/photos", **entry}],
        }
        graph = build_definitions(loading.parse(config, tmp_path / "datasets.json")).resolve_asset_graph()
        return {asset.path[-1]: graph.get(asset).code_version for asset in graph.get_all_asset_keys()}

    before, after = versions({}), versions({key: value})
    assert {name for name in before if before[name] != after[name]} == changed


def test_the_workspace_file_names_this_code_location() -> None:
    import yaml

    root = Path(__file__).parents[1]
    workspace = yaml.safe_load((root / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [{"python_module": {"module_name": "hf_assets.definitions", "location_name": "hf_assets"}}]
    }


def test_each_asset_is_the_body_of_a_stage_asset() -> None:
    for module in (raw_dataset, filtered, captions, buckets, vae_latents, text_embeds, training_set):
        assert "@stage_asset(" in inspect.getsource(module.build), module.__name__


def test_an_observation_has_the_data_version_of_the_files_and_the_commit(hub: LocalHub, tmp_path: Path) -> None:
    def observed() -> tuple[str, str]:
        config = {
            "model": {"pretrained_model_name_or_path": "user/model"},
            "datasets": [{"id": "photos", "type": "huggingface", "dataset_name": "definitions/observed"}],
        }
        defs = build_definitions(loading.parse(config, tmp_path / "datasets.json"))
        job = dg.define_asset_job("observe", selection=[dg.AssetKey(["photos", "hub_revision"])])
        done = (
            dg.Definitions(assets=defs.assets, jobs=[job], resources=defs.resources)
            .resolve_job_def("observe")
            .execute_in_process()
        )
        (event,) = [event for event in done.all_events if event.event_type_value == "ASSET_OBSERVATION"]
        observation = event.asset_observation_data.asset_observation
        assert observation.tags
        return observation.tags["dagster/data_version"], str(observation.metadata["revision"].value)

    shas = [
        hub.commit(
            "definitions/observed", {**files_of([Row(image_bytes(0), "one")]), "README.md": b"---\nlicense: mit\n---\n"}
        )
    ]
    versions = [observed()]
    shas.append(hub.commit("definitions/observed", {"README.md": b"---\nlicense: apache-2.0\n---\n"}))
    versions.append(observed())
    shas.append(hub.commit("definitions/observed", files_of([Row(image_bytes(1), "one")])))
    versions.append(observed())
    assert [sha for _, sha in versions] == shas
    assert versions[0][0] == versions[1][0] != versions[2][0]
