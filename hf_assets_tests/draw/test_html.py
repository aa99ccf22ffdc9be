"""The report loads nothing, runs nothing, and shows text as it is."""

from html.parser import HTMLParser

from hf_assets.draw import html
from hf_assets.draw.html import Jpeg, Section, Svg, Table

TAGS = {"html", "meta", "title", "style", "h1", "h2", "p", "table", "tr", "th", "td", "img"}
HOSTILE = '<script>alert(1)</script><img src="http://127.0.0.1/x.png" onerror="x">"\' &amp; \x00\x1b'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_nothing_from_a_dataset_becomes_a_tag() -> None:
    table = Table([HOSTILE], [[HOSTILE, 1]])
    page = html.page(HOSTILE, HOSTILE, [Section(HOSTILE, [HOSTILE, table, Jpeg(b"1", HOSTILE), Svg(HOSTILE)])])
    tags = parsed(page)
    assert {tag for tag, _ in tags.tags} <= TAGS
    assert all(attributes["src"].startswith("data:") for tag, attributes in tags.tags if tag == "img")  # type: ignore[union-attr]
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    assert tags.text.count("<script>alert(1)</script>") == 7
    assert "\x00" not in page


def test_a_browser_may_load_nothing_but_what_the_file_holds() -> None:
    (policy,) = [
        attributes["content"]
        for tag, attributes in parsed(html.page("a", "b", [])).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_long_tables_end_with_how_many_more_there_are() -> None:
    page = html.page("a", "b", [Section("c", [Table(["n"], [[n] for n in range(html.MAX_LINES + 7)])])])
    assert "and 7 more" in page
    assert page.count("<tr>") == html.MAX_LINES + 2
