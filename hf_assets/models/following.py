"""One function of a pipeline's source while it is followed, statement by statement.

What isn't known is `UNKNOWN`. Where a condition is, both ways are followed; variables and lists that differ after them
are unknown, and so is what a function returns where one of the ways has returned something else.
"""

import ast
import builtins
import importlib
import inspect
import types
from collections.abc import Iterable
from typing import Any, Protocol

from hf_assets.models import known_values as known
from hf_assets.models.known_values import SELF, UNKNOWN, computed, copied, holds_unknown, merged, same, spoil

MAX_STEPS, MAX_LOOPS = 20_000, 64


class Method:
    """A method of the pipeline, bound to it where it isn't static; or a function that takes no pipeline."""

    def __init__(self, function: Any, *, takes_self: bool) -> None:
        self.function = function
        self.takes_self = takes_self


class Left(Exception):
    """A function was left: by `return` or `raise`, or in a loop by `break` or `continue`."""

    def __init__(self, value: Any = None, *, by: str = "return") -> None:
        self.value = value
        self.by = by


class TooMuch(Exception):
    """More steps than any pipeline's `__call__` takes before it reads the caption."""


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


class Scope:
    """One function while it is followed.

    Attributes:
        returned: what it may have returned on a way that isn't followed further.
    """

    def __init__(self, trace: Follower, function: Any, names: dict[str, Any], depth: int) -> None:
        self.trace = trace
        self.function = function
        self.names = names
        self.depth = depth
        self.returned: list[Any] = []
        self._may_have_left_loop = False

    # Statements

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.trace.steps += 1
            if self.trace.steps > MAX_STEPS:
                raise TooMuch
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                found = self.value(value)
                for target in targets:
                    self._assign(target, found)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assign(target, self.value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                self._augment(target, op, self.value(value))
            case ast.Expr(value=value):
                self.value(value)
            case ast.If(test=test, body=body, orelse=orelse):
                found = self.value(test)
                self._either(body, orelse) if found is UNKNOWN else self.run(body if found else orelse)
            case ast.With(items=items, body=body):
                for item in items:
                    self.value(item.context_expr)
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, UNKNOWN)
                self.run(body)
            case ast.Try():
                self._try(statement)
            case ast.For(target=target, iter=iterated, body=body, orelse=orelse):
                self._for(target, self.value(iterated), body, orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                self._while(test, body, orelse)
            case ast.Return(value=value):
                raise Left(None if value is None else self.value(value))
            case ast.Break():
                raise Left(by="break")
            case ast.Continue():
                raise Left(by="continue")
            case ast.Raise():
                if self.trace.tries:  # else the pipeline is thought to be called with what it needs
                    raise Left(by="raise")
            case ast.Import() | ast.ImportFrom():
                self._import(statement)
            case ast.Pass() | ast.Assert() | ast.Global() | ast.Nonlocal():
                pass
            case _:
                self._forget([statement])

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            name = alias.asname or alias.name.split(".")[0]
            module = alias.name if isinstance(statement, ast.Import) else statement.module
            if module not in known.PURE_MODULES - {"ftfy"} or (alias.asname is None and "." in alias.name):
                self.names[name] = UNKNOWN
                self._may_raise()
            elif isinstance(statement, ast.Import):
                self.names[name] = importlib.import_module(module)
            else:
                self.names[name] = getattr(importlib.import_module(module), alias.name, UNKNOWN)

    def _assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                self.trace.attributes[name] = value
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                values = list(value) if isinstance(value, list | tuple) and len(value) == len(elements) else None
                for index, element in enumerate(elements):
                    is_one = values is not None and not any(isinstance(one, ast.Starred) for one in elements)
                    self._assign(element, values[index] if values is not None and is_one else UNKNOWN)
            case ast.Starred(value=inner):
                self._assign(inner, UNKNOWN)
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self._place(place)
                if where is UNKNOWN or not isinstance(holder, list | dict):
                    spoil(holder)
                else:
                    self._really(holder.__setitem__, where, value)

    def _augment(self, target: ast.expr, op: ast.operator, value: Any) -> None:
        found = self.value(ast.parse(ast.unparse(target), mode="eval").body)
        if not isinstance(found, known.CONTAINERS):
            self._assign(target, self._really(computed, op, found, value))
        elif isinstance(found, list) and isinstance(op, ast.Add) and isinstance(value, list | tuple):
            found.extend(value)
        else:
            spoil(found)  # it changes in its place

    def _forget(self, body: Iterable[ast.AST]) -> None:
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

    # Ways

    def _either(self, *ways: list[ast.stmt]) -> None:
        """Follow each way from here, and go on with what they have in common."""
        before, before_attributes = self.names, self.trace.attributes
        ends, originals, left, changed = [], [], [], []
        for body in ways:
            memo: dict[int, tuple[Any, Any]] = {}
            self.names = {name: copied(value, memo) for name, value in before.items()}
            self.trace.attributes = {name: copied(value, memo) for name, value in before_attributes.items()}
            try:
                self.run(body)
            except Left as reason:
                if reason.by == "raise":
                    self._may_raise()
                    continue
                left.append(reason)
            else:
                if body and isinstance(body[-1], ast.Raise):
                    continue
                ends.append((self.names, self.trace.attributes))
                originals.append({id(copy): original for original, copy in memo.values()})
            changed += [original for original, copy in memo.values() if original != copy]
        for one in changed:
            spoil(one)
        if not ends:
            self.names, self.trace.attributes = before, before_attributes
            self._leave(left)
            return
        self.names = merged([names for names, _ in ends])
        self.trace.attributes = merged([attributes for _, attributes in ends])
        for held in (self.names, self.trace.attributes):  # so that one list stays one list
            held |= {name: originals[0].get(id(value), value) for name, value in held.items()}
        self._note(left)

    def _leave(self, left: list[Left]) -> None:
        """No way goes on here."""
        if not left:
            return  # each raises
        first = left[0]
        if all(one.by == first.by for one in left):
            values = [one.value for one in left]
            raise Left(first.value if all(same(first.value, value) for value in values) else UNKNOWN, by=first.by)
        self._note(left)
        raise Left(UNKNOWN, by=next(one.by for one in left if one.by != "return"))

    def _note(self, left: list[Left]) -> None:
        """Some ways have left, others go on."""
        self.returned += [one.value for one in left if one.by == "return"]
        self._may_have_left_loop |= any(one.by in ("break", "continue") for one in left)

    def _may_raise(self) -> None:
        if self.trace.tries:
            self.trace.may_have_raised = True

    def _try(self, statement: ast.Try) -> None:
        if not statement.handlers:
            self.run([*statement.body, *statement.orelse, *statement.finalbody])
            return
        stored = known.stored_names(statement.body)
        before = {name: self.names.get(name, UNKNOWN) for name in stored}
        outside, self.trace.may_have_raised = self.trace.may_have_raised, False
        self.trace.tries += 1
        has_raised, left = False, None
        try:
            self.run(statement.body)
        except Left as reason:
            has_raised, left = reason.by == "raise", reason
        finally:
            self.trace.tries -= 1
            may_have_raised, self.trace.may_have_raised = self.trace.may_have_raised, outside
        handlers = [handler.body for handler in statement.handlers]
        self.names |= {handler.name: UNKNOWN for handler in statement.handlers if handler.name}
        if left is not None and not has_raised:
            if not may_have_raised:
                raise left
            self._note([left])
            has_raised = True  # of the ways that go on
        if may_have_raised:  # before or after any of its statements
            self.names |= {name: UNKNOWN for name in stored if not same(before[name], self.names.get(name))}
            self.trace.attributes |= dict.fromkeys(known.stored_attributes(statement.body), UNKNOWN)
            for name in known.changed_lists(statement.body):
                spoil(self.names.get(name))
        if has_raised:
            self._either(*handlers)
        elif may_have_raised:
            self._either(statement.orelse, *handlers)
        else:
            self.run(statement.orelse)
        self.run(statement.finalbody)

    def _for(self, target: ast.expr, items: Any, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        if not isinstance(items, Iterable) or (isinstance(items, range) and len(items) > MAX_LOOPS):
            self._assign(target, UNKNOWN)
            self._uncertainly([*body, *orelse])
            return
        outside, self._may_have_left_loop = self._may_have_left_loop, False
        for item in list(items):
            self._assign(target, item)
            if self._round(body):
                break
        else:
            self.run(orelse)
        self._end_loop([*body, *orelse], outside)

    def _while(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        outside, self._may_have_left_loop = self._may_have_left_loop, False
        while (goes_on := self.value(test)) is not UNKNOWN and goes_on:
            if self._round(body):
                break
        else:
            if goes_on is UNKNOWN:
                self._uncertainly([*body, *orelse])
            else:
                self.run(orelse)
        self._end_loop([*body, *orelse], outside)

    def _round(self, body: list[ast.stmt]) -> bool:
        """Whether the loop was left."""
        self.trace.steps += 1
        if self.trace.steps > MAX_STEPS:
            raise TooMuch
        try:
            self.run(body)
        except Left as left:
            if left.by in ("return", "raise"):
                raise
            return left.by == "break"
        return False

    def _end_loop(self, body: list[ast.stmt], outside: bool) -> None:
        if self._may_have_left_loop:
            self._forget(body)
        self._may_have_left_loop = outside

    def _uncertainly(self, body: list[ast.stmt]) -> None:
        """Statements that run any number of times."""
        outside = self._may_have_left_loop
        self._either(body, [])
        self._forget(body)
        self._may_have_left_loop = outside

    # Expressions

    def value(self, expression: ast.expr) -> Any:
        try:
            found = self._value(expression)
        except (Left, TooMuch):
            raise
        except Exception:  # as it would with a pipeline that is there, or with what isn't known: not to be followed
            found = UNKNOWN
        if found is UNKNOWN and isinstance(expression, ast.Call | ast.Attribute | ast.Subscript):
            self._may_raise()
        return found

    def _really(self, function: Any, *given: Any, **named: Any) -> Any:
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
                return self._really(computed, op, self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return self._really(computed, op, self.value(left), self.value(right))
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
                return self._really(lambda of, at: of[at], holder, where)
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
                self._assign(target, found)
                return found
        self._forget([expression])
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
                return self._really(function, *given, **named)
            return self.trace.call(Method(function, takes_self=False), given, named, self.depth)
        if isinstance(function, types.BuiltinMethodType) and isinstance(function.__self__, known.PLAIN_TYPES):
            return self._of_a_value(function, given, named, is_known)
        if function in known.OF_SHAPES and not any(value is UNKNOWN or value is SELF for value in values):
            return self._really(function, *given, **named)
        is_pure = (
            function in known.PURE
            or (isinstance(function, types.MethodDescriptorType) and function.__objclass__ in known.PLAIN_TYPES)
            or (inspect.isroutine(function) and getattr(function, "__module__", None) in known.PURE_MODULES)
        )
        return self._really(function, *given, **named) if is_pure and is_known else UNKNOWN

    def _of_a_value(self, function: Any, given: list[Any], named: dict[str, Any], is_known: bool) -> Any:
        """What a method of a text, a list or another value gives."""
        of, name = function.__self__, function.__name__
        is_list_known = not isinstance(of, known.CONTAINERS) or not holds_unknown(of)
        if (is_known and is_list_known) or (
            isinstance(of, list) and name in known.PUTTING and UNKNOWN not in given[:-1]
        ):
            return self._really(function, *given, **named)
        if name in known.CHANGING:
            spoil(of)
        elif is_known and name in ("copy", "get", "items", "keys", "values") and UNKNOWN not in of:
            return self._really(function, *given, **named)
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
            held = self._really(computed, op, left, other)
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
            said += self._really(format, converted[part.conversion], spec)
        return said

    def _comprehension(self, element: ast.expr, generator: ast.comprehension) -> Any:
        items = self.value(generator.iter)
        if not isinstance(items, Iterable) or (isinstance(items, range) and len(items) > MAX_STEPS):
            self._forget([element, *generator.ifs])
            return UNKNOWN
        inner = Scope(self.trace, self.function, dict(self.names), self.depth)
        found: Any = []
        for item in list(items):
            inner._assign(generator.target, item)
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
