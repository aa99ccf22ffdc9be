"""What a `__call__` gives to `encode_prompt` is found from its source as it is when it runs, or refused: never guessed.

Each class below is a way of writing it. It is run for real, with a text encoder that notes what it gets.
"""

import functools
import html
import re

import pytest

from hf_assets.errors import ModelError
from hf_assets.models import prompt

LONG = "a cat, " * 40
CAPTIONS = ("A photo of  a Cat ", "a cat", "", "It's &amp; 20%", '{"text": "a"}', LONG)


class Whole:
    """A pipeline whose parts are there only when it runs."""

    default_length = 7
    prefix = "photo: "

    def __init__(self, tokenizer=None, style="oil"):
        self.style = style
        self.tokenizer = tokenizer
        self.template = "<s>{}</s>"

    def model(self, texts):
        """What only a model knows: which isn't followed."""
        return self.tokenizer(texts)

    def encode_prompt(self, prompt, prompt_2=None, max_sequence_length=None, instruction=None):
        self.got.append({"prompt": prompt, "max_sequence_length": max_sequence_length, "instruction": instruction})
        prompt_embeds = prompt
        return prompt_embeds  # noqa: RET504


def shouted(texts):
    return [text.upper() for text in texts]


def shout_in_place(texts, tokenizer):
    for index in range(len(texts)):
        texts[index] = texts[index].upper()
    return tokenizer(texts)


def lowering(function):
    @functools.wraps(function)
    def changed(self, prompt):
        return function(self, [text.lower() for text in prompt])

    return changed


# Followed


class Strips(Whole):
    def __call__(self, prompt):
        prompt = prompt if isinstance(prompt, list) else [prompt]
        prompt = [text.strip().lower() for text in prompt]
        self.encode_prompt(prompt)


class EachLetter(Whole):
    def __call__(self, prompt):
        self.encode_prompt(["".join(letter for letter in text if letter != "o") for text in prompt])


class EachLetterInALoop(Whole):
    def __call__(self, prompt):
        texts = []
        for text in prompt:
            said = ""
            for letter in text:
                said += letter.upper()
            texts.append(said)
        self.encode_prompt(texts)


class ByRegex(Whole):
    spaces = r"\s+"

    def __call__(self, prompt):
        pattern = re.compile(self.spaces)
        self.encode_prompt([html.unescape(pattern.sub(" ", text)) for text in prompt])


class Template(Whole):
    def __call__(self, prompt, max_sequence_length=None):
        max_sequence_length = max_sequence_length or self.default_length * 2
        prompt = [self.template.format(self.prefix + text) for text in prompt]
        self.encode_prompt(prompt, max_sequence_length=max_sequence_length)


class TemplateOfLines(Whole):
    def __call__(self, prompt):
        template = """Describe
            the picture:
    {}"""
        self.encode_prompt([template.format(text) for text in prompt])


class UnindentedLines(Whole):
    def __call__(self, prompt):
        template = """Say
what {} is"""
        self.encode_prompt([template.format(text) for text in prompt])


class InItsPlace(Whole):
    def __call__(self, prompt):
        same = prompt
        for index, text in enumerate(same):
            same[index] = text.upper()
        self.encode_prompt(prompt)


class ByAFunction(Whole):
    def __call__(self, prompt):
        self.encode_prompt(shouted(prompt))


class InAHelper(Whole):
    def _encode(self, texts):
        self.encode_prompt([text.title() for text in texts], max_sequence_length=99)

    def __call__(self, prompt):
        self._encode(prompt)


class ByAParent(Strips):
    def __call__(self, prompt):
        super().__call__([f"a {text}" for text in prompt])


class HelperChangesIt(Whole):
    def _prepare(self, texts):
        self.length = 33
        texts[0] = texts[0].swapcase()

    def __call__(self, prompt):
        self._prepare(prompt)
        self.encode_prompt(prompt, max_sequence_length=self.length)


class FunctionChangesIt(Whole):
    def __call__(self, prompt):
        shout_in_place(prompt, self.tokenizer)
        self.encode_prompt(prompt)


class While(Whole):
    def __call__(self, prompt):
        texts = []
        for text in prompt:
            while "  " in text:
                text = text.replace("  ", " ")
            texts.append(text)
        self.encode_prompt(texts)


class Walrus(Whole):
    def __call__(self, prompt, max_sequence_length=None):
        if (length := max_sequence_length) is None:
            length, _ = self.default_length, 1
        self.encode_prompt([(said := text.lower()) for text in prompt], max_sequence_length=length)
        assert said is not None


class Spread(Whole):
    def __call__(self, prompt):
        given = {"max_sequence_length": 12, "instruction": "say"}
        self.encode_prompt(*[prompt], **given)


class WhenParsed(Whole):
    def __call__(self, prompt):
        texts = []
        for text in prompt:
            try:
                float(text)
                text = "a number"
            except ValueError:
                text = text.strip()
            texts.append(text)
        self.encode_prompt(texts)


class RaisesAndCatches(Whole):
    def __call__(self, prompt):
        try:
            if not prompt[0].startswith("{"):
                raise ValueError("no JSON")
            instruction = "JSON"
        except ValueError:
            instruction = "text"
        self.encode_prompt(prompt, instruction=instruction if not prompt else None)


class Match(Whole):
    def __call__(self, prompt, task="draw"):
        match task:
            case "draw":
                prompt = [text.lower() for text in prompt]
            case _:
                pass
        self.encode_prompt(prompt)


class Dictionary(Whole):
    def __call__(self, prompt, task="draw"):
        changes = {name: name.upper() for name in ("draw", "sing")}
        self.encode_prompt([changes[task] + text for text in prompt])


# Refused: what a component decides, or what isn't worth following


class Decorated(Whole):
    @lowering
    def __call__(self, prompt):
        self.encode_prompt(prompt)


class DecoratedHelper(Whole):
    @lowering
    def _clean(self, prompt):
        return prompt

    def __call__(self, prompt):
        self.encode_prompt(self._clean(prompt))


class OfAModel(Whole):
    def __call__(self, prompt):
        prompt = self.model(prompt)
        self.encode_prompt(prompt)


class OfAModelInALoop(Whole):
    def __call__(self, prompt):
        texts = list(prompt)
        for text in self.model(prompt):
            texts.append(text)  # noqa: PERF402
        self.encode_prompt(texts[-1:])


class OfAModelAppended(Whole):
    def __call__(self, prompt):
        texts = []
        for text in prompt:
            texts.append(text)
            texts.append(self.model(text))
        self.encode_prompt(texts[len(texts) - 1 :])


class WhereAModelSaysSo(Whole):
    def __call__(self, prompt):
        if self.model(prompt):
            prompt = [text.lower() for text in prompt]
        self.encode_prompt(prompt)


class InItsPlaceWhereAModelSaysSo(Whole):
    def __call__(self, prompt):
        same = prompt
        if self.model(prompt):
            same[0] = same[0].lower()
        self.encode_prompt(prompt)


class ReturnsEarly(Whole):
    def _clean(self, texts):
        if self.model(texts):
            return [text.upper() for text in texts]
        return texts

    def __call__(self, prompt):
        self.encode_prompt(self._clean(prompt))


class BreaksEarly(Whole):
    def __call__(self, prompt):
        texts, said = prompt, 1
        for number in (1, 2, 3):
            if self.model(texts):
                break
            said = number
        self.encode_prompt(prompt, max_sequence_length=said)


class ChoosesTheCall(Whole):
    def __call__(self, prompt):
        if self.model(prompt):
            self.encode_prompt(prompt, max_sequence_length=256)
        else:
            self.encode_prompt(prompt, max_sequence_length=77)


class CallsTwice(Whole):
    def __call__(self, prompt):
        self.encode_prompt(prompt, instruction="short")
        self.encode_prompt(prompt, instruction="long")


class LengthOfIt(Whole):
    def __call__(self, prompt):
        self.encode_prompt(prompt, max_sequence_length=min(512, len(prompt[0])))


class AnotherFormOfIt(Whole):
    def __call__(self, prompt, prompt_2=None):
        prompt_2 = prompt_2 or [text.upper() for text in prompt]
        self.encode_prompt(prompt, prompt_2=prompt_2)


class LongOnesAreOthers(Whole):
    def __call__(self, prompt):
        self.encode_prompt(prompt, max_sequence_length=512 if len(prompt[0]) > 200 else 77)


class LongOnesAreCut(Whole):
    def __call__(self, prompt):
        self.encode_prompt([text[:77] for text in prompt])


class SeveralOfOne(Whole):
    def __call__(self, prompt):
        self.encode_prompt([prompt[0].lower(), prompt[0]])


class SpreadOfAModel(Whole):
    def __call__(self, prompt):
        self.encode_prompt(prompt, **self.model(prompt))


class ANestedFunctionChangesIt(Whole):
    def __call__(self, prompt):
        def clean():
            nonlocal prompt
            prompt = [text.lower() for text in prompt]

        clean()
        self.encode_prompt(prompt)


class AnUnknownListSays(Whole):
    def __call__(self, prompt):
        found = [self.model(prompt)]
        self.encode_prompt([f"{text}{found!s}" for text in prompt])


class NeverCalls(Whole):
    def __call__(self, prompt):
        encode = self.model
        encode(prompt)


FOLLOWED = (
    *(Strips, EachLetter, EachLetterInALoop, ByRegex, Template, TemplateOfLines, UnindentedLines, InItsPlace),
    *(ByAFunction, InAHelper, ByAParent, HelperChangesIt, FunctionChangesIt, While, Walrus, Spread, WhenParsed),
    *(RaisesAndCatches, LongOnesAreCut, Dictionary, Match),
)
REFUSED = (
    *(Decorated, DecoratedHelper, OfAModel, OfAModelInALoop, OfAModelAppended, WhereAModelSaysSo),
    *(InItsPlaceWhereAModelSaysSo, ReturnsEarly, BreaksEarly, ChoosesTheCall, CallsTwice, LengthOfIt),
    *(AnotherFormOfIt, LongOnesAreOthers, SeveralOfOne, SpreadOfAModel, ANestedFunctionChangesIt),
    *(AnUnknownListSays, NeverCalls),
)


def given(kind, caption):
    """What its `encode_prompt` gets when it runs, of the caption and of each argument."""
    pipeline = kind(tokenizer=lambda texts: [f"{text}!" for text in texts])
    pipeline.got = []
    pipeline([caption])
    (got,) = pipeline.got
    return got


@pytest.mark.parametrize("caption", CAPTIONS)
@pytest.mark.parametrize("kind", FOLLOWED, ids=lambda kind: kind.__name__)
def test_what_is_followed_is_what_is_given(kind, caption):
    usage = prompt.usage(kind)
    got = given(kind, caption)
    assert (prompt.rewritten(kind, caption) if usage.reads_each else caption) == got.pop("prompt")[0]
    assert {name: usage.calls[0].arguments.get(name) for name in got} == got


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
def test_what_cannot_be_followed_is_refused_by_name(kind):
    with pytest.raises(ModelError, match=rf"{kind.__name__} (changes captions|makes \w+|calls encode_prompt)"):
        prompt.usage(kind)
