"""The report runs no script but its own, loads nothing but what lies beside it, and shows text as it is."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import numpy as np

from hf_assets.draw import html
from hf_assets.draw.html import (
    Bars,
    Details,
    Gallery,
    Group,
    Head,
    Histogram,
    Jpeg,
    Lines,
    Pair,
    Pairs,
    Part,
    Section,
    Table,
)

FRAME = {"html", "meta", "title", "style", "header", "nav", "main", "section", "h1", "h2", "h3", "p", "a", "div"}
LISTS = {"ul", "li", "dl", "dt", "dd", "table", "tr", "th", "td", "i", "span", "small", "figure", "figcaption", "img"}
TOOLS = {"details", "summary", "script", "noscript", "dialog", "label", "input", "select", "option", "button"}
HOSTILE = '<script>alert(1)</script><img src="http://127.0.0.1/x.png" onerror="x">"\' &amp; \x00\x1b'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.is_in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.is_in_script = tag == "script"
        if self.is_in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.is_in_script = False

    def handle_data(self, data: str) -> None:
        if self.is_in_script:
            self.scripts[-1] += data
        else:
            self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def policy_of(page: str) -> str:
    (policy,) = [
        attributes["content"]
        for _, attributes in parsed(page).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    return policy


def every_part() -> list[Part]:
    picture = Jpeg(b"1", HOSTILE)
    return [
        HOSTILE,
        Table([HOSTILE], [[HOSTILE]]),
        Bars([(HOSTILE, 1)], title=HOSTILE, total=2),
        Histogram(np.array([1, 5]), HOSTILE, HOSTILE),
        picture,
        Pairs([Pair(picture, picture, HOSTILE)]),
        Lines(HOSTILE, [HOSTILE]),
        Group([Details(HOSTILE, [HOSTILE])]),
        Gallery({"buckets": [HOSTILE]}, picture),
    ]


def test_nothing_from_a_dataset_becomes_a_tag() -> None:
    page = html.page(Head(HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, every_part()), [Section(HOSTILE, every_part())])
    tags = parsed(page)
    assert {tag for tag, _ in tags.tags} <= FRAME | LISTS | TOOLS
    assert all(attributes["src"].startswith("data:") for tag, attributes in tags.tags if tag == "img")  # type: ignore[union-attr]
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert tags.text.count("<script>alert(1)</script>") >= 20
    assert "\x00" not in page
    # the gallery's data twice, and our script
    data, again, ours = tags.scripts
    assert json.loads(data) == json.loads(again) == {"buckets": [HOSTILE]}
    assert ours == html.SCRIPT


def test_a_browser_may_load_nothing_from_elsewhere_and_run_nothing_but_the_gallery() -> None:
    assert "script-src" not in policy_of(html.page(Head("a", "b"), []))
    page = html.page(Head("a", "b"), [Section("c", [Gallery({})])])
    policy = policy_of(page)
    assert policy.startswith("default-src 'none'")
    assert not any(name in policy for name in ("http", "unsafe-eval", "*"))
    ours = base64.b64encode(hashlib.sha256(parsed(page).scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{ours}' 'strict-dynamic'" in policy


def test_long_tables_and_bars_end_with_how_many_more_there_are() -> None:
    table, bars = Table(["n"], [[n] for n in range(html.MAX_LINES + 7)]), Bars([("a", 2)] * (html.MAX_BARS + 3))
    page = html.page(Head("a", "b"), [Section("c", [table, bars])])
    assert "and 7 more" in page
    assert page.count("<tr>") == html.MAX_LINES + 2
    assert "<span>3 more</span>" in page


def test_a_histogram_counts_every_value() -> None:
    page = html.page(Head("a", "b"), [Section("c", [Histogram(np.array([1, 1, 2, 900]), " characters")])])
    assert 'title="1 to 23: 3"' in page
    assert 'title="898 to 900: 1"' in page
    assert "<span>1 character</span><span>highest bar: 3</span><span>900</span>" in page
    several = Histogram(np.array([1, 2, 900]), " characters", "", np.array([2, 5, 7]))
    page = html.page(Head("a", "b"), [Section("c", [several])])
    assert 'title="1 to 23: 7"' in page
    assert "<span>highest bar: 7</span>" in page


def test_numbers_that_are_all_the_same_are_no_chart() -> None:
    same = Histogram(np.array([16]), " tokens", "", np.array([3]))
    page = html.page(Head("a", "b"), [Section("c", [same])])
    assert "<p>3 with 16 tokens</p>" in page
    assert 'class="histogram"' not in page


def test_a_long_fact_has_a_line_of_its_own() -> None:
    page = html.page(Head("a", "b", {"rows": "7", "training set": "/data/" + 30 * "x"}), [])
    assert "<div><dt>rows</dt>" in page
    assert '<div class="long"><dt>training set</dt>' in page
