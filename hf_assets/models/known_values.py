"""Values while a source is followed: what is known of them, what may be computed, and how several ways are merged."""

import ast
import builtins
import copy
import enum
import functools
import html
import itertools
import json
import operator
import re
import string
import textwrap
import types
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


class Unread(str):
    """A caption that nothing has looked into: whatever depends on what it says isn't known."""


UNKNOWN = _Unknown()
# In a list, a set or a dict: more of it isn't known, nor how many there are.
MORE = _Unknown()
SELF = object()

# Functions that compute, and change nothing.
PURE = frozenset(
    {
        abs,
        all,
        any,
        ascii,
        bool,
        bytes,
        chr,
        dict,
        divmod,
        enumerate,
        filter,
        float,
        format,
        frozenset,
        functools.reduce,
    }
    | {int, isinstance, len, list, map, max, min, ord, range, repr, reversed, round, set, sorted, str, sum, tuple, type}
    | {itertools.chain, itertools.chain.from_iterable, itertools.product, itertools.repeat, itertools.zip_longest, zip}
)
# Those of them that don't look into a list that holds something unknown.
OF_SHAPES = frozenset({dict, enumerate, isinstance, len, list, range, reversed, tuple, type, zip})
# What gives one after the other is a list here, so that it can be gone through on each way.
ITERATORS = (enumerate, filter, itertools.chain, itertools.product, itertools.zip_longest, map, reversed, zip)
# What does not show the order of a set, which differs with each process.
OF_SETS = frozenset({all, any, bool, frozenset, isinstance, len, max, min, set, sorted, sum, type})
# Of builtins, what knows or does more than computing.
IMPURE = frozenset(
    {"__import__", "breakpoint", "compile", "delattr", "eval", "exec", "globals", "hash", "id", "input", "locals"}
    | {"open", "setattr", "super", "vars"}
)
PURE_MODULES = frozenset(
    module.__name__ for module in (copy, html, json, operator, re, string, textwrap, unicodedata, urllib.parse)
) | {"_operator", "ftfy", "math"}
PLAIN_TYPES = (
    *(str, int, float, bool, bytes, list, tuple, dict, set, frozenset),
    *(type(None), re.Pattern, re.Match),
)
CONTAINERS = (list, dict, set)
# Methods that put what they are given into a list, which may hold something unknown.
PUTTING = ("append", "insert")
# Methods that change what they belong to.
CHANGING = (
    *PUTTING,
    *("add", "clear", "discard", "extend", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"),
    *("difference_update", "intersection_update", "symmetric_difference_update"),
)
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
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
    if isinstance(op, ast.Is | ast.IsNot) and any(isinstance(one, Unread) for one in operands):
        return function(*operands) if function and None in operands else UNKNOWN
    if isinstance(op, ast.Mult) and UNKNOWN in operands and isinstance(operands[0], list):
        return [*operands[0], MORE]
    if isinstance(op, ast.Mult) and UNKNOWN in operands and isinstance(operands[1], list):
        return [*operands[1], MORE]
    if function is None or any(operand is SELF or is_unknown(operand) for operand in operands):
        return UNKNOWN
    if isinstance(op, ast.Not):
        found = truth(operands[0])
        return UNKNOWN if found is UNKNOWN else not found
    if isinstance(op, ast.Eq | ast.NotEq) and {isinstance(one, str) for one in operands} == {True, False}:
        return isinstance(op, ast.NotEq)
    if not isinstance(op, OF_WHOLES) and any(map(holds_unknown, operands)):
        return UNKNOWN
    return function(*operands)


def is_unknown(value: Any) -> bool:
    """Whether nothing is known of a value but, of a caption that isn't looked into, that it is one."""
    return isinstance(value, _Unknown | Unread)


def holds_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(holds_unknown, [*value, *value.values()]))
    return any(map(holds_unknown, value)) if isinstance(value, list | tuple | set) else is_unknown(value)


def holds_more(value: Any) -> bool:
    """Whether it isn't known how many there are in a list, a set or a dict."""
    return isinstance(value, list | tuple | set | dict) and any(one is MORE for one in value)


def truth(value: Any) -> Any:
    """What a condition makes of a value: True or False, or unknown."""
    return UNKNOWN if is_unknown(value) or holds_more(value) else bool(value)


def is_ordered(value: Any) -> bool:
    """Whether the order of what is in it is the same in each process."""
    return not isinstance(value, set | frozenset) or len(value) < 2


def may_be_iterated(value: Any) -> bool:
    return isinstance(value, Iterable) and not is_unknown(value) and not holds_more(value) and is_ordered(value)


def holds_settings(value: Any) -> bool:
    """Whether it is an object that holds settings: a dataclass, a member of an enum, a namespace."""
    return (is_dataclass(value) and not isinstance(value, type)) or isinstance(value, enum.Enum | types.SimpleNamespace)


def of_an_object(value: Any, name: str) -> Any:
    """An attribute of an object that holds settings, unless it could be changed in its place."""
    if not holds_settings(value):
        return UNKNOWN
    if isinstance(value, enum.Enum):
        found = getattr(value, name) if name in ("value", "name") else UNKNOWN
    else:
        found = getattr(value, "__dict__", {}).get(name, UNKNOWN)
    return found if isinstance(found, str | int | float | tuple | type(None)) else UNKNOWN


def makes_settings(kind: Any) -> bool:
    """Whether a class only holds what it is given: a dataclass without code of its own, or a namespace."""
    if kind is types.SimpleNamespace:
        return True
    if not isinstance(kind, type) or not is_dataclass(kind) or hasattr(kind, "__post_init__"):
        return False
    return bool(kind.__init__.__code__.co_filename == "<string>")  # it is made by dataclass


def spoil(value: Any) -> None:
    """Something unknown was done to a list: for all who hold it, it isn't known any more."""
    if isinstance(value, list):
        value[:] = [MORE]
    elif isinstance(value, dict):
        value.clear()
        value[MORE] = MORE
    elif isinstance(value, set):
        value.clear()
        value.add(MORE)


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


def forgotten(pattern: ast.pattern) -> list[ast.stmt]:
    """Statements that make the variables of a pattern unknown."""
    return [ast.Delete([ast.Name(name, ast.Del())]) for name in stored_names([pattern])]


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


def given_names(body: Iterable[ast.AST]) -> set[str]:
    """The variables that functions are given, which may change them in their place."""
    return {
        one.id
        for node in _nodes(body)
        if isinstance(node, ast.Call) and not _is_builtin(node.func)
        for one in [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(one, ast.Name)
    }


def _is_builtin(function: ast.expr) -> bool:
    """Whether what is called is one of `PURE`, by its usual name."""
    return isinstance(function, ast.Name) and getattr(builtins, function.id, None) in PURE


def calls_self(body: Iterable[ast.AST]) -> bool:
    """Whether a method of `self` is called, which may set any attribute."""
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_self(node.func.value)
        for node in _nodes(body)
    )


def _nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


def _is_self(expression: ast.expr) -> bool:
    return isinstance(expression, ast.Name) and expression.id == "self"
