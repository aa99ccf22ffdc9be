"""What a `__call__` refers to and sets is followed wherever it lies: objects, modules, functions within functions.

Each class is run for real, as in `test_followed_calls`; what can't be followed is refused.
"""

import contextlib
import enum
import functools
import itertools
import json
import random
import re
from dataclasses import dataclass

import pytest

from hf_assets.errors import MediaError, ModelError
from hf_assets.models import prompt
from hf_assets_tests.models.test_followed_calls import Whole, given

CAPTIONS = ("A photo of  a Cat ", "", '{"text": "a"}', "A poster, of a dog", "tags: cat, cat")
STYLE = "oil "


@dataclass
class Settings:
    prefix: str = "photo: "
    length: int = 5


class Task(enum.Enum):
    DRAW = "draw: "


SETTINGS = Settings()


def by_chance(text):
    return random.choice(["oil ", "ink ", "wax "]) + text


def in_style(text):
    return STYLE + text


def as_it_is(function):
    @functools.wraps(function)
    def same(self, *given):
        return function(self, *given)

    return same


# Followed


class ManyArguments(Whole):
    def _joined(self, *parts, end=".", **more):
        return ", ".join(parts) + end + "".join(more.values())

    def __call__(self, prompt):
        self.encode_prompt([self._joined(text, "photo", end="!", x="?") for text in prompt])


class AnyArguments(Whole):
    def __call__(self, *args, **kwargs):
        (prompt,) = args
        length = kwargs.get("max_sequence_length", 99)
        self.encode_prompt([text.lower() for text in prompt], max_sequence_length=length)


class NamedArguments(Whole):
    def __call__(self, prompt: str | list[str], *, style="oil", **kwargs):
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        chosen = {"end": ", art", **kwargs} | {"max": 5}
        self.encode_prompt(
            [" ".join([style, text.strip(), chosen["end"]]) for text in texts], max_sequence_length=chosen["max"]
        )


class AnotherNameForIt(Whole):
    def __call__(self, prompt):
        me = self
        me.prefix = "ink "
        self.encode_prompt([self.prefix + text for text in prompt])


class SetByName(Whole):
    def __call__(self, prompt):
        setattr(self, "prefix", "ink ")  # noqa: B010
        self.encode_prompt([self.prefix + text for text in prompt])


class CaseOfAHelper(Whole):
    def _prepare(self, prompt):
        prompt[0] = "ink " + prompt[0]
        self.prefix = "wax "

    def __call__(self, prompt, task="draw"):
        match task:
            case "sing":
                prompt = []
            case "draw" | "paint" if self.prefix:
                self._prepare(prompt)
        self.encode_prompt([self.prefix + text for text in prompt])


class Suppresses(Whole):
    def __call__(self, prompt):
        with contextlib.suppress(ValueError):
            json.loads(prompt[0])
            prompt = ["json"]
        self.encode_prompt(prompt)


class SetsAtLast(Whole):
    def _prepare(self):
        try:
            return 1
        finally:
            self.prefix = "wax "

    def __call__(self, prompt):
        self._prepare()
        self.encode_prompt([self.prefix + text for text in prompt])


class FunctionWithin(Whole):
    def __call__(self, prompt):
        def clean():
            texts[0] = texts[0].lower()

        texts = [text + "!" for text in prompt]
        clean()
        self.encode_prompt(texts)


class Lambdas(Whole):
    def _length(self, word):
        return len(word)

    def __call__(self, prompt):
        shout = lambda found, end="!": found.group(0).upper() + end  # noqa: E731
        texts = [re.sub(r"\w+", shout, text) for text in prompt]
        self.encode_prompt([" ".join(sorted(text.split(), key=self._length)) for text in texts])


class Objects(Whole):
    settings = SETTINGS

    def __call__(self, prompt, own=None, task=Task.DRAW):
        own = own or Settings("own: ")
        self.encode_prompt(
            [task.value + own.prefix + self.settings.prefix + text for text in prompt], max_sequence_length=own.length
        )


class OfTheClass(Whole):
    @classmethod
    def _marked(cls, text):
        return cls.prefix + text

    def __call__(self, prompt):
        self.encode_prompt([self._marked(text) + type(self).prefix for text in prompt])


class FirstAndOthers(Whole):
    def __call__(self, prompt):
        first, *others = prompt
        words = list(itertools.chain(letter for word in first.split() for letter in word))
        self.encode_prompt(["".join(filter(str.isalpha, words)), *others])


class WhereItSaysSo(Whole):
    """No caption of the usual kinds is changed."""

    def __call__(self, prompt):
        self.encode_prompt(["A big " + text if "poster" in text else text for text in prompt])


class OneAsText(Whole):
    def __call__(self, prompt):
        self.encode_prompt([f"a painting of {prompt.strip().lower()}" if prompt else "a painting"])


# Refused


class ObjectIsChanged(Whole):
    def __call__(self, prompt):
        own = Settings()
        same = own
        same.prefix = "other "
        self.encode_prompt([own.prefix + text for text in prompt])


class SetInTheDictionary(Whole):
    def __call__(self, prompt):
        self.__dict__["prefix"] = "ink "
        self.encode_prompt([self.prefix + text for text in prompt])


class SetOfTheClass(Whole):
    def __call__(self, prompt):
        type(self).prefix = "ink "
        self.encode_prompt([self.prefix + text for text in prompt])


class SetByWhatIsGivenIt(Whole):
    def __call__(self, prompt):
        vars(self).update(prefix="ink ")
        self.encode_prompt([self.prefix + text for text in prompt])


class SetWhereItIsDecorated(Whole):
    @as_it_is
    def _prepare(self):
        self.prefix = "ink "

    def __call__(self, prompt):
        self._prepare()
        self.encode_prompt([self.prefix + text for text in prompt])


class SetInTheModule(Whole):
    def __call__(self, prompt):
        global STYLE
        STYLE = "ink "
        self.encode_prompt([in_style(text) for text in prompt])


class AfterAnUnknownCondition(Whole):
    def __call__(self, prompt):
        if self.model(prompt) and (prompt := [text.lower() for text in prompt]):
            pass
        self.encode_prompt(prompt)


class InAnUnknownChoice(Whole):
    def __call__(self, prompt):
        _ = (prompt := [text.lower() for text in prompt]) if self.model(prompt) else 0
        self.encode_prompt(prompt)


class SetByAFunctionWithin(Whole):
    def __call__(self, prompt):
        def clean():
            nonlocal texts
            texts = [text.lower() for text in texts]

        texts = [text + "!" for text in prompt]
        clean()
        self.encode_prompt(texts)


class ByChance(Whole):
    def __call__(self, prompt):
        self.encode_prompt([by_chance(text) for text in prompt])


class InTheOrderOfASet(Whole):
    def __call__(self, prompt):
        self.encode_prompt([" ".join(set(text.split())) for text in prompt])


class AsTextAlone(Whole):
    def __call__(self, prompt: str | list[str]):
        self.encode_prompt([prompt + "."] if isinstance(prompt, str) else prompt)


class OfASetting(Whole):
    def __call__(self, prompt):
        self.encode_prompt([text.lower() if self.style == "oil" else text for text in prompt])


FOLLOWED = (
    *(ManyArguments, AnyArguments, NamedArguments, AnotherNameForIt, SetByName, CaseOfAHelper, Suppresses),
    *(SetsAtLast, FunctionWithin, Lambdas, Objects, OfTheClass, FirstAndOthers, WhereItSaysSo),
)
REFUSED = (
    *(SetInTheDictionary, SetOfTheClass, SetByWhatIsGivenIt, SetWhereItIsDecorated, SetInTheModule),
    *(AfterAnUnknownCondition, InAnUnknownChoice, SetByAFunctionWithin, ByChance, InTheOrderOfASet, AsTextAlone),
    *(OfASetting, ObjectIsChanged),
)


def follow_or_refuse(kind, caption):
    """What is given of a caption by what was found of the class; None where it is refused."""
    usage = prompt.usage(kind)
    text = prompt.rewritten(kind, caption) if usage.reads_each else caption
    return {"prompt": text, **dict.fromkeys(("max_sequence_length", "instruction")), **usage.calls[0].arguments}


@pytest.mark.parametrize("kind", FOLLOWED, ids=lambda kind: kind.__name__)
def test_what_is_followed_is_what_is_given(kind):
    for caption in CAPTIONS:
        got = given(kind, caption)
        found = follow_or_refuse(kind, caption)
        assert {**got, "prompt": got["prompt"][0]} == {name: found[name] for name in got}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_cannot_be_followed_is_refused(kind):
    with pytest.raises(ModelError, match=f"{kind.__name__} changes captions"):
        prompt.usage(kind)


def test_a_caption_that_is_given_as_text_is_followed_so():
    assert prompt.rewritten(OneAsText, " A Cat ") == "a painting of a cat"
    assert prompt.rewritten(OneAsText, "") == "a painting"


class LengthWhereItSaysSo(Whole):
    def __call__(self, prompt):
        length = 3 if any(text.startswith("tags") for text in prompt) else 7
        self.encode_prompt(prompt, max_sequence_length=length)


def test_an_argument_that_depends_on_what_a_caption_says_is_that_caption_s_failure():
    usage = prompt.usage(LengthWhereItSaysSo)
    assert usage.calls[0].arguments == {"max_sequence_length": 7}
    assert usage.reads_each
    assert prompt.rewritten(LengthWhereItSaysSo, "a cat") == "a cat"
    with pytest.raises(MediaError, match="makes max_sequence_length of this caption"):
        prompt.rewritten(LengthWhereItSaysSo, "tags: cat")


class LooksAtItsLength(Whole):
    def __call__(self, prompt):
        if prompt is None or not isinstance(prompt, list) or len(prompt) != 1:
            raise ValueError("one caption")
        if len(prompt[0]) > 10_000:
            raise ValueError("too long")
        self.encode_prompt(prompt)


def test_a_caption_that_is_only_looked_at_is_not_followed_each_time():
    """As every caption arrives as it is given, none costs anything."""
    assert not prompt.usage(LooksAtItsLength).reads_each


def test_a_class_without_its_source_is_refused():
    made = {}
    exec("class Bare:\n def encode_prompt(self, prompt): ...\n def __call__(self, prompt): ...", made)
    with pytest.raises(ModelError, match=r"the source of Bare isn't there"):
        prompt.usage(made["Bare"])
