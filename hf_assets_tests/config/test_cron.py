"""How long a schedule pauses at most."""

from datetime import timedelta

import pytest

from hf_assets.config.cron import longest_gap

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("schedule", "gap"),
    [
        ("* * * * *", timedelta(minutes=1)),
        ("*/15 * * * *", HOUR / 4),
        ("0 3 * * *", DAY),
        ("0 3,15 * * *", DAY / 2),
        ("30 8-18/2 * * *", 14 * HOUR),
        ("0 3 * * mon-fri", 3 * DAY),
        ("0 3 * * 0", 7 * DAY),
        ("0 3 * * 7", 7 * DAY),
        ("0 3 1 * *", 31 * DAY),
        ("0 3 1,15 * *", 17 * DAY),
        ("0 3 1 * mon", 7 * DAY),  # where both are restricted, one is enough
        ("0 3 29 feb *", 1461 * DAY),
        ("0 3 31 2 *", 8 * 366 * DAY),  # never
    ],
)
def test_the_longest_gap_between_two_runs(schedule: str, gap: timedelta) -> None:
    assert longest_gap(schedule) == gap
