"""Pages of the repository's root join the site, and links between root and docs lead to where the pages are in it."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent
# Files of the root, and their pages.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)((?:#[^)\s]*)?)\)")


def on_files(files: Files, config: Any) -> Files:
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    is_of_root = page.file.src_uri in PAGES.values()

    def moved(match: re.Match[str]) -> str:
        text, target, anchor = match.groups()
        if not target or ":" in target:
            return match[0]
        path = target if is_of_root else f"docs/{target}"
        inside = (ROOT / path).resolve().relative_to(ROOT).as_posix()
        if inside in PAGES:
            return f"[{text}]({PAGES[inside]}{anchor})"
        if inside.startswith("docs/"):
            return f"[{text}]({inside.removeprefix('docs/')}{anchor})"
        assert (ROOT / inside).exists(), f"{page.file.src_uri}: there is no {inside}"
        return f"{text} (`{inside}`)"  # code isn't a page

    return _LINK.sub(moved, markdown)
