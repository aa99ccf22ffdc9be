"""How a pipeline's own `encode_prompt` is to be called, read from its signature and source."""

import ast
import inspect
import json
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

from hf_assets import files
from hf_assets.errors import ModelError
from hf_assets.models import loading
from hf_assets.models.source import Pipeline

# What the caller of `encode_prompt` gives at each call; everything else is the same for all captions.
GIVEN = frozenset({"self", "prompt", "device"})


def pipeline_class(pipeline: Pipeline) -> Any:
    """The class that model_index.json names.

    Raises:
        ModelError: this version of diffusers has no such class.
    """
    return loading.class_of(pipeline.repository, "diffusers", pipeline.class_name)


def arguments(kind: Any) -> dict[str, Any]:
    """The arguments of `encode_prompt` that generation would give, beside prompt and device: JSON values.

    `encode_prompt`'s own defaults are not what generation uses (Wan's max_sequence_length is 226 there and 512 in
    `__call__`), so `__call__`'s come first. One caption is encoded once, without a negative prompt.

    Raises:
        ModelError: the class has no `encode_prompt`, or one that needs more than a caption.
    """
    if not hasattr(kind, "encode_prompt"):
        raise ModelError(f"{kind.__name__} has no encode_prompt, so it reads no captions: choose a pipeline that does")
    wanted = inspect.signature(kind.encode_prompt).parameters
    if "prompt" not in wanted:
        raise ModelError(
            f"{kind.__name__}.encode_prompt takes no argument prompt: choose a pipeline that reads captions"
        )
    offered = inspect.signature(kind.__call__).parameters
    chosen: dict[str, Any] = {}
    for name, parameter in wanted.items():
        if name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name == "do_classifier_free_guidance":
            chosen[name] = False
        elif name.startswith("num_") and name.endswith("_per_prompt"):
            chosen[name] = 1
        elif name in offered and offered[name].default is not inspect.Parameter.empty:
            chosen[name] = offered[name].default
        elif parameter.default is inspect.Parameter.empty:
            raise ModelError(
                f"{kind.__name__}.encode_prompt needs {name} beside the caption, which captions don't tell: "
                "choose another pipeline"
            )
    return chosen


def remembered_arguments(pipeline: Pipeline, cache: Path | None) -> dict[str, Any]:
    """`arguments` of the pipeline's class. They are the same for one version of diffusers, whose import takes seconds.

    Args:
        cache: a JSON file that remembers them by version and class; None: they are read from the class.

    Raises:
        ModelError: see `pipeline_class` and `arguments`.
    """
    key = f"diffusers {metadata.version('diffusers')} {pipeline.class_name}"
    try:
        known = json.loads(cache.read_text()) if cache else {}
    except (FileNotFoundError, ValueError):
        known = {}
    if key not in known:
        # as they look after a round trip, so that the first fingerprint is the same as later ones
        known[key] = json.loads(json.dumps(arguments(pipeline_class(pipeline))))
        if cache:
            files.write_atomically(cache, json.dumps(known).encode())
    chosen: dict[str, Any] = known[key]
    return chosen


def returned_names(kind: Any) -> tuple[str, ...]:
    """What `encode_prompt` calls the values that it returns, in order: read from its last `return`."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(kind.encode_prompt)))
    returns = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return) and node.value is not None]
    value = max(returns, key=lambda node: node.lineno).value
    assert value is not None
    return tuple(_first_name(element) for element in (value.elts if isinstance(value, ast.Tuple) else [value]))


def _first_name(expression: ast.expr) -> str:
    names = [node for node in ast.walk(expression) if isinstance(node, ast.Name)]
    assert names, f"no name in {ast.unparse(expression)}"
    return min(names, key=lambda node: (node.lineno, node.col_offset)).id
