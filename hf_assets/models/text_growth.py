"""How many times as long a tokenizer may make a caption before it splits it.

A repository's tokenizer.json says what is put in place of what, one replacement after the other: ten lines make any
text of one letter. A model in SentencePiece's own format says it in one table. Formats: `tokenizers`, `normalizers`;
SentencePiece, `sentencepiece_model.proto`, `precompiled_charsmap`.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from hf_assets.errors import ModelError

# Unicode's longest compatibility form has 18 characters; what models replace is a space, or quotes.
MAX_GROWTH = 256
# Fields of SentencePiece's messages: of a model, its normalizer; of a normalizer, its table.
NORMALIZER_SPEC, PRECOMPILED_CHARSMAP = 3, 2


def require(tokenizer: Any, at: str) -> None:
    """Refuse a tokenizer that makes of captions texts for which there is no memory.

    Raises:
        ModelError: it may make them more than `MAX_GROWTH` times as long.
    """
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    model = getattr(tokenizer, "sp_model", None)
    found, file = 1.0, "a tokenizer.json"
    if normalizer is not None:
        found = growth(json.loads(normalizer.__getstate__()))
    elif model is not None:
        found, file = growth_of_model(model.serialized_model_proto()), "a model of SentencePiece's"
    if found > MAX_GROWTH:
        raise ModelError(
            f"{at} has {file} that may make captions {found:,.0f} times as long, more than any model's: "
            "choose another model or revision"
        )


def growth_of_model(model: bytes) -> float:
    """The factor of a model in SentencePiece's own format."""
    tables = (
        table
        for number, spec in _fields(model)
        if number == NORMALIZER_SPEC
        for inner, table in _fields(spec)
        if inner == PRECOMPILED_CHARSMAP
    )
    return max(map(_of_charsmap, tables), default=1.0)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message of Protocol Buffers that hold bytes, by number. A broken end is left out."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while at < len(message):
            byte = message[at]
            value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                break
        return value

    while at < len(message):
        tag = number()
        match tag & 7:  # how its value is written
            case 2:
                size = number()
                yield tag >> 3, message[at : at + size]
                at += size
            case 0:
                number()
            case 1:
                at += 8
            case 5:
                at += 4
            case _:
                return


def growth(state: dict[str, Any]) -> float:
    """The factor of a normalizer, as tokenizer.json has it."""
    match state.get("type"):
        case "Sequence":
            product = 1.0
            for one in state["normalizers"]:
                product = min(product * growth(one), 1e30)
            return product
        case "Replace":
            text = state["pattern"].get("String")  # of a regex, a match may be empty
            return max(1.0, len(state["content"]) / len(text)) if text else len(state["content"]) + 1.0
        case "Prepend":
            return len(state["prepend"]) + 1.0
        case "Precompiled":
            return _of_charsmap(base64.b64decode(state["precompiled_charsmap"] or b""))
    return 1.0


def _of_charsmap(data: bytes) -> float:
    """The longest text that a character becomes."""
    texts = data[4 + int.from_bytes(data[:4], "little") :]
    return max(1.0, *(float(len(text.decode(errors="replace"))) for text in texts.split(b"\0")))
