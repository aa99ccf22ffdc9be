"""The pages about the config say what the code takes."""

from pathlib import Path

from hf_assets.config import keys_page, simpletuner_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_in_step_with_the_models() -> None:
    written = (DOCS / "config.md").read_text()
    assert written == keys_page.page(), "run: python -m hf_assets.config.keys_page > docs/config.md"


def test_the_page_about_simpletuner_is_in_step_with_the_tables() -> None:
    written = (DOCS / "simpletuner.md").read_text()
    assert written == simpletuner_page.page(), "run: python -m hf_assets.config.simpletuner_page > docs/simpletuner.md"
