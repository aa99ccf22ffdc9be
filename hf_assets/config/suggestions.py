"""Which known key an unknown one was meant to be. A suggestion mends the spelling and never changes the meaning."""

import difflib
import functools
import re
from collections.abc import Collection, Iterable

# What other tools, and people, call a key.
SYNONYMS = {
    "audio_dir": "instance_data_dir",
    "caption_key": "caption_column",
    "data_path": "instance_data_dir",
    "dataset": "dataset_name",
    "dataset_path": "dataset_name",
    "folder": "instance_data_dir",
    "hf_dataset": "dataset_name",
    "image_dir": "instance_data_dir",
    "image_folder": "instance_data_dir",
    "image_key": "image_column",
    "images_dir": "instance_data_dir",
    "model_flavor": "model_flavour",
    "flavor": "flavour",
    "repo_id": "dataset_name",
    "text_column": "caption_column",
    "train_data_dir": "instance_data_dir",
    "video_dir": "instance_data_dir",
}
# Words as like as this are one, misspelt.
LIKE = 0.75


def suggest(key: str, known: Iterable[str], vocabulary: Collection[str] = ()) -> str | None:
    """The known key that an unknown one was meant to be, if that is plain.

    Each word has to be that of the known key, perhaps misspelt. A word that is one of ours isn't a misspelling of
    another (`max` of `min`, `rate` of `interval`). One word may be missing, where only one key then fits.

    Args:
        vocabulary: other keys, whose words are words of ours too.
    """
    known = list(dict.fromkeys(known))
    words = _words(key)
    if not words:
        return None
    if (other := SYNONYMS.get("_".join(words))) in known:
        return other
    spelt = {_join(one): one for one in known}
    if (same := spelt.get("".join(words))) is not None:
        return same
    ours = {word for one in (*known, *vocabulary) for word in _words(one)}
    fits = [one for one in known if _is_misspelt(words, _words(one), ours)]
    if fits:
        return max(fits, key=lambda one: difflib.SequenceMatcher(None, key, one).ratio())
    if len(words) == 1:
        near = [one for one in known if words[0] not in ours and _likeness(words[0], _join(one)) > 0.9]
        return near[0] if len(near) == 1 else None
    shortened = [one for one in known if len(_words(one)) == len(words) + 1 and _is_within(words, _words(one), ours)]
    return shortened[0] if len(shortened) == 1 else None


def _is_misspelt(words: list[str], others: list[str], ours: Collection[str]) -> bool:
    """Whether the words are the others one by one, or in another order."""
    if len(words) != len(others):
        return False
    return sorted(words) == sorted(others) or all(map(functools.partial(_is_word, ours), words, others))


def _is_within(words: list[str], others: list[str], ours: Collection[str]) -> bool:
    """Whether the words are some of the others, in their order."""
    rest = iter(others)
    return all(any(_is_word(ours, word, other) for other in rest) for word in words)


def _is_word(ours: Collection[str], word: str, other: str) -> bool:
    """Whether a word is another, perhaps misspelt."""
    return (
        word == other or word.rstrip("s") == other.rstrip("s") or (word not in ours and _likeness(word, other) >= LIKE)
    )


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, word, other).ratio()


def _words(key: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    return re.findall(r"[a-z0-9]+", re.sub(r"[^a-z0-9_\- ]", "", spaced))


def _join(key: str) -> str:
    return "".join(_words(key))
