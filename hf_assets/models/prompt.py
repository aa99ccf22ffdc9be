"""How a pipeline's own `encode_prompt` is to be called, read from its signature and source."""

import ast
import difflib
import functools
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from hf_assets.errors import MediaError, ModelError
from hf_assets.models import call_trace, class_memory, families, model_loading
from hf_assets.models.call_trace import Passed
from hf_assets.models.known_values import MORE, UNKNOWN, Unread, same
from hf_assets.models.pipeline import Pipeline
from hf_assets.models.source_code import source_of

# Bump when `usage` changes what it says of the same class.
VERSION = 6

# What belongs to one caption, under the name that `encode_prompt` gives it.
LYRICS, DURATION = PER_CAPTION = "lyrics", "audio_duration"
# How many tokens a caption has at most, and is padded to.
MAX_TOKENS = "max_sequence_length"
# What the caller of `encode_prompt` gives at each call; everything else is the same for all captions.
GIVEN = frozenset({"self", "prompt", "prompts", "device", "batch_size"})
# What `encode_prompt` calls the caption.
CAPTIONS = ("prompt", "prompts")
# How the names of arguments and outputs begin that are for a negative prompt.
NEGATIVE = ("neg", "uncond")
# Arguments that choose a type to compute in, of which there is one for all.
TYPES = ("dtype",)
GUIDANCE = "do_classifier_free_guidance"
# With which HunyuanDiT chooses one of its text encoders.
TEXT_ENCODER = "text_encoder_index"
# Annotations of an argument that takes one caption, and no list of them.
ONE_CAPTION = (str, str | None, "str", "str | None", "Optional[str]")
# Captions that another one is held against, to see what of a call comes from it.
OTHERS = ("zwei Hunde", "trois chats")
# What `__call__` changes if it changes anything: case, quotes, spaces; captions that are written as JSON; markup; and
# long ones.
PROBES = (
    "A \u201cphoto\u201d,\n  of a Cat ",
    '{"text":  "A cat"}',
    "It's <b>100%</b> &amp; (red:1.2) [x]\tbreak https://a.example/b?c=1 BREAK e\u0301",
    "a cat, asleep. " * 400,
    "7",
    "",
)


# A caption of which nothing is known but that it is one.
UNREAD = Unread("\0 any caption")


class Call(NamedTuple):
    """One call of `encode_prompt`.

    Attributes:
        arguments: JSON values.
        suffix: added to the names of what it returns.
    """

    arguments: dict[str, Any]
    suffix: str = ""


class Usage(NamedTuple):
    """How captions go through a pipeline class.

    Attributes:
        given: what of `GIVEN` its `encode_prompt` takes.
        names: what it calls the values that it returns, in order.
        reads: the attributes of the pipeline that it reads, itself or through other methods: components among them.
        takes_one: whether it takes one caption as text, and not a list of them.
        rewrites: whether `__call__` changes captions of the usual kinds before it gives them on (`rewritten`).
        reads_each: whether what it gives on depends on what a caption says, so that each is followed.
    """

    calls: tuple[Call, ...]
    given: tuple[str, ...]
    names: tuple[str, ...]
    reads: tuple[str, ...]
    takes_one: bool = False
    rewrites: bool = False
    reads_each: bool = False

    @property
    def caption(self) -> str:
        """The argument that captions are given as."""
        return next(name for name in self.given if name in CAPTIONS)

    def takes(self, argument: str) -> bool:
        """Whether captions of this pipeline come with lyrics, or a duration."""
        return argument in self.calls[0].arguments


def pipeline_class(pipeline: Pipeline) -> Any:
    """The class that model_index.json names.

    Raises:
        ModelError: this version of diffusers has no such class, or it is no pipeline.
    """
    import diffusers

    kind = model_loading.class_of(pipeline.repository, "diffusers", pipeline.class_name)
    if not issubclass(kind, diffusers.DiffusionPipeline):
        raise ModelError(
            f"{pipeline.name}: model_index.json names {pipeline.class_name}, which is no pipeline: name a whole "
            "pipeline, and what stands in for its VAE with the key vae"
        )
    return kind


def usage(kind: Any) -> Usage:
    """Read from a pipeline class how its `encode_prompt` is used.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that needs more than a caption, or is given what can't be
            followed.
    """
    caption_of(kind)
    for function in (kind.encode_prompt, kind.__call__):
        try:
            source_of(function)
        except (OSError, TypeError, SyntaxError):
            raise ModelError(
                f"the source of {kind.__name__} isn't there, of which it is read how captions are encoded: "
                "install diffusers with its .py files"
            ) from None
    found = _passed(kind)
    common = arguments(kind, found[0].values)
    wanted = inspect.signature(kind.encode_prompt).parameters
    return Usage(
        _calls(kind, common, found),
        tuple(one for one in wanted if one in GIVEN),
        returned_names(kind),
        tuple(sorted(_reads(kind, "encode_prompt"))),
        takes_one=found[0].takes_one,
        rewrites=any(rewritten(kind, probe) != probe for probe in PROBES),
        reads_each=_reads_each(kind),
    )


def caption_of(kind: Any) -> str:
    """What `encode_prompt` calls the caption.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that takes no caption.
    """
    if not hasattr(kind, "encode_prompt"):
        raise ModelError(
            f"{kind.__name__} has no encode_prompt, so it reads no captions: choose a pipeline that does, "
            "or set model.text to false for latents alone"
        )
    wanted = inspect.signature(kind.encode_prompt).parameters
    name = next((name for name in CAPTIONS if name in wanted), None)
    if name is None:
        raise ModelError(
            f"{kind.__name__}.encode_prompt takes no argument prompt: choose a pipeline that reads captions, "
            "or set model.text to false for latents alone"
        )
    return name


def rewritten(kind: Any, caption: str) -> str:
    """The caption as `__call__` changes it before it gives it to `encode_prompt`.

    Raises:
        MediaError: with this caption `__call__` gives also what can't be given here (BRIA FIBO 2: pictures of text).
    """
    found, usual = (_of_captions(kind, one) for one in (caption, PROBES[0]))
    if not found:
        raise MediaError("not_followed", f"{kind.__name__} changes this caption in a way that can't be followed")
    if name := _another_argument(found[0], usual[0]):
        raise MediaError("not_followed", f"{kind.__name__} makes {name} of this caption, and reads that too")
    return found[0].caption


def remembered_usage(pipeline: Pipeline) -> Usage:
    """`usage` of the pipeline's class. It is the same for one version of diffusers (`class_memory`).

    Raises:
        ModelError: see `pipeline_class`, `usage` and `with_settings`.
    """
    question = ["usage", VERSION, pipeline.class_name]
    calls, given, names, reads, *flags = class_memory.recall(question, lambda: usage(pipeline_class(pipeline)))
    found = Usage(tuple(Call(*call) for call in calls), tuple(given), tuple(names), tuple(reads), *flags)
    return with_settings(found, pipeline)


def with_settings(found: Usage, pipeline: Pipeline) -> Usage:
    """The same with the arguments that the user sets: `tokenizer_max_length` and `encode_prompt`.

    Raises:
        ModelError: the pipeline takes no such argument, or not with that value.
    """
    chosen = pipeline.source.arguments
    length = pipeline.source.tokenizer_max_length
    if length is not None:
        if len(found.calls) > 1 or MAX_TOKENS not in found.calls[0].arguments:
            raise ModelError(
                f"{pipeline.class_name} takes no {MAX_TOKENS}, so that tokenizer_max_length can't be kept: remove it"
            )
        if MAX_TOKENS in chosen:
            raise ModelError(
                f"tokenizer_max_length and model.encode_prompt.{MAX_TOKENS} are one setting: remove one of them"
            )
        chosen = {**chosen, MAX_TOKENS: length}
    if not chosen:
        return found
    parameters = inspect.signature(pipeline_class(pipeline).encode_prompt).parameters
    for name, value in chosen.items():
        _must_take(pipeline.class_name, parameters, found, name, value)
    calls = tuple(call._replace(arguments={**call.arguments, **chosen}) for call in found.calls)
    return found._replace(calls=calls)


def _must_take(class_name: str, parameters: Mapping[str, Any], found: Usage, name: str, value: Any) -> None:
    """Refuse an argument that `encode_prompt` doesn't take, or that isn't the user's to set."""
    fixed = {*GIVEN, *PER_CAPTION}
    free = [
        one
        for one in found.calls[0].arguments
        if one in parameters and _is_read(one) and one not in fixed and "embeds" not in one
    ]
    if name not in parameters or parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
        near = difflib.get_close_matches(name, free, 1) or free
        raise ModelError(
            f"{class_name}.encode_prompt takes no {name}: remove it from model.encode_prompt"
            + (f", or set {' or '.join(near)}" if near else "")
        )
    if name.startswith(NEGATIVE):
        raise ModelError(
            f"{name} of {class_name}.encode_prompt has no effect, since captions are encoded without a negative "
            "prompt: remove it from model.encode_prompt"
        )
    if name in fixed or _is_set(name):
        raise ModelError(
            f"{name} of {class_name}.encode_prompt comes with each caption or is the same for all pipelines: "
            "remove it from model.encode_prompt"
        )
    if len({json.dumps(call.arguments.get(name)) for call in found.calls}) > 1:
        raise ModelError(
            f"{class_name} calls encode_prompt once for each text encoder, with its own {name}: "
            "remove it from model.encode_prompt"
        )
    if not _fits(parameters[name].annotation, value):
        raise ModelError(
            f"model.encode_prompt.{name} is {json.dumps(value)}, and {class_name}.encode_prompt takes "
            f"{inspect.formatannotation(parameters[name].annotation)}: correct it"
        )


def _fits(annotation: Any, value: Any) -> bool:
    """Whether a JSON value is of the annotated type; also where that can't be said."""
    if annotation is inspect.Parameter.empty:
        return True
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError, NameError):
        return True
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def arguments(kind: Any, passed: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The arguments of `encode_prompt` that generation would give, beside those of `GIVEN`.

    `encode_prompt`'s own defaults are not what generation uses (Wan's max_sequence_length is 226 there and 512 in
    `__call__`), so `__call__`'s come first. One caption is encoded once, without a negative prompt.

    Args:
        passed: what `__call__` was seen to pass.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that needs more than a caption.
    """
    caption_of(kind)
    wanted = inspect.signature(kind.encode_prompt).parameters
    offered = inspect.signature(kind.__call__).parameters
    chosen: dict[str, Any] = {}
    for name, parameter in wanted.items():
        if name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _is_set(name):
            chosen[name] = False if name == GUIDANCE else 1
        elif name in offered and offered[name].default is not inspect.Parameter.empty:
            chosen[name] = offered[name].default
        elif parameter.default is inspect.Parameter.empty:
            if name in TYPES:
                chosen[name] = None  # there is one for all, which the encoder knows
            elif _is_plain(passed.get(name, UNKNOWN)):
                chosen[name] = passed[name]
            else:
                raise ModelError(
                    f"{kind.__name__}.encode_prompt needs {name} beside the caption, which captions don't say: "
                    "choose another pipeline"
                )
    return chosen


def returned_names(kind: Any) -> tuple[str, ...]:
    """What `encode_prompt` calls the values that it returns, in order: read from its last `return`."""
    tree = source_of(kind.encode_prompt)
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    value = max(returns, key=lambda node: node.lineno).value
    assert value is not None
    elements = value.elts if isinstance(value, ast.Tuple) else [value]
    return tuple(_first_name(element) or f"output_{number}" for number, element in enumerate(elements, start=1))


class _OfCaption(NamedTuple):
    """A call of `encode_prompt` with a caption.

    Attributes:
        caption: as it is passed.
        takes_one: whether it is passed as text, and not in a list.
    """

    values: dict[str, Any]
    written: frozenset[str]
    caption: str
    takes_one: bool


def _passed(kind: Any) -> list[_OfCaption]:
    """The calls of `encode_prompt` for a caption: most classes call once, HunyuanDiT once for each text encoder.

    Raises:
        ModelError: `__call__` changes the caption, or calls, in a way that can't be followed.
    """
    found = _of_captions(kind, PROBES[0])
    if not found:
        raise ModelError(
            f"{kind.__name__} changes captions before its text encoders read them, in a way that can't be followed: "
            "choose another pipeline"
        )
    if all(TEXT_ENCODER in one.written for one in found):
        return sorted(found, key=lambda one: int(one.values[TEXT_ENCODER]))
    first = found[0]
    if any(one.caption != first.caption or _another_argument(one, first) for one in found):
        raise ModelError(
            f"{kind.__name__} calls encode_prompt in several ways, of which none can be preferred: "
            "choose another pipeline"
        )
    return found[:1]


def _another_argument(one: _OfCaption, other: _OfCaption) -> str | None:
    """An argument beside the caption that isn't the same in two calls."""
    names = {*one.values, *other.values} - GIVEN
    return next(
        (
            name
            for name in sorted(names)
            if _is_read(name) and not same(one.values.get(name, UNKNOWN), other.values.get(name, UNKNOWN))
        ),
        None,
    )


def _is_read(name: str) -> bool:
    """Whether what `__call__` gives for an argument reaches captions here."""
    return not _is_set(name) and not name.startswith((*NEGATIVE, *TYPES))


def _of_captions(kind: Any, caption: str) -> list[_OfCaption]:
    """The calls with the caption, changed or not, and not with a negative prompt."""
    name = caption_of(kind)
    calls, others = _trace(kind, caption), [_trace(kind, other) for other in OTHERS]
    found = []
    for index, call in enumerate(calls):
        at_once = [other[index].values.get(name) if index < len(other) else None for other in others]
        text = _text(kind, call, name, caption, at_once)
        if text is not None:
            found.append(_OfCaption(call.values, call.written, text, isinstance(call.values[name], str)))
    return found


@functools.lru_cache(maxsize=16)
def _trace(kind: Any, caption: str) -> list[Passed]:
    """The calls for a caption, however `__call__` is given it: as text, or in a list; unknown where that matters."""
    asked = inspect.signature(kind.__call__).parameters.get("prompt")
    if asked is not None and asked.annotation in ONE_CAPTION:
        return call_trace.trace(kind, caption)
    listed = call_trace.trace(kind, [caption])
    is_written_out = any(str([caption]) in text for call in listed for text in _texts_in(call))
    if is_written_out or not any(True for call in listed for _ in _texts_in(call)):
        return call_trace.trace(kind, caption)  # DreamLite mobile, whose annotation is wrong
    # Of the captions that classes are judged by, one shows whether the two ways agree.
    # Without text, QwenImageLayered has a model describe its picture.
    if caption in (*PROBES[1:], *OTHERS) or not caption.strip() or not _takes_text(kind):
        return listed
    alone = call_trace.trace(kind, caption)
    return [
        call._replace(values=_in_common(call.values, alone[index].values if index < len(alone) else {}))
        for index, call in enumerate(listed)
    ]


@functools.lru_cache(maxsize=16)
def _takes_text(kind: Any) -> bool:
    """Whether `__call__`, which takes a list of captions, says that it takes one as text, too."""
    asked = inspect.signature(kind.__call__).parameters.get("prompt")
    annotation = "" if asked is None else inspect.formatannotation(asked.annotation)
    is_annotated = "str" in re.findall(r"\w+", re.sub(r"[lL]ist\[str\]", "", annotation))
    return is_annotated or "isinstance(prompt, str" in ast.unparse(source_of(kind.__call__))


def _in_common(listed: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    """What is given alike for a caption in a list and one as text."""

    def is_alike(name: str) -> bool:
        one, other = (value if isinstance(value, list) else [value] for value in (listed[name], alone.get(name)))
        known = [value for value in other if value is not MORE]  # for each of several pictures (Flux Redux)
        return same(one, other) or (known != other and all(value in one for value in known))

    return {
        name: value if name in GIVEN - set(CAPTIONS) or not _is_read(name) or is_alike(name) else UNKNOWN
        for name, value in listed.items()
    }


def _texts_in(call: Passed) -> Iterator[str]:
    for value in call.values.values():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _reads_each(kind: Any) -> bool:
    """Whether a caption arrives otherwise than it was given, or with other arguments, depending on what it says."""
    name = caption_of(kind)
    unread, usual = _trace(kind, UNREAD), _trace(kind, PROBES[0])
    return len(unread) != len(usual) or not all(
        same(one.values.get(key), _as_unread(value))
        for one, other in zip(unread, usual, strict=True)
        for key, value in other.values.items()
        if key == name or (_is_read(key) and key not in GIVEN)
    )


def _as_unread(value: Any) -> Any:
    """The same with the usual caption unread."""
    if isinstance(value, list):
        return [_as_unread(one) for one in value]
    return UNREAD if value == PROBES[0] else value


def _text(kind: Any, call: Passed, name: str, caption: str, others: list[Any]) -> str | None:
    """The caption as it is passed; None where it isn't known.

    Args:
        others: what the same call is given of `OTHERS`. Of several texts, those that are the same there are none of
            the caption (DreamLite's first one is for a negative prompt).
    """
    value = call.values.get(name)
    if value is UNKNOWN and name in call.plain and families.of(kind.__name__).text.rewriter:
        return caption
    texts, *there = (one if isinstance(one, list) else [one] for one in (value, *others))
    if UNKNOWN in texts:
        return None
    own = {
        text
        for index, text in enumerate(texts)
        if not all(len(other) == len(texts) and same(text, other[index]) for other in there)
    }
    return own.pop() if len(own) == 1 and all(isinstance(text, str) for text in own) else None


def _calls(kind: Any, common: dict[str, Any], found: list[_OfCaption]) -> tuple[Call, ...]:
    """With what `__call__` passes where that is something else than what is given by default.

    Raises:
        ModelError: it makes an argument in a way that can't be followed.
    """
    parameters = inspect.signature(kind.encode_prompt).parameters
    own = families.of(kind.__name__).text.own_defaults
    of_probes = [_of_captions(kind, probe) for probe in PROBES]
    calls = []
    for number, one in enumerate(found, start=1):
        passed = {}
        for name, value in one.values.items():
            if name in GIVEN or name in own or _is_set(name):
                continue
            if name in one.written:
                passed[name] = value
            elif name not in parameters or not _is_read(name):
                continue
            elif not _is_plain(value) or not all(
                of_probe and same(of_probe[0].values.get(name), found[0].values.get(name)) for of_probe in of_probes
            ):
                raise ModelError(
                    f"{kind.__name__} makes {name} for its text encoders in a way that can't be followed: "
                    "choose another pipeline"
                )
            elif value != common.get(name, parameters[name].default):
                passed[name] = value
        calls.append(Call({**common, **passed}, f"_{number}" if number > 1 else ""))
    return tuple(calls)


def _is_set(name: str) -> bool:
    """Whether an argument is the same for all pipelines: one caption is encoded once, without a negative prompt."""
    return name == GUIDANCE or (name.startswith("num_") and name.endswith("_per_prompt"))


def _is_plain(value: Any) -> bool:
    """Whether JSON holds it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def made_by_constructor(kind: Any) -> set[str]:
    """The components that a pipeline's constructor makes where it is given None (Cosmos' guardrail)."""
    constructor = inspect.unwrap(kind.__init__)
    if not inspect.isfunction(constructor):
        return set()
    parameters = inspect.signature(constructor).parameters
    found = set()
    for node in ast.walk(source_of(constructor)):
        match node:
            case ast.If(
                test=ast.Compare(left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Constant(value=None)]),
                body=[ast.Assign(targets=[ast.Name(id=assigned)], value=ast.Call())],
            ) if name == assigned and name in parameters:
                found.add(name)
    return found


def _reads(kind: Any, method: str) -> set[str]:
    """The attributes of `self` that a method reads, also through the methods that it calls."""
    found: set[str] = set()
    todo = [method]
    while todo:
        for name in _attributes(getattr(kind, todo.pop())):
            if name not in found:
                found.add(name)
                function = inspect.getattr_static(kind, name, None)
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and function.__module__.startswith(kind.__module__.split(".")[0]):
                    todo.append(name)
    return found


def _attributes(function: Any) -> Iterator[str]:
    for node in ast.walk(source_of(function)):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[ast.Name("self"), ast.Constant(str(name)), *_]
            ):
                yield name


def _first_name(expression: ast.expr) -> str | None:
    names = [node for node in ast.walk(expression) if isinstance(node, ast.Name)]
    return min(names, key=lambda node: (node.lineno, node.col_offset)).id if names else None
