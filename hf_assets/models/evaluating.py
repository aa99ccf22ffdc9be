"""What the expressions of a pipeline's source are worth while it is followed.

What isn't known is `UNKNOWN`.
"""

import ast
import builtins
import inspect
import types
from collections.abc import Iterable
from typing import Any, Protocol

from hf_assets.models import known_values as known
from hf_assets.models.known_values import SELF, UNKNOWN, computed, holds_unknown, same, spoil

MAX_STEPS = 20_000


class Method:
    """A method of the pipeline, bound to it where it isn't static; or a function that takes no pipeline."""

    def __init__(self, function: Any, *, takes_self: bool) -> None:
        self.function = function
        self.takes_self = takes_self


class TooMuch(Exception):
    """More steps than any pipeline's `__call__` takes before it reads the caption."""


class Left(Exception):
    """A function was left: by `return` or `raise`, or in a loop by `break` or `continue`."""

    def __init__(self, value: Any = None, *, by: str = "return") -> None:
        self.value = value
        self.by = by


class Follower(Protocol):
    """What a scope asks of that which follows a whole pipeline.

    Attributes:
        attributes: of the pipeline, as far as they were set.
        steps: statements that were followed.
        tries: how many `try` statements with handlers the present one lies in.
        may_have_raised: whether something in the innermost of them may have raised.
    """

    attributes: dict[str, Any]
    steps: int
    tries: int
    may_have_raised: bool

    def attribute(self, name: str, depth: int) -> Any: ...
    def of_parent(self, function: Any, name: str) -> Any: ...
    def follows(self, function: Any) -> bool: ...
    def is_encode(self, call: ast.Call, function: Any) -> bool: ...
    def call(self, method: Method, given: list[Any], named: dict[str, Any], depth: int) -> Any: ...
    def record(self, call: ast.Call, given: list[Any], named: dict[str, Any], *, is_whole: bool) -> None: ...


class Expressions:
    """The variables of one function while it is followed, and what its expressions make of them."""

    def __init__(self, trace: Follower, function: Any, names: dict[str, Any], depth: int) -> None:
        self.trace = trace
        self.function = function
        self.names = names
        self.depth = depth

    # Variables

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self.trace.attributes[name] = value
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                values = list(value) if isinstance(value, list | tuple) and len(value) == len(elements) else None
                for index, element in enumerate(elements):
                    is_one = values is not None and not any(isinstance(one, ast.Starred) for one in elements)
                    self.assign(element, values[index] if values is not None and is_one else UNKNOWN)
            case ast.Starred(value=inner):
                self.assign(inner, UNKNOWN)
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self._place(place)
                if where is UNKNOWN or not isinstance(holder, list | dict):
                    spoil(holder)
                else:
                    self.really(holder.__setitem__, where, value)

    def _augment(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        found = self.value(ast.parse(ast.unparse(target), mode="eval").body)
        if not isinstance(found, known.CONTAINERS):
            self.assign(target, self.really(computed, op, found, value))
        elif isinstance(found, list) and isinstance(op, ast.Add) and isinstance(value, list | tuple):
            found.extend(value)
        else:
            spoil(found)  # it changes in its place

    def forget(self, body: Iterable[ast.AST]) -> None:
        """Whatever statements set or change isn't known."""
        body = list(body)
        for statement in body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.names[statement.name] = UNKNOWN
        inner = [one for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
        outer = [one for one in body if one not in inner]
        shared = {
            name
            for one in inner
            for node in ast.walk(one)
            if isinstance(node, ast.Nonlocal | ast.Global)
            for name in node.names
        }
        self.names |= dict.fromkeys(known.stored_names(outer) | shared, UNKNOWN)
        self.trace.attributes |= dict.fromkeys(known.stored_attributes(body), UNKNOWN)
        for name in known.changed_lists(body):
            spoil(self.names.get(name))

    def raises_perhaps(self) -> None:
        if self.trace.tries:
            self.trace.may_have_raised = True

    # Expressions

    def value(self, expression: ast.expr) -> Any:
        try:
            found = self._value(expression)
        except (Left, TooMuch):
            raise
        except Exception:  # as it would with a pipeline that is there, or with what isn't known: not to be followed
            found = UNKNOWN
        if found is UNKNOWN and isinstance(expression, ast.Call | ast.Attribute | ast.Subscript):
            self.raises_perhaps()
        return found

    def really(self, function: Any, *given: Any, **named: Any) -> Any:
        """What a function makes of known values; what it raises of them is raised in the pipeline, too."""
        try:
            return function(*given, **named)
        except Exception:
            if self.trace.tries and not any(map(holds_unknown, (*given, *named.values()))):
                raise Left(by="raise") from None
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
                return self.really(computed, op, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self.really(computed, op, self.value(left), self.value(right))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._comparison(self.value(left), ops, [self.value(other) for other in others])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                found = self.value(test)
                if found is not UNKNOWN:
                    return self.value(body if found else orelse)
                first, second = self.value(body), self.value(orelse)
                return first if same(first, second) else UNKNOWN
            case ast.List(elts=elements):
                return self._elements(elements)
            case ast.Tuple(elts=elements):
                found = self._elements(elements)
                return found if found is UNKNOWN else tuple(found)
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values)
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self._place(place)
                if UNKNOWN in (where, holder) or not isinstance(holder, known.PLAIN_TYPES):
                    return UNKNOWN
                return self.really(lambda of, at: of[at], holder, where)
            case ast.JoinedStr(values=parts):
                return self._text(parts)
            case ast.ListComp(elt=element, generators=[generator]):
                return self._comprehension(element, generator)
            case ast.GeneratorExp(elt=element, generators=[generator]):
                return self._comprehension(element, generator)
            case ast.DictComp(key=key, value=value, generators=[generator]):
                pairs = self._comprehension(ast.Tuple([key, value], ast.Load()), generator)
                return pairs if pairs is UNKNOWN else dict(pairs)
            case ast.NamedExpr(target=target, value=inner):
                found = self.value(inner)
                self.assign(target, found)
                return found
        self.forget([expression])
        return UNKNOWN

    def _name(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        outer = self.function.__globals__
        return outer[name] if name in outer else getattr(builtins, name, UNKNOWN)

    def _attribute(self, of: Any, name: str) -> Any:
        if of is UNKNOWN:
            return UNKNOWN
        if of is SELF:
            return self.trace.attribute(name, self.depth)
        return getattr(of, name) if isinstance(of, (*known.PLAIN_TYPES, types.ModuleType, type)) else UNKNOWN

    def _call(self, call: ast.Call) -> Any:
        given, named, is_whole = self._arguments(call)
        function = self._function(call.func)
        if self.trace.is_encode(call, function):
            self.trace.record(call, given, named, is_whole=is_whole)
            return UNKNOWN
        match call.func, given:
            case ast.Name(id="getattr" | "hasattr" as asks), [of, str(name), *default] if of is SELF:
                found = self.trace.attribute(name, self.depth)
                if asks == "hasattr":
                    return True if found is not UNKNOWN else UNKNOWN
                return found if found is not UNKNOWN or not default else UNKNOWN
        if not is_whole or function is UNKNOWN or function is SELF:
            return UNKNOWN
        return self._apply(function, given, named)

    def _arguments(self, call: ast.Call) -> tuple[list[Any], dict[str, Any], bool]:
        """Those of a call, in order and by name, and whether they are all there: of `*` and `**` what is in them."""
        given: list[Any] = []
        named: dict[str, Any] = {}
        is_whole = True
        for one in call.args:
            found = self.value(one.value if isinstance(one, ast.Starred) else one)
            if not isinstance(one, ast.Starred):
                given.append(found)
            elif is_whole and isinstance(found, list | tuple) and UNKNOWN not in found:
                given.extend(found)
            else:
                is_whole = False
        for keyword in call.keywords:
            found = self.value(keyword.value)
            if keyword.arg is not None:
                named[keyword.arg] = found
            elif isinstance(found, dict) and UNKNOWN not in found:
                named |= found
            else:
                is_whole = False
        return given, named, is_whole

    def _function(self, expression: ast.expr) -> Any:
        match expression:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"), args=[]), attr=name):
                return self.trace.of_parent(self.function, name)
        return self.value(expression)

    def _apply(self, function: Any, given: list[Any], named: dict[str, Any]) -> Any:
        if isinstance(function, Method):
            return self.trace.call(function, given, named, self.depth)
        if function is map and len(given) == 2 and isinstance(given[1], list | tuple | str):
            return [self._apply(given[0], [one], {}) for one in given[1]]
        values = (*given, *named.values())
        is_known = not any(value is SELF or holds_unknown(value) for value in values)
        if inspect.isfunction(function) and self.trace.follows(function):
            if is_known:
                return self.really(function, *given, **named)
            return self.trace.call(Method(function, takes_self=False), given, named, self.depth)
        if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, known.PLAIN_TYPES):
            return self._of_a_value(function, given, named, is_known)
        if function in known.OF_SHAPES and not any(value is UNKNOWN or value is SELF for value in values):
            return self.really(function, *given, **named)
        is_pure = (
            function in known.PURE
            or (isinstance(function, types.MethodDescriptorType) and function.__objclass__ in known.PLAIN_TYPES)
            or (inspect.isroutine(function) and getattr(function, "__module__", None) in known.PURE_MODULES)
        )
        return self.really(function, *given, **named) if is_pure and is_known else UNKNOWN

    def _of_a_value(self, function: Any, given: list[Any], named: dict[str, Any], is_known: bool) -> Any:
        """What a method of a text, a list or another value gives."""
        of, name = function.__self__, function.__name__
        is_list_known = not isinstance(of, known.CONTAINERS) or not holds_unknown(of)
        if (is_known and is_list_known) or (
            isinstance(of, list) and name in known.PUTTING and UNKNOWN not in given[:-1]
        ):
            return self.really(function, *given, **named)
        if name in known.CHANGING:
            spoil(of)
        elif is_known and name in ("copy", "get", "items", "keys", "values") and UNKNOWN not in of:
            return self.really(function, *given, **named)
        return UNKNOWN

    def _boolean(self, is_or: bool, values: list[ast.expr]) -> Any:
        found: Any = None
        for value in values:
            found = self.value(value)
            if found is UNKNOWN or bool(found) == is_or:
                return found
        return found

    def _comparison(self, left: Any, ops: list[ast.cmpop], others: list[Any]) -> Any:
        for op, other in zip(ops, others, strict=True):
            held = self.really(computed, op, left, other)
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

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr]) -> Any:
        found: dict[Any, Any] = {}
        for key, item in zip(keys, values, strict=True):
            value = self.value(item)
            if key is not None:
                found[self.value(key)] = value
            elif isinstance(value, dict):
                found |= value
            else:
                return UNKNOWN
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
                continue
            if not isinstance(part, ast.FormattedValue):
                return UNKNOWN
            inner, spec = self.value(part.value), "" if part.format_spec is None else self.value(part.format_spec)
            if spec is UNKNOWN or not isinstance(inner, known.PLAIN_TYPES) or holds_unknown(inner):
                return UNKNOWN
            converted = {-1: inner, ord("s"): str(inner), ord("r"): repr(inner), ord("a"): ascii(inner)}
            said += self.really(format, converted[part.conversion], spec)
        return said

    def _comprehension(self, element: ast.expr, generator: ast.comprehension) -> Any:
        items = self.value(generator.iter)
        if not isinstance(items, Iterable) or (isinstance(items, range) and len(items) > MAX_STEPS):
            self.forget([element, *generator.ifs])
            return UNKNOWN
        inner = Expressions(self.trace, self.function, dict(self.names), self.depth)
        found: Any = []
        for item in list(items):
            inner.assign(generator.target, item)
            tests = [inner.value(test) for test in generator.ifs]
            if UNKNOWN in tests:
                found = UNKNOWN
                break
            if all(tests):
                found.append(inner.value(element))
        for node in (inner for one in (element, *generator.ifs) for inner in ast.walk(one)):
            if isinstance(node, ast.NamedExpr):  # such a variable belongs to the function
                self.names[node.target.id] = UNKNOWN if found is UNKNOWN else inner.names.get(node.target.id, UNKNOWN)
        return found
