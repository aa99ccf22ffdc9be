"""Words and tags are counted once in a sample."""

from hf_assets.show.words import Frequencies, Words


def count(samples: list[list[str]], trigger: str | None = None) -> Frequencies:
    """In two pieces."""
    words = Words(trigger)
    words.add(samples[:1])
    words.add(samples[1:])
    return words.frequencies()


def test_a_word_counts_once_in_a_sample_whatever_its_case() -> None:
    found = count([["A cat, a CAT"], ["a dog"], ["It's a dog", "a cat"]])
    assert found.words == [("a", 3), ("cat", 2), ("dog", 2), ("it's", 1)]
    assert (found.num_samples, found.num_distinct, found.tags, found.trigger) == (3, 4, [], None)


def test_captions_that_are_lists_have_tags() -> None:
    found = count([["1girl, red hair, smile"], ["smile, red  hair, sky"]])
    assert found.tags == [("red hair", 2), ("smile", 2), ("1girl", 1), ("sky", 1)]


def test_the_trigger_is_looked_for_in_each_sample() -> None:
    assert count([["Sks style, a cat"], ["a dog"], ["in SKS STYLE"]], "sks style, ").trigger == ("sks style, ", 2)


def test_a_long_caption_is_cut_and_the_list_ends() -> None:
    found = count([[" ".join(f"word{n}" for n in range(9_000))]])
    assert len(found.words) == 24
    assert found.num_distinct < 400
