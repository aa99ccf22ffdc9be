"""The source of functions, parsed."""

import ast
import functools
import inspect
from typing import Any


@functools.lru_cache(maxsize=256)
def source_of(function: Any) -> ast.Module:
    """The parsed source of a function, whose texts of several lines stay as they are. It is not to be changed."""
    source = inspect.getsource(inspect.unwrap(function))
    if not source[:1].isspace():
        return ast.parse(source)
    (block,) = ast.parse(f"if True:\n{source}").body
    assert isinstance(block, ast.If)
    return ast.Module(block.body, [])
