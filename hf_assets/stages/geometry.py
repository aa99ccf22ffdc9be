"""Decide what size each image is resized to, where it is cropped, and which bucket of equal shapes it falls into.

The rules are SimpleTuner 4.10's documented behaviour, so that its configs give the same shapes here (facts only: none
of its code was seen or copied). A size is (width, height) in pixels; a crop is (top, left) in the resized image.
Where we differ:

- No `aspect_resolution_map`: there, the first image of an aspect ratio fixes the size of all later ones, so a sample's
  geometry depends on other samples and on their order. Here it depends on the sample's own size and the rules, and the
  bucket is the exact target shape.
- The intermediary is never smaller than the target. Where the formulas leave it smaller (area 0.5: the pixel resolution
  is 768, the edge of the area 704), it grows on both axes by the step that the formulas use elsewhere.
- An aspect ratio that rounds to 0 (1 x 1,000) is taken as the smallest that does not.
- Random crops and random aspects are drawn from the sample's hash and the seed: the stored crop is the encoded crop.
- A sample whose resized image would have more than `MAX_RESIZED_PX` pixels is dropped, with its reason.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from hf_assets.errors import DatasetError
from hf_assets.schema import SIZE
from hf_assets.stages.geometry_rules import GeometryRules, align, megapixels

# Bump when a change to this module changes any sample's geometry.
VERSION = 2

# About 0.8 GB as RGB: a strip of 1 x 100,000 pixels would otherwise be resized to more than memory holds.
MAX_RESIZED_PX = 2**28

Size = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """The shapes that one image goes through. All sizes are (width, height) in pixels.

    Attributes:
        resized_size: what the pixels are resized to before the crop: it covers the target on both axes.
        intermediary_size: the same, except with `target_downsample_size`: then it is what SimpleTuner records, which
            leaves that setting out, so the crop doesn't lie in it.
        target_size: what is left after the crop, and encoded.
        aspect_ratio: width / height of the target, rounded.
    """

    resized_size: Size
    intermediary_size: Size
    target_size: Size
    aspect_ratio: float

    @property
    def bucket(self) -> str:
        return f"{self.target_size[0]}x{self.target_size[1]}"


def geometry_of(width: int, height: int, rules: GeometryRules, drawn_aspect: float | None = None) -> Geometry:
    """The geometry of one image size.

    Args:
        width, height: of the original in pixels, as displayed.
        drawn_aspect: the bucket drawn for this sample, where `crop_aspect` is `random`.
    """
    own_aspect = _own_aspect(width, height, rules)
    if rules.crop and rules.crop_aspect == "square":
        return _geometry(width, height, 1.0, rules)
    if rules.draws_aspect:
        assert drawn_aspect is not None, "crop_aspect random: pass the bucket drawn for the sample"
        return _geometry(width, height, drawn_aspect, rules)
    if not rules.chooses_aspect:
        return _geometry(width, height, own_aspect, rules)
    nearest = sorted(
        (bucket.aspect for bucket in rules.crop_aspect_buckets or ()), key=lambda bucket: abs(bucket - own_aspect)
    )
    candidates = [_geometry(width, height, aspect, rules) for aspect in nearest]
    return next((one for one in candidates if not is_upscaled_too_much(width, height, one, rules)), candidates[0])


def _geometry(width: int, height: int, aspect: float, rules: GeometryRules) -> Geometry:
    """The geometry of one image size at a target aspect."""
    raw = width / height
    square = rules.crop and rules.crop_aspect == "square"
    target, intermediary = _fit(width, height, aspect, rules.resolution, rules)
    edge = rules.edge_px
    ratio = 1.0 if square else round(target[0] / target[1], rules.aspect_bucket_rounding)
    if ratio == 1.0:
        if intermediary[0] < edge and not square:
            intermediary = (edge, edge)
        target = (edge, edge)
    intermediary = _covering(intermediary, target, raw)

    # SimpleTuner's fact: every image is resized so, not only those above maximum_image_size, and the intermediary size
    # that it records doesn't show it. Only the crop does.
    resized = intermediary
    if rules.crop and rules.target_downsample_size is not None and (width, height) != (edge, edge):
        # A square crop is cut from the image in its own aspect; other crops have chosen an aspect before.
        shape = _own_aspect(width, height, rules) if square else aspect
        _, downsampled = _fit(width, height, shape, rules.target_downsample_size, rules)
        resized = _covering(downsampled, target, raw)
    return Geometry(resized, intermediary, target, ratio)


def limits(
    width: npt.NDArray[np.int64], height: npt.NDArray[np.int64], rules: GeometryRules
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """(reason, which sizes break it) of each rule that an original's size alone decides; all limits are inclusive."""
    found: list[tuple[str, npt.NDArray[np.bool_]]] = []
    if rules.minimum_image_size:
        found.append(("too_small", _are_too_small(width, height, rules)))
    aspects = np.round(width / np.maximum(height, 1), rules.aspect_bucket_rounding)
    if rules.minimum_aspect_ratio is not None:
        found.append(("aspect_too_low", aspects < rules.minimum_aspect_ratio))
    if rules.maximum_aspect_ratio is not None:
        found.append(("aspect_too_high", aspects > rules.maximum_aspect_ratio))
    return found


def is_upscaled_too_much(width: int, height: int, geometry: Geometry, rules: GeometryRules) -> bool:
    """Whether an image would be enlarged by more than `max_upscale_threshold`."""
    if rules.max_upscale_threshold is None:
        return False
    resized = geometry.resized_size
    return max(resized[0] / width, resized[1] / height) > 1 + rules.max_upscale_threshold + 1e-9


def is_too_small(width: int, height: int, rules: GeometryRules) -> bool:
    """Whether an image is below `minimum_image_size`. The limit is inclusive: an image exactly as large is kept."""
    return bool(_are_too_small(np.array([width]), np.array([height]), rules)[0])


def _are_too_small(
    width: npt.NDArray[np.int64], height: npt.NDArray[np.int64], rules: GeometryRules
) -> npt.NDArray[np.bool_]:
    minimum = rules.minimum_image_size
    if not minimum:
        return np.zeros(len(width), bool)
    shorter = np.minimum(width, height)
    if rules.resolution_type == "pixel":
        return shorter < minimum
    # In whole pixels, so that an image exactly at the limit is not lost to the last bit of a float.
    area_px = minimum * minimum if rules.resolution_type == "pixel_area" else round(minimum * 1e6, 3)
    too_small = width * height < area_px
    if rules.crop and rules.crop_aspect == "square":
        too_small |= shorter < math.floor(math.sqrt(area_px))
    return too_small


def assign(samples: pa.Table, rules: GeometryRules, seed: int = 0) -> pa.Table:
    """Add each sample's geometry, its bucket, or the reason why it is dropped.

    Args:
        samples: needs `media_hash` (string) and `original_size` ([width, height] as displayed); neither may be null.
        seed: another one, other random crops and aspects.

    Returns:
        The samples with, in this order: `resized_size`, `intermediary_size`, `target_size` ([width, height], see
        `Geometry`), `crop_top_left` ([top, left] in the resized image), `aspect_ratio` (float64), `bucket` (the target
        as "WIDTHxHEIGHT") and `dropped_for`: null or the reason. A dropped sample's geometry is null.

    Raises:
        DatasetError: a size has an edge below 1 pixel.
    """
    packed = _packed_sizes(samples)
    draws = _draws(samples["media_hash"], seed) if rules.draws_aspect or rules.crop_style == "random" else None
    choices = rules.crop_aspect_buckets or () if rules.draws_aspect else (None,)
    sizes, size_of_row = np.unique(packed, return_inverse=True)
    # Geometry is computed once per distinct pair of size and drawn aspect; rows only point at it.
    pairs, pair_of_row = np.unique(size_of_row * len(choices) + _choices(draws, rules), return_inverse=True)
    reasons = _reasons(sizes >> 32, sizes & 0xFFFFFFFF, rules)
    outcomes: list[Geometry | str] = []
    for pair in pairs.tolist():
        size, choice = divmod(pair, len(choices))
        bucket, packed_size = choices[choice], int(sizes[size])
        outcomes.append(
            reasons[size]
            or _outcome(packed_size >> 32, packed_size & 0xFFFFFFFF, rules, bucket.aspect if bucket else None)
        )

    columns = _as_table(outcomes).take(pa.array(pair_of_row))
    slack = np.array([_slack(outcome) for outcome in outcomes], np.int64).reshape(-1, 2)[pair_of_row]
    columns = columns.add_column(3, "crop_top_left", _crops(slack, draws, rules, columns["dropped_for"].is_valid()))
    for name in columns.column_names:
        samples = samples.append_column(name, columns[name])
    return samples


def _own_aspect(width: int, height: int, rules: GeometryRules) -> float:
    return max(round(width / height, rules.aspect_bucket_rounding), 10.0**-rules.aspect_bucket_rounding)


def _fit(width: int, height: int, aspect: float, size: float, rules: GeometryRules) -> tuple[Size, Size]:
    """(target, intermediary) of an image at a resolution of `size`, in the unit of the rules."""
    if rules.resolution_type == "pixel":
        return _fit_edge(width, height, aspect, int(size), rules)
    return _fit_area(width, height, aspect, megapixels(size, rules), rules)


def _fit_area(width: int, height: int, aspect: float, megapixels: float, rules: GeometryRules) -> tuple[Size, Size]:
    raw = width / height
    edge = align(int(math.sqrt(megapixels * 1e6)), rules)
    target = align(edge * math.sqrt(aspect), rules), align(edge / math.sqrt(aspect), rules)
    intermediary = (target[0], int(target[0] / raw)) if target[0] < target[1] else (int(target[1] * raw), target[1])
    return target, _covering(intermediary, target, raw)


def _fit_edge(width: int, height: int, aspect: float, edge: int, rules: GeometryRules) -> tuple[Size, Size]:
    raw = width / height
    wanted = (edge, int(edge / aspect)) if width < height else (int(edge * aspect), edge)
    target = align(wanted[0], rules), align(wanted[1], rules)
    if raw >= 1:
        inter_height = max(target[1], wanted[1])
        intermediary = int(inter_height * raw), inter_height
        if intermediary[0] < target[0]:
            intermediary = target[0], int(target[0] / raw)
    else:
        inter_width = max(target[0], wanted[0])
        intermediary = inter_width, int(inter_width / raw)
        if intermediary[1] < target[1]:
            intermediary = int(target[1] * raw), target[1]
    return target, intermediary


def _covering(size: Size, target: Size, raw: float) -> Size:
    """Grow a size along its image's aspect ratio until it covers the target on both axes."""
    width, height = size
    if (missing := target[0] - width) > 0:
        width, height = target[0], height + int(missing / raw)
    if (missing := target[1] - height) > 0:
        width, height = width + int(missing * raw), target[1]
    return width, height


def _reasons(width: npt.NDArray[np.int64], height: npt.NDArray[np.int64], rules: GeometryRules) -> list[str | None]:
    """Of each size the first of the `limits` that it breaks."""
    found: list[str | None] = [None] * len(width)
    for reason, breaks in reversed(limits(width, height, rules)):
        for at in np.flatnonzero(breaks).tolist():
            found[at] = reason
    return found


def _outcome(width: int, height: int, rules: GeometryRules, drawn_aspect: float | None) -> Geometry | str:
    """The geometry of a size that breaks no limit, or the reason why samples of this size are dropped nevertheless."""
    geometry = geometry_of(width, height, rules, drawn_aspect)
    if max(math.prod(geometry.resized_size), math.prod(geometry.intermediary_size)) > MAX_RESIZED_PX:
        return "too_extreme"
    if is_upscaled_too_much(width, height, geometry, rules):
        return "upscaled_too_much"
    return geometry


def _slack(outcome: Geometry | str) -> Size:
    """(vertical, horizontal) pixels by which the resized image exceeds the target: a crop's largest top and left."""
    if isinstance(outcome, str):
        return 0, 0
    (width, height), (target_width, target_height) = outcome.resized_size, outcome.target_size
    return height - target_height, width - target_width


def _as_table(outcomes: list[Geometry | str]) -> pa.Table:
    kept = [outcome if isinstance(outcome, Geometry) else None for outcome in outcomes]
    return pa.table(
        {
            "resized_size": pa.array([g and g.resized_size for g in kept], SIZE),
            "intermediary_size": pa.array([g and g.intermediary_size for g in kept], SIZE),
            "target_size": pa.array([g and g.target_size for g in kept], SIZE),
            "aspect_ratio": pa.array([g and g.aspect_ratio for g in kept], pa.float64()),
            "bucket": pa.array([g and g.bucket for g in kept], pa.string()),
            "dropped_for": pa.array([o if isinstance(o, str) else None for o in outcomes], pa.string()),
        }
    )


def _packed_sizes(samples: pa.Table) -> npt.NDArray[np.int64]:
    """Each row's width and height in one integer, so that distinct sizes are found by one sort."""
    column = samples["original_size"]
    assert column.null_count == 0, "a sample without a size can't be given a geometry: leave it out before"
    width, height = (pc.list_element(column, axis).to_numpy().astype(np.int64) for axis in (0, 1))
    wrong = np.flatnonzero((width < 1) | (height < 1))
    if len(wrong):
        row = wrong[0]
        raise DatasetError(
            f"original_size is [{width[row]}, {height[row]}] in {len(wrong):,d} of {len(samples):,d} samples (first: "
            f"number {row:,d}), but an image has at least 1 x 1 pixels; correct the columns that width_column and "
            "height_column name, or leave these two keys out so that sizes are read from the images"
        )
    packed: npt.NDArray[np.int64] = (width << 32) | height
    return packed


def _draws(media_hash: pa.ChunkedArray, seed: int, batch_rows: int = 65_536) -> npt.NDArray[np.uint32]:
    """Independent uniform integers per sample, from nothing but its hash and the seed.

    Python objects exist for one batch at a time.

    Returns:
        (N, 4) uint32: 0 chooses the aspect, 1 the top, 2 the left of a crop; 3 is spare.
    """
    assert media_hash.null_count == 0, "a sample without a media hash can't be drawn for: leave it out before"
    digest = xxhash.xxh3_128_digest
    keys = pc.binary_join_element_wise(media_hash.cast(pa.binary()), f":{seed}".encode(), b"")
    parts = [
        b"".join(map(digest, chunk.slice(start, batch_rows).to_pylist()))
        for chunk in keys.chunks
        for start in range(0, len(chunk), batch_rows)
    ]
    return np.frombuffer(b"".join(parts), ">u4").reshape(-1, 4)


def _choices(draws: npt.NDArray[np.uint32] | None, rules: GeometryRules) -> npt.NDArray[np.int64] | int:
    """Each row's index into `crop_aspect_buckets`, drawn by weight; 0 where nothing is drawn."""
    if draws is None or not rules.draws_aspect:
        return 0
    buckets = rules.crop_aspect_buckets or ()
    upper = np.cumsum([bucket.weight or 1 / len(buckets) for bucket in buckets])
    return np.minimum(np.searchsorted(upper, draws[:, 0] / 2**32, side="right"), len(buckets) - 1)


def _crops(
    slack: npt.NDArray[np.int64], draws: npt.NDArray[np.uint32] | None, rules: GeometryRules, dropped: pa.ChunkedArray
) -> pa.Array:
    """[top, left] per row. Random offsets are uniform over all offsets, 0 and the largest included."""
    if rules.crop_style == "center":
        crops = slack // 2
    elif rules.crop_style == "corner":
        crops = np.zeros_like(slack)
    else:
        assert draws is not None
        crops = ((slack + 1) * draws[:, 1:3].astype(np.int64)) >> 32
    return pa.FixedSizeListArray.from_arrays(
        pa.array(crops.astype(np.int32).ravel()), type=SIZE, mask=dropped.combine_chunks()
    )
