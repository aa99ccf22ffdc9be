"""How many tokens captions have for each of a pipeline's tokenizers, and how many each takes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hf_assets.models import model_loading

# Tokenizers without a limit of their own give a number like 10^30.
MOST = 1_000_000
LENGTH = "max_sequence_length"


class Counted(NamedTuple):
    """Tokens of captions, before anything is cut.

    Attributes:
        limit: what is behind so many is cut off.
        tokens: of each caption.
    """

    limit: int
    tokens: list[int]


def counted(tokenizers: Mapping[str, Any], arguments: Mapping[str, Any], captions: list[str]) -> dict[str, Counted]:
    """By the tokenizer's name; those without a limit, and what is no tokenizer of text, are left out.

    Args:
        tokenizers: a pipeline's components of that name.
        arguments: what `encode_prompt` is called with: `max_sequence_length` is the limit of all but CLIP's.
    """
    found = {}
    for name, tokenizer in tokenizers.items():
        limit = getattr(tokenizer, "model_max_length", None)
        if not isinstance(limit, int) or not captions:
            continue
        given = arguments.get(LENGTH)
        if isinstance(given, int) and "CLIP" not in type(tokenizer).__name__:
            limit = min(limit, given)
        if limit > MOST:
            continue
        with model_loading.quiet():
            ids = tokenizer(captions, truncation=False, padding=False)["input_ids"]
        found[name] = Counted(limit, [len(one) for one in ids])
    return found
