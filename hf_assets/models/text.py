"""The text side of a pipeline: captions to embeddings, without a VAE or denoiser in memory.

Shape letters: L tokens, D width.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hf_assets.errors import MediaError, ModelError
from hf_assets.models import chat_templates, families, model_loading, prompt, token_limits, tokenizing
from hf_assets.models.components import TEXT_PARTS, VAES, shells_of, text_components
from hf_assets.models.pipeline import INDEX, Pipeline, names_component
from hf_assets.models.token_limits import Counted

# Bump when a change to this side of the package changes an embedding.
VERSION = 2

if TYPE_CHECKING:
    import torch

    from hf_assets.models.model_loading import Device, Quantization

PROBE_CAPTION = "a photo"
# A tokenizer that knows anything distinguishes some of these.
PROBE_WORDS = ("a", "b", "e", "i", "1", ".")
# What a pipeline's code raises where something that it counts on is absent.
FAILURES = (
    OSError,
    ValueError,
    ImportError,
    AttributeError,
    TypeError,
    LookupError,
    NotImplementedError,
    RecursionError,
)


def load_text(
    pipeline: Pipeline,
    device: "Device",
    dtype: "torch.dtype",
    *,
    quantization: "Quantization | None" = None,
    offload: bool = False,
) -> "TextEncoder":
    """Load the pipeline's text encoders and tokenizers. No weight of its denoiser, VAE or image encoders is fetched.

    Args:
        quantization, offload: see `model_loading.load_model`.

    Raises:
        ModelError: there is no text side, it needs more than captions, or its weights can't be loaded.
    """
    kind = prompt.pipeline_class(pipeline)
    components = text_components(pipeline)
    usage = prompt.with_settings(prompt.usage(kind), pipeline)
    parts: dict[str, Any] = {name: None for name, entry in pipeline.index.items() if names_component(entry)}
    # What the index leaves out, such as a VAE for which another stands in, the constructor asks for all the same.
    parts |= dict.fromkeys(_required_components(kind) - parts.keys() - pipeline.index.keys())
    # A guard that the constructor would make, for which it needs another library (Cosmos): captions don't pass it.
    parts |= {name: Unused() for name in prompt.made_by_constructor(kind) if parts.get(name, name) is None}
    for component in components:
        if component.is_model:
            parts[component.name] = model_loading.load_model(
                component, device, dtype, quantization=quantization, offload=offload
            )
    small = [file for component in components if not component.is_model for file in component.files]
    schedulers = [name for name in pipeline.components if name.endswith("scheduler")]
    small += [path for path in pipeline.repository.paths if path.rpartition("/")[0] in schedulers]
    folder = pipeline.repository.fetch([INDEX, *small])
    for name in schedulers:  # a few numbers, which some constructors read
        model_loading.class_of(pipeline.repository, *pipeline.components[name])
        del parts[name]

    def open_pipeline(shells: Iterable[str]) -> TextEncoder:
        for component in components:
            if not component.is_model and parts[component.name] is None:
                parts[component.name] = part = model_loading.load_small(component, folder)
                chat_templates.bound(part, component.name, pipeline.name)
        given = {**parts, **{name: model_loading.shell_of(pipeline, name, dtype) for name in shells}}
        with model_loading.quiet():
            model = kind.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **given)
            _must_know_words(model, pipeline)
        # bitsandbytes decides which columns need 16 bits by all rows that it gets at once
        return TextEncoder(model, usage, device, dtype, one_at_a_time=quantization == "8bit")

    return _first_that_works(open_pipeline, pipeline)


class Unused:
    """In place of a component that a constructor would make for itself, and that reading captions doesn't need."""


def _required_components(kind: Any) -> set[str]:
    """The components without which a pipeline can't be made."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return {
        one.name
        for one in parameters
        if one.default is inspect.Parameter.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    }


def _must_know_words(model: Any, pipeline: Pipeline) -> None:
    """Refuse a tokenizer whose vocabulary is missing: transformers makes one that knows no word, and says nothing."""
    for name, part in model.components.items():
        if "tokenizer" in name and isinstance(getattr(part, "model_max_length", None), int):
            read = part(list(PROBE_WORDS), truncation=False, padding=False)["input_ids"]
            if all(ids == read[0] for ids in read):
                raise ModelError(
                    f"{pipeline.name}: {name} reads every text alike, as one without its vocabulary does: "
                    "fetch the model again"
                )


def _first_that_works(open_pipeline: Callable[[Iterable[str]], "TextEncoder"], pipeline: Pipeline) -> "TextEncoder":
    """Open the pipeline with the shells that its row names; without a row with none, then with all there may be."""
    shells = shells_of(pipeline)
    if not families.of(pipeline.class_name).text.outputs:
        try:
            return open_pipeline(())
        except FAILURES:  # mostly of a component that is None
            shells = [*shells, *(name for name in VAES if name in pipeline.components and name not in shells)]
    try:
        return open_pipeline(shells)
    except FAILURES as error:
        why = " ".join(str(error).split()).rstrip(".")
        empty = [
            name for name, entry in pipeline.index.items() if name.startswith(TEXT_PARTS) and entry == [None, None]
        ]
        raise ModelError(
            f"the text side of {pipeline.name} can't be used as {pipeline.class_name}: {why}. "
            + (
                f"In its model_index.json, {' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty. "
                if empty
                else ""
            )
            + "Install what it asks for, or choose another pipeline"
        ) from error


class Outputs(NamedTuple):
    """What `encode_prompt` returned for captions that were encoded together, where it was computed.

    Attributes:
        values: by name: tensors with or without a batch axis, or lists of one tensor for each caption.
    """

    num_captions: int
    values: "dict[str, torch.Tensor | list[torch.Tensor]]"

    @property
    def tensors(self) -> "list[torch.Tensor]":
        """All of them, in the order in which `map` goes through them."""
        each = (value if isinstance(value, list) else [value] for value in self.values.values())
        return [tensor for some in each for tensor in some]

    def map(self, change: "Callable[[torch.Tensor], torch.Tensor]") -> "Outputs":
        """Each tensor replaced."""
        values = {
            name: [change(one) for one in value] if isinstance(value, list) else change(value)
            for name, value in self.values.items()
        }
        return Outputs(self.num_captions, values)


class TextEncoder:
    """All text encoders of one pipeline, on one device.

    Use it in a `with` block: its memory is given back at the end, so that a VAE finds room.

    Attributes:
        dtype: of the weights and of the embeddings.
        names: what `encode_prompt` calls its outputs, in order, of those that are kept.
        batches: whether several captions go into one forward. A caption's value is the same to 1e-5 either way.
        ignored: output -> the mask of the positions of it that the denoiser attends to, where it is known that it
            doesn't attend to the others.
        takes_lyrics, takes_duration: what belongs to a caption beside its text.
    """

    def __init__(
        self, pipeline: Any, usage: prompt.Usage, device: "Device", dtype: "torch.dtype", *, one_at_a_time: bool = False
    ) -> None:
        self.device = device
        self.dtype = dtype
        family = families.of(type(pipeline).__name__)
        self.batches = family.text.batches and not one_at_a_time and not usage.takes_one
        self.ignored = family.text.ignored
        self.takes_lyrics = usage.takes(prompt.LYRICS)
        self.takes_duration = usage.takes(prompt.DURATION)
        self.pipeline = pipeline
        self._usage = usage
        self._unreadable: dict[str, bool] = {}
        self._computed: dict[str, Outputs] = {}
        self._tokens: tokenizing.Ahead | None = None
        self._batch_axes = self._probe()
        self.names = tuple(self._batch_axes)

    def encode(
        self,
        captions: Sequence[str],
        *,
        lyrics: Sequence[str] | None = None,
        durations_s: Sequence[float] | None = None,
    ) -> list[dict[str, "torch.Tensor"]]:
        """Encode each caption as if it were alone. What is beyond the tokenizer's limit is cut, as generation does.

        Args:
            lyrics, durations_s: one for each caption, for pipelines that take them.

        Returns:
            for each caption, in order, name -> tensor on the CPU without a batch axis, floats in the encoder's dtype:
            mostly (L, D), (D,) or an (L,) mask. An output without a batch axis, such as Flux's text_ids, is given
            whole to each caption.

        Raises:
            MediaError: a caption can't be encoded (`problem`).
        """
        outputs = self.compute(captions, lyrics=lyrics, durations_s=durations_s)
        return [
            # brought to main memory at once: the device is waited for once, not for each caption
            caption
            for one in outputs
            for caption in self.take_apart(one.map(lambda tensor: tensor.cpu()))
        ]

    def compute(
        self,
        captions: Sequence[str],
        *,
        lyrics: Sequence[str] | None = None,
        durations_s: Sequence[float] | None = None,
    ) -> list[Outputs]:
        """What `encode` does on the device: start it, and leave the results there. See `take_apart`."""
        own: dict[str, Sequence[Any]] = {}
        for name, values, is_taken in (
            (prompt.LYRICS, lyrics, self.takes_lyrics),
            (prompt.DURATION, durations_s, self.takes_duration),
        ):
            if values is not None:
                assert is_taken, f"{type(self.pipeline).__name__} takes no {name}"
                own[name] = values
        captions = self._rewritten(captions)
        if self.batches and captions and not own:
            return [Outputs(len(captions), self._call(list(captions), {}))]
        return [
            self._compute_alone(caption, {name: values[index] for name, values in own.items()})
            for index, caption in enumerate(captions)
        ]

    def _compute_alone(self, caption: str, extra: dict[str, Any]) -> Outputs:
        if not extra and (computed := self._computed.pop(caption, None)) is not None:
            return computed
        return Outputs(1, self._call([caption], extra))

    def take_apart(self, outputs: Outputs) -> list[dict[str, "torch.Tensor"]]:
        """What of it belongs to each caption, as `encode` returns it. In any thread.

        Args:
            outputs: in main memory.
        """
        values = outputs.values.items()
        return [
            {name: self._pick(name, value, index) for name, value in values} for index in range(outputs.num_captions)
        ]

    def begin_tokenizing(self) -> None:
        """From now on it is seen how captions are tokenized, and `tokenize` may be called."""
        self._tokens = tokenizing.Ahead(self.pipeline)

    def tokenize(self, captions: Sequence[str], *, together: bool = True) -> None:
        """Make the tokens of captions that `compute` will be given, while it computes others. In a thread of its own.

        Args:
            together: whether it will be given nothing else with them, such as lyrics.
        """
        assert self._tokens is not None, "tokenizing has begun"
        try:
            captions = self._rewritten(captions)
        except MediaError:
            return  # `problem` reports it
        for some in [captions] if self.batches and together else [[caption] for caption in captions]:
            self._tokens.make(some)

    def _rewritten(self, captions: Sequence[str]) -> Sequence[str]:
        if not self._usage.reads_each:
            return captions
        return [prompt.rewritten(type(self.pipeline), caption) for caption in captions]

    def problem(self, caption: str) -> MediaError | None:
        """Why this caption can't be encoded, if so: the pipeline makes pictures of it, or its tokenizers make no token
        of an empty text, which the text encoders can't read.
        """
        if caption.strip():
            if not self._usage.reads_each:
                return None
            try:
                prompt.rewritten(type(self.pipeline), caption)
            except MediaError as error:
                return error
            return None
        if caption not in self._unreadable:
            self._unreadable[caption] = self._is_unreadable(caption)
        if not self._unreadable[caption]:
            return None
        return MediaError("no_tokens", "the tokenizer makes no token of an empty caption, so there is none to encode")

    def _is_unreadable(self, caption: str) -> bool:
        """Whether it has no token and can't be encoded. It is tried only where it has none, and what comes of that
        counts where captions are encoded alone.
        """
        import torch

        try:
            counts = [limited.tokens for limited in self.tokens([caption]).values()]
        except Exception:  # a tokenizer that nobody tried in this way: what it does shows when captions are encoded
            return False
        if [0] not in counts:
            return False
        try:
            [outputs] = self.compute([caption])
        except torch.OutOfMemoryError:
            raise
        except Exception:  # of the pipeline's code, or of torch, whichever counts on a token
            return True
        if not self.batches:
            self._computed[caption] = outputs
        return False

    def num_tokens(self, captions: list[str]) -> list[int] | None:
        """How many tokens each caption has, before anything is cut; None where no tokenizer says.

        Of several tokenizers, the one that takes the longest captions counts.
        """
        found: list[Any] = [part for name, part in self.pipeline.components.items() if "tokenizer" in name]
        known = [part for part in found if isinstance(getattr(part, "model_max_length", None), int)]
        if not known or not captions:
            return None
        tokenizer = max(known, key=lambda part: int(part.model_max_length))
        with model_loading.quiet():
            return [len(ids) for ids in tokenizer(captions, truncation=False, padding=False)["input_ids"]]

    def tokens(self, captions: list[str]) -> dict[str, Counted]:
        """How many tokens each caption has for each tokenizer, and how many each takes."""
        tokenizers = {name: part for name, part in self.pipeline.components.items() if "tokenizer" in name}
        return token_limits.counted(tokenizers, self._usage.calls[0].arguments, captions)

    def release(self) -> None:
        """Give the memory back. The encoder can't be used afterwards."""
        self.pipeline = None
        model_loading.free_memory(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _call(self, captions: list[str], extra: dict[str, Any]) -> dict[str, Any]:
        """Outputs by name: tensors with or without a batch axis, or lists of one tensor for each caption."""
        import torch

        named: dict[str, Any] = {}
        if self._tokens is not None:
            self._tokens.encodes(captions)
        for call in self._usage.calls:
            # Fresh each time: Z-Image's encode_prompt rewrites the caller's list.
            assert len(captions) == 1 or not self._usage.takes_one, "it takes one caption at a time"
            fresh = captions[0] if self._usage.takes_one else list(captions)
            given = {"device": torch.device(self.device), "batch_size": len(captions)}
            given = {name: value for name, value in given.items() if name in self._usage.given}
            given[self._usage.caption] = fresh
            with torch.inference_mode(), model_loading.quiet():
                outputs = self.pipeline.encode_prompt(**given, **{**copy.deepcopy(call.arguments), **extra})
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            names = self._usage.names
            assert len(outputs) == len(names), f"encode_prompt returns {len(outputs)} values for {names}"
            for name, value in zip(names, outputs, strict=True):
                if not name.startswith(prompt.NEGATIVE):
                    named |= dict(_tensors(f"{name}{call.suffix}", value, len(captions)))
        return named

    def _probe(self) -> dict[str, int | None]:
        """Output -> its batch axis: of one element alone, and of two where the same caption is given twice."""
        alone = self._call([PROBE_CAPTION], {})
        try:
            twice = self._call([PROBE_CAPTION] * 2, {})
        except Exception:  # of the pipeline's code, which then encodes captions alone
            if self.batches:
                raise
            twice = {}
        return {name: _batch_axis(value, twice.get(name)) for name, value in alone.items()}

    def _pick(self, name: str, value: Any, index: int) -> "torch.Tensor":
        import torch

        if isinstance(value, list):
            value = value[index]
        else:
            axis = self._batch_axes[name] if name in self._batch_axes else _batch_axis(value, None)
            value = value if axis is None else value.select(axis, index)
        own = torch.empty(value.shape, dtype=self.dtype if value.is_floating_point() else value.dtype)
        return own.copy_(value)  # memory of its own: a slice would keep the whole batch alive


def _tensors(name: str, value: Any, num_captions: int) -> Iterator[tuple[str, Any]]:
    """The tensors of one output. A list of one for each caption stays a list; others are numbered, dicts are named."""
    import torch

    if isinstance(value, dict):
        value = [(f"{name}_{key}", inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        if len(value) == num_captions and all(torch.is_tensor(inner) for inner in value):
            yield name, list(value)
            return
        value = [(f"{name}_{index}", inner) for index, inner in enumerate(value)]
    elif torch.is_tensor(value):
        yield name, value
        return
    elif isinstance(value, int | float):
        yield name, torch.tensor(value)
        return
    elif value is None:
        return
    else:
        raise TypeError(f"encode_prompt returns a {type(value).__name__} for {name}, which is no tensor")
    for inner_name, inner in value:
        yield from _tensors(inner_name, inner, num_captions)


def _batch_axis(alone: Any, twice: Any) -> int | None:
    """The axis along which captions lie: of one element, that become two with two captions; None where none does.

    Where the pipeline takes no two captions, it is the first of one element.
    """
    if isinstance(alone, list):
        return 0
    sizes = list(alone.shape)
    if twice is None or isinstance(twice, list):
        return sizes.index(1) if 1 in sizes else None
    grown = [axis for axis, (one, two) in enumerate(zip(sizes, twice.shape, strict=True)) if (one, two) == (1, 2)]
    return grown[0] if grown else None
