"""Tables as Markdown. What comes from a dataset is escaped: nobody's caption may draw on the page or load a picture."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import inert, schema
from hf_assets.draw.plan_text import size

NUM_BUCKETS = 20
_COUNT, _SHARE = "{:,.0f}".format, "{:.1%}".format
# What is said of an asset's numbers, and how.
FACTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "dagster/row_count": ("rows", _COUNT),
    **{name: (name, _COUNT) for name in ("computed", "reused", "dropped", "quarantined")},
    "kept_share": ("kept", _SHARE),
    "num_buckets": ("buckets", _COUNT),
    "crop_loss": ("cut off by crops", _SHARE),
    "upscaled_share": ("enlarged", _SHARE),
    "duplicates_share": ("duplicates", _SHARE),
    "distinct": ("distinct captions", _COUNT),
    "without_caption_share": ("without a caption", _SHARE),
    "captions_cut": ("captions cut", _COUNT),
    "most_tokens": ("tokens at most", _COUNT),
    "psnr_db": ("PSNR of decoded latents", "{:.1f} dB".format),
    "bytes_read": ("read", lambda value: size(round(value))),
    "bytes_stored": ("stored", lambda value: size(round(value))),
    "bytes_saved": ("saved by sharing", lambda value: size(round(value))),
    "samples_per_second": ("speed", "{:,.1f} per second".format),
    "device_busy": ("device busy", _SHARE),
    "device_hours": ("device hours", "{:,.2f}".format),
    "bytes_written": ("written", lambda value: size(round(value))),
}
CAPTION_CHARACTERS = 200
# By these, pages find addresses in plain text, and make links of them.
LINKS = re.compile(r"://|www\.|@", re.IGNORECASE)
ZERO_WIDTH_SPACE = "\u200b"


def cut_captions(longest: Sequence[tuple[int, str]]) -> str:
    """Captions of which a tokenizer cuts the end, with their tokens."""
    lines = ["| tokens | caption |", "|--:|--|"]
    return "\n".join([*lines, *(f"| {tokens:,} | {escape(text)} |" for tokens, text in longest)])


def funnel(num_in: int, dropped: Sequence[tuple[str, int]], num_failed: int = 0) -> str:
    """How many rows came in, how many were dropped for each reason or failed, how many are kept.

    Args:
        dropped: number of rows for each reason.
    """
    lines = ["| rows | |", "|--|--:|", f"| in | {num_in:,} |"]
    lines += [f"| {escape(reason)} | −{count:,} |" for reason, count in dropped]
    if num_failed:
        lines.append(f"| quarantined | −{num_failed:,} |")
    return "\n".join([*lines, f"| **kept** | **{num_in - sum(count for _, count in dropped) - num_failed:,}** |"])


def drop_counts(dropped: pa.Table) -> list[tuple[str, int]]:
    """How many rows were dropped for each reason, most first."""
    counts = pc.value_counts(dropped["dropped_for"]).to_pylist()
    return [(entry["values"], entry["counts"]) for entry in sorted(counts, key=lambda entry: -entry["counts"])]


def sizes(table: pa.Table) -> list[tuple[str, int]]:
    """How many samples each bucket has, most first."""
    counts = pc.value_counts(table["bucket"]).to_pylist()
    return [(entry["values"], entry["counts"]) for entry in sorted(counts, key=lambda entry: -entry["counts"])]


def buckets(counts: Sequence[tuple[str, int]]) -> str:
    """The most frequent target sizes.

    Args:
        counts: see `sizes`.
    """
    lines = ["| bucket | samples |", "|--|--:|"]
    lines += [f"| {escape(name)} | {count:,} |" for name, count in counts[:NUM_BUCKETS]]
    if len(counts) > NUM_BUCKETS:
        lines.append(f"| {len(counts) - NUM_BUCKETS:,} more | {sum(count for _, count in counts[NUM_BUCKETS:]):,} |")
    return "\n".join(lines)


def examples(captions: pa.Table) -> str:
    """Rows and their captions."""
    lines = ["| row | caption |", "|--:|--|"]
    for row in captions.to_pylist():
        lines += [f"| {row['row']:,} | {escape(caption)} |" for caption in row["captions"]]
    return "\n".join(lines)


def dropped_examples(dropped: pa.Table) -> str:
    """Dropped rows with their reasons, and the values of the columns that the config names."""
    rows = dropped.to_pylist()
    has_files = any(row.get(schema.SOURCE_PATH.name) for row in rows)
    lines = (
        ["| row | file | dropped for | |", "|--:|--|--|--|"]
        if has_files
        else ["| row | dropped for | |", "|--:|--|--|"]
    )
    for row in rows:
        facts = escape(named_values(row.get("columns") or {}))
        file = f" {escape(row[schema.SOURCE_PATH.name] or '')} |" if has_files else ""
        lines.append(f"| {row['row']:,} |{file} {escape(row['dropped_for'])} | {facts} |")
    return "\n".join(lines)


def facts(numbers: Mapping[str, float]) -> str:
    """The numbers of an asset that say something, with units; zeros are left out."""
    lines = ["| | |", "|--|--:|"]
    lines += [f"| {name} | {write(numbers[key])} |" for key, (name, write) in FACTS.items() if numbers.get(key)]
    return "\n".join(lines if len(lines) > 2 else ["Nothing."])


def channels(means: Sequence[float], deviations: Sequence[float]) -> str:
    """Mean and standard deviation of each channel of the latents."""
    pairs = enumerate(zip(means, deviations, strict=True))
    lines = ["| channel | mean | std |", "|--:|--:|--:|"]
    return "\n".join([*lines, *(f"| {at} | {mean:.3f} | {deviation:.3f} |" for at, (mean, deviation) in pairs)])


def failures(quarantined: pa.Table) -> str:
    """How many samples failed for which reason, with an example of each."""
    lines = ["| stage | reason | samples | for example |", "|--|--|--:|--|"]
    name = pc.coalesce(quarantined[schema.SOURCE_PATH.name], quarantined["address"])
    counts = (
        quarantined.append_column("name", name)
        .group_by(["stage", "reason"])
        .aggregate([([], "count_all"), ("name", "min"), ("message", "min")])
    )
    for row in sorted(counts.to_pylist(), key=lambda row: -row["count_all"]):
        example = f"{escape(row['name_min'])}: {escape(row['message_min'])}"
        lines.append(f"| {row['stage']} | {escape(row['reason'])} | {row['count_all']:,} | {example} |")
    return "\n".join(lines)


def named_values(values: Mapping[str, Any]) -> str:
    """The values of a row's columns and their fields, with their names; not escaped."""
    return ", ".join(f"{name}: {value}" for name, value in flat(values))


def flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The values within structs within structs, each with the way to it: `a.b`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line and of bounded length; what looks like a link is none."""
    line = " ".join(inert.cut(text, 4 * CAPTION_CHARACTERS).split())
    short = inert.text(inert.cut(line, CAPTION_CHARACTERS))
    short = LINKS.sub(lambda match: f"{match[0]}{ZERO_WIDTH_SPACE}", short)
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~&:/@])", lambda match: f"&#{ord(match[0])};", short)
