"""Placeholders in paths: `{id}`, `{model_family}`, `{output_dir}` and `{env:NAME}`, as SimpleTuner has them."""

import os
import re
from collections.abc import Mapping

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
ENVIRONMENT = "env:"


class PlaceholderError(Exception):
    """A placeholder that stands for nothing."""


def fill_in(path: str, values: Mapping[str, str | None]) -> str:
    """A path with what its placeholders stand for in their place.

    Args:
        values: name -> what it stands for; None: it is known, and has no value here.

    Raises:
        PlaceholderError: one is unknown or has no value, or its environment variable isn't set.
    """
    return PLACEHOLDER.sub(lambda found: _value(found, values), path)


def fill_in_known(path: str, values: Mapping[str, str | None]) -> str:
    """The same of a pattern, in which other braces, as of `{train,test}/*`, mean something else.

    Raises:
        PlaceholderError: a known one has no value, or its environment variable isn't set.
    """

    def value(found: re.Match[str]) -> str:
        return _value(found, values) if found[1] in values or found[1].startswith(ENVIRONMENT) else found[0]

    return PLACEHOLDER.sub(value, path)


def _value(found: re.Match[str], values: Mapping[str, str | None]) -> str:
    name = found[1]
    if name.startswith(ENVIRONMENT):
        variable = name.removeprefix(ENVIRONMENT)
        if value := os.environ.get(variable):
            return value
        state = "is empty" if variable in os.environ else "isn't set"
        raise PlaceholderError(f"names the environment variable {variable}, which {state}; set it, or write the path")
    if name not in values:
        known = ", ".join(f"{{{one}}}" for one in values)
        raise PlaceholderError(f"holds {found[0]}, which is no placeholder; use {known} or {{env:NAME}}")
    if (given := values[name]) is None:
        raise PlaceholderError(f"holds {found[0]}, but no {name} is given; give it, or write the path")
    return given
