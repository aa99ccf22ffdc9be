"""What a pipeline's `__call__` passes to `encode_prompt`, found by following its source with the arguments' defaults.

Nothing is loaded and no pipeline exists while it is followed. What isn't known then (a tensor, a component, what the
caller alone knows) is `UNKNOWN`. Of functions, only builtins that compute and those of the pipelines' modules are
called. Open `following` for how statements are followed.
"""

import ast
import inspect
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from hf_assets.models import known_values as known
from hf_assets.models import purity
from hf_assets.models.evaluating import bound
from hf_assets.models.following import Scope
from hf_assets.models.known_values import SELF, UNKNOWN, copied, holds_unknown, spoil
from hf_assets.models.source_code import source_of
from hf_assets.models.ways import Local, Method, TooMuch

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


def trace(kind: Any, prompt: str | list[str]) -> list[Passed]:
    """What each call of `encode_prompt` is given, in order.

    Args:
        prompt: what `__call__` is given. All else has its default, or is unknown where it has none.
    """
    return _Trace(kind).run(prompt)


class _Trace:
    """A pipeline class while its `__call__` is followed: see `ways.Follower`."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.attributes: dict[str, Any] = {}
        self.lost_globals: set[str] = set()
        self.calls: list[Passed] = []
        self.steps = self.tries = 0
        self.may_have_raised = False
        self.constants: set[str] = set()
        self._are_attributes_lost = False
        self._shared: dict[int, tuple[Any, Any]] = {}
        self._changed: list[Any] = []

    def run(self, prompt: str | list[str]) -> list[Passed]:
        constructor = inspect.unwrap(self.kind.__init__)
        if inspect.isfunction(constructor):  # the attributes that it sets
            names = list(inspect.signature(constructor).parameters)
            self._follow(constructor, {**dict.fromkeys(names, UNKNOWN), names[0]: SELF}, 1)
        self.steps, self.calls = 0, []
        call = _undecorated(self.kind.__call__)
        if call is not None:
            signature = inspect.signature(call)
            self.constants = _constants(source_of(call), signature.parameters)
            takes_it = "prompt" in signature.parameters
            given, named = ([SELF], {"prompt": prompt}) if takes_it else ([SELF, prompt], {})
            try:
                self._follow(call, bound(signature, given, named), 0)
            except TypeError:
                return self.calls
        return self.calls

    def _follow(self, function: Any, names: dict[str, Any], depth: int) -> Any:
        """What a function returns, as far as that is known.

        Args:
            names: its variables at first.
        """
        try:
            definition = source_of(function).body[0]
        except (OSError, TypeError, SyntaxError):
            definition = None
        if not isinstance(definition, ast.FunctionDef) or inspect.isgeneratorfunction(function):
            self.lose(names.values())
            return UNKNOWN
        try:
            return Scope(self, function, names, depth).result(definition.body)
        except TooMuch:
            self.lose(names.values())
            return UNKNOWN

    def attribute(self, name: str, depth: int) -> Any:
        """An attribute of the pipeline."""
        if name in self.attributes:
            return self.attributes[name]
        if name == "__class__":
            return self.kind
        if name == "__dict__":
            self.lose_attributes()
            return UNKNOWN
        found = inspect.getattr_static(self.kind, name, UNKNOWN)
        if isinstance(found, property):
            if found.fget is None or depth >= MAX_DEPTH or not self.follows(found.fget):
                return UNKNOWN
            return self._follow(found.fget, bound(inspect.signature(found.fget), [SELF], {}), depth + 1)
        if (method := self._method(found)) is not None:
            return method
        if self._are_attributes_lost:
            return UNKNOWN
        return self.shared(found) if isinstance(found, known.PLAIN_TYPES) or known.holds_settings(found) else UNKNOWN

    def shared(self, value: Any) -> Any:
        """A value of a module or class as the source may have changed it: what is there stays as it is."""
        if any(value is one for one in self._changed):
            return UNKNOWN
        if not isinstance(value, known.CONTAINERS):
            return value
        if id(value) not in self._shared:
            self._shared[id(value)] = (value, copied(value))
        return self._shared[id(value)][1]

    def is_as_loaded(self) -> bool:
        """Whether all variables of modules are still what they were."""
        return not self.lost_globals and all(value == copy for value, copy in self._shared.values())

    def lose(self, values: Iterable[Any]) -> None:
        """Something that isn't followed was given these values: what they hold isn't known any more."""
        for value in values:
            if value is SELF or (isinstance(value, Method) and value.bound_to is not None):
                self.lose_attributes()
            if isinstance(value, Method) and self._is_encode_prompt(value):
                self.record(None, [], {}, is_whole=False)
            if isinstance(value, Local):
                value.forget()
            elif isinstance(value, list | tuple | dict):
                self.lose([*value.values()] if isinstance(value, dict) else [*value])
            elif isinstance(value, type):
                self._are_attributes_lost = True
            elif not isinstance(value, known.PLAIN_TYPES):
                self._changed.append(value)
            spoil(value)

    def lose_attributes(self) -> None:
        """Any of the pipeline's attributes may have been set."""
        self._are_attributes_lost = True
        self.attributes |= dict.fromkeys(self.attributes, UNKNOWN)

    def of_parent(self, function: Any, name: str) -> Any:
        """What `super()` gives in a method of the pipeline."""
        for place, base in enumerate(self.kind.__mro__):
            if any(inspect.unwrap(one) is function for one in vars(base).values() if inspect.isfunction(one)):
                later = (vars(one)[name] for one in self.kind.__mro__[place + 1 :] if name in vars(one))
                return self._method(next(later, None)) or UNKNOWN
        return UNKNOWN

    def _method(self, found: Any) -> Method | None:
        if isinstance(found, staticmethod):
            return Method(found.__func__)
        if isinstance(found, classmethod):
            return Method(found.__func__, self.kind)
        return Method(found, SELF) if inspect.isfunction(found) else None

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
        return isinstance(function, Method) and self._is_encode_prompt(function)

    def _is_encode_prompt(self, method: Method) -> bool:
        own = inspect.getattr_static(self.kind, ENCODE, None)
        return own is not None and inspect.unwrap(method.function) is inspect.unwrap(own)

    def call(self, method: Method, given: list[Any], named: dict[str, Any], depth: int) -> Any:
        """What a method or function of a pipeline returns."""
        function = _undecorated(method.function)
        values = (*given, *named.values())
        if function is None or depth >= MAX_DEPTH or not self.follows(function):
            if function is None or not _is_of_the_library(function):
                self.lose([*values, *([] if method.bound_to is None else [method])])
            return UNKNOWN
        if (
            method.bound_to is None
            and not any(value is SELF or holds_unknown(value) for value in values)
            and self.is_as_loaded()
            and purity.computes(function)
        ):
            return function(*given, **named)
        given = given if method.bound_to is None else [method.bound_to, *given]
        return self._follow(function, bound(inspect.signature(function), given, named), depth + 1)

    def record(self, call: ast.Call | None, given: list[Any], named: dict[str, Any], *, is_whole: bool) -> None:
        """Note a call of `encode_prompt`.

        Args:
            call: in the source; None where it isn't written there.
            is_whole: whether its arguments are all known by name; else each that isn't given is unknown.
        """
        parameters = [name for name in inspect.signature(self.kind.encode_prompt).parameters if name != "self"]
        expressions = dict(zip(parameters, call.args, strict=False)) if call else {}
        expressions |= {one.arg: one.value for one in call.keywords if one.arg} if call else {}
        written = {name for name, value in expressions.items() if self._is_written(value)}
        plain = {name for name, value in expressions.items() if isinstance(value, ast.Name) and value.id == "prompt"}
        values = {**dict(zip(parameters, given, strict=False)), **named}
        if not is_whole:
            values = {**dict.fromkeys(parameters, UNKNOWN), **values}
        self.calls.append(Passed(copied(values), frozenset(written), frozenset(plain)))

    def _is_written(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id in self.constants)


def _is_of_the_library(function: Any) -> bool:
    """Whether all pipelines share it: such functions change no caption and no attribute that is followed."""
    module = getattr(function, "__module__", None) or ""
    return module == OF_ALL or (module.startswith("diffusers.") and not module.startswith(PIPELINES))


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
