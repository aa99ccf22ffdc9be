"""A run as text for a terminal: a line for each asset as it is done, and what came of each dataset."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hf_assets.draw.plan_text import duration, size
from hf_assets.draw.upkeep_text import count_text

# How the names of exports begin.
EXPORT = "export_"
# What the rows of an asset are called, where it doesn't make a table as a whole.
ENCODED = {"vae_latents": "latent", "text_embeds": "embed"}
ROWS = "dagster/row_count"
NAME_WIDTH, SHOWN_FAILURES = 14, 3
# Shorter waits of the device are not listed.
WORTH_SAYING_S = 0.1
# In a stage's numbers: how long the models took to load, and what else comes before the first sample.
STARTING = "waited_starting_s"


class Stage(NamedTuple):
    """What an asset's metadata says in numbers, and how long it took."""

    name: str
    numbers: Mapping[str, float]
    seconds: float

    def count(self, name: str) -> int:
        return int(self.numbers.get(name, 0))


class Failure(NamedTuple):
    """A sample that failed."""

    file: str
    reason: str
    message: str


class Result(NamedTuple):
    """What came of a dataset.

    Attributes:
        samples: in the training set; None: it wasn't made.
        dropped: how many rows were left out, by reason.
        failed: of the samples in quarantine, a few.
        checks: which failed, each with its message.
        places: what lies where.
    """

    id: str
    stages: Sequence[Stage]
    samples: int | None
    dropped: Mapping[str, int]
    num_failed: int
    failed: Sequence[Failure]
    checks: Sequence[str]
    places: Mapping[str, str]


def stage_line(id: str, stage: Stage) -> str:
    """What an asset did."""
    return f"{id}  {stage.name:<{NAME_WIDTH}}{_did(stage)}  ({_time(stage.seconds)})"


def summary(result: Result) -> str:
    """What a person wants to know of a dataset when a run has ended."""
    state = "no training set" if result.samples is None else f"{count_text(result.samples, 'sample')} to train from"
    lines = [f"{result.id}: {state}"]
    encoded = [stage for stage in result.stages if stage.name in ENCODED]
    lines += [f"  {ENCODED[stage.name] + 's':<14}{_encoded(stage)}" for stage in encoded]
    if result.dropped:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in result.dropped.items())
        lines.append(f"  {'left out':<14}{count_text(sum(result.dropped.values()), 'row')}: {reasons}")
    if result.num_failed:
        lines.append(f"  {'quarantined':<14}{count_text(result.num_failed, 'sample')} (`hf-assets quarantine`)")
        lines += [f"  {'':<14}{one.file}: {one.reason}: {' '.join(one.message.split())}" for one in result.failed]
        if result.num_failed > len(result.failed):
            lines.append(f"  {'':<14}and {result.num_failed - len(result.failed):,} more")
    lines += [f"  {'check':<14}{message}" for message in result.checks]
    if result.stages:
        total = sum(stage.seconds for stage in result.stages)
        slow = [stage for stage in result.stages if stage.seconds >= max(total / 20, 0.05)]
        parts = ", ".join(f"{stage.name} {_time(stage.seconds)}" for stage in slow)
        lines.append(f"  {'time':<14}{_time(total)}" + (f": {parts}" if len(slow) > 1 else ""))
    lines += [f"  {'device':<14}{stage.name}: {_device(stage)}" for stage in encoded if "device_busy" in stage.numbers]
    lines += [f"  {name:<14}{place}" for name, place in result.places.items()]
    return "\n".join(lines)


def _did(stage: Stage) -> str:
    if stage.name in ENCODED:
        parts = [_encoded(stage)]
    elif stage.name.startswith(EXPORT):
        written, copied = stage.count("computed"), stage.count("copied")
        parts = [f"{written:,} written, {stage.count('reused'):,} reused"]
        parts += [f"{copied:,} copied"] if copied else []
    else:
        is_same = not stage.count("computed") and stage.count(ROWS)
        # a plan may have read the columns of a first run
        same = ", none read anew" if stage.name == "raw_dataset" else ", as before"
        parts = [count_text(stage.count(ROWS), "row") + (same if is_same else "")]
    lacking = "without a latent or an embed"
    words = {"dropped": lacking if stage.name == "training_set" else "dropped", "quarantined": "quarantined"}
    parts += [f"{stage.count(name):,} {word}" for name, word in words.items() if stage.count(name)]
    if stage.count("bytes_read"):
        parts.append(f"{size(stage.count('bytes_read'))} read")
    return ", ".join(parts)


def _encoded(stage: Stage) -> str:
    return f"{stage.count('computed'):,} computed, {stage.count('reused'):,} reused"


def _device(stage: Stage) -> str:
    """How busy the device was while a stage encoded, and what it waited for when it wasn't."""
    begun = stage.numbers.get(STARTING, 0.0)
    waits = {
        name.removeprefix("waited_").removesuffix("_s"): seconds
        for name, seconds in stage.numbers.items()
        if name.startswith("waited_") and name != STARTING and seconds >= WORTH_SAYING_S
    }
    rate = stage.numbers.get("samples_per_second")
    said = [f"busy {stage.numbers['device_busy']:.0%} of the time"] + ([f"{rate:,.1f} per second"] if rate else [])
    said += [f"started in {_time(begun)}"] if begun >= WORTH_SAYING_S else []
    longest = sorted(waits.items(), key=lambda one: -one[1])
    waited = ", ".join(f"{name} {_time(seconds)}" for name, seconds in longest)
    return ", ".join(said) + (f"; waited for {waited}" if waited else "")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
