"""Schedules as five cron fields, checked without the scheduler."""

import re
from datetime import date, timedelta
from itertools import pairwise

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
# `*`, `n` or `n-m`, each with `/step`.
ITEM = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/([1-9]\d*))?")
# Days after which a calendar of days and leap years has shown all its gaps, in minutes each.
FIRST_DAY, LEAP_CYCLE, DAY = date(2024, 1, 1), 8 * 366, 1440


def longest_gap(schedule: str) -> timedelta:
    """The longest time between two runs of a schedule that has no `mistake`; of one without two runs, eight years."""
    minutes, hours, days, months, weekdays = (
        {value for item in text.lower().split(",") for value in _values(item, *field[1:])}
        for text, field in zip(schedule.split(), FIELDS, strict=True)
    )
    weekdays = {day % 7 for day in weekdays}
    _, _, day_text, _, weekday_text = schedule.split()
    either = not day_text.startswith("*") and not weekday_text.startswith("*")  # then one of both is enough
    at = sorted(60 * hour + minute for hour in hours for minute in minutes)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    matching = []
    for number in range(LEAP_CYCLE):
        day = FIRST_DAY + timedelta(number)
        fits = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (any(fits) if either else all(fits)):
            matching.append(number)
    gaps += [(later - earlier) * DAY - at[-1] + at[0] for earlier, later in pairwise(matching)]
    return timedelta(minutes=max(gaps, default=LEAP_CYCLE * DAY))


def mistake(schedule: str) -> str | None:
    """What is wrong with a schedule; None where nothing is."""
    fields = schedule.split()
    if len(fields) != len(FIELDS):
        return 'write five fields (minute, hour, day of month, month, day of week), such as "0 3 * * *"'
    for text, (name, smallest, largest, names) in zip(fields, FIELDS, strict=True):
        if not all(_fits(item, smallest, largest, names) for item in text.lower().split(",")):
            return f'"{text}" is no {name}: write *, or {smallest} to {largest}, with , - or /'
    return None


def _values(item: str, smallest: int, largest: int, names: dict[str, int]) -> range:
    """The values that one item of a list stands for."""
    parts = ITEM.fullmatch(item)
    assert parts is not None
    first, last, step = parts.groups()
    if first == "*":
        return range(smallest, largest + 1, int(step or 1))
    low, high = (names.get(value, int(value) if value.isdecimal() else -1) for value in (first, last or first))
    return range(low, high + 1, int(step or 1))


def _fits(item: str, smallest: int, largest: int, names: dict[str, int]) -> bool:
    """Whether one item of a list is `*`, `n` or `n-m`, each with `/step`."""
    parts = ITEM.fullmatch(item)
    if parts is None:
        return False
    first, last, step = parts.groups()
    if first == "*":
        return last is None and (step is None or int(step) <= largest)
    if step is not None and (last is None or int(step) > largest):
        return False
    values = [names.get(value, int(value) if value.isdecimal() else -1) for value in (first, last or first)]
    return smallest <= values[0] <= values[1] <= largest
