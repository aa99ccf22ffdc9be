"""The table of families, and what is made of it."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from hf_assets.config import model_choice
from hf_assets.config.model_families import FAMILIES, ModelFamily

ALL = sorted(FAMILIES.items())


@pytest.mark.parametrize(("name", "family"), ALL)
def test_a_row_fits_together(name: str, family: ModelFamily) -> None:
    assert family.default is None or family.default in family.repositories
    assert set(family.alignments) <= set(family.repositories)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", repository) for repository in family.repositories.values())
    if family.i2v_flavours:
        assert any(flavour.startswith(family.i2v_flavours) for flavour in family.repositories)
    for flavour, repository in family.repositories.items():
        choice = model_choice.choose(name, flavour, None)
        assert choice is not None
        assert choice.repository == repository
        assert (choice.refusal is None) is (family.pipeline is not None)


def test_the_list_has_each_family_that_can_be_encoded_with_its_default_flavour_first() -> None:
    header, *lines = model_choice.listing()
    assert header.split() == ["NAME", "FLAVOURS"]
    named = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1].split(", ") for line in lines}
    assert set(named) == {name for name, facts in FAMILIES.items() if facts.pipeline}
    assert {name: flavours[0] for name, flavours in named.items()} == {name: FAMILIES[name].default for name in named}
    assert named["sdxl"] == ["base-1.0", "refiner-1.0", "base-0.9", "refiner-0.9"]


def test_families_have_the_pipelines_that_diffusers_has() -> None:
    """Read from its source, since importing it takes seconds."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    classes = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {family.pipeline for family in FAMILIES.values() if family.pipeline} <= classes
    assert set(model_choice.WITHOUT) <= {name for name, family in ALL if family.pipeline is None}


def test_what_is_known_of_some() -> None:
    assert len(FAMILIES) == 44
    assert sum(len(family.repositories) for family in FAMILIES.values()) == 168
    assert FAMILIES["flux"].repositories["dev"] == "black-forest-labs/flux.1-dev"
    choices = [model_choice.choose(*names, None) for names in (("sdxl", None), ("wan", None), ("wan", "ti2v-5b-2.2"))]
    assert [choice.alignment_px for choice in choices if choice] == [64, 32, 64]
    assert [choice.forces_alignment for choice in choices if choice] == [False, True, True]
    assert model_choice.choose(None, "dev", None) is None
