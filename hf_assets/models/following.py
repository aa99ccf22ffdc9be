"""One function of a pipeline's source while it is followed, statement by statement.

What isn't known is `UNKNOWN`. Where a condition is, both ways are followed; variables and lists that differ after them
are unknown, and so is what a function returns where one of the ways has returned something else. Open `evaluating` for
what expressions are worth.
"""

import ast
import contextlib
import functools
import importlib
from collections.abc import Iterable
from typing import Any

from hf_assets.models import known_values as known
from hf_assets.models.evaluating import MAX_STEPS, Expressions
from hf_assets.models.known_values import UNKNOWN, same, spoil, truth
from hf_assets.models.ways import Left, Local, TooMuch

MAX_LOOPS = 64


class Scope(Expressions):
    """One function while it is followed."""

    def result(self, body: Iterable[ast.stmt]) -> Any:
        """What the function of these statements returns, as far as that is known."""
        found = None
        try:
            self.run(body)
        except Left as left:
            if left.by == "raise":
                raise
            found = left.value if left.by == "return" else UNKNOWN
        return found if all(same(found, other) for other in self.returned) else UNKNOWN

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
                    self.assign(target, found)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self.assign(target, self.value(value))
            case ast.AugAssign(target=target, op=op, value=value):
                self.augment(target, op, self.value(value))
            case ast.Expr(value=value):
                self.value(value)
            case ast.If(test=test, body=body, orelse=orelse):
                found = truth(self.value(test))
                self._either(body, orelse) if found is UNKNOWN else self.run(body if found else orelse)
            case ast.Match(subject=subject, cases=cases):
                self._match(self.value(subject), cases)
            case ast.With(items=items, body=body):
                self._with(items, body)
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
            case ast.FunctionDef(name=name):
                self.names[name] = self._defined(statement)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target)
            case ast.Global(names=names):
                self.declared |= set(names)
                self.trace.lost_globals |= set(names)
            case ast.Pass() | ast.Assert() | ast.Nonlocal():
                pass
            case _:
                self.forget([statement])

    def _defined(self, definition: ast.FunctionDef) -> Local:
        """A function that is written here; it is followed where it sets no variables but its own."""
        is_followed = not definition.decorator_list and not any(
            isinstance(node, ast.Nonlocal | ast.Global | ast.Yield | ast.YieldFrom) for node in ast.walk(definition)
        )
        return self.local(
            definition.args, lambda inner: inner.result(definition.body), definition, is_followed=is_followed
        )

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = UNKNOWN
            case ast.Subscript(value=inner, slice=place):
                holder, where = self.value(inner), self.value(place)
                if isinstance(holder, list | dict) and not known.holds_unknown(where) and not known.holds_more(holder):
                    self.really(holder.__delitem__, where)
                else:
                    spoil(holder)
            case _:
                self.assign(target, UNKNOWN)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            name = alias.asname or alias.name.split(".")[0]
            module = alias.name if isinstance(statement, ast.Import) else statement.module
            if module not in known.PURE_MODULES - {"ftfy"} or (alias.asname is None and "." in alias.name):
                self.names[name] = UNKNOWN
                self.raises_perhaps()
            elif isinstance(statement, ast.Import):
                self.names[name] = importlib.import_module(module)
            else:
                self.names[name] = getattr(importlib.import_module(module), alias.name, UNKNOWN)

    # Ways

    def _either(self, *bodies: list[ast.stmt]) -> None:
        self.either(*(functools.partial(self._way, body) for body in bodies))

    def _way(self, body: list[ast.stmt]) -> None:
        self.run(body)
        if body and isinstance(body[-1], ast.Raise):
            raise Left(by="raise")

    def _with(self, items: list[ast.withitem], body: list[ast.stmt]) -> None:
        for item in items:
            opened = item.context_expr
            if isinstance(opened, ast.Call) and self.value(opened.func) is contextlib.suppress:
                self._try(ast.Try(body, [ast.ExceptHandler(None, None, [ast.Pass()])], [], []))
                return
            self.value(opened)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, UNKNOWN)
        self.run(body)

    def _match(self, subject: Any, cases: list[ast.match_case]) -> None:
        """The first case that fits; several ways where that isn't known."""
        ways: list[list[ast.stmt]] = []
        for case in cases:
            held = self._fits(case.pattern, subject)
            if held is True and case.guard is not None:
                held = truth(self.value(case.guard)) if not ways else UNKNOWN
            if held is False:
                continue
            ways.append(case.body if held is True else [*known.forgotten(case.pattern), *case.body])
            if held is True:
                break
        else:
            ways.append([])
        self.run(ways[0]) if len(ways) == 1 else self._either(*ways)

    def _fits(self, pattern: ast.pattern, subject: Any) -> Any:
        """Whether a pattern of constants is the subject; unknown of all others, but of one that takes everything."""
        match pattern:
            case ast.MatchAs(pattern=None, name=None):
                return True
            case ast.MatchAs(pattern=None, name=str(name)):
                self.assign(ast.Name(name), subject)
                return True
            case ast.MatchValue(value=value):
                held = self.really(known.computed, ast.Eq(), subject, self.value(value))
                return held if isinstance(held, bool) else UNKNOWN
            case ast.MatchSingleton(value=value):
                return UNKNOWN if known.is_unknown(subject) else subject is value
            case ast.MatchOr(patterns=patterns):
                found = [self._fits(one, subject) for one in patterns]
                return True if True in found else UNKNOWN if UNKNOWN in found else False
        return UNKNOWN

    def _try(self, statement: ast.Try) -> None:
        try:
            self._handled(statement)
        except Left:
            self.run(statement.finalbody)
            raise
        self.run(statement.finalbody)

    def _handled(self, statement: ast.Try) -> None:
        """A `try` without what it does at last."""
        if not statement.handlers:
            self.run([*statement.body, *statement.orelse])
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
            self.note([left])
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

    def _for(self, target: ast.expr, items: Any, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        if not known.may_be_iterated(items) or (isinstance(items, range) and len(items) > MAX_LOOPS):
            self.assign(target, UNKNOWN)
            self._uncertainly([*body, *orelse])
            return
        outside, self.may_have_left_loop = self.may_have_left_loop, False
        for item in list(items):
            self.assign(target, item)
            if self._round(body):
                break
        else:
            self.run(orelse)
        self._end_loop([*body, *orelse], outside)

    def _while(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        outside, self.may_have_left_loop = self.may_have_left_loop, False
        while (goes_on := truth(self.value(test))) is not UNKNOWN and goes_on:
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
        if self.may_have_left_loop:
            self.forget(body, once_followed=True)
        self.may_have_left_loop = outside

    def _uncertainly(self, body: list[ast.stmt]) -> None:
        """Statements that run any number of times."""
        outside = self.may_have_left_loop
        self._either(body, [])
        self.forget(body, once_followed=True)
        self.may_have_left_loop = outside
