"""One function of a pipeline's source while it is followed, statement by statement.

What isn't known is `UNKNOWN`. Where a condition is, both ways are followed; variables and lists that differ after them
are unknown, and so is what a function returns where one of the ways has returned something else. Open `evaluating` for
what expressions are worth.
"""

import ast
import importlib
from collections.abc import Iterable
from typing import Any

from hf_assets.models import known_values as known
from hf_assets.models.evaluating import MAX_STEPS, Expressions, Follower, Left, TooMuch
from hf_assets.models.known_values import UNKNOWN, copied, merged, same, spoil

MAX_LOOPS = 64


class Scope(Expressions):
    """One function while it is followed.

    Attributes:
        returned: what it may have returned on a way that isn't followed further.
    """

    def __init__(self, trace: Follower, function: Any, names: dict[str, Any], depth: int) -> None:
        super().__init__(trace, function, names, depth)
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
                    self.assign(target, found)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self.assign(target, self.value(value))
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
                        self.assign(item.optional_vars, UNKNOWN)
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
                self.forget([statement])

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
                    self.raises_perhaps()
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
            self.assign(target, UNKNOWN)
            self._uncertainly([*body, *orelse])
            return
        outside, self._may_have_left_loop = self._may_have_left_loop, False
        for item in list(items):
            self.assign(target, item)
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
            self.forget(body)
        self._may_have_left_loop = outside

    def _uncertainly(self, body: list[ast.stmt]) -> None:
        """Statements that run any number of times."""
        outside = self._may_have_left_loop
        self._either(body, [])
        self.forget(body)
        self._may_have_left_loop = outside
