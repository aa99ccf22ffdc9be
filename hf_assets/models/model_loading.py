"""Loading one component's weights, quietly and completely, and giving the memory back."""

import contextlib
import gc
import importlib
import importlib.util
import inspect
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hf_assets import inert
from hf_assets.errors import ModelError
from hf_assets.models import single_file, size_limits

if TYPE_CHECKING:
    import torch

    from hf_assets.hub.model_repository import Repository
    from hf_assets.models.pipeline import Component, Pipeline

    Device = torch.device | str


# Characters of another library's message.
MAX_MESSAGE = 500
# How linear layers of text encoders may be kept.
Quantization = Literal["8bit", "4bit"]


class _Logging(NamedTuple):
    library: Any
    verbosity: int
    shows_progress: bool


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from reporting what is meant: cut captions, absent components, progress.

    Nor do they report what of torch they use that will be gone one day, nor ask anything.
    """
    import diffusers
    import transformers

    # Nobody is asked on the terminal whether code of a repository may run: it may not.
    transformers.dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    before = []
    for library in (diffusers.utils.logging, transformers.utils.logging):
        before.append(_Logging(library, library.get_verbosity(), library.is_progress_bar_enabled()))
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        for library, verbosity, shows_progress in before:
            library.set_verbosity(verbosity)
            if shows_progress:
                library.enable_progress_bar()


# Modules of pipelines in diffusers, and names of classes. Not `AutoModel` and its like: these read from the repository
# which class to load, and may find it in a third one.
MODULE = re.compile(r"[a-z][a-z0-9_]*")
CLASS = re.compile(r"(?!Auto[A-Z])[A-Z]\w*")
LIBRARIES = ("diffusers", "transformers")
# Class -> where it is by now.
MOVED = {"PaellaVQModel": "diffusers.pipelines.deprecated.wuerstchen"}


def class_of(repository: "Repository", library: str, class_name: str) -> Any:
    """The class that model_index.json names: of diffusers, transformers, or one of diffusers' pipeline modules.

    Raises:
        ModelError: the installed versions have no such class, it is code that lies in the repository, or none that a
            pipeline is made of.
    """
    import diffusers

    if own := sorted(path for path in repository.paths if path.rpartition("/")[2] == f"{library}.py"):
        raise ModelError(
            f"{repository.name} brings its own {class_name} in {own[0]}: code from a repository is never run, "
            "so choose a pipeline that diffusers has"
        )
    if not MODULE.fullmatch(library) or not CLASS.fullmatch(class_name):
        raise _no_component(repository, library, class_name)
    with quiet():
        try:
            kind = getattr(_module_of(library, class_name), class_name)
            if type(kind).__name__ == "DummyObject":  # of a library that isn't installed; using it says which
                kind.from_pretrained()
        except (ImportError, AttributeError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise ModelError(
                f"{repository.name} needs the class {class_name} of {library}, which is not to be had with diffusers "
                f"{diffusers.__version__} here ({why}): upgrade diffusers and transformers, or install what it needs"
            ) from error
    if not isinstance(kind, type) or kind.__module__.split(".")[0] not in LIBRARIES or not issubclass(kind, _bases()):
        raise _no_component(repository, library, class_name)
    return kind


def _module_of(library: str, class_name: str) -> Any:
    """The module that has the class: diffusers moves those of old pipelines without telling the repositories."""
    if library == "transformers":
        return importlib.import_module(library)
    moved = MOVED.get(class_name)
    names = [library if library == "diffusers" else f"diffusers.pipelines.{library}", *([moved] if moved else [])]
    for name in names[:-1]:
        with contextlib.suppress(ModuleNotFoundError):
            if hasattr(module := importlib.import_module(name), class_name):
                return module
    return importlib.import_module(names[-1])


def _bases() -> tuple[type, ...]:
    """What pipelines, and the components of pipelines, are."""
    import diffusers
    import transformers
    from diffusers import configuration_utils
    from transformers import feature_extraction_utils, image_processing_utils, processing_utils, tokenization_utils_base

    return (
        *(diffusers.DiffusionPipeline, diffusers.ModelMixin, diffusers.SchedulerMixin, configuration_utils.ConfigMixin),
        *(transformers.PreTrainedModel, tokenization_utils_base.PreTrainedTokenizerBase),
        *(processing_utils.ProcessorMixin, feature_extraction_utils.FeatureExtractionMixin),
        *(image_processing_utils.BaseImageProcessor, transformers.image_processing_base.ImageProcessingMixin),
    )


def _no_component(repository: "Repository", library: str, class_name: str) -> ModelError:
    return ModelError(
        f"{repository.name}: model_index.json names {library}.{class_name}, which is no class of a component: "
        "choose a pipeline that diffusers has"
    )


def load_small(component: "Component", folder: Path) -> Any:
    """A tokenizer, a processor, or what else has no weights.

    Args:
        folder: of the repository, with the component's files in it.
    """
    kind = class_of(component.repository, component.library, component.class_name)
    with quiet():
        if _needs_torchvision(kind):
            part = _for_text(kind, folder / component.folder)
        else:
            part = kind.from_pretrained(folder / component.folder, trust_remote_code=False)
    size_limits.require_tokens(part, f"{component.repository.name}/{component.folder}")
    return part


def _needs_torchvision(kind: Any) -> bool:
    """Whether a class joins a tokenizer with what prepares videos, for which transformers needs torchvision."""
    import transformers
    from transformers.utils import is_torchvision_available

    if not isinstance(kind, type) or not issubclass(kind, transformers.ProcessorMixin):
        return False
    attributes: list[str] = kind.get_attributes()  # type: ignore[attr-defined]
    return "video_processor" in attributes and not is_torchvision_available()


def _for_text(kind: Any, folder: Path) -> Any:
    """A processor that reads text alone, as the whole one does: without what prepares pictures and videos."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    template = getattr(tokenizer, "chat_template", None)
    written = folder / "chat_template.json"
    if written.is_file():  # as processors of earlier versions kept it
        template = json.loads(written.read_text(encoding="utf-8")).get("chat_template", template)
    known = inspect.signature(kind.__init__).parameters
    parts = {name: None for name in kind.get_attributes() if name != "tokenizer" and name in known}
    of_text = type(kind.__name__, (kind,), {"check_argument_for_proper_class": lambda self, name, part: type(part)})
    return of_text(tokenizer=tokenizer, chat_template=template, **parts)


def load_model(
    component: "Component",
    device: "Device",
    dtype: "torch.dtype",
    *,
    quantization: Quantization | None = None,
    offload: bool = False,
) -> Any:
    """One model with all its weights, in evaluation mode. Only the component's own files are fetched.

    Args:
        quantization: the weights of linear layers are kept in 8 or 4 bits by bitsandbytes; for models of transformers.
        offload: weights stay in main memory, and each layer's come to the device while it computes.

    Raises:
        ModelError: the weights can't be read, or some are missing, which the libraries would fill with random numbers.
    """
    import diffusers
    import transformers
    from safetensors import SafetensorError

    if quantization and offload:
        raise ModelError(
            "text_offload of the gpu resource and model.text_quantization exclude each other: unset text_offload "
            "(HF_ASSETS_TEXT_OFFLOAD), or remove text_quantization"
        )
    kind = class_of(component.repository, component.library, component.class_name)
    at = f"{component.repository.name}/{component.folder}".rstrip("/")
    root = component.repository.fetch(component.files)
    folder = root / component.folder
    with quiet():
        size_limits.require_weights(kind, component, root, at)
    if component.single_file is not None:
        if quantization:
            raise ModelError(
                f"{component.single_file.name} is one file, of which text encoders can't be kept in {quantization}: "
                "remove model.text_quantization"
            )
        with quiet():
            model = single_file.load(
                component.single_file, root, component.library, component.class_name, component.folder, dtype
            )
        return _placed(model, device, offload=offload)
    dtype_name = "torch_dtype" if issubclass(kind, diffusers.ModelMixin) else "dtype"
    options: dict[str, Any] = {dtype_name: dtype, "variant": component.variant, "use_safetensors": True}
    if issubclass(kind, transformers.PreTrainedModel):
        options["trust_remote_code"] = False
    if quantization:
        options |= {"quantization_config": _quantization_config(quantization, dtype), "device_map": {"": device}}
    with quiet():
        try:
            model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
        except (OSError, ValueError, TypeError, RuntimeError, OverflowError, ImportError, SafetensorError) as error:
            why = inert.cut(" ".join(str(error).split("\nException raised from")[0].split()), MAX_MESSAGE)
            raise ModelError(f"{at} can't be loaded as {component.class_name}: {why}") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{at} lacks {len(missing):,d} weights of {component.class_name} (first: {missing[0]}): "
            "the file is for another class or version, so choose another revision"
        )
    if quantization:
        return model.eval().requires_grad_(False)  # it is where it is to be
    return _placed(model, device, offload=offload)


def _placed(model: Any, device: "Device", *, offload: bool) -> Any:
    """A model for encoding alone, where it is to compute."""
    import torch

    model = model.eval().requires_grad_(False)
    if offload:
        import accelerate

        return accelerate.cpu_offload(model, execution_device=torch.device(device))
    return model.to(device)


def _quantization_config(quantization: Quantization, dtype: "torch.dtype") -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f'text_quantization "{quantization}" needs bitsandbytes: pip install "hf_assets[quantize]", '
            "or remove text_quantization"
        )
    import transformers

    if quantization == "8bit":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def shell_of(pipeline: "Pipeline", name: str, dtype: "torch.dtype") -> Any:
    """A shell in place of a component, which says that its weights are of that type."""
    with quiet():
        return shell(pipeline.repository, *pipeline.components[name], name).to(dtype)


def shell(repository: "Repository", library: str, class_name: str, folder: str) -> Any:
    """A model that has its configuration and its shapes, but no weights: it is on the meta device.

    Raises:
        ModelError: its config.json can't be read, or isn't one of that class.
    """
    import torch

    kind = class_of(repository, library, class_name)
    config = repository.read_json(f"{folder}/config.json".lstrip("/"))
    size_limits.require_layers(config, f"{repository.name}/{folder}".rstrip("/"))
    with quiet(), torch.device("meta"):
        return kind.from_config(config)


def free_memory(device: "Device") -> None:
    """Give what is no longer referenced back to the device, so that the next model finds room."""
    import torch

    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()
