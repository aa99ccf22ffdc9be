"""Slices and sums of splits, `train[:10%]+test[5:]`, with the meaning that `datasets` gives them."""

import re
from typing import NamedTuple

from hf_assets.errors import DatasetError
from hf_assets.sources.spec import Part

BOUNDARY = r"-?\d[\d_]*%?"
TERM = re.compile(
    rf"(?P<split>\w+(?:\.\w+)*)(?P<slice>(?:\[(?P<start>{BOUNDARY})?:(?P<stop>{BOUNDARY})?\])?"
    r"(?:\((?P<rounding>closest|pct1_dropremainder)\))?)"
)


class Slice(NamedTuple):
    """Rows `start` to `stop` of a split, the latter excluded."""

    start: int
    stop: int


def mistake(split: str) -> str | None:
    """What is wrong with a `split`; None where nothing is."""
    for term in _terms(split):
        found = TERM.fullmatch(term)
        if found is None:
            return (
                f'"{term}" is no split: write a name, or a slice such as train[:10%], train[100:200] or train[:50]+test'
            )
        for boundary in (found["start"], found["stop"]):
            if boundary and _is_percent(found) and abs(_number(boundary)) > 100:
                return f'"{term}" is no split: percentages go from -100 to 100'
    return None


def parts_of(split: str) -> list[tuple[str, str]]:
    """(name, slice as it is written) of each term of a sum."""
    found = [TERM.fullmatch(term) for term in _terms(split)]
    assert all(found), "the config was checked"
    return [(term["split"], term["slice"]) for term in found if term is not None]


def rows_of(part: Part, num_rows: int) -> Slice:
    """The rows that a slice takes of a split with so many.

    Raises:
        DatasetError: the slice says `pct1_dropremainder`, and a hundredth of the split is less than a row.
    """
    found = TERM.fullmatch(f"{part.split}{part.slice}")
    assert found is not None
    if found["rounding"] == "pct1_dropremainder" and _is_percent(found) and num_rows < 100:
        raise DatasetError(
            f'split "{part.split}" has {num_rows} rows, too few for (pct1_dropremainder): leave that away, or '
            "name rows by number"
        )
    start = 0 if found["start"] is None else _row(found["start"], found, num_rows)
    stop = num_rows if found["stop"] is None else _row(found["stop"], found, num_rows)
    return Slice(min(start, num_rows), max(min(start, num_rows), min(stop, num_rows)))


def _row(boundary: str, term: re.Match[str], num_rows: int) -> int:
    number = _number(boundary)
    if _is_percent(term):
        is_truncated = term["rounding"] == "pct1_dropremainder"
        number = number * (num_rows // 100) if is_truncated else round(number * num_rows / 100.0)
    return number if number >= 0 else max(num_rows + number, 0)


def _is_percent(term: re.Match[str]) -> bool:
    """One percent sign makes percentages of both boundaries."""
    return "%" in (term["start"] or "") + (term["stop"] or "")


def _number(boundary: str) -> int:
    return int(boundary.removesuffix("%"))


def _terms(split: str) -> list[str]:
    return re.split(r"\s*\+\s*", split)
