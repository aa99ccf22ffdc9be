"""What a pipeline's `__call__` passes to `encode_prompt`, found by following its source with the arguments' defaults.

Nothing is loaded and no pipeline exists while it is followed. What isn't known then (a tensor, a component, what the
caller alone knows) is `UNKNOWN`; where a condition is, both branches are followed, and variables that differ after
them are unknown. Of functions, only builtins that compute and those of diffusers' pipeline modules are called.
"""

import ast
import builtins
import inspect
import json
import operator
import textwrap
import types
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

ENCODE = "encode_prompt"


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
_SELF = object()

# Functions whose source is followed lie in these modules.
PIPELINES = "diffusers.pipelines."
MAX_DEPTH, MAX_STEPS, MAX_LOOPS = 6, 20_000, 64
PURE = frozenset(
    {abs, all, any, bool, dict, enumerate, float, int, isinstance, len, list, max, min, range, round, set, sorted, str}
    | {sum, tuple, type, zip}
)
PURE_OF_OTHERS = (json.dumps, json.loads)
PLAIN_TYPES = (str, int, float, bool, list, tuple, dict, set, type(None))
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


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


class _Method(NamedTuple):
    """A method of the pipeline, bound to it where it isn't static."""

    function: Any
    takes_self: bool


class _Left(Exception):
    """A function was left: by `return`, or in a loop by `break` or `continue`."""

    def __init__(self, value: Any = None, *, by: str = "return") -> None:
        self.value = value
        self.by = by


class _TooMuch(Exception):
    """More steps than any pipeline's `__call__` takes before it reads the caption."""


def source_of(function: Any) -> ast.Module:
    """The parsed source of a function."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))


def num_calls(kind: Any) -> int:
    """How often `encode_prompt` is called in the source of `__call__`."""
    return sum(_is_encode(node) for node in ast.walk(source_of(kind.__call__)))


def trace(kind: Any, prompt: str | list[str]) -> list[Passed]:
    """What each call of `encode_prompt` is given, in order.

    Args:
        prompt: what `__call__` is given. All else has its default, or is unknown where it has none.
    """
    return _Trace(kind).run(prompt)


def _is_encode(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"self.{ENCODE}"


class _Trace:
    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.attributes: dict[str, Any] = {}
        self.calls: list[Passed] = []
        self.constants = _constants(source_of(kind.__call__), inspect.signature(kind.__call__).parameters)
        self.steps = 0

    def run(self, prompt: str | list[str]) -> list[Passed]:
        constructor = inspect.unwrap(self.kind.__init__)
        if inspect.isfunction(constructor):  # the attributes that it sets
            self._follow(constructor, dict.fromkeys(inspect.signature(constructor).parameters, UNKNOWN), 1)
        self.steps, self.calls = 0, []
        self._follow(inspect.unwrap(self.kind.__call__), {"prompt": prompt}, 0)
        return self.calls

    def _follow(self, function: Any, given: dict[str, Any], depth: int) -> Any:
        """What a function returns, as far as that is known."""
        names: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "self":
                names[name] = _SELF
            elif name in given:
                names[name] = given[name]
            elif parameter.default is inspect.Parameter.empty:
                names[name] = UNKNOWN
            else:
                names[name] = _copied(parameter.default)
        scope = _Scope(self, function.__globals__, names, depth)
        try:
            definition = source_of(function).body[0]
        except (OSError, TypeError, SyntaxError):
            return UNKNOWN
        try:
            scope.run(getattr(definition, "body", []))
        except _Left as left:
            return left.value if left.by == "return" else UNKNOWN
        except _TooMuch:
            return UNKNOWN
        return None

    def attribute(self, name: str, depth: int) -> Any:
        if name in self.attributes:
            return self.attributes[name]
        found = inspect.getattr_static(self.kind, name, UNKNOWN)
        if isinstance(found, property):
            if found.fget is None or depth >= MAX_DEPTH or not _is_of_pipelines(found.fget):
                return UNKNOWN
            return self._follow(found.fget, {}, depth + 1)
        if isinstance(found, staticmethod | classmethod):
            return _Method(found.__func__, isinstance(found, classmethod))
        if inspect.isfunction(found):
            return _Method(found, True)
        return _copied(found) if isinstance(found, PLAIN_TYPES) else UNKNOWN

    def call(self, method: _Method, given: list[Any], named: dict[str, Any], depth: int) -> Any:
        function = inspect.unwrap(method.function)
        if depth >= MAX_DEPTH or not _is_of_pipelines(function):
            return UNKNOWN
        if not method.takes_self and not any(map(_holds_unknown, (*given, *named.values()))):
            return function(*given, **named)
        parameters = list(inspect.signature(function).parameters)
        return self._follow(
            function, {**dict(zip(parameters[method.takes_self :], given, strict=False)), **named}, depth + 1
        )

    def _is_written(self, value: ast.expr) -> bool:
        return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id in self.constants)

    def record(self, call: ast.Call, given: list[Any], named: dict[str, Any]) -> None:
        parameters = [name for name in inspect.signature(self.kind.encode_prompt).parameters if name != "self"]
        expressions = dict(zip(parameters, call.args, strict=False))
        expressions |= {one.arg: one.value for one in call.keywords if one.arg}
        written = {name for name, value in expressions.items() if self._is_written(value)}
        plain = {name for name, value in expressions.items() if isinstance(value, ast.Name) and value.id == "prompt"}
        values = {**dict(zip(parameters, given, strict=False)), **named}
        self.calls.append(Passed(values, frozenset(written), frozenset(plain)))


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


class _Scope:
    """One function while it is followed."""

    def __init__(self, trace: _Trace, outer: dict[str, Any], names: dict[str, Any], depth: int) -> None:
        self.trace = trace
        self.outer = outer
        self.names = names
        self.depth = depth

    # Statements

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.trace.steps += 1
            if self.trace.steps > MAX_STEPS:
                raise _TooMuch
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                found = self.value(value)
                for target in targets:
                    self._assign(target, found)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, self.value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                read = ast.parse(ast.unparse(target), mode="eval").body
                self._assign(target, _computed(OPERATORS.get(type(op)), self.value(read), self.value(value)))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name))) if name != ENCODE:
                pass  # it checks, or prepares something: what it returns isn't read
            case ast.Expr(value=value):
                self.value(value)
            case ast.If(test=test, body=body, orelse=orelse):
                self._branches(self.value(test), body, orelse)
            case ast.With(items=items, body=body):
                for item in items:
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, UNKNOWN)
                self.run(body)
            case ast.Try(body=body, orelse=orelse, finalbody=finalbody):
                self.run([*body, *orelse, *finalbody])
            case ast.For(target=target, iter=iterated, body=body, orelse=orelse):
                self._loop(target, self.value(iterated), body)
                self.run(orelse)
            case ast.While(body=body):
                self._branches(UNKNOWN, body, [])
            case ast.Return(value=value):
                raise _Left(None if value is None else self.value(value))
            case ast.Break():
                raise _Left(by="break")
            case ast.Continue():
                raise _Left(by="continue")
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self.names[name] = UNKNOWN
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                self.names |= {(alias.asname or alias.name).split(".")[0]: UNKNOWN for alias in aliases}

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self.trace.attributes[name] = value
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                values = list(value) if isinstance(value, list | tuple) and len(value) == len(elements) else None
                for index, element in enumerate(elements):
                    self._assign(element, UNKNOWN if values is None else values[index])
            case ast.Starred(value=inner):
                self._assign(inner, UNKNOWN)
            case ast.Subscript(value=ast.Name(id=name)):
                self.names[name] = UNKNOWN

    def _branches(self, test: Any, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        if test is not UNKNOWN:
            self.run(body if test else orelse)
            return
        before, before_attributes = _copied(self.names), _copied(self.trace.attributes)
        ends = []
        left: list[_Left] = []
        for branch in (body, orelse):
            self.names, self.trace.attributes = _copied(before), _copied(before_attributes)
            try:
                self.run(branch)
            except _Left as reason:
                left.append(reason)
                continue
            if not (branch and isinstance(branch[-1], ast.Raise)):
                ends.append((self.names, self.trace.attributes))
        if not ends:
            self.names, self.trace.attributes = before, before_attributes
            if len(left) == 2 and _same(left[0].value, left[1].value):
                raise left[0]
            if left:
                raise _Left(UNKNOWN, by=left[0].by)
            return
        self.names = _merged([names for names, _ in ends])
        self.trace.attributes = _merged([attributes for _, attributes in ends])

    def _loop(self, target: ast.expr, items: Any, body: list[ast.stmt]) -> None:
        if items is UNKNOWN or not isinstance(items, Iterable):
            self._assign(target, UNKNOWN)
            self._branches(UNKNOWN, body, [])
            return
        for item in list(items)[:MAX_LOOPS]:
            self._assign(target, item)
            try:
                self.run(body)
            except _Left as left:
                if left.by == "return":
                    raise
                if left.by == "break":
                    break

    # Expressions

    def value(self, expression: ast.expr) -> Any:
        try:
            return self._value(expression)
        except (_Left, _TooMuch):
            raise
        except Exception:  # as it would with a pipeline that is there, or with what isn't known: not to be followed
            return UNKNOWN

    def _value(self, expression: ast.expr) -> Any:
        match expression:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=inner, attr=name):
                return self._attribute(self.value(inner), name)
            case ast.Call():
                return self._call(expression)
            case ast.BoolOp(op=op, values=values):
                return self._boolean(isinstance(op, ast.Or), values)
            case ast.UnaryOp(op=op, operand=operand):
                return _computed(OPERATORS.get(type(op)), self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _computed(OPERATORS.get(type(op)), self.value(left), self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._comparison(self.value(left), ops, [self.value(other) for other in others])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                known = self.value(test)
                if known is not UNKNOWN:
                    return self.value(body if known else orelse)
                first, second = self.value(body), self.value(orelse)
                return first if _same(first, second) else UNKNOWN
            case ast.List(elts=elements):
                return self._elements(elements)
            case ast.Tuple(elts=elements):
                found = self._elements(elements)
                return found if found is UNKNOWN else tuple(found)
            case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
                return {self.value(key): self.value(item) for key, item in zip(keys, values, strict=True) if key}
            case ast.Subscript(value=inner, slice=place):
                return _computed(operator.getitem, self.value(inner), self._place(place))
            case ast.JoinedStr(values=parts):
                return self._text(parts)
            case (
                ast.ListComp(elt=element, generators=[generator])
                | ast.GeneratorExp(elt=element, generators=[generator])
            ):
                return self._comprehension(element, generator)
            case ast.NamedExpr(target=target, value=inner):
                found = self.value(inner)
                self._assign(target, found)
                return found
        return UNKNOWN

    def _name(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        if name in self.outer:
            return self.outer[name]
        return getattr(builtins, name, UNKNOWN)

    def _attribute(self, of: Any, name: str) -> Any:
        if of is UNKNOWN:
            return UNKNOWN
        if of is _SELF:
            return self.trace.attribute(name, self.depth)
        return getattr(of, name) if isinstance(of, (*PLAIN_TYPES, types.ModuleType, type)) else UNKNOWN

    def _call(self, call: ast.Call) -> Any:
        given = [UNKNOWN if isinstance(value, ast.Starred) else self.value(value) for value in call.args]
        named = {keyword.arg: self.value(keyword.value) for keyword in call.keywords if keyword.arg}
        if _is_encode(call):
            self.trace.record(call, given, named)
            return UNKNOWN
        match call.func, given:
            case ast.Name(id="getattr" | "hasattr" as asks), [of, str(name), *default] if of is _SELF:
                found = self.trace.attribute(name, self.depth)
                if asks == "hasattr":
                    return True if found is not UNKNOWN else UNKNOWN
                return found if found is not UNKNOWN or not default else UNKNOWN
        function = self.value(call.func)
        if isinstance(function, _Method):
            return self.trace.call(function, given, named, self.depth)
        if function is map and len(given) == 2 and isinstance(given[0], _Method) and isinstance(given[1], list):
            return [self.trace.call(given[0], [one], {}, self.depth) for one in given[1]]
        if any(value is UNKNOWN or value is _SELF for value in (function, *given, *named.values())):
            return UNKNOWN
        is_pure = isinstance(function, type | types.BuiltinFunctionType) and function in PURE
        is_of_a_value = isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, PLAIN_TYPES)
        is_theirs = function in PURE_OF_OTHERS or (inspect.isfunction(function) and _is_of_pipelines(function))
        if not (is_pure or is_of_a_value or is_theirs):
            return UNKNOWN
        if any(_holds_unknown(value) for value in (*given, *named.values())) and not (is_pure or is_of_a_value):
            return UNKNOWN
        return function(*given, **named)

    def _boolean(self, is_or: bool, values: list[ast.expr]) -> Any:
        found: Any = None
        for value in values:
            found = self.value(value)
            if found is UNKNOWN or bool(found) == is_or:
                return found
        return found

    @staticmethod
    def _comparison(left: Any, ops: list[ast.cmpop], others: list[Any]) -> Any:
        for op, other in zip(ops, others, strict=True):
            held = _computed(OPERATORS.get(type(op)), left, other)
            if held is UNKNOWN or not held:
                return held
            left = other
        return True

    def _elements(self, elements: list[ast.expr]) -> Any:
        found: list[Any] = []
        for element in elements:
            if isinstance(element, ast.Starred):
                inner = self.value(element.value)
                if not isinstance(inner, list | tuple):
                    return UNKNOWN
                found.extend(inner)
            else:
                found.append(self.value(element))
        return found

    def _place(self, place: ast.expr) -> Any:
        if not isinstance(place, ast.Slice):
            return self.value(place)
        parts = [None if part is None else self.value(part) for part in (place.lower, place.upper, place.step)]
        return UNKNOWN if UNKNOWN in parts else slice(*parts)

    def _text(self, parts: list[ast.expr]) -> Any:
        said = ""
        for part in parts:
            if isinstance(part, ast.Constant):
                said += str(part.value)
            elif isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None:
                inner = self.value(part.value)
                if inner is UNKNOWN or not isinstance(inner, PLAIN_TYPES) or _holds_unknown(inner):
                    return UNKNOWN
                said += format(inner)
            else:
                return UNKNOWN
        return said

    def _comprehension(self, element: ast.expr, generator: ast.comprehension) -> Any:
        items = self.value(generator.iter)
        if items is UNKNOWN or not isinstance(items, Iterable):
            return UNKNOWN
        inner = _Scope(self.trace, self.outer, dict(self.names), self.depth)
        found = []
        for item in list(items)[:MAX_LOOPS]:
            inner._assign(generator.target, item)
            tests = [inner.value(test) for test in generator.ifs]
            if UNKNOWN in tests:
                return UNKNOWN
            if all(tests):
                found.append(inner.value(element))
        return found


def _is_of_pipelines(function: Any) -> bool:
    """Of a test's own pipeline as well: of the module of a class that isn't of diffusers' base modules."""
    module = getattr(function, "__module__", "") or ""
    return module.startswith(PIPELINES) or not module.startswith(("diffusers.", "torch", "transformers", "builtins"))


def _computed(function: Callable[..., Any] | None, *operands: Any) -> Any:
    if function is None or any(operand is UNKNOWN or operand is _SELF for operand in operands):
        return UNKNOWN
    return function(*operands)


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_unknown, [*value, *value.values()]))
    return any(map(_holds_unknown, value)) if isinstance(value, list | tuple | set) else value is UNKNOWN


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, PLAIN_TYPES) and bool(one == other))


def _copied(value: Any) -> Any:
    """A value that may be changed: lists and what lies in them are new."""
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return {key: _copied(inner) for key, inner in value.items()} if type(value) is dict else value


def _merged(ends: list[dict[str, Any]]) -> dict[str, Any]:
    """Variables after several ways: unknown where they differ, or where one way doesn't set them."""
    names = {name for end in ends for name in end}
    return {
        name: ends[0][name] if all(name in end and _same(ends[0].get(name), end[name]) for end in ends) else UNKNOWN
        for name in names
    }
