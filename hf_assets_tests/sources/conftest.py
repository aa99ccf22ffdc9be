"""A tiny pipeline on the local Hub, for runs of the whole graph."""

import pytest

from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.local_hub import LocalHub


@pytest.fixture(scope="session")
def models(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Models:
    made = Models(hub, tmp_path_factory.mktemp("models"))
    made.push("models/one", made.build("one", 0))
    return made
