"""The site of the docs: no link is broken, nothing is loaded from elsewhere, and every command is on a page."""

import re
import sys
from pathlib import Path

import pytest
import typer

from hf_assets.cli import app, commands_page

ROOT = Path(__file__).parents[1]
# What a browser would fetch by itself.
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"([^\"]+)\"")


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.name: path.read_text() for path in site.glob("*.html")}
    named = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    assert named | {"index.html", "changelog.html", "contributing.html", "reporting.html"} <= {*pages}
    for name, page in pages.items():
        fetched = [address for address in LOADED.findall(page) if "canonical" not in address]
        assert not [address for address in fetched if re.match(r"(https?:)?//", address)], name


def test_the_public_surface_is_rendered_with_its_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text()
    for name in ("TrainingSet", "Mixture", "MixedBatches", "ExportedSet", "collate", "build_definitions"):
        assert re.search(rf'id="[\w.]*\.{name}"', page), name
    assert "padding restored" in page or "padding" in page


def test_the_page_of_commands_is_in_step_with_them() -> None:
    written = (ROOT / "docs/commands.md").read_text()
    assert written == commands_page.page(), "run: python -m hf_assets.cli.commands_page > docs/commands.md"


def test_every_command_and_option_says_what_it_does() -> None:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"\n## hf-assets {name}\n" in commands_page.page()
        assert command.help, name
        for one in command.params:
            assert one.param_type_name == "argument" or one.help, f"{name} {one.opts}"


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        import mkdocs_hooks
    finally:
        sys.path.remove(str(ROOT))

    class Page:
        class file:
            src_uri = "training.md"

    with pytest.raises(AssertionError, match=r"training\.md: there is no examples/nowhere\.py"):
        mkdocs_hooks.on_page_markdown("[an example](../examples/nowhere.py)", Page)
    assert mkdocs_hooks.on_page_markdown("[SECURITY.md](../SECURITY.md#a)", Page) == "[SECURITY.md](reporting.md#a)"
