"""How many times as long a tokenizer may make a caption before it splits it.

A repository's tokenizer.json says what is put in place of what, one replacement after the other: ten lines make any
text of one letter. Formats: `tokenizers`, `normalizers`; SentencePiece, `precompiled_charsmap`.
"""

import base64
import json
from typing import Any

from hf_assets.errors import ModelError

# Unicode's longest compatibility form has 18 characters; what models replace is a space, or quotes.
MAX_GROWTH = 256


def require(tokenizer: Any, at: str) -> None:
    """Refuse a tokenizer that makes of captions texts for which there is no memory.

    Raises:
        ModelError: it may make them more than `MAX_GROWTH` times as long.
    """
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    if normalizer is not None and (found := growth(json.loads(normalizer.__getstate__()))) > MAX_GROWTH:
        raise ModelError(
            f"{at} has a tokenizer.json that may make captions {found:,.0f} times as long, more than any model's: "
            "choose another model or revision"
        )


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
            data = base64.b64decode(state["precompiled_charsmap"] or b"")
            texts = data[4 + int.from_bytes(data[:4], "little") :]
            return max(1.0, *(float(len(text.decode(errors="replace"))) for text in texts.split(b"\0")))
    return 1.0
