"""Checkpoints of one safetensors file, in the layout in which a model was trained: whole pipelines without settings.

The settings (`model_index.json`, configurations, tokenizers) are those of the repository that diffusers takes for such
a file; weights are converted by diffusers' own loading of single files.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_assets.errors import ModelError
from hf_assets.hub import model_repository
from hf_assets.hub.model_repository import Repository
from hf_assets.models import class_memory

if TYPE_CHECKING:
    import torch

# Bump when `_layout_of` says another repository for the same tensors.
VERSION = 1

SUFFIX = ".safetensors"
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
ON_HUB = re.compile(r"([\w.-]+/[\w.-]+)/(.+)")
# How the names of tensors begin, of a VAE (`VAE_ALONE`: also in a file of its own) and of each text encoder that
# diffusers converts.
VAE = ("first_stage_model.", "vae.")
VAE_ALONE = (*VAE, "encoder.")
CLIP = ("cond_stage_model.", "conditioner.embedders.", "text_encoders.clip_")
T5 = ("text_encoders.t5xxl.",)
PREFIXES = {"CLIPTextModel": CLIP, "CLIPTextModelWithProjection": CLIP, "T5EncoderModel": T5}
# What diffusers takes everything for that it doesn't know, and what is in such a file.
USUAL = "v1"
OF_USUAL = (*VAE, "cond_stage_model.", "model.diffusion_model.input_blocks.")


@dataclass(frozen=True)
class SingleFile:
    """A checkpoint at one moment.

    Attributes:
        repository: which holds it.
        shapes: of its tensors, by name.
    """

    repository: Repository
    path: str
    shapes: dict[str, tuple[int, ...]] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.repository.name}/{self.path}"

    @property
    def hash(self) -> str:
        return self.repository.hash(self.path)

    def fetch(self) -> Path:
        """Make it present on this machine."""
        return self.repository.fetch([self.path]) / self.path

    def has(self, prefixes: tuple[str, ...]) -> bool:
        """Whether there are tensors whose names begin so."""
        return any(name.startswith(prefixes) for name in self.shapes)


def names_one(name: str) -> bool:
    """Whether a model is named that is one file, and no folder or repository."""
    return name.endswith((SUFFIX, *PICKLED)) and not Path(os.path.expanduser(name)).is_dir()


def resolve(name: str, revision: str | None, *, hash_cache: Path | None = None) -> SingleFile:
    """Pin a checkpoint. Of one on the Hub, only the names and shapes of its tensors are fetched.

    Args:
        name: a file, or `user/repository/file.safetensors`.
        hash_cache: see `model_repository.resolve`.

    Raises:
        ModelError: there is no such file, or it is a pickle, or no file of safetensors.
    """
    if name.endswith(PICKLED):
        raise ModelError(
            f"{name} is a pickle, which can run code and is never loaded: name a {SUFFIX} file, or convert it"
        )
    path = Path(os.path.expanduser(name))
    if path.is_file():
        if revision is not None:
            raise ModelError(f"{name} is a file, which has no revisions: remove revision {revision!r}")
        repository: Repository = model_repository.file_of(path.resolve(), hash_cache)
        return SingleFile(repository, path.name, model_repository.shapes_in(repository, path.name))
    found = None if name.startswith((".", "/", "~")) else ON_HUB.fullmatch(name)
    if found is None:
        raise ModelError(f"the model file {path} does not exist: check it, or give user/repository/file{SUFFIX}")
    repository = model_repository.resolve(found[1], revision, hash_cache=hash_cache)
    if found[2] not in repository.paths:
        near = sorted(one for one in repository.paths if one.endswith(SUFFIX))[:3]
        raise ModelError(f"{repository.name} has no {found[2]}: it has {', '.join(near) or f'no {SUFFIX} file'}")
    return SingleFile(repository, found[2], model_repository.shapes_in(repository, found[2]))


def settings_of(file: SingleFile) -> str:
    """The Hub id of the repository that has the settings of such a checkpoint, as diffusers takes it.

    Raises:
        ModelError: diffusers knows no such layout.
    """
    found: str | None = class_memory.recall(["single file", VERSION, file.hash], lambda: _layout_of(file))
    if found is None:
        raise ModelError(f"{file.name} is in no layout that diffusers knows: name a pipeline in diffusers' layout")
    return found


class _Shaped(NamedTuple):
    """What diffusers looks at of a tensor."""

    shape: tuple[int, ...]


def _layout_of(file: SingleFile) -> str | None:
    from diffusers.loaders import single_file_utils

    tensors = {name: _Shaped(shape) for name, shape in file.shapes.items()}
    kind = single_file_utils.infer_diffusers_model_type(tensors)
    if kind == USUAL and not file.has(OF_USUAL):
        return None
    return str(single_file_utils.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"])


def load(file: SingleFile, settings: Path, library: str, class_name: str, name: str, dtype: "torch.dtype") -> Any:
    """One model of the checkpoint, converted by diffusers.

    Args:
        settings: a folder with the pipeline's configurations, in which the model has the folder `name`.

    Raises:
        ModelError: weights of it are missing, or have other shapes than its configuration says.
    """
    import diffusers
    from diffusers.loaders import single_file, single_file_utils

    path = file.fetch()
    try:
        checkpoint = single_file_utils.load_single_file_checkpoint(str(path), local_files_only=True)
        model = single_file.load_single_file_sub_model(
            library_name=library,
            class_name=class_name,
            name=name,
            checkpoint=checkpoint,
            pipelines=diffusers.pipelines,
            is_pipeline_module=False,
            cached_model_config_path=str(settings),
            local_files_only=True,
            torch_dtype=dtype,
        )
    except (OSError, ValueError, RuntimeError, KeyError, single_file_utils.SingleFileComponentError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{name} of {file.name} can't be loaded as {class_name}: {why}") from error
    if missing := sorted(one for one, weight in model.named_parameters() if weight.is_meta):
        raise ModelError(
            f"{file.name} lacks {len(missing):,d} weights of {name} ({class_name}; first: {missing[0]}): choose another"
        )
    return model
