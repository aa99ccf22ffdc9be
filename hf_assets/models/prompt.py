"""How a pipeline's own `encode_prompt` is to be called, read from its signature and source."""

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from hf_assets.errors import ModelError
from hf_assets.models import class_memory, model_loading
from hf_assets.models.pipeline import Pipeline

# Bump when `usage` changes what it says of the same class.
VERSION = 3

# What belongs to one caption, under the name that `encode_prompt` gives it.
LYRICS, DURATION = "lyrics", "audio_duration"
# How many tokens a caption has at most, and is padded to.
MAX_TOKENS = "max_sequence_length"
# What the caller of `encode_prompt` gives at each call; everything else is the same for all captions.
GIVEN = frozenset({"self", "prompt", "device", "batch_size"})


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
    """

    calls: tuple[Call, ...]
    given: tuple[str, ...]
    names: tuple[str, ...]
    reads: tuple[str, ...]

    def takes(self, argument: str) -> bool:
        """Whether captions of this pipeline come with lyrics, or a duration."""
        return argument in self.calls[0].arguments


def pipeline_class(pipeline: Pipeline) -> Any:
    """The class that model_index.json names.

    Raises:
        ModelError: this version of diffusers has no such class.
    """
    return model_loading.class_of(pipeline.repository, "diffusers", pipeline.class_name)


def usage(kind: Any) -> Usage:
    """Read from a pipeline class how its `encode_prompt` is used.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that needs more than a caption.
    """
    common = arguments(kind)
    wanted = inspect.signature(kind.encode_prompt).parameters
    given = tuple(name for name in wanted if name in GIVEN)
    return Usage(_calls(kind, common), given, returned_names(kind), tuple(sorted(_reads(kind, "encode_prompt"))))


def remembered_usage(pipeline: Pipeline) -> Usage:
    """`usage` of the pipeline's class. It is the same for one version of diffusers (`class_memory`).

    Raises:
        ModelError: see `pipeline_class`, `usage` and `limited`.
    """
    question = ["usage", VERSION, pipeline.class_name]
    calls, given, names, reads = class_memory.recall(question, lambda: usage(pipeline_class(pipeline)))
    return with_limit(Usage(tuple(Call(*call) for call in calls), tuple(given), tuple(names), tuple(reads)), pipeline)


def with_limit(found: Usage, pipeline: Pipeline) -> Usage:
    """The same with as many tokens of a caption as the user wants at most.

    Raises:
        ModelError: the pipeline takes no such number.
    """
    length = pipeline.source.tokenizer_max_length
    if length is None:
        return found
    if len(found.calls) > 1 or MAX_TOKENS not in found.calls[0].arguments:
        raise ModelError(
            f"{pipeline.class_name} takes no {MAX_TOKENS}, so that tokenizer_max_length can't be kept: remove it"
        )
    (call,) = found.calls
    return found._replace(calls=(call._replace(arguments={**call.arguments, MAX_TOKENS: length}),))


def arguments(kind: Any) -> dict[str, Any]:
    """The arguments of `encode_prompt` that generation would give, beside those of `GIVEN`.

    `encode_prompt`'s own defaults are not what generation uses (Wan's max_sequence_length is 226 there and 512 in
    `__call__`), so `__call__`'s come first. One caption is encoded once, without a negative prompt.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that needs more than a caption.
    """
    if not hasattr(kind, "encode_prompt"):
        raise ModelError(f"{kind.__name__} has no encode_prompt, so it reads no captions: choose a pipeline that does")
    wanted = inspect.signature(kind.encode_prompt).parameters
    if "prompt" not in wanted:
        raise ModelError(
            f"{kind.__name__}.encode_prompt takes no argument prompt: choose a pipeline that reads captions"
        )
    offered = inspect.signature(kind.__call__).parameters
    chosen: dict[str, Any] = {}
    for name, parameter in wanted.items():
        if name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name == "do_classifier_free_guidance":
            chosen[name] = False
        elif name.startswith("num_") and name.endswith("_per_prompt"):
            chosen[name] = 1
        elif name in offered and offered[name].default is not inspect.Parameter.empty:
            chosen[name] = offered[name].default
        elif parameter.default is inspect.Parameter.empty:
            raise ModelError(
                f"{kind.__name__}.encode_prompt needs {name} beside the caption, which captions don't say: "
                "choose another pipeline"
            )
    return chosen


def returned_names(kind: Any) -> tuple[str, ...]:
    """What `encode_prompt` calls the values that it returns, in order: read from its last `return`."""
    tree = _source(kind.encode_prompt)
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    value = max(returns, key=lambda node: node.lineno).value
    assert value is not None
    elements = value.elts if isinstance(value, ast.Tuple) else [value]
    return tuple(_first_name(element) or f"output_{number}" for number, element in enumerate(elements, start=1))


def _calls(kind: Any, common: dict[str, Any]) -> tuple[Call, ...]:
    """As `__call__` does it: most classes call once; HunyuanDiT once for each text encoder, with other constants."""
    parameters = [name for name in inspect.signature(kind.encode_prompt).parameters if name != "self"]
    found: list[dict[str, Any]] = []
    tree = _source(kind.__call__)
    settled = _constants(tree, inspect.signature(kind.__call__).parameters)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "self.encode_prompt"):
            continue
        passed = dict(zip(parameters, node.args, strict=False))
        passed |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if "prompt" in passed and ast.unparse(passed["prompt"]) == "prompt":
            values = {name: settled.get(ast.unparse(value), value) for name, value in passed.items()}
            constants = {
                name: value.value
                for name, value in values.items()
                if name not in GIVEN and isinstance(value, ast.Constant) and name != "do_classifier_free_guidance"
            }
            if constants not in found:
                found.append(constants)
    if all("text_encoder_index" in constants for constants in found):
        found.sort(key=lambda constants: int(constants["text_encoder_index"]))
    else:
        found = found[:1]  # ways of calling for different tasks: the first is for text alone
    return tuple(
        Call({**common, **constants}, f"_{number}" if number > 1 else "")
        for number, constants in enumerate(found or [{}], start=1)
    )


def _constants(tree: ast.AST, parameters: Collection[str]) -> dict[str, ast.Constant]:
    """The variables of a function that are given one constant, and nothing else (Kandinsky 3's `cut_context`)."""
    given: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.setdefault(node.id, []).append(node)
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and len(node.targets) == 1
        for target in node.targets
        if isinstance(target, ast.Name) and len(given[target.id]) == 1 and target.id not in parameters
    }


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
    for node in ast.walk(_source(function)):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[ast.Name("self"), ast.Constant(str(name)), *_]
            ):
                yield name


def _source(function: Any) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))


def _first_name(expression: ast.expr) -> str | None:
    names = [node for node in ast.walk(expression) if isinstance(node, ast.Name)]
    return min(names, key=lambda node: (node.lineno, node.col_offset)).id if names else None
