"""What a model's family decides of a dataset where its entry says nothing."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hf_assets.config.model_choice import Choice
from hf_assets.config.rules import RuleError
from hf_assets.spellings import boolean, number

# The seconds of a video that are encoded, and of how many frames per second, where nothing says how many frames.
USUAL_SECONDS, USUAL_RATE = 5, 30.0


def of(kind: str, entry: Mapping[str, Any], choice: Choice | None, frame_rate: float) -> dict[str, Any]:
    """The keys of an entry that are to be added or replaced.

    Args:
        kind: of media.

    Raises:
        RuleError: the entry says otherwise where the family allows nothing else.
    """
    if choice is None or choice.facts is None or kind not in ("image", "video"):
        return {}
    made: dict[str, Any] = {}
    if "aspect_bucket_alignment" not in entry:
        made["aspect_bucket_alignment"] = choice.alignment_px
    video = entry.get("video", {})
    if kind == "video" and isinstance(video, dict):
        made["video"] = {**video, **_of_video(video, choice, frame_rate)}
    return made


def paths(decided: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    """The keys that the family decides of an entry, as dotted paths.

    Args:
        decided: as `of` gives them.
    """
    for key, value in decided.items():
        if key == "video":
            yield from (f"video.{inner}" for inner in value if value[inner] != entry.get("video", {}).get(inner))
        else:
            yield key


def in_words(decided: Collection[str], choice: Choice, frame_rate: float) -> str:
    """These defaults in words.

    Args:
        decided: the keys that any entry has from the family (`paths`).
    """
    always = " (always)" if choice.forces_i2v else ""
    words = {
        "aspect_bucket_alignment": f"aspect_bucket_alignment {choice.alignment_px}",
        "video.num_frames": f"video.num_frames {num_frames(frame_rate)} "
        f"({USUAL_SECONDS} s at {frame_rate:g} frames per second)",
        "video.min_frames": "video.min_frames as num_frames",
        "video.is_i2v": f"video.is_i2v {str(choice.is_i2v).lower()}{always}",
    }
    said = [text for key, text in words.items() if key in decided]
    return f"; defaults of {choice.family}: {', '.join(said)}" if said else ""


def num_frames(frame_rate: float) -> int:
    """How many frames of a video are encoded."""
    return max(int(USUAL_SECONDS * frame_rate), 1)


def _of_video(video: Mapping[str, Any], choice: Choice, frame_rate: float) -> dict[str, Any]:
    made: dict[str, Any] = dict(_frames(video, frame_rate))
    if video.get("is_i2v") is None:
        made["is_i2v"] = choice.is_i2v
    elif choice.forces_i2v and boolean(video["is_i2v"]) is False:
        raise RuleError("video.is_i2v", f'is false, but "{choice.flavour}" trains from the first frame; remove it')
    return made


def _frames(video: Mapping[str, Any], frame_rate: float) -> Iterator[tuple[str, int]]:
    wanted = number(video.get("num_frames"))
    if wanted is None:
        if video.get("bucket_strategy") == "resolution_frames" and video.get("max_frames") is not None:
            return  # clips of all lengths up to that
        wanted = num_frames(frame_rate)
        yield "num_frames", wanted
    if video.get("min_frames") is None:
        yield "min_frames", wanted
