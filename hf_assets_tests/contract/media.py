"""The kinds of media that the contract holds for. Another kind joins with a row of `MEDIA`.

The column is called `image` for all of them, so that one `Row` does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from hf_assets_tests.audio_files import wav
from hf_assets_tests.contract import oracle
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.video_files import clip

# 4 and 0 hold one image, 7 and 1 one caption.
SIZES = [(64, 64), (96, 64), (64, 96), (128, 64), (80, 80), (72, 64), (64, 88), (100, 60), (60, 100), (90, 90)]


class Medium(NamedTuple):
    """What the contract suite needs to know about a kind of media.

    Attributes:
        family: of the tiny pipeline.
        extension: of the name under which trainers know a row.
        edits: numbers of the edits that are tried, but by `make soak`; None: all. Most don't depend on the medium.
        entry: keys of the config's entry, besides id and dataset.
        rows: ten rows: one medium twice, one caption twice, quality rising from 0.0 to 0.9.
        another: media that are in none of the rows, by number.
        latents: of the edits of geometry, how many of the nine distinct latents change; worked out from the sizes.
        latent: a sample's latent, computed without hf_assets: (media, row of `buckets`, VAE).
        embed: what the text side makes of a row, by name, likewise: (row, row of `buckets`, pipeline).
    """

    family: str
    extension: str
    edits: tuple[str, ...] | None
    entry: dict[str, Any]
    rows: Callable[[], list[Row]]
    another: Callable[[int], bytes]
    latents: dict[str, int]
    latent: Callable[[bytes, dict[str, Any], Any], torch.Tensor]
    embed: Callable[[Row, dict[str, Any], Any], dict[str, torch.Tensor]]


# (frames, width, height): of 17 frames and of 9, with some frames over, with pixels over on one axis or none.
CLIPS = [
    (9, 64, 64),
    (9, 96, 64),
    (17, 64, 96),
    (12, 64, 64),
    (9, 64, 64),
    (9, 100, 64),
    (16, 64, 64),
    (9, 128, 128),
    (9, 64, 100),
    (30, 64, 64),
]


def rows_of_images() -> list[Row]:
    return _rows_of([image_bytes(number, *size) for number, size in enumerate(SIZES)])


def clips() -> list[Row]:
    return _rows_of([clip(number, *size) for number, size in enumerate(CLIPS)])


# Seconds of each clip; odd ones are mono. Equal captions come with equally much of a clip, so that they have one embed.
SECONDS = [0.4, 0.5, 0.4, 0.45, 0.4, 0.3, 0.4, 0.45, 1.0, 0.6]


def songs() -> list[Row]:
    """Each is a tone of its own; two have words."""
    tones = [wav(200 + 100 * number, s, rate=48_000, channels=2 - number % 2) for number, s in enumerate(SECONDS)]
    words = {5: "la la la", 8: "one two"}
    return [row.with_columns(lyrics=words.get(number)) for number, row in enumerate(_rows_of(tones))]


def _rows_of(media: list[bytes]) -> list[Row]:
    made = [
        Row(
            one,
            f"picture {number}",
            {"quality_assessment": {"clip": number / 10}, "other": number, "alternative": f"other {number}"},
        )
        for number, one in enumerate(media)
    ]
    made[4] = made[4].but(image=made[0].image)
    made[7] = made[7].but(caption=made[1].caption)
    return made


MEDIA = {
    "image": Medium(
        family="sd15",
        extension="jpg",
        edits=None,
        entry={
            "resolution": 64,
            "resolution_type": "pixel_area",
            "aspect_bucket_alignment": 8,
            "crop_style": "center",
        },
        rows=rows_of_images,
        another=lambda number: image_bytes(number, 80, 64) if number % 2 else image_bytes(number),
        latents={
            "15a": 9,
            "15b": 4,  # all but squares and those whose edges are multiples of 16 already
            "16a": 5,  # those that are larger than their target on some axis
            "16b": 6,  # squares keep their geometry
        },
        latent=oracle.latent,
        embed=lambda row, bucket, pipeline: {"prompt_embeds": oracle.embed(row.text, pipeline)},
    ),
    "video": Medium(
        family="ltx",
        extension="mp4",
        edits=("1", "6", "8", "10", "15a", "15c", "15d", "17b"),
        entry={
            "dataset_type": "video",
            "video_column": "image",
            "video": {"num_frames": 17, "min_frames": 9},
            "resolution": 64,
            "resolution_type": "pixel",
            "aspect_bucket_alignment": 32,
            "crop_style": "center",
        },
        rows=clips,
        another=lambda number: clip(number, 9, 64, 96) if number % 2 else clip(number, 17, 64, 64),
        latents={
            "15a": 9,
            "15c": 2,  # the clips of 17 frames and more
            "15d": 0,  # of the two, one is dropped
            "16a": 2,  # those whose longer edge is no multiple of 32
            "16b": 4,  # squares keep their geometry
        },
        latent=oracle.latent_of_clip,
        embed=lambda row, bucket, pipeline: {"prompt_embeds": oracle.embed_for_videos(row.text, pipeline)},
    ),
    "audio": Medium(
        family="acestep",
        extension="wav",
        edits=("6", "9b", "15e", "15f", "15g"),
        entry={
            "dataset_type": "audio",
            "audio_column": "image",
            "config": {"audio_caption_fields": ["caption"]},
            "audio": {"duration_interval": 0.4},
        },
        rows=songs,
        another=lambda number: wav(3_000 + number, 0.5, rate=48_000, channels=1 + number % 2),
        latents={
            "15e": 3,  # of 0.3, 0.6 and 1 s, which are multiples of 0.2 s, or less than 0.4
            "15f": 6,  # all but those that are multiples of 0.4 s
            "15g": 0,  # some are dropped
        },
        latent=oracle.latent_of_sound,
        embed=lambda row, bucket, pipeline: oracle.embed_of_song(row.text, row.columns.get("lyrics"), bucket, pipeline),
    ),
}
