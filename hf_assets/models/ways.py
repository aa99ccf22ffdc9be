"""The variables of one function while its source is followed, on each of the ways that it may take.

Where a condition isn't known, each way is followed from a copy of all variables; what differs after them is unknown.
"""

import ast
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from hf_assets.models import known_values as known
from hf_assets.models.known_values import UNKNOWN, copied, merged, same, spoil


class Method:
    """A method of the pipeline, bound to it or to its class where it isn't static; or a function that takes neither.

    Attributes:
        bound_to: what its first parameter is given; None where it has no such one.
    """

    def __init__(self, function: Any, bound_to: Any = None) -> None:
        self.function = function
        self.bound_to = bound_to


class Local:
    """A function that is written within the one that is followed, or a lambda.

    Attributes:
        signature: whose defaults are values.
        enter: follows it, given its variables.
        forget: makes all unknown that it may change, where it can't be followed.
    """

    def __init__(
        self, signature: inspect.Signature, enter: Callable[[dict[str, Any]], Any] | None, forget: Callable[[], None]
    ) -> None:
        self.signature = signature
        self.enter = enter
        self.forget = forget


class TooMuch(Exception):
    """More steps than any pipeline's `__call__` takes before it reads the caption, or one that it can't take."""


class Left(Exception):
    """A function was left: by `return` or `raise`, or in a loop by `break` or `continue`."""

    def __init__(self, value: Any = None, *, by: str = "return") -> None:
        self.value = value
        self.by = by


class Follower(Protocol):
    """What a scope asks of that which follows a whole pipeline.

    Attributes:
        kind: the pipeline's class.
        attributes: of the pipeline, as far as they were set.
        lost_globals: variables of modules that functions set anew.
        steps: statements that were followed.
        tries: how many `try` statements with handlers the present one lies in.
        may_have_raised: whether something in the innermost of them may have raised.
    """

    kind: Any
    attributes: dict[str, Any]
    lost_globals: set[str]
    steps: int
    tries: int
    may_have_raised: bool

    def attribute(self, name: str, depth: int) -> Any: ...
    def of_parent(self, function: Any, name: str) -> Any: ...
    def shared(self, value: Any) -> Any: ...
    def is_as_loaded(self) -> bool: ...
    def follows(self, function: Any) -> bool: ...
    def is_encode(self, call: ast.Call, function: Any) -> bool: ...
    def call(self, method: Method, given: list[Any], named: dict[str, Any], depth: int) -> Any: ...
    def record(self, call: ast.Call | None, given: list[Any], named: dict[str, Any], *, is_whole: bool) -> None: ...
    def lose(self, values: Iterable[Any]) -> None: ...
    def lose_attributes(self) -> None: ...


class Ways:
    """One function's variables.

    Attributes:
        returned: what it may have returned on a way that isn't followed further.
        declared: its variables that belong to the module.
    """

    def __init__(self, trace: Follower, function: Any, names: dict[str, Any], depth: int) -> None:
        self.trace = trace
        self.function = function
        self.names = names
        self.depth = depth
        self.returned: list[Any] = []
        self.declared: set[str] = set()
        self.may_have_left_loop = False

    def either(self, *ways: Callable[[], Any]) -> Any:
        """Follow each way from here, and go on with what they have in common.

        Returns:
            what each way gives, unknown where they differ.
        """
        before, before_attributes = self.names, self.trace.attributes
        ends, originals, left, changed, given = [], [], [], [], []
        for way in ways:
            memo: dict[int, tuple[Any, Any]] = {}
            self.names = {name: copied(value, memo) for name, value in before.items()}
            self.trace.attributes = {name: copied(value, memo) for name, value in before_attributes.items()}
            try:
                given.append(way())
            except Left as reason:
                if reason.by == "raise":
                    self.raises_perhaps()
                    continue
                left.append(reason)
            else:
                ends.append((self.names, self.trace.attributes))
                originals.append({id(copy): original for original, copy in memo.values()})
            changed += [original for original, copy in memo.values() if original != copy]
        for one in changed:
            spoil(one)
        if not ends:
            self.names, self.trace.attributes = before, before_attributes
            self._leave(left)
            return UNKNOWN
        self.names = merged([names for names, _ in ends])
        self.trace.attributes = merged([attributes for _, attributes in ends])
        for held in (self.names, self.trace.attributes):  # so that one list stays one list
            held |= {name: originals[0].get(id(value), value) for name, value in held.items()}
        self.note(left)
        first = originals[0].get(id(given[0]), given[0])
        return first if all(same(given[0], other) for other in given) else UNKNOWN

    def _leave(self, left: list[Left]) -> None:
        """No way goes on here."""
        if not left:
            return  # each raises
        first = left[0]
        if all(one.by == first.by for one in left):
            values = [one.value for one in left]
            raise Left(first.value if all(same(first.value, value) for value in values) else UNKNOWN, by=first.by)
        self.note(left)
        raise Left(UNKNOWN, by=next(one.by for one in left if one.by != "return"))

    def note(self, left: list[Left]) -> None:
        """Some ways have left, others go on."""
        self.returned += [one.value for one in left if one.by == "return"]
        self.may_have_left_loop |= any(one.by in ("break", "continue") for one in left)

    def raises_perhaps(self) -> None:
        if self.trace.tries:
            self.trace.may_have_raised = True

    def forget(self, body: Iterable[ast.AST], *, once_followed: bool = False) -> None:
        """Whatever statements set or change isn't known.

        Args:
            once_followed: so that it is known what the functions that they call change.
        """
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
        if once_followed:
            return
        for name in known.given_names(body):
            spoil(self.names.get(name))
        if known.calls_self(body):
            self.trace.lose_attributes()
