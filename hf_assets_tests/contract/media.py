"""The kinds of media that the contract holds for. Another kind joins with a row of `MEDIA`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from hf_assets_tests.contract import oracle
from hf_assets_tests.contract.pictures import Row, picture

# 4 and 0 hold one picture, 7 and 1 one caption.
SIZES = [(64, 64), (96, 64), (64, 96), (128, 64), (80, 80), (72, 64), (64, 88), (100, 60), (60, 100), (90, 90)]


class Medium(NamedTuple):
    """What the contract suite needs to know about a kind of media.

    Attributes:
        entry: keys of the config's entry, besides id and dataset.
        rows: ten rows: one medium twice, one caption twice, quality rising from 0.0 to 0.9.
        another: media that are in none of the rows, by number.
        latents: of the edits of geometry, how many of the nine distinct latents change; worked out from the sizes.
        latent: a sample's latent, computed without hf_assets: (media, row of `buckets`, VAE).
    """

    entry: dict[str, Any]
    rows: Callable[[], list[Row]]
    another: Callable[[int], bytes]
    latents: dict[str, int]
    latent: Callable[[bytes, dict[str, Any], Any], torch.Tensor]


def pictures() -> list[Row]:
    made = [
        Row(
            picture(number, *size),
            f"picture {number}",
            {"quality_assessment": {"clip": number / 10}, "other": number, "alternative": f"other {number}"},
        )
        for number, size in enumerate(SIZES)
    ]
    made[4] = made[4].but(image=made[0].image)
    made[7] = made[7].but(caption=made[1].caption)
    return made


MEDIA = {
    "image": Medium(
        entry={
            "resolution": 64,
            "resolution_type": "pixel_area",
            "aspect_bucket_alignment": 8,
            "crop_style": "center",
        },
        rows=pictures,
        another=lambda number: picture(number, 80, 64) if number % 2 else picture(number),
        latents={
            "15a": 9,
            "15b": 4,  # all but squares and those whose edges are multiples of 16 already
            "16a": 5,  # those that are larger than their target on some axis
            "16b": 6,  # squares keep their geometry
        },
        latent=oracle.latent,
    ),
}
