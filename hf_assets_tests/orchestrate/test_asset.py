from pathlib import Path

import dagster as dg
import pytest

from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.errors import DatasetError
from hf_assets.orchestrate.asset import stage_asset
from hf_assets.orchestrate.results import Step, fail_in_one_line
from hf_assets.resources.tables import FOLDER
from hf_assets.store.table_file import TableFile


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    entry = {"id": "photos", "type": "huggingface", "dataset_name": "user/photos", "owners": ["team:data"]}
    model = {"pretrained_model_name_or_path": "user/model"}
    return loading.parse({"model": model, "datasets": [entry]}, tmp_path / "datasets.json").recipes[0]


def test_an_asset_is_named_described_and_placed_by_its_body_and_its_recipe(recipe: Recipe) -> None:
    @stage_asset(recipe, code_version="7", inputs=["filtered"], revisions=["hub_revision"], kinds=["arrow", "dataset"])
    def counted(context: dg.AssetExecutionContext, filtered: TableFile) -> Step:
        """How many rows there are."""
        raise AssertionError

    (spec,) = counted.specs
    assert spec.key.path == ["photos", "counted"]
    assert {dep.asset_key.path[-1] for dep in spec.deps} == {"filtered", "hub_revision"}
    assert (spec.description, spec.code_version, spec.group_name) == ("How many rows there are.", "7", "photos")
    assert spec.metadata[FOLDER] == str(recipe.folders.metadata)
    assert (list(spec.owners), spec.kinds) == (["team:data"], {"arrow", "dataset"})


def test_a_full_disk_is_one_line_whichever_library_meets_it() -> None:
    @fail_in_one_line
    def write() -> None:
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    with pytest.raises(dg.Failure, match="is full: free space, then run again"):
        write()


def test_an_asset_fails_with_its_one_line_and_not_with_a_stack(recipe: Recipe) -> None:
    @stage_asset(recipe, code_version="1")
    def counted(context: dg.AssetExecutionContext) -> Step:
        raise DatasetError("column 'image' is missing: name another in image_column")

    done = dg.materialize([counted], resources={"tables": dg.mem_io_manager}, raise_on_error=False)
    failure = done.failure_data_for_node("photos__counted")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == "column 'image' is missing: name another in image_column"
