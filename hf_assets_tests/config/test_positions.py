"""Where the paths of a JSON or YAML text stand in it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_assets.config import positions
from hf_assets.config.positions import Node, child_path, find, of_json, of_yaml

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def text_at(text: str, place: positions.Place) -> str:
    return text.split("\n")[place.line - 1][place.column - 1 :]


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    yield from value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


@settings(deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 0, 2, "\t", " \t\n"]), ascii=st.booleans())
def test_every_key_and_item_of_any_json_is_found(value: Any, indent: Any, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)

    def check(node: Node, value: Any) -> None:
        assert [*node.children] == [key for key, _ in children(value)]
        for key, child in children(value):
            at, inner = node.children[key]
            first = json.dumps(key if isinstance(key, str) else child, ensure_ascii=ascii)
            assert text_at(text, at).startswith(first if isinstance(key, str) else first[:1])
            assert text_at(text, inner.at).startswith(json.dumps(child, ensure_ascii=ascii)[:1])
            check(inner, child)

    check(of_json(text), value)


@settings(deadline=None)
@given(value=st.dictionaries(st.text("ab.[]0", min_size=1), VALUES, min_size=1))
def test_a_key_is_found_by_its_path_whatever_dots_it_holds(value: dict[str, Any]) -> None:
    node = of_json(json.dumps(value))
    for key in value:
        assert find(node, child_path("", key)) == node.children[key][0]


YAML = """\
type: a
---
type: b
attributes:
  key_prefix: art
  base: &base
    resolution: 512
    crop: true
  datasets:
    - <<: *base
      id: a
      crop: [1, {x: 2}]
    - {id: b, id: c,
       video: {min: 1}}
    -
      <<: [*base, {id: d}]
  again: *base
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", (3, 1)),
        ("attributes", (4, 1)),
        ("attributes.key_prefix", (5, 3)),
        ("attributes.key_prefix[0]", (5, 15)),  # not there: what should hold it
        ("attributes.datasets[0]", (10, 7)),
        ("attributes.datasets[0].id", (11, 7)),
        ("attributes.datasets[0].crop", (12, 7)),
        ("attributes.datasets[0].resolution", (7, 5)),  # merged from there
        ("attributes.datasets[0].crop[1].x", (12, 18)),
        ("attributes.datasets[0].nothing", (10, 7)),
        ("attributes.datasets[1].id", (13, 15)),  # the last counts
        ("attributes.datasets[1].video.min", (14, 16)),
        ("attributes.datasets[1].video.max", (14, 15)),
        ("attributes.datasets[2].id", (16, 20)),
        ("attributes.datasets[2].crop", (8, 5)),
        ("attributes.datasets[3].id", (10, 5)),
        ("attributes.again", (17, 3)),
        ("attributes.again.crop", (8, 5)),
    ],
)
def test_yaml_is_found_where_it_is_written(path: str, place: tuple[int, int]) -> None:
    assert find(of_yaml(YAML, 1), path) == place


def test_keys_that_stand_twice_are_reported_once() -> None:
    assert [*positions.repeated_keys(of_yaml(YAML, 1))] == ["attributes.datasets[1].id"]
    twice = "a: &a {x: 1, x: 2}\nb: *a\nc: [{y: 1, y: 2}]\n"
    assert [*positions.repeated_keys(of_yaml(twice))] == ["a.x", "c[0].y"]
    assert [*positions.repeated_keys(of_yaml("&a [*a]"))] == []
