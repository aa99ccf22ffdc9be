"""The page about models says what the table says."""

from pathlib import Path

import pytest

from hf_assets.models import families_page
from hf_assets.models.families import Output, Text, masked, whole, zeros


def test_the_page_is_in_step_with_the_table():
    written = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    assert written == families_page.page(), "run: python -m hf_assets.models.families_page > docs/models.md"


@pytest.mark.parametrize(
    ("output", "returned", "stored"),
    [
        (whole(512, 10), 10240, (10240, 10240)),
        (zeros(512, 10), 10240, (400, 1540)),
        (masked(64, 10, by="mask"), 1280, (400, 1280)),  # no caption is longer than 64 there
        (masked(512, 3, 10, by="mask"), 30720, (1200, 4620)),  # layers behind the tokens
        (zeros(3, 512, 10), 30720, (1200, 4620)),  # and in front of them
        (Output((768,)), 1536, (1536, 1536)),
    ],
)
def test_sizes_are_of_the_positions_that_are_stored(output, returned, stored):
    assert families_page.sizes_of(Text({"prompt_embeds": output})) == (returned, stored)


def test_the_list_says_what_is_tested():
    header, *rows = families_page.listing()
    assert header.split()[:3] == ["PIPELINE", "FAMILY", "MAKES"]
    wan = next(row for row in rows if row.startswith("WanPipeline "))
    assert wan.split() == ["WanPipeline", "Wan", "video", "captions,", "latents", "Wan-AI/Wan2.1-T2V-14B-Diffusers"]
    assert len([row for row in rows if "captions, latents" in row]) == 30
