"""A plan as text for a terminal."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# What each reason of a plan means, after a number.
REASONS = {
    "new": "not in the last training set",
    "media": "with changed bytes",
    "geometry": "resized or cropped differently",
    "vae": "by another VAE",
    "settings": "with other settings of latents",
    "caption": "new",
    "encoder": "by other text encoders",
    "dtype": "in another dtype",
    "duration": "another length of the clip",
    "code": "by another version of hf_assets",
    "retry": "that failed before",
    "damaged": "missing or damaged in the store",
    "unknown_until_read": "in files not read yet",
}

# What becomes of samples of the training set, after a number.
KINDS = {"added": "added", "media": "with changed bytes", "recaptioned": "recaptioned", "recropped": "re-cropped"}
UNREAD = "not read yet"
NAMED = {**KINDS, "unread": UNREAD}
# So many names are listed in a comment, whose length is limited.
SHOWN_NAMES = 100

# In a cell, what would end it.
BAR = r"\|"
# Devices that work side by side: so many times the time, their hours are worth naming.
SEVERAL = 1.5
# Disks write as much in a second, so that less is worth no word.
NOTABLE_BYTES_PER_SECOND = 50_000_000
BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def plan(id: str, content: Mapping[str, Any]) -> str:
    """What a run of one dataset would do, in a few lines; one line where there is nothing to do.

    Args:
        content: as `hf-assets plan --json` prints it.
    """
    latents, texts = content["vae_latents"], content["text_embeds"]
    becomes, cost = training_set(content["training_set"]), _cost(content)
    if cost is None and becomes is None:
        stored = f"{_count_text(latents['reuse'], 'latent')} and {_count_text(texts['reuse'], 'caption')} are stored"
        failed = latents["quarantined"] + texts["quarantined"]
        return f"{id}: nothing to do; {stored}" + (f", {failed:,} quarantined" if failed else "")
    return "\n".join(
        [
            f"{id}:",
            f"  training set: {becomes or 'as it is'}",
            *_named(content.get("names") or {}),
            f"  latents: {_stage(latents)}",
            f"  captions: {_stage(texts)}",
            *([f"  {cost}"] if cost else []),
        ]
    )


def training_set(content: Mapping[str, Any]) -> str | None:
    """What becomes of the training set, in a line; None where it stays as it is."""
    unread = content.get("unread", 0)
    if content["before"] is None:
        known = f"; {_count_text(content['after'], 'sample')} whose media are known" if content["after"] else ""
        return f"none yet{known}" + (f"; {unread:,} {UNREAD}" if unread else "")
    parts = [f"{content[kind]:,} {word}" for kind, word in KINDS.items() if content[kind]]
    parts += [f"{unread:,} {UNREAD}"] if unread else []
    removed = content["removed"]
    if removed:
        parts.append(f"{sum(removed.values()):,} removed ({_reasons(removed)})")
    after = f"up to {content['after'] + unread:,}" if unread else f"{content['after']:,}"
    return f"{', '.join(parts)}; {content['before']:,} before, {after} after" if parts else None


def markdown(plans: Mapping[str, Mapping[str, Any]]) -> str:
    """Plans as a comment on a pull request: a table, and the files where they are known."""
    lines = ["| dataset | training set | latents | captions | to fetch and store |", "|--|--|--|--|--|"]
    for id, content in plans.items():
        latents, texts = content["vae_latents"], content["text_embeds"]
        becomes = training_set(content["training_set"]) or "as it is"
        cells = (id, becomes, _stage(latents), _stage(texts), _cost(content) or "nothing")
        lines.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
    for id, content in plans.items():
        for kind, names in (content.get("names") or {}).items():
            title = f"{id}: {_count_text(len(names), 'file')} {NAMED.get(kind, kind)}"
            lines += ["", f"<details><summary>{html.escape(title)}</summary>", ""]
            lines += [
                *(f"- `{name.replace('`', '')}`" for name in names[:SHOWN_NAMES]),
                *_more(names),
                "",
                "</details>",
            ]
    return "\n".join(lines)


def _named(names: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for kind, files in names.items():
        yield f"    {NAMED.get(kind, kind)}:"
        yield from (f"      {name}" for name in files)


def _more(names: Sequence[str]) -> list[str]:
    return [f"- and {len(names) - SHOWN_NAMES:,} more"] if len(names) > SHOWN_NAMES else []


def _stage(stage: Mapping[str, Any]) -> str:
    compute = stage["compute"]
    count = sum(compute.values())
    parts = ["none to encode"]
    if count:
        bound = "up to " if "unknown_until_read" in compute else ""
        of = f" of {stage['reuse'] + count:,}" if stage["reuse"] else ""
        reasons = _reasons({REASONS.get(reason, reason): number for reason, number in compute.items()})
        parts = [f"{bound}{count:,}{of} to encode ({reasons})"]
    parts += [
        f"{number:,} {word}"
        for word, number in (("reused", stage["reuse"]), ("quarantined", stage["quarantined"]))
        if number
    ]
    return ", ".join(parts)


def _reasons(counts: Mapping[str, int]) -> str:
    """Each reason with its number, which is left out where there is one reason only."""
    return (
        ", ".join(f"{number:,} {reason}" for reason, number in counts.items())
        if len(counts) > 1
        else next(iter(counts))
    )


def _cost(content: Mapping[str, Any]) -> str | None:
    """What is fetched, what is stored and how long that takes; None where nothing is encoded."""
    if not content["vae_latents"]["compute"] and not content["text_embeds"]["compute"]:
        return None
    fetched = (("data", content["bytes_to_fetch"]), ("models", content["model_bytes_to_fetch"]))
    fetch = " and ".join(f"{size(num_bytes)} of {what}" for what, num_bytes in fetched if num_bytes)
    bound = "up to " if "unknown_until_read" in content["vae_latents"]["compute"] else "about "
    took = content["seconds"]
    time = "time unknown before a first run" if took is None else f"{bound}{duration(took)} to encode"
    hours = content.get("device_hours")
    if took and hours and hours * 3600 > SEVERAL * took:
        time += f" ({hours:,.1f} device hours)"
    store = f"store {bound}{size(content['bytes_to_store'])}{_captions(content)}"
    return ", ".join([*([f"fetch {fetch}"] if fetch else []), store, time])


def _captions(content: Mapping[str, Any]) -> str:
    """How fast the embeds of captions have to be written, where a disk may be too slow for it."""
    each = content.get("bytes_per_caption")
    if not each:
        return ""
    measured = content["embed_bytes_per_second"]
    if (measured or each * 100) < NOTABLE_BYTES_PER_SECOND:
        return ""
    needed = f"{size(measured)}/s" if measured else f"{size(each * 100)}/s for 100 captions a second"
    return f" ({size(each)} a caption: {needed} to write)"


def size(num_bytes: float) -> str:
    """Bytes with two digits or more, in units of 1,000."""
    value, unit = float(num_bytes), 0
    while value >= 999.5 and unit < len(BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {BYTE_UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f} {BYTE_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever suits."""
    if round(seconds) < 60:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return " ".join([*([f"{hours:,} h"] if hours else []), *([f"{rest} min"] if rest else [])])


def _count_text(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
