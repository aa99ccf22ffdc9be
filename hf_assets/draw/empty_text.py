"""Why nothing is left of a dataset after one of its stages, in one sentence."""

from collections.abc import Mapping, Sequence

from hf_assets.draw.upkeep_text import count_text

SHOWN = 5


def no_row_kept(num_rows: int, dropped: Mapping[str, int], lacking: Sequence[str]) -> str:
    """Of `filtered`.

    Args:
        num_rows: of the split.
        dropped: reason -> rows.
        lacking: lines about columns without any value.
    """
    if not num_rows:
        return "the split has no rows: name another split, or other files"
    said = "".join(f"; {line}" for line in lacking)
    return f"none of {count_text(num_rows, 'row')} passes the filters ({_counted(dropped)}){said}: loosen or drop them"


def no_caption(num_rows: int, columns: Sequence[str], files: Sequence[str], place: str) -> str:
    """Of `captions`.

    Args:
        num_rows: that were looked at.
        columns: that were read.
        files: media without one, of a folder.
        place: where captions of a folder are looked for.
    """
    said = f"none of {count_text(num_rows, 'row')} has a caption"
    if files:
        shown = ", ".join(files[:SHOWN]) + (f" and {len(files) - SHOWN:,} more" if len(files) > SHOWN else "")
        return f"{said}: {place} there is none for {shown}; correct caption_strategy, or give an instance_prompt"
    named = ", ".join(f'"{column}"' for column in columns)
    return f"{said}: no row has a text in {named}; name another column, or give an instance_prompt"


def no_media(num_rows: int, dropped: Mapping[str, int], failed: Mapping[str, int]) -> str:
    """Of `buckets`: rows that were dropped, and that failed, by reason."""
    said = [
        *([f"dropped: {_counted(dropped)}"] if dropped else []),
        *([f"failed: {_counted(failed)}"] if failed else []),
    ]
    remedy = "change the limits of size or length" if dropped else "see `hf-assets quarantine`"
    return f"none of the media of {count_text(num_rows, 'row')} can be used ({'; '.join(said)}): {remedy}"


def no_sample(num_rows: int, num_latents: int, num_embeds: int, failed: Mapping[str, int]) -> str:
    """Of `training_set`: what there is of its parts, and what failed, by reason."""
    said = f"; failed: {_counted(failed)}" if failed else ""
    return (
        f"no sample is complete: {count_text(num_rows, 'row')} with captions, {count_text(num_latents, 'latent')}, "
        f"{count_text(num_embeds, 'embed')}{said}: see `hf-assets quarantine`"
    )


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(reasons.items(), key=lambda one: -one[1]))
