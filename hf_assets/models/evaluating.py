"""What the expressions of a pipeline's source are worth while it is followed.

What isn't known is `UNKNOWN`.
"""

import ast
import builtins
import functools
import inspect
import types
from collections.abc import Iterable
from typing import Any

from hf_assets.models import known_values as known
from hf_assets.models import purity
from hf_assets.models.known_values import SELF, UNKNOWN, computed, copied, holds_unknown, is_unknown, spoil, truth
from hf_assets.models.ways import Left, Local, Method, TooMuch, Ways

MAX_STEPS = 20_000
ENDLESS = 100_000


class NotKnownError(Exception):
    """What a function of the source gives isn't known, where a builtin asks it."""


class Expressions(Ways):
    """What expressions make of a function's variables."""

    # Variables

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = UNKNOWN if name in self.declared else value
            case ast.Attribute(value=inner, attr=name):
                self._set(self.value(inner), name, value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for element, one in zip(elements, _dealt(elements, value), strict=True):
                    self.assign(element.value if isinstance(element, ast.Starred) else element, one)
            case ast.Starred(value=inner):
                self.assign(inner, UNKNOWN)
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self._place(place)
                if isinstance(holder, str):
                    raise TooMuch  # it can't be changed, so it isn't what the pipeline is called with
                if holds_unknown(where) or known.holds_more(holder) or not isinstance(holder, list | dict):
                    spoil(holder)
                else:
                    self.really(holder.__setitem__, where, value)

    def _set(self, of: Any, name: str, value: Any) -> None:
        """Set an attribute of something."""
        if of is SELF:
            self.trace.attributes[name] = value
        else:
            self.trace.lose([of])

    def augment(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        found = self.value(ast.parse(ast.unparse(target), mode="eval").body)
        if not isinstance(found, known.CONTAINERS):
            self.assign(target, self.really(computed, op, found, value))
        elif isinstance(found, list) and isinstance(op, ast.Add) and known.may_be_iterated(value):
            found.extend(value)
        else:
            spoil(found)  # it changes in its place

    # Expressions

    def value(self, expression: ast.expr) -> Any:
        try:
            found = self._value(expression)
        except (Left, TooMuch, NotKnownError):
            raise
        except Exception:  # as it would with a pipeline that is there, or with what isn't known: not to be followed
            found = UNKNOWN
        if found is UNKNOWN and isinstance(expression, ast.Call | ast.Attribute | ast.Subscript):
            self.raises_perhaps()
        return found

    def really(self, function: Any, *given: Any, **named: Any) -> Any:
        """What a function makes of known values; what it raises of them is raised in the pipeline, too."""
        try:
            found = function(*given, **named)
            return list(found) if isinstance(found, known.ITERATORS) else found
        except (NotKnownError, TooMuch):
            return UNKNOWN
        except Left as left:
            if left.by == "raise":
                raise
            return UNKNOWN
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
                found = truth(self.value(test))
                if found is not UNKNOWN:
                    return self.value(body if found else orelse)
                return self.either(lambda: self.value(body), lambda: self.value(orelse))
            case ast.List(elts=elements):
                return self._elements(elements)
            case ast.Tuple(elts=elements):
                found = self._elements(elements)
                return found if found is UNKNOWN else tuple(found)
            case ast.Set(elts=elements):
                found = self._elements(elements)
                return UNKNOWN if holds_unknown(found) else set(found)
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values)
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self._place(place)
                if holds_unknown(where) or is_unknown(holder) or known.holds_more(holder):
                    return UNKNOWN
                if not isinstance(holder, known.PLAIN_TYPES):
                    return UNKNOWN
                return self.really(lambda of, at: of[at], holder, where)
            case ast.JoinedStr(values=parts):
                return self._text(parts)
            case (
                ast.ListComp(elt=element, generators=generators) | ast.GeneratorExp(elt=element, generators=generators)
            ):
                return self._comprehension(element, generators)
            case ast.SetComp(elt=element, generators=generators):
                found = self._comprehension(element, generators)
                return UNKNOWN if holds_unknown(found) else set(found)
            case ast.DictComp(key=key, value=value, generators=generators):
                pairs = self._comprehension(ast.Tuple([key, value], ast.Load()), generators)
                return pairs if pairs is UNKNOWN else dict(pairs)
            case ast.Lambda(args=parameters, body=body):
                return self.local(parameters, lambda inner: inner.value(body), expression)
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
        if name in self.trace.lost_globals:
            return UNKNOWN
        return self.trace.shared(outer[name]) if name in outer else getattr(builtins, name, UNKNOWN)

    def _attribute(self, of: Any, name: str) -> Any:
        if is_unknown(self.trace.shared(of)):
            return UNKNOWN
        if of is SELF:
            return self.trace.attribute(name, self.depth)
        if isinstance(of, types.ModuleType | type):
            return self.trace.shared(getattr(of, name))
        return getattr(of, name) if isinstance(of, known.PLAIN_TYPES) else known.of_an_object(of, name)

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
            case ast.Name(id="type"), [of] if of is SELF:
                return self.trace.kind
            case ast.Name(id="setattr"), [of, str(name), value] if not is_unknown(name):
                self._set(of, name, value)
                return None
        if not is_whole or function is SELF:
            self.trace.lose([function, *given, *named.values()])
            return UNKNOWN
        if is_unknown(function):  # a component, or what one gave: it reads the lists that it is given
            values = (*given, *named.values())
            self.trace.lose(value for value in values if not isinstance(value, (*known.PLAIN_TYPES, type)))
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
            elif is_whole and isinstance(found, list | tuple) and not known.holds_more(found):
                given.extend(found)
            else:
                is_whole = False
        for keyword in call.keywords:
            found = self.value(keyword.value)
            if keyword.arg is not None:
                named[keyword.arg] = found
            elif isinstance(found, dict) and not holds_unknown(list(found)):
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
        if isinstance(function, Local):
            return self._enter(function, given, named)
        values = (*given, *named.values())
        is_known = not any(value is SELF or holds_unknown(value) for value in values)
        if inspect.isfunction(function) and self.trace.follows(function):
            if is_known and self.trace.is_as_loaded() and purity.computes(function):
                return self.really(function, *given, **named)
            return self.trace.call(Method(function), given, named, self.depth)
        if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, known.PLAIN_TYPES):
            return self._of_a_value(function, given, named, is_known)
        if function is isinstance and not any(value is UNKNOWN or value is SELF for value in values):
            return self.really(function, *given)
        if function is map and len(given) == 2 and known.may_be_iterated(given[1]):
            return [self._apply(given[0], [one], {}) for one in given[1]]
        if (
            purity.is_pure(function)
            and (is_known or self._sees_shapes(function, values))
            and (function in known.OF_SETS or all(map(known.is_ordered, values)))
        ):
            return self.really(
                function, *map(self._callable, given), **{k: self._callable(v) for k, v in named.items()}
            )
        self.trace.lose(() if purity.is_pure(function) else values)
        return UNKNOWN

    def _sees_shapes(self, function: Any, values: Iterable[Any]) -> bool:
        """Whether a function doesn't look into what it is given, and that much is known."""
        return function in known.OF_SHAPES and not any(
            value is SELF or is_unknown(value) or known.holds_more(value) for value in values
        )

    def _callable(self, value: Any) -> Any:
        """A function of the source as a builtin can call it."""
        if not isinstance(value, Method | Local):
            return value

        def call(*given: Any, **named: Any) -> Any:
            found = self._apply(value, list(given), named)
            if holds_unknown(found):
                raise NotKnownError
            return found

        return call

    # Functions of the source

    def local(self, parameters: ast.arguments, enter: Any, definition: ast.AST, *, is_followed: bool = True) -> Local:
        """A function that is written here.

        Args:
            enter: what it gives, in a scope of its own.
        """

        def follow(names: dict[str, Any]) -> Any:
            if self.depth >= ENDLESS:
                raise TooMuch
            return enter(type(self)(self.trace, self.function, {**self.names, **names}, self.depth + 1))

        inner = definition if isinstance(definition, ast.Lambda) else ast.Module(getattr(definition, "body", []), [])
        return Local(
            self._signature(parameters), follow if is_followed else None, lambda: self.forget([definition, inner])
        )

    def _signature(self, parameters: ast.arguments) -> inspect.Signature:
        kinds = inspect.Parameter
        in_order = [*parameters.posonlyargs, *parameters.args]
        required = len(in_order) - len(parameters.defaults)
        found = []
        for place, one in enumerate(in_order):
            default = kinds.empty if place < required else self.value(parameters.defaults[place - required])
            is_first = place < len(parameters.posonlyargs)
            kind = kinds.POSITIONAL_ONLY if is_first else kinds.POSITIONAL_OR_KEYWORD
            found.append(kinds(one.arg, kind, default=default))
        if parameters.vararg:
            found.append(kinds(parameters.vararg.arg, kinds.VAR_POSITIONAL))
        for one, expression in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
            default = kinds.empty if expression is None else self.value(expression)
            found.append(kinds(one.arg, kinds.KEYWORD_ONLY, default=default))
        if parameters.kwarg:
            found.append(kinds(parameters.kwarg.arg, kinds.VAR_KEYWORD))
        return inspect.Signature(found)

    def _enter(self, function: Local, given: list[Any], named: dict[str, Any]) -> Any:
        if function.enter is None:
            self.trace.lose([*given, *named.values(), function])
            return UNKNOWN
        return function.enter(bound(function.signature, given, named))

    def _of_a_value(self, function: Any, given: list[Any], named: dict[str, Any], is_known: bool) -> Any:
        """What a method of a text, a list or another value gives."""
        of, name = function.__self__, function.__name__
        is_list_known = not isinstance(of, known.CONTAINERS) or not holds_unknown(of)
        shows_order = name in ("join", "extend", "pop") and not all(map(known.is_ordered, (of, *given)))
        if shows_order or known.holds_more(of):
            is_known = False
        elif (is_known and is_list_known) or (
            isinstance(of, list) and name in known.PUTTING and not holds_unknown(given[:-1])
        ):
            return self.really(
                function, *map(self._callable, given), **{key: self._callable(one) for key, one in named.items()}
            )
        if name in known.CHANGING:
            spoil(of)
        elif is_known and name in ("copy", "get", "items", "keys", "values") and not holds_unknown(list(of)):
            return self.really(function, *given, **named)
        return UNKNOWN

    def _boolean(self, is_or: bool, values: list[ast.expr]) -> Any:
        found: Any = None
        for place, value in enumerate(values):
            found = self.value(value)
            held = truth(found)
            if held is UNKNOWN:  # the others may be asked, or not
                if rest := values[place + 1 :]:
                    self.either(functools.partial(self._boolean, is_or, rest), lambda: None)
                return UNKNOWN
            if held == is_or:
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
                if not known.may_be_iterated(inner):
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
                if holds_unknown(place := self.value(key)):
                    return UNKNOWN
                found[place] = value
            elif isinstance(value, dict) and not known.holds_more(value):
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
            if not known.is_ordered(inner):
                return UNKNOWN
            converted = {-1: inner, ord("s"): str(inner), ord("r"): repr(inner), ord("a"): ascii(inner)}
            said += self.really(format, converted[part.conversion], spec)
        return said

    def _comprehension(self, element: ast.expr, generators: list[ast.comprehension]) -> Any:
        inner = type(self)(self.trace, self.function, dict(self.names), self.depth)
        found: list[Any] = []
        is_known = inner._gather(element, generators, found)
        parts = [element, *(part for one in generators for part in (one.iter, *one.ifs))]
        if not is_known:
            self.forget(parts, once_followed=True)
            return UNKNOWN
        for node in (node for part in parts for node in ast.walk(part)):
            if isinstance(node, ast.NamedExpr):  # such a variable belongs to the function
                self.names[node.target.id] = inner.names.get(node.target.id, UNKNOWN)
        return found

    def _gather(self, element: ast.expr, generators: list[ast.comprehension], found: list[Any]) -> bool:
        """Whether it is known what is gathered."""
        if not generators:
            found.append(self.value(element))
            return True
        first = generators[0]
        items = self.value(first.iter)
        if not known.may_be_iterated(items) or (isinstance(items, range) and len(items) > MAX_STEPS):
            self.assign(first.target, UNKNOWN)
            self.either(functools.partial(self._gather_one, element, generators, []), lambda: None)
            return False
        for item in list(items):
            self.assign(first.target, item)
            if not self._gather_one(element, generators, found):
                return False
        return True

    def _gather_one(self, element: ast.expr, generators: list[ast.comprehension], found: list[Any]) -> bool:
        """The same, of one item."""
        first, *rest = generators
        for test in first.ifs:
            held = truth(self.value(test))
            if held is UNKNOWN:
                self.either(lambda: self._gather(element, rest, []), lambda: None)
                return False
            if not held:
                return True
        return self._gather(element, rest, found)


def bound(signature: inspect.Signature, given: Iterable[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The variables with which a function begins: unknown where it isn't given what it needs.

    Raises:
        TypeError: it can't be called so.
    """
    found = signature.bind_partial(*given, **named)
    names: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if name in found.arguments:
            names[name] = found.arguments[name]
        elif parameter.kind is parameter.VAR_POSITIONAL:
            names[name] = ()
        elif parameter.kind is parameter.VAR_KEYWORD:
            names[name] = {}
        else:
            names[name] = UNKNOWN if parameter.default is parameter.empty else copied(parameter.default)
    return names


def _dealt(elements: list[ast.expr], value: Any) -> list[Any]:
    """What each of several targets gets."""
    nothing = [UNKNOWN for _ in elements]
    if not isinstance(value, list | tuple) or known.holds_more(value):
        return nothing
    stars = [place for place, one in enumerate(elements) if isinstance(one, ast.Starred)]
    if not stars:
        return list(value) if len(value) == len(elements) else nothing
    (star,), after = stars, len(elements) - stars[0] - 1
    if len(value) < len(elements) - 1:
        return nothing
    return [*value[:star], list(value[star : len(value) - after]), *value[len(value) - after :]]
