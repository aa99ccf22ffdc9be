"""Which functions only compute: they give the same for the same values, and change nothing.

A pipeline's own function is called as it is where all that it refers to is known to compute; else it is followed.
"""

import ast
import builtins
import functools
import inspect
import types
from typing import Any

from hf_assets.models import known_values as known
from hf_assets.models.known_values import PLAIN_TYPES, PURE, PURE_MODULES
from hf_assets.models.source_code import source_of

# They say what is installed.
OF_THE_INSTALLATION = "diffusers.utils.import_utils"


def is_pure(function: Any) -> bool:
    """Whether it is a builtin, or a function of the standard library, that computes; or a class that holds settings."""
    return (
        (isinstance(function, types.BuiltinFunctionType | type) and function in PURE)
        or function is functools.reduce
        or (isinstance(function, types.BuiltinMethodType) and function in PURE)
        or (isinstance(function, types.MethodDescriptorType) and function.__objclass__ in PLAIN_TYPES)
        or (inspect.isroutine(function) and getattr(function, "__module__", None) in PURE_MODULES)
        or known.makes_settings(function)
    )


@functools.lru_cache(maxsize=256)
def computes(function: Any) -> bool:
    """Whether a function of Python only computes, by all that its source refers to."""
    return _computes(function, set())


def _computes(function: Any, seen: set[Any]) -> bool:
    if function in seen:
        return True
    seen.add(function)
    if function.__code__.co_freevars or hasattr(function, "__wrapped__"):
        return False
    try:
        tree = source_of(function)
    except (OSError, TypeError, SyntaxError):
        return False
    if any(isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom) for node in ast.walk(tree)):
        return False
    own = known.stored_names(tree.body) | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)} - own
    outer = function.__globals__
    changed = known.changed_lists(tree.body) - own
    annotations = {name for name in used if name in _in_annotations(tree)}
    return not any(isinstance(outer.get(name), known.CONTAINERS) for name in changed) and all(
        _is_harmless(outer.get(name, getattr(builtins, name, None)), name, name in outer, seen)
        for name in used - annotations
    )


def _in_annotations(tree: ast.AST) -> set[str]:
    """What is named in annotations and decorators' places alone, which no call evaluates."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        for one in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(one, ast.AST):
                inside |= {id(part) for part in ast.walk(one)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {one.id for one in names if id(one) in inside} - {one.id for one in names if id(one) not in inside}


def _is_harmless(value: Any, name: str, is_global: bool, seen: set[Any]) -> bool:
    if not is_global:
        return hasattr(builtins, name) and name not in known.IMPURE
    if isinstance(value, types.ModuleType):
        return value.__name__ in PURE_MODULES
    if isinstance(value, PLAIN_TYPES) or is_pure(value):
        return True
    if inspect.isfunction(value):
        return value.__module__ == OF_THE_INSTALLATION or _computes(value, seen)
    return isinstance(value, type) and issubclass(value, Exception)
