"""Resources under names of their own, where another project has resources of the usual names."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import dagster as dg

F = TypeVar("F", bound=Callable[..., Any])


def with_resource_prefix(prefix: str) -> Callable[[F], F]:
    """Let Dagster see a function's resources as parameters whose names begin with a prefix.

    Dagster takes a resource's name from that of the parameter that asks for it.
    """

    def named(function: F) -> F:
        parameters = inspect.signature(function).parameters
        usual = {prefix + name: name for name, one in parameters.items() if _is_resource(one.annotation)}
        if not prefix or not usual:
            return function

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **{usual.get(name, name): value for name, value in kwargs.items()})

        seen = [one.replace(name=prefix + name) if prefix + name in usual else one for name, one in parameters.items()]
        signature = inspect.signature(function).replace(parameters=seen)
        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in seen} | {"return": signature.return_annotation}
        return called  # type: ignore[return-value]

    return named


def _is_resource(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, dg.ConfigurableResource)
