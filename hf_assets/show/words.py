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


class Words:
    """Counts words and tags, each once in a sample, whatever its case."""

    def __init__(self, trigger: str | None = None) -> None:
        """
        Args:
            trigger: words that are to be in each sample.
        """
        self.num_samples = 0
        self._trigger = trigger
        self._wanted = None if trigger is None else trigger.casefold().strip(" ,.")
        self._words: Counter[str] = Counter()
        self._tags: Counter[str] = Counter()
        self._num_parts = self._num_words = self._with_trigger = 0

    def add(self, samples: Iterable[list[str]]) -> None:
        """
        Args:
            samples: the captions of each.
        """
        for captions in samples:
            texts = [text[:CHARACTERS].casefold() for text in captions]
            self.num_samples += 1
            parts = {" ".join(part.split()) for text in texts for part in text.split(",")} - {""}
            self._tags.update(part for part in parts if len(part) <= WORD_CHARACTERS)
            self._words.update({word[:WORD_CHARACTERS] for text in texts for word in _WORD.findall(text)})
            self._num_parts += len(parts)
            self._num_words += sum(part.count(" ") + 1 for part in parts)
            self._with_trigger += self._wanted is not None and any(self._wanted in text for text in texts)

    def frequencies(self) -> Frequencies:
        """What was counted."""
        are_tags = self._num_parts > 2 * self.num_samples and self._num_words <= TAG_WORDS * self._num_parts
        return Frequencies(
            _most(self._words),
            _most(self._tags) if are_tags else [],
            self.num_samples,
            len(self._words),
            None if self._trigger is None else (self._trigger, self._with_trigger),
        )


def _most(counter: Counter[str]) -> list[tuple[str, int]]:
    """Of equally frequent ones, the first of the alphabet."""
    return sorted(counter.items(), key=lambda one: (-one[1], one[0]))[:SHOWN]
