"""Tokens that are made ahead are those that the pipeline asks for, or aren't taken."""

import pytest
import torch

from hf_assets.models import tokenizing
from hf_assets.models.text import load_text
from hf_assets_tests.models.conftest import resolved
from hf_assets_tests.tiny_pipelines import tokenizers

CAPTIONS = ["a photo of a Cat", "two dogs on a red sofa near the window"]


# two calls of one tokenizer; three tokenizers; in lower case; within a template; each caption alone
@pytest.mark.parametrize("family", ["sd15", "sd3", "pixart", "qwenimage", "zimage"])
def test_embeds_are_the_same_and_every_batch_but_the_first_was_tokenized_before(built, family):
    with load_text(resolved(built(family)), "cpu", torch.float32) as text:
        plain = text.encode(CAPTIONS)
        text.begin_tokenizing()
        for _ in range(2):
            text.tokenize(CAPTIONS)
            ahead = text.encode(CAPTIONS)
            for one, other in zip(plain, ahead, strict=True):
                assert all(torch.equal(one[name], other[name]) for name in one)
        assert text._tokens.watched
        assert all(one.hits for one in text._tokens.watched)


class Pipeline:
    """It gives captions to its tokenizer in a way that a test chooses."""

    def __init__(self):
        self.tokenizer = tokenizers.clip()
        self.components = {"tokenizer": self.tokenizer}
        self.ahead = tokenizing.Ahead(self)
        self.plain = tokenizers.clip()

    def asks(self, captions, texts, **arguments):
        """What the tokenizer gives, and whether it had been asked before."""
        self.ahead.encodes(captions)
        (watched,) = self.ahead.watched
        before = watched.hits
        found = self.tokenizer(texts, **arguments)["input_ids"]
        assert found == self.plain(texts, **arguments)["input_ids"]
        return watched.hits > before


def test_only_the_very_call_that_was_made_ahead_is_answered_by_it():
    one = Pipeline()
    assert not one.asks(["a cat"], ["a cat"], padding="max_length", max_length=9)
    one.ahead.make(["a dog"])
    assert not one.asks(["a dog"], ["a dog"], padding="max_length", max_length=8)  # other arguments
    assert not one.asks(["a dog"], ["a dog!"], padding="max_length", max_length=9)  # another text
    assert not one.asks(["a dog"], "a dog", padding="max_length", max_length=9)  # no list
    one.ahead.make(["a dog"])
    one.tokenizer.padding_side = one.plain.padding_side = "left"  # since then
    assert not one.asks(["a dog"], ["a dog"], padding="max_length", max_length=9)


@pytest.mark.parametrize(
    "change", [str, str.strip, lambda text: text.lower().strip(), lambda text: f"<s> {text} </s>", "Draw: {}".format]
)
def test_what_a_pipeline_does_to_captions_is_seen_from_its_calls(change):
    one = Pipeline()
    for captions in (["a photo"], [" A cat ", "a dog"]):
        one.asks(captions, [change(caption) for caption in captions])
    captions = ["Two  Cats", " b", ""]
    one.ahead.make(captions)
    assert one.asks(captions, [change(caption) for caption in captions])


def test_what_can_not_be_foreseen_is_made_as_ever_and_nothing_is_kept_for_it():
    one = Pipeline()
    for captions in (["a cat"], ["a dog"]):
        assert not one.asks(captions, [text[::-1] for text in captions])
    (watched,) = one.ahead.watched
    assert not watched.forms


def test_a_tokenizer_keeps_its_class_for_those_who_ask():
    kind = type(tokenizers.clip())
    tokenizer = Pipeline().tokenizer
    assert isinstance(tokenizer, kind)
    assert type(tokenizer).__name__ == kind.__name__
