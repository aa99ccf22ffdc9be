"""Captions are tokenized for the next batches while the device computes this one.

A pipeline's `encode_prompt` calls its tokenizers by itself. How it calls them is seen from its own calls: it gives the
captions, maybe in lower case, maybe within the same words, with other arguments that are the same for every batch. So
that call can be made before it, by a copy of the tokenizer in another thread; what it gave is kept until the pipeline
makes exactly this call. What was not foreseen is done as ever: when tokens are made changes, which ones never does.
"""

import copy
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

# Calls of a tokenizer that are made ahead and wait for the pipeline's.
MOST_MADE = 16

# What pipelines do to a caption before they tokenize it, beside putting it into a template.
CHANGES: tuple[Callable[[str], str], ...] = (str, str.strip, lambda caption: caption.lower().strip())


class Form(NamedTuple):
    """How a tokenizer is called with captions.

    Attributes:
        change: of each caption.
        before, after: the words around it.
        is_one: whether it is given as text, and not in a list.
    """

    change: Callable[[str], str]
    before: str
    after: str
    is_one: bool

    def texts(self, captions: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self.before}{self.change(caption)}{self.after}" for caption in captions)


class Watched:
    """The calls of one tokenizer.

    Attributes:
        captions: that the pipeline encodes now.
        forms: by the other arguments of a call.
        hits: calls that were made ahead.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.captions: Sequence[str] = ()
        self.forms: dict[tuple[Any, ...], tuple[Form, dict[str, Any]]] = {}
        self.hits = 0
        self._made: dict[Any, Any] = {}
        self._copy = copy.deepcopy(tokenizer)  # two threads may not use one
        self._lock = threading.Lock()
        kind, watched = type(tokenizer), self

        def call(self: Any, *given: Any, **named: Any) -> Any:
            return watched._call(functools.partial(kind.__call__, self), given, named)

        names = {"__call__": call, "__module__": kind.__module__, "__doc__": kind.__doc__}
        tokenizer.__class__ = type(kind.__name__, (kind,), names)

    def make(self, captions: Sequence[str]) -> None:
        """Make the calls that the pipeline will make for these captions. In a thread of its own."""
        with self._lock:
            forms = list(self.forms.items())
        for arguments, (form, named) in forms:
            texts = form.texts(captions)
            made = self._copy(texts[0] if form.is_one else list(texts), **{"verbose": False, **named})
            with self._lock:
                self._made[_state(self._copy), texts, form.is_one, arguments] = made
                while len(self._made) > MOST_MADE:
                    del self._made[next(iter(self._made))]

    def _call(self, call: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        others = {name: value for name, value in named.items() if name != "text"}
        text = given[0] if given else named.get("text")
        texts = (text,) if isinstance(text, str) else tuple(text) if isinstance(text, list | tuple) else ()
        is_plain = all(isinstance(one, str) for one in texts) and all(
            value is None or isinstance(value, str | int | float) for value in others.values()
        )
        if len(given) > 1 or not texts or not is_plain:
            return call(*given, **named)
        arguments = tuple(sorted((name, type(value).__name__, str(value)) for name, value in others.items()))
        with self._lock:
            known, _ = self.forms.pop(arguments, (None, None))
            form = _form(self.captions, texts, isinstance(text, str), known)
            if form is not None:
                self.forms[arguments] = form, others
            made = self._made.pop((_state(self.tokenizer), texts, isinstance(text, str), arguments), None)
            self.hits += made is not None
        return call(*given, **named) if made is None else made


def _form(captions: Sequence[str], texts: tuple[str, ...], is_one: bool, known: Form | None) -> Form | None:
    """The form in which these texts are made of the captions, the known one where that does; None: there is none."""
    if len(texts) != len(captions):
        return None
    if known is not None and known.is_one == is_one and known.texts(captions) == texts:
        return known
    for change in CHANGES:
        caption = change(captions[0])
        before, found, after = texts[0].partition(caption) if caption else ("", "", "")
        form = Form(change, before, after, is_one)
        if found and form.texts(captions) == texts:
            return form
    return None


def _state(tokenizer: Any) -> tuple[Any, ...]:
    """What pipelines set, and calls depend on."""
    names = ("padding_side", "truncation_side", "model_max_length", "pad_token")
    return tuple(getattr(tokenizer, name, None) for name in names)


class Ahead:
    """All tokenizers of a pipeline that can be run in a thread: those in Rust, which leave the interpreter alone.

    They are copied as they are by now: where the pipeline sets one otherwise later, nothing is taken from its copy.
    """

    def __init__(self, pipeline: Any) -> None:
        parts = {name: part for name, part in pipeline.components.items() if "tokenizer" in name}
        self.watched = [Watched(part) for part in parts.values() if getattr(part, "is_fast", False)]

    def encodes(self, captions: Sequence[str]) -> None:
        """The pipeline is given these captions now."""
        for one in self.watched:
            one.captions = captions

    def make(self, captions: Sequence[str]) -> None:
        """Tokenize these captions, which will be given to the pipeline together. In a thread of its own."""
        for one in self.watched:
            one.make(captions)
