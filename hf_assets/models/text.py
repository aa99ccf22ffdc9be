"""The text side of a pipeline: captions to embeddings, without a VAE or denoiser in memory.

Shape letters: L tokens, D width.
"""

import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hf_assets.errors import ModelError
from hf_assets.models import families, loading, prompt
from hf_assets.models.components import shell_of, text_components
from hf_assets.models.source import INDEX, Pipeline, names_component

# Bump when a change to this side of the package changes an embedding.
VERSION = 1

if TYPE_CHECKING:
    import torch

    from hf_assets.models.loading import Device

PROBE_CAPTION = "a photo"


def load_text(pipeline: Pipeline, device: "Device", dtype: "torch.dtype") -> "TextEncoder":
    """Load the pipeline's text encoders and tokenizers. No weight of its denoiser, VAE or image encoders is fetched.

    Raises:
        ModelError: there is no text side, it needs more than captions, or its weights can't be loaded.
    """
    kind = prompt.pipeline_class(pipeline)
    arguments = prompt.arguments(kind)
    components = text_components(pipeline)
    parts: dict[str, Any] = {name: None for name, entry in pipeline.index.items() if names_component(entry)}
    for component in components:
        if component.is_model:
            parts[component.name] = loading.load_model(component, device, dtype)
        else:
            del parts[component.name]  # tokenizers and processors are loaded by the pipeline itself
    if (name := shell_of(pipeline)) is not None:
        parts[name] = loading.shell(pipeline.repository, *pipeline.components[name], name)

    small = [file for component in components if not component.is_model for file in component.files]
    schedulers = [name for name in pipeline.components if name.endswith("scheduler")]
    small += [path for path in pipeline.repository.paths if path.rpartition("/")[0] in schedulers]
    for name in schedulers:
        del parts[name]  # a few numbers, which some constructors read
    folder = pipeline.repository.fetch([INDEX, *small])
    with loading.quiet():
        try:
            model = kind.from_pretrained(folder, use_safetensors=True, **parts)
        except (OSError, ValueError, ImportError, AttributeError) as error:
            raise ModelError(f"the text side of {pipeline.name} can't be loaded as {kind.__name__}: {error}") from error
    return TextEncoder(model, arguments, device, dtype)


class TextEncoder:
    """All text encoders of one pipeline, on one device.

    Use it in a `with` block: its memory is given back at the end, so that a VAE finds room.

    Attributes:
        dtype: of the weights and of the embeddings.
        names: what `encode_prompt` calls its outputs, in order, of those that are kept.
        batches: whether several captions go into one forward. A caption's value is the same to 1e-5 either way.
    """

    def __init__(self, pipeline: Any, arguments: dict[str, Any], device: "Device", dtype: "torch.dtype") -> None:
        self.device = device
        self.dtype = dtype
        self.batches = families.of(type(pipeline).__name__).text.batches
        self._pipeline = pipeline
        self._arguments = arguments
        self._returned = prompt.returned_names(type(pipeline))
        self._batch_axes = self._probe()
        self.names = tuple(self._batch_axes)

    def encode(self, captions: list[str]) -> list[dict[str, "torch.Tensor"]]:
        """Encode each caption as if it were alone. What is beyond the tokenizer's limit is cut, as generation does.

        Returns:
            for each caption, in order, name -> tensor on the CPU without a batch axis, floats in the encoder's dtype:
            mostly (L, D), (D,) or an (L,) mask. An output without a batch axis, such as Flux's text_ids, is given
            whole to each caption.
        """
        if not captions:
            return []
        calls = [captions] if self.batches else [[caption] for caption in captions]
        return [
            {name: self._pick(name, value, index) for name, value in outputs.items()}
            for call in calls
            for outputs in [self._call(call)]
            for index in range(len(call))
        ]

    def num_tokens(self, captions: list[str]) -> list[int] | None:
        """How many tokens each caption has, before anything is cut; None where no tokenizer tells.

        Of several tokenizers, the one that takes the longest captions counts.
        """
        found: list[Any] = [part for name, part in self._pipeline.components.items() if "tokenizer" in name]
        known = [part for part in found if isinstance(getattr(part, "model_max_length", None), int)]
        if not known or not captions:
            return None
        tokenizer = max(known, key=lambda part: int(part.model_max_length))
        with loading.quiet():
            return [len(ids) for ids in tokenizer(captions, truncation=False, padding=False)["input_ids"]]

    def release(self) -> None:
        """Give the memory back. The encoder can't be used afterwards."""
        self._pipeline = None
        loading.free_memory(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _call(self, captions: list[str]) -> dict[str, Any]:
        """Outputs by name: tensors with or without a batch axis, or lists of one tensor for each caption."""
        import torch

        with torch.inference_mode(), loading.quiet():
            # Copies: Z-Image's encode_prompt rewrites the caller's list.
            outputs = self._pipeline.encode_prompt(
                prompt=list(captions), device=torch.device(self.device), **copy.deepcopy(self._arguments)
            )
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert len(outputs) == len(self._returned), f"encode_prompt returns {len(outputs)} values for {self._returned}"
        by_name = zip(self._returned, outputs, strict=True)
        return {name: value for name, value in by_name if value is not None and "negative" not in name}

    def _probe(self) -> dict[str, int | None]:
        """Output -> its batch axis: the one that doubles when the same caption is given twice. None where none does."""
        alone, twice = self._call([PROBE_CAPTION]), self._call([PROBE_CAPTION] * 2)
        axes: dict[str, int | None] = {}
        for name, value in alone.items():
            if isinstance(value, list):
                axes[name] = 0
                continue
            sizes = enumerate(zip(value.shape, twice[name].shape, strict=True))
            grown = [axis for axis, (one, two) in sizes if two == 2 * one]
            assert len(grown) <= 1, f"{name} grows from {tuple(value.shape)} to {tuple(twice[name].shape)}"
            axes[name] = grown[0] if grown else None
        return axes

    def _pick(self, name: str, value: Any, index: int) -> "torch.Tensor":
        import torch

        axis = self._batch_axes[name]
        if isinstance(value, list):
            value = value[index]
        elif axis is not None:
            value = value.select(axis, index)
        own = torch.empty(value.shape, dtype=self.dtype if value.is_floating_point() else value.dtype)
        return own.copy_(value)  # memory of its own: a slice would keep the whole batch alive
