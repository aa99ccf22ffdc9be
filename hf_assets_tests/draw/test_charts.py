"""Charts fit into the page's table, and say what they show."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_assets.draw import charts


def svg_of(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[[\w ]+\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found
    return ElementTree.fromstring(base64.b64decode(found[1]))


def texts(markdown: str) -> list[str]:
    return [str(element.text) for element in svg_of(markdown) if element.tag.endswith("text")]


# A few bars, many times over: what counts is their number, and what is in a name.
BARS = st.lists(st.tuples(st.text(max_size=60), st.integers(0, 10**9)), max_size=4)
COUNTS = st.builds(lambda bars, times: bars * times, BARS, st.sampled_from([1, 2, 50]))


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS)
def test_bars_are_drawn_in_place_whatever_the_names_and_numbers(counts: list[tuple[str, int]]) -> None:
    markdown = charts.inline_bars(counts, "a name", ("#111", "#222"))
    assert len(markdown) < charts.INLINE_CHARACTERS
    svg_of(markdown)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(0, 10**7), max_size=30))
def test_histograms_are_drawn_in_place_whatever_the_values(values: list[int]) -> None:
    markdown = charts.inline_histogram(np.array(values, np.int64), "a name", " characters")
    assert len(markdown) < charts.INLINE_CHARACTERS
    svg_of(markdown)


def test_bars_are_as_long_as_their_numbers() -> None:
    root = ElementTree.fromstring(charts.bars([("kept", 90), ("too_small", 30)], colours=("#111", "#222")))
    paths = {element.get("fill"): element.get("d") for element in root if element.tag.endswith("path")}
    assert paths == {"#111": "M160 2h150v11h-150z", "#222": "M160 18h50v11h-50z"}
    assert [element.text for element in root if element.tag.endswith("text")] == ["kept: 90", "too_small: 30"]


def test_bars_that_have_no_place_are_summed() -> None:
    markdown = charts.inline_bars([(f"{64 * n}x64", 1000) for n in range(1, 31)], "buckets")
    shown = texts(markdown)
    assert shown[0] == "64x64: 1,000"
    assert shown[-1] == f"{31 - len(shown)} more: {(31 - len(shown)) * 1000:,}"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5], ["most: 1", "5 px"]),
        ([1, 2, 2, 3], ["most: 2", "1 px", "3"]),
        ([], ["none"]),
        ([0, 1000], ["most: 1", "0 px", "1,000"]),
    ],
)
def test_a_histogram_names_its_ends_and_its_peak(values: list[int], expected: list[str]) -> None:
    assert texts(charts.inline_histogram(np.array(values, np.int64), "name", " px")) == expected
