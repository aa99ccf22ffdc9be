"""Change the wording of captions: replace parts of them, or bring their parts into another order."""

import random
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import Field

from hf_assets import schema
from hf_assets.values import Block, Flag

SEPARATORS = {"comma": ",", "space": " ", "period": "."}

BATCH_ROWS = 65_536


class Replacement(NamedTuple):
    """Every match of a regular expression (RE2's syntax) becomes a text; `\\1` in it is the first group."""

    pattern: str
    text: str = ""


class ShuffleRules(Block):
    """More captions of the same parts in another order."""

    enable: Flag = Field(False, description="True: shuffle.")
    count: Annotated[int, Field(gt=0, le=1_000)] = Field(1, description="Shuffled forms of each caption.")
    seed: int = Field(0, description="Another seed, another order.")
    split_on: Literal["comma", "space", "period"] = Field("comma", description="What lies between two parts.")
    position_start: Annotated[int, Field(ge=0)] = Field(0, description="So many parts stay in front.")
    include_original: Flag = Field(True, description="True: the caption as it was is kept too.")


def mistake_in(replacement: Replacement) -> str | None:
    """What is wrong with a replacement; None where it is right."""
    try:
        replace(pa.chunked_array([[""]], schema.CAPTION), (replacement,))
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0].removeprefix("Invalid regular expression: ")
    return None


def replace(captions: pa.ChunkedArray, replacements: tuple[Replacement, ...]) -> pa.ChunkedArray:
    """Captions with all replacements made, one after the other."""
    for pattern, text in replacements:
        captions = pc.replace_substring_regex(captions, pattern=pattern, replacement=text)
    return captions


def shuffle(captions: pa.ChunkedArray, rules: ShuffleRules) -> tuple[npt.NDArray[np.int64], pa.ChunkedArray]:
    """Each caption's shuffled forms, drawn from its text and the seed. A form that was there already is left out.

    Python objects exist for one batch at a time.

    Returns:
        (M,) int64, the caption that each form is made of; and the M forms, those of one caption beside each other.
    """
    source: list[npt.NDArray[np.int64]] = []
    forms = []
    start = 0
    for batch in (chunk.slice(at, BATCH_ROWS) for chunk in captions.chunks for at in range(0, len(chunk), BATCH_ROWS)):
        made = [_forms(caption, rules) for caption in batch.to_pylist()]
        source.append(np.repeat(np.arange(start, start + len(made)), [len(some) for some in made]))
        forms.append(pa.array([form for some in made for form in some], schema.CAPTION))
        start += len(made)
    return np.concatenate([np.empty(0, np.int64), *source]), pa.chunked_array(forms, schema.CAPTION)


def _forms(caption: str, rules: ShuffleRules) -> list[str]:
    separator = SEPARATORS[rules.split_on]
    parts = [part.strip() for part in caption.split(separator)]
    parts = [part for part in parts if part]
    fixed, loose = parts[: rules.position_start], parts[rules.position_start :]
    glue = separator if separator == " " else f"{separator} "
    end = "." if separator == "." and caption.endswith(".") else ""
    forms = [caption] if rules.include_original or len(loose) < 2 else []
    for number in range(rules.count):
        order = list(loose)
        random.Random(xxhash.xxh3_64_intdigest(f"{rules.seed}:{number}:{caption}".encode())).shuffle(order)
        forms.append(glue.join([*fixed, *order]) + end)
    return list(dict.fromkeys(forms)) if len(loose) > 1 else forms[:1]
