"""Text of strangers, made to do nothing where it is printed, logged or drawn."""

import re

# Controls of terminals (C0, C1), what turns the direction of writing, and what isn't seen or is no character: all but
# tabs and line ends.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def text(given: str) -> str:
    """The text with each control shown as Python writes it: `\\x1b` in place of an escape."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), given)


def cut(given: str, num_characters: int) -> str:
    """The text's beginning, of bounded length."""
    return given if len(given) <= num_characters else f"{given[: num_characters - 1]}…"
