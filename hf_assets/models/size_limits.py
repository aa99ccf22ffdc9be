"""A configuration may name any size: it is held against the weights before memory is taken for it."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_assets.errors import ModelError
from hf_assets.models import text_growth

if TYPE_CHECKING:
    from hf_assets.models.pipeline import Component

# The largest models have some hundred layers; each becomes objects of Python, whatever lies in the weights.
MAX_LAYERS = 2048
COUNTS = ("layer", "block", "depth", "stage", "expert")
MAX_ITEMS = 1 << 20
# Endings of the keys by which transformers may be asked for code of the Hub.
KERNELS = ("attn_implementation", "attn_implementation_internal", "experts_implementation", "kernel_config")
# Tokens of a caption to which one may be padded. A tokenizer without a limit says 10^30, to which none pads.
MAX_TOKENS, NO_LIMIT = 1 << 22, 10**20
# Weights are kept in half a byte at least; what isn't in the files (positions, tables of rotations) is less than this.
VALUES_PER_BYTE, OTHER_VALUES = 2, 1 << 28


def require_layers(config: dict[str, Any], at: str) -> None:
    """Refuse a configuration of which a model can't even be built without weights.

    Raises:
        ModelError: it names more layers, or longer lists, than any model has.
    """
    for name, value in _entries(config, ""):
        is_count = any(word in name.rpartition(".")[2] for word in COUNTS)
        number = len(value) if isinstance(value, list) else value
        if (is_count or isinstance(value, list)) and number > (MAX_LAYERS if is_count else MAX_ITEMS):
            raise ModelError(
                f"{at}/config.json has {number:,d} for {name}, more than any model: choose another model or revision"
            )


def require_no_kernel(config: Any, at: str) -> None:
    """Refuse a configuration that names a repository whose code computes attention: transformers would run it.

    Raises:
        ModelError: it does.
    """
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += [one for one in value if isinstance(one, dict | list)]
        for key, inner in value.items() if isinstance(value, dict) else ():
            named = inner.values() if isinstance(inner, dict) else [inner]
            if key.endswith(KERNELS) and any(isinstance(one, str) and "/" in one for one in named):
                raise ModelError(
                    f"{at}/config.json names code of another repository ({key}: {str(inner)[:100]!a}), which is never "
                    "run: remove it there, or choose another model"
                )
            waiting.append(inner)


def _entries(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Names and values of all integers and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entries(inner, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        yield name, value
        for inner in value[:MAX_LAYERS]:
            yield from _entries(inner, name)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value


def require_tokens(part: Any, at: str) -> None:
    """Refuse a tokenizer that would pad captions to more tokens than there is memory for.

    Raises:
        ModelError: it would.
    """
    tokenizer = getattr(part, "tokenizer", part)
    text_growth.require(tokenizer, at)
    limit = getattr(tokenizer, "model_max_length", None) or 0
    if MAX_TOKENS < limit < NO_LIMIT:
        raise ModelError(
            f"{at} takes captions of up to {limit:,d} tokens (model_max_length), more than any model: choose another "
            "model or revision, or set model.tokenizer_max_length"
        )


def require_weights(kind: Any, component: "Component", root: Path, at: str) -> None:
    """Build the model without memory, and count its values: they are to be in the weights.

    Args:
        root: of the repository, with the component's files.

    Raises:
        ModelError: the configuration is of a far larger model.
    """
    import torch
    import transformers

    config = component.repository.read_json(f"{component.folder}/config.json".lstrip("/"))
    require_layers(config, at)
    require_no_kernel(config, at)
    weights = [root / file for file in component.files if file.endswith(".safetensors")]
    if component.single_file is not None:
        weights.append(component.single_file.fetch())
    num_bytes = sum(file.stat().st_size for file in weights)
    with torch.device("meta"):
        try:
            if issubclass(kind, transformers.PreTrainedModel):
                model = kind(kind.config_class.from_dict(config))
            else:
                model = kind.from_config(config)
            values = itertools.chain(model.parameters(), model.buffers())
            num_values = sum(one.numel() for one in values)
        except (RuntimeError, ValueError, TypeError, AttributeError, MemoryError, OverflowError):
            return  # a configuration of nothing that can be built: loading says so
    if num_values > VALUES_PER_BYTE * num_bytes + OTHER_VALUES:
        raise ModelError(
            f"{at}/config.json is of a model of {num_values:,d} values, of which the {num_bytes:,d} bytes of its "
            "weights can hold but a part: choose another model or revision"
        )
