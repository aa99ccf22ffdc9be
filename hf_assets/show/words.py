"""Which words and tags captions are made of."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

SHOWN = 24
# So much of a caption is looked at.
CHARACTERS = 2_000
WORD_CHARACTERS = 40
# Captions are lists of tags where their parts, between commas, have at most so many words.
TAG_WORDS = 3
_WORD = re.compile(r"[^\W_][\w'’-]*")


class Frequencies(NamedTuple):
    """How many samples have what in their captions.

    Attributes:
        words, tags: the most frequent with their counts, most first; `tags` is empty where captions are no lists.
        num_samples: that have captions.
        num_distinct: words.
        trigger: the words that are to be in each caption, and how many samples have them.
    """

    words: list[tuple[str, int]]
    tags: list[tuple[str, int]]
    num_samples: int
    num_distinct: int
    trigger: tuple[str, int] | None


def count(samples: Iterable[list[str]], trigger: str | None = None) -> Frequencies:
    """Count words and tags, each once in a sample, whatever its case.

    Args:
        samples: the captions of each.
        trigger: words that are to be in each.
    """
    words: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    num_samples = num_parts = num_words = with_trigger = 0
    wanted = None if trigger is None else trigger.casefold().strip(" ,.")
    for captions in samples:
        texts = [text[:CHARACTERS].casefold() for text in captions]
        num_samples += 1
        parts = {" ".join(part.split()) for text in texts for part in text.split(",")} - {""}
        tags.update(part for part in parts if len(part) <= WORD_CHARACTERS)
        words.update({word[:WORD_CHARACTERS] for text in texts for word in _WORD.findall(text)})
        num_parts += len(parts)
        num_words += sum(part.count(" ") + 1 for part in parts)
        with_trigger += wanted is not None and any(wanted in text for text in texts)
    are_tags = num_parts > 2 * num_samples and num_words <= TAG_WORDS * num_parts
    return Frequencies(
        _most(words),
        _most(tags) if are_tags else [],
        num_samples,
        len(words),
        None if wanted is None or trigger is None else (trigger, with_trigger),
    )


def _most(counter: Counter[str]) -> list[tuple[str, int]]:
    """Of equally frequent ones, the first of the alphabet."""
    return sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:SHOWN]
