"""Tables as Markdown. What comes from a dataset is escaped: nobody's caption may draw on the page or load a picture."""

import re

import pyarrow as pa
import pyarrow.compute as pc

NUM_BUCKETS = 20
NUM_EXAMPLES = 10
CAPTION_CHARACTERS = 200


def funnel(num_in: int, dropped: pa.Table, quarantined: pa.Table | None = None) -> str:
    """How many rows came in, how many fell to each reason or failed, how many are kept."""
    lines = ["| rows | |", "|--|--:|", f"| in | {num_in:,} |"]
    counts = pc.value_counts(dropped["dropped_for"]).to_pylist()
    lines += [
        f"| {escaped(entry['values'])} | −{entry['counts']:,} |"
        for entry in sorted(counts, key=lambda entry: -entry["counts"])
    ]
    num_failed = 0 if quarantined is None else len(quarantined)
    if num_failed:
        lines.append(f"| quarantined | −{num_failed:,} |")
    return "\n".join([*lines, f"| **kept** | **{num_in - len(dropped) - num_failed:,}** |"])


def buckets(table: pa.Table) -> str:
    """The most frequent target sizes."""
    counts = sorted(pc.value_counts(table["bucket"]).to_pylist(), key=lambda entry: -entry["counts"])
    lines = ["| bucket | samples | |", "|--|--:|--|"]
    top = counts[0]["counts"] if counts else 1
    lines += [
        f"| {entry['values']} | {entry['counts']:,} | {'█' * max(1, round(20 * entry['counts'] / top))} |"
        for entry in counts[:NUM_BUCKETS]
    ]
    if len(counts) > NUM_BUCKETS:
        lines.append(
            f"| {len(counts) - NUM_BUCKETS} more | {sum(entry['counts'] for entry in counts[NUM_BUCKETS:]):,} | |"
        )
    return "\n".join(lines)


def examples(captions: pa.Table) -> str:
    """The first captions."""
    lines = ["| row | caption |", "|--:|--|"]
    for row in captions.slice(0, NUM_EXAMPLES).to_pylist():
        lines += [f"| {row['row']} | {escaped(caption)} |" for caption in row["captions"]]
    return "\n".join(lines)


def failures(quarantined: pa.Table) -> str:
    """How many samples failed for which reason, with an example of each."""
    lines = ["| stage | reason | samples | for example |", "|--|--|--:|--|"]
    counts = quarantined.group_by(["stage", "reason"]).aggregate(
        [([], "count_all"), ("address", "min"), ("message", "min")]
    )
    for row in sorted(counts.to_pylist(), key=lambda row: -row["count_all"]):
        example = f"{escaped(row['address_min'])}: {escaped(row['message_min'])}"
        lines.append(f"| {row['stage']} | {escaped(row['reason'])} | {row['count_all']:,} | {example} |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line and of bounded length."""
    line = " ".join(text.split())
    short = line if len(line) <= CAPTION_CHARACTERS else f"{line[: CAPTION_CHARACTERS - 1]}…"
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~&:/@])", lambda match: f"&#{ord(match[0])};", short)
