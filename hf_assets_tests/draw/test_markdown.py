"""What the page shows is small, and nothing from a dataset is taken as Markdown."""

import pyarrow as pa
import pytest

from hf_assets.draw import buckets, drop_counts, dropped_examples, examples, failures, funnel, sizes
from hf_assets.draw.markdown import CAPTION_CHARACTERS, escape


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](http://127.0.0.1/pixel.png)",
        "<img src=x>",
        "a | b",
        "`code`",
        "[link](javascript:alert(1))",
        "www.example.com",
        "**bold**",
    ],
)
def test_hostile_captions_become_plain_text(hostile: str) -> None:
    text = escape(hostile)
    assert not set(text.replace("&#", "").replace(";", "")) & set("![](){}<>|`*:/.@_\\")


def test_captions_stay_on_one_line_and_short() -> None:
    assert escape("a\nb\tc") == "a b c"
    assert len(escape("x" * 1000)) == CAPTION_CHARACTERS


def test_the_funnel_adds_up() -> None:
    dropped = pa.table({"dropped_for": ["too_small", "low_clip", "too_small"]})
    lines = funnel(10, drop_counts(dropped), num_failed=1).splitlines()
    assert lines[2:] == [
        "| in | 10 |",
        "| too&#95;small | −2 |",
        "| low&#95;clip | −1 |",
        "| quarantined | −1 |",
        "| **kept** | **6** |",
    ]


def test_buckets_come_by_size_and_the_rest_is_summed() -> None:
    names = [f"{64 * n}x64" for n in range(1, 26) for _ in range(n)]
    lines = buckets(sizes(pa.table({"bucket": names}))).splitlines()
    assert lines[2] == "| 1600x64 | 25 |"
    assert lines[-1] == "| 5 more | 15 |"


def test_failures_are_counted_by_reason_with_an_example() -> None:
    table = pa.table(
        {
            "stage": ["buckets"] * 3,
            "reason": ["undecodable"] * 2 + ["missing"],
            "address": ["a#1", "a#2", "b#1"],
            "message": ["m1", "m2", "m3"],
            "source_path": [None, None, "cat"],
        }
    )
    assert failures(table).splitlines()[2:] == [
        "| buckets | undecodable | 2 | a&#35;1: m1 |",
        "| buckets | missing | 1 | cat: m3 |",
    ]


def test_examples_show_rows_and_captions() -> None:
    assert examples(pa.table({"row": [3], "captions": [["a cat"]]})).splitlines()[2] == "| 3 | a cat |"


def test_dropped_rows_show_their_reason_and_their_values_escaped() -> None:
    columns = [{"scores": {"clip": 0.1}, "title": "![x](http://127.0.0.1/a.png)"}]
    dropped = pa.table({"row": [1234], "columns": columns, "dropped_for": ["low_clip"]})
    line = dropped_examples(dropped).splitlines()[2]
    assert line.startswith("| 1,234 | low&#95;clip | scores&#46;clip&#58; 0&#46;1, title&#58; ")
    assert "![" not in line
    assert "http:" not in line
