"""A new version of the decoder costs a look at the media, and exactly the samples whose pixels it changes."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms

from hf_assets.errors import MediaError
from hf_assets.media import image, steps
from hf_assets_tests.contract.edits import COLUMNS
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.contract.world import World


def profiled(seed: int) -> bytes:
    """An image with a profile that isn't sRGB's: its curve is a power of 1.8."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = icc.index(b"para")
    icc[curve + 8 : curve + 16] = b"\0\0\0\0\0\1\xcd\0"
    stream = BytesIO()
    Image.open(BytesIO(image_bytes(seed))).save(stream, "PNG", icc_profile=bytes(icc))
    return stream.getvalue()


def test_a_mended_step_encodes_its_samples_and_no_others_and_what_could_not_be_read_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = {"probe": image_bytes(303), "to_pixels": image_bytes(304)}
    added = [Row(profiled(301), "profiled", COLUMNS), *(Row(data, name, COLUMNS) for name, data in unread.items())]
    world.push([*world.rows, *added])
    newer = {stage: getattr(image, stage) for stage in unread}

    def older(stage: str) -> Callable[..., Any]:
        def read(data: bytes, *arguments: Any, **named: Any) -> Any:
            if data == unread[stage]:
                raise MediaError("undecodable", "as an older version had it")
            return newer[stage](data, *arguments, **named)

        return read

    for stage in unread:
        monkeypatch.setattr(image, stage, older(stage))
    counts = world.materialize()
    assert (counts.encoded[0], counts.metadata["buckets"]["colour_converted"]) == (1, 1)
    assert world.table("buckets")["decoding"].to_pylist().count("icc-1") == 1
    for stage in unread:
        monkeypatch.setattr(image, stage, newer[stage])
    assert world.materialize().encoded[0] == 0  # the same version: nothing is tried again
    monkeypatch.setattr(image, "VERSION", image.VERSION + 1)
    assert world.materialize().encoded[0] == 2  # another version: what wasn't read, and nothing else
    monkeypatch.setitem(steps.VERSIONS, "icc", 2)
    monkeypatch.setattr(image, "VERSION", image.VERSION + 1)
    assert world.materialize().encoded[0] == 1


def test_a_table_of_another_version_is_not_used_for_decoding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.model["dtype"] = "bfloat16"
    monkeypatch.setattr(image, "VERSION", image.VERSION + 1)
    with pytest.raises(Exception, match="another version of hf_assets: materialize buckets again"):
        world.materialize(selection="key:photos/vae_latents")
