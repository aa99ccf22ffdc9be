"""Captions that a tokenizer cuts are counted, by its own limit."""

from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_assets.models import token_limits
from hf_assets.previews import token_counts


def tokenizer(limit: int) -> PreTrainedTokenizerFast:
    """Words as tokens."""
    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=limit, unk_token="?")


class CLIPTokenizer(PreTrainedTokenizerFast):
    """By its name, the length that `encode_prompt` takes is not for it."""


class Text:
    """What is asked of a text encoder."""

    def __init__(self, **tokenizers: Any) -> None:
        self.tokenizers = tokenizers

    def num_tokens(self, captions: list[str]) -> list[int]:
        return [len(one.split()) for one in captions]

    def tokens(self, captions: list[str]) -> dict[str, token_limits.Counted]:
        return token_limits.counted(self.tokenizers, {"max_sequence_length": 4}, captions)


def clip(limit: int) -> CLIPTokenizer:
    return CLIPTokenizer(tokenizer_object=tokenizer(limit).backend_tokenizer, model_max_length=limit, unk_token="?")


def cuts_of(root: Path, *tables: pa.Table) -> token_counts.Cuts:
    counted = token_counts.Counted(root)
    for table in tables:
        counted.add(table)
    return counted.cuts()


def test_each_tokenizer_has_its_own_limit() -> None:
    found = Text(first=clip(2), second=tokenizer(512), third=tokenizer(10**30)).tokens(["a a", "a a a", "a a a a a"])
    assert {name: one.limit for name, one in found.items()} == {"first": 2, "second": 4, "third": 4}
    assert found["second"].tokens == [2, 3, 5]
    assert token_limits.counted({"endless": tokenizer(10**30)}, {}, ["a"]) == {}


def test_cut_captions_are_counted_by_tokenizer_with_the_longest(tmp_path: Path) -> None:
    captions = ["a", "a a", "a a a", "a a a a", "a a a a a", "a a a a a a a"]
    keyed = pa.table({"caption": captions, "embed_key": [f"{at:032d}" for at in range(len(captions))]})
    text = Text(tokenizer=clip(2), tokenizer_2=tokenizer(512))
    token_counts.count(tmp_path, token_counts.chosen(keyed), cast(Any, text))
    cuts = cuts_of(tmp_path, keyed.slice(0, 4), keyed.slice(4))
    assert (cuts.num_counted, cuts.num_cut) == (6, 4)
    assert cuts.by == {"tokenizer 2": 4, "tokenizer_2 4": 2}
    assert cuts.longest == [(7, captions[5]), (5, captions[4]), (4, captions[3]), (3, captions[2])]
    assert cuts_of(tmp_path, keyed.slice(0, 2)).num_cut == 0
