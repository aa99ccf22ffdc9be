"""Values while a source is followed: what is known of them, what may be computed, and how several ways are merged."""

import ast
import html
import json
import operator
import re
import string
import textwrap
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
SELF = object()

# Functions that compute, and change nothing.
PURE = frozenset(
    {abs, all, any, bool, dict, enumerate, float, int, isinstance, len, list, max, min, range, repr, reversed, round}
    | {set, sorted, str, sum, tuple, type, zip}
)
# Those of them that don't look into a list that holds something unknown.
OF_SHAPES = frozenset({dict, enumerate, isinstance, len, list, range, reversed, tuple, type, zip})
PURE_MODULES = frozenset(
    module.__name__ for module in (html, json, re, string, textwrap, unicodedata, urllib.parse)
) | {"ftfy", "math"}
PLAIN_TYPES = (str, int, float, bool, list, tuple, dict, set, type(None), re.Pattern, re.Match)
CONTAINERS = (list, dict, set)
# Methods that put what they are given into a list, which may hold something unknown.
PUTTING = ("append", "insert")
# Methods that change what they belong to.
CHANGING = (
    *PUTTING,
    *("add", "clear", "discard", "extend", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"),
)
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
# Those that don't look into a list that holds something unknown.
OF_WHOLES = (ast.Add, ast.Mult, ast.Is, ast.IsNot, ast.Not)


def computed(op: ast.AST, *operands: Any) -> Any:
    """What an operator makes of values; unknown where one of them is."""
    function = OPERATORS.get(type(op))
    if function is None or any(operand is UNKNOWN or operand is SELF for operand in operands):
        return UNKNOWN
    if not isinstance(op, OF_WHOLES) and any(map(holds_unknown, operands)):
        return UNKNOWN
    return function(*operands)


def holds_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(holds_unknown, [*value, *value.values()]))
    return any(map(holds_unknown, value)) if isinstance(value, list | tuple | set) else value is UNKNOWN


def spoil(value: Any) -> None:
    """Something unknown was done to a list: for all who hold it, it isn't known any more."""
    if isinstance(value, list):
        value[:] = [UNKNOWN]
    elif isinstance(value, dict):
        value.clear()
        value[UNKNOWN] = UNKNOWN
    elif isinstance(value, set):
        value.clear()
        value.add(UNKNOWN)


def same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, PLAIN_TYPES) and bool(one == other))


def copied(value: Any, memo: dict[int, tuple[Any, Any]] | None = None) -> Any:
    """A value that may be changed: what lies in it is new, and one list stays one list.

    Args:
        memo: id -> the list that was copied and its copy.
    """
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)][1]
    if isinstance(value, list):
        made: Any = []
        memo[id(value)] = (value, made)
        made.extend(copied(inner, memo) for inner in value)
        return made
    if type(value) is dict:
        made = {}
        memo[id(value)] = (value, made)
        made.update({key: copied(inner, memo) for key, inner in value.items()})
        return made
    if isinstance(value, set):
        made = set(value)
        memo[id(value)] = (value, made)
        return made
    if type(value) is tuple:
        return tuple(copied(inner, memo) for inner in value)
    return value


def merged(ends: list[dict[str, Any]]) -> dict[str, Any]:
    """Variables after several ways: unknown where they differ, or where one way doesn't set them."""
    names = {name for end in ends for name in end}
    return {
        name: ends[0][name] if all(name in end and same(ends[0].get(name), end[name]) for end in ends) else UNKNOWN
        for name in names
    }


def stored_names(body: Iterable[ast.AST]) -> set[str]:
    """The variables that statements set, those of other functions (`nonlocal`) too."""
    found: set[str] = set()
    for node in _nodes(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.Nonlocal(names=names) | ast.Global(names=names):
                found.update(names)
    return found


def stored_attributes(body: Iterable[ast.AST]) -> set[str]:
    """The attributes of `self` that statements set."""
    return {
        node.attr
        for node in _nodes(body)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del) and _is_self(node.value)
    }


def changed_lists(body: Iterable[ast.AST]) -> set[str]:
    """The variables whose content statements may change in its place."""
    found: set[str] = set()
    for node in _nodes(body):
        match node:
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in CHANGING:
                found.add(name)
            case ast.AugAssign(target=ast.Name(id=name)):
                found.add(name)
    return found


def _nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


def _is_self(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Name) and expression.id == "self"
