"""What a pipeline's `__call__` passes to `encode_prompt`, found by following its source with the arguments' defaults.

Nothing is loaded and no pipeline exists while it is followed. What isn't known then (a tensor, a component, what the
caller alone knows) is `UNKNOWN`. Of functions, only builtins that compute and those of the pipelines' modules are
called. Open `following` for how statements are followed.
"""

import ast
import functools
import inspect
from collections.abc import Collection
from typing import Any, NamedTuple

from hf_assets.models.evaluating import Left, Method, TooMuch
from hf_assets.models.following import Scope
from hf_assets.models.known_values import PLAIN_TYPES, SELF, UNKNOWN, copied, holds_unknown, same, spoil

ENCODE = "encode_prompt"
# Functions whose source is followed lie in these modules; those of all pipelines alike change no caption.
PIPELINES, OF_ALL = "diffusers.pipelines.", "diffusers.pipelines.pipeline_utils"
MAX_DEPTH = 6


class Passed(NamedTuple):
    """One call of `encode_prompt`.

    Attributes:
        values: by the argument's name; `UNKNOWN` where it can't be followed.
        written: the arguments that are constants in the source, or variables that are given one constant there.
        plain: those that are the argument `prompt` of `__call__` by name.
    """

    values: dict[str, Any]
    written: frozenset[str]
    plain: frozenset[str]


@functools.lru_cache(maxsize=256)
def source_of(function: Any) -> ast.Module:
    """The parsed source of a function, whose texts of several lines stay as they are. It is not to be changed."""
    source = inspect.getsource(inspect.unwrap(function))
    if not source[:1].isspace():
        return ast.parse(source)
    (block,) = ast.parse(f"if True:\n{source}").body
    assert isinstance(block, ast.If)
    return ast.Module(block.body, [])


def trace(kind: Any, prompt: str | list[str]) -> list[Passed]:
    """What each call of `encode_prompt` is given, in order.

    Args:
        prompt: what `__call__` is given. All else has its default, or is unknown where it has none.
    """
    return _Trace(kind).run(prompt)


class _Trace:
    """A pipeline class while its `__call__` is followed: see `evaluating.Follower`."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.attributes: dict[str, Any] = {}
        self.calls: list[Passed] = []
        self.steps = self.tries = 0
        self.may_have_raised = False
        self.constants: set[str] = set()

    def run(self, prompt: str | list[str]) -> list[Passed]:
        constructor = inspect.unwrap(self.kind.__init__)
        if inspect.isfunction(constructor):  # the attributes that it sets
            self._follow(constructor, dict.fromkeys(inspect.signature(constructor).parameters, UNKNOWN), 1)
        self.steps, self.calls = 0, []
        call = _undecorated(self.kind.__call__)
        if call is not None:
            self.constants = _constants(source_of(call), inspect.signature(call).parameters)
            self._follow(call, {"prompt": prompt}, 0)
        return self.calls

    def _follow(self, function: Any, given: dict[str, Any], depth: int) -> Any:
        """What a function returns, as far as that is known."""
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            return UNKNOWN
        names: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self":
                names[name] = SELF
            elif name in given:
                names[name] = given[name]
            elif (
                parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
                or parameter.default is inspect.Parameter.empty
            ):
                names[name] = UNKNOWN
            else:
                names[name] = copied(parameter.default)
        scope = Scope(self, function, names, depth)
        try:
            definition = source_of(function).body[0]
        except (OSError, TypeError, SyntaxError):
            return UNKNOWN
        found = None
        try:
            scope.run(getattr(definition, "body", []))
        except Left as left:
            if left.by == "raise":
                raise
            found = left.value if left.by == "return" else UNKNOWN
        except TooMuch:
            return UNKNOWN
        return found if all(same(found, other) for other in scope.returned) else UNKNOWN

    def attribute(self, name: str, depth: int) -> Any:
        """An attribute of the pipeline."""
        if name in self.attributes:
            return self.attributes[name]
        found = inspect.getattr_static(self.kind, name, UNKNOWN)
        if isinstance(found, property):
            if found.fget is None or depth >= MAX_DEPTH or not self.follows(found.fget):
                return UNKNOWN
            return self._follow(found.fget, {}, depth + 1)
        return _method(found) or (copied(found) if isinstance(found, PLAIN_TYPES) else UNKNOWN)

    def of_parent(self, function: Any, name: str) -> Any:
        """What `super()` gives in a method of the pipeline."""
        for place, base in enumerate(self.kind.__mro__):
            if any(inspect.unwrap(one) is function for one in vars(base).values() if inspect.isfunction(one)):
                later = (vars(one)[name] for one in self.kind.__mro__[place + 1 :] if name in vars(one))
                return _method(next(later, None)) or UNKNOWN
        return UNKNOWN

    def follows(self, function: Any) -> bool:
        """Whether it is a pipeline's own: of diffusers, or of the modules of this class."""
        module = getattr(function, "__module__", None) or ""
        if module == OF_ALL:
            return False
        own = {base.__module__ for base in self.kind.__mro__} - {"builtins"}
        return module.startswith(PIPELINES) or (module in own and not module.startswith("diffusers."))

    def is_encode(self, call: ast.Call, function: Any) -> bool:
        """Whether a call is one of `encode_prompt`."""
        if ast.unparse(call.func) == f"self.{ENCODE}":
            return True
        own = inspect.getattr_static(self.kind, ENCODE, None)
        return isinstance(function, Method) and inspect.unwrap(function.function) is inspect.unwrap(own)

    def call(self, method: Method, given: list[Any], named: dict[str, Any], depth: int) -> Any:
        """What a method or function of a pipeline returns."""
        function = _undecorated(method.function)
        if depth >= MAX_DEPTH or function is None or not self.follows(function):
            for value in (*given, *named.values()):
                if function is None or self.follows(function):
                    spoil(value)
            return UNKNOWN
        if not method.takes_self and not any(
            value is SELF or holds_unknown(value) for value in (*given, *named.values())
        ):
            return function(*given, **named)
        parameters = list(inspect.signature(function).parameters)
        return self._follow(
            function, {**dict(zip(parameters[method.takes_self :], given, strict=False)), **named}, depth + 1
        )

    def record(self, call: ast.Call, given: list[Any], named: dict[str, Any], *, is_whole: bool) -> None:
        """Note a call of `encode_prompt`.

        Args:
            is_whole: whether its arguments are all known by name; else each that isn't given is unknown.
        """
        parameters = [name for name in inspect.signature(self.kind.encode_prompt).parameters if name != "self"]
        expressions = dict(zip(parameters, call.args, strict=False))
        expressions |= {one.arg: one.value for one in call.keywords if one.arg}
        written = {name for name, value in expressions.items() if self._is_written(value)}
        plain = {name for name, value in expressions.items() if isinstance(value, ast.Name) and value.id == "prompt"}
        values = {**dict(zip(parameters, given, strict=False)), **named}
        if not is_whole:
            values = {**dict.fromkeys(parameters, UNKNOWN), **values}
        self.calls.append(Passed(copied(values), frozenset(written), frozenset(plain)))

    def _is_written(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id in self.constants)


def _method(found: Any) -> Method | None:
    if isinstance(found, staticmethod | classmethod):
        return Method(found.__func__, takes_self=isinstance(found, classmethod))
    return Method(found, takes_self=True) if inspect.isfunction(found) else None


def _undecorated(function: Any) -> Any:
    """A function without what torch puts around it (`no_grad`); None where anything else is, which may change more."""
    while hasattr(function, "__wrapped__"):
        if not function.__globals__["__name__"].startswith("torch."):
            return None
        function = function.__wrapped__
    return function


def _constants(tree: ast.AST, parameters: Collection[str]) -> set[str]:
    """The variables of a function that are given one constant, and nothing else (Kandinsky 3's `cut_context`)."""
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    once = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {name for name in once if stored.count(name) == 1 and name not in parameters}
