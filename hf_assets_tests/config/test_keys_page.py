"""The page about the config says what the code takes."""

from pathlib import Path

from hf_assets.config.keys_page import page


def test_the_page_is_in_step_with_the_models() -> None:
    written = (Path(__file__).parents[2] / "docs" / "config.md").read_text()
    assert written == page(), "run: python -m hf_assets.config.keys_page > docs/config.md"
