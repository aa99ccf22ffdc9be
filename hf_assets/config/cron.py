"""Schedules as five cron fields, checked without the scheduler."""

import re

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# Name, smallest and largest value, and names that may stand for values.
FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(DAYS)}),
)


def mistake(schedule: str) -> str | None:
    """What is wrong with a schedule; None where nothing is."""
    fields = schedule.split()
    if len(fields) != len(FIELDS):
        return 'write five fields (minute, hour, day of month, month, day of week), such as "0 3 * * *"'
    for text, (name, smallest, largest, names) in zip(fields, FIELDS, strict=True):
        if not all(_fits(item, smallest, largest, names) for item in text.lower().split(",")):
            return f'"{text}" is no {name}: write *, or {smallest} to {largest}, with , - or /'
    return None


def _fits(item: str, smallest: int, largest: int, names: dict[str, int]) -> bool:
    """Whether one item of a list is `*`, `n` or `n-m`, each with `/step`."""
    parts = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/([1-9]\d*))?", item)
    if parts is None:
        return False
    first, last, step = parts.groups()
    if first == "*":
        return last is None and (step is None or int(step) <= largest)
    if step is not None and (last is None or int(step) > largest):
        return False
    values = [names.get(value, int(value) if value.isdecimal() else -1) for value in (first, last or first)]
    return smallest <= values[0] <= values[1] <= largest
