"""Which pipeline to encode with: what the user names, and what that resolves to at this moment."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from hf_assets.errors import ModelError
from hf_assets.hub.model_repository import Repository, resolve
from hf_assets.models import single_file
from hf_assets.models.single_file import SingleFile

INDEX = "model_index.json"
# Settings of a pipeline that came after fingerprints of others were stored.
LATER = ("t5", "tokenizer_max_length", "encode_prompt", "text")


class ComponentSource(BaseModel):
    """A component that lies in a repository of its own, at its root or in a subfolder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    revision: str | None = None
    variant: str | None = None
    subfolder: str | None = None


class PipelineSource(BaseModel):
    """A diffusers pipeline, as the user names it.

    Attributes:
        t5: another T5 text encoder than the pipeline's own.
        tokenizer_max_length: the most tokens of a caption; None: as the pipeline has it.
        encode_prompt: arguments of the pipeline's `encode_prompt` in place of those of its `__call__`, as JSON (which,
            unlike a dict, can be hashed); None: there are none.
        text: False where no captions are encoded; None, which is usual, where they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    revision: str | None = None
    variant: str | None = None
    vae: ComponentSource | None = None
    t5: ComponentSource | None = None
    tokenizer_max_length: int | None = None
    encode_prompt: str | None = None
    text: Literal[False] | None = None

    @property
    def has_text(self) -> bool:
        """Whether captions are encoded."""
        return self.text is None

    @property
    def arguments(self) -> dict[str, Any]:
        """`encode_prompt` as a dict."""
        found: dict[str, Any] = json.loads(self.encode_prompt or "{}")
        return found

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that isn't used leaves fingerprints as they were before there was such a setting."""
        made: dict[str, Any] = dump(self)
        return {key: value for key, value in made.items() if value is not None or key not in LATER}


@dataclass(frozen=True)
class Pipeline:
    """A pipeline pinned to the commits of one moment. It can be pickled and sent to workers.

    Attributes:
        index: the content of model_index.json.
        vae_repository, t5_repository: where the VAE and T5 come from, if not from the pipeline itself.
        vae_file: the file in `vae_repository` that is the VAE, where one file without settings is named.
        single_file: where all weights come from, if not from `repository`, which then has just the settings.
    """

    source: PipelineSource
    repository: Repository
    index: dict[str, Any]
    vae_repository: Repository | None = None
    t5_repository: Repository | None = None
    single_file: SingleFile | None = None
    vae_file: SingleFile | None = None

    @property
    def name(self) -> str:
        return self.repository.name if self.single_file is None else self.single_file.name

    @property
    def sha(self) -> str | None:
        return (self.repository if self.single_file is None else self.single_file.repository).sha

    @property
    def class_name(self) -> str:
        return str(self.index["_class_name"])

    @property
    def components(self) -> dict[str, tuple[str, str]]:
        """Component -> (library, class), without those that the pipeline leaves empty."""
        entries = {name: value for name, value in self.index.items() if names_component(value)}
        return {name: (library, kind) for name, (library, kind) in entries.items() if library is not None}


def names_component(entry: Any) -> bool:
    """Whether an entry of model_index.json is `[library, class]`, or `[null, null]` for a component left empty."""
    return isinstance(entry, list) and len(entry) == 2 and all(part is None or isinstance(part, str) for part in entry)


def resolve_pipeline(source: PipelineSource, *, hash_cache: Path | None = None) -> Pipeline:
    """Pin a pipeline. Of a Hub repository only model_index.json is downloaded.

    Args:
        hash_cache: see `repository.resolve`.

    Raises:
        ModelError: a repository can't be found or read, or holds no pipeline of diffusers.
    """
    file = None
    if single_file.names_one(source.repository):
        file = single_file.resolve(source.repository, source.revision, hash_cache=hash_cache)
        repository = resolve(single_file.settings_of(file), hash_cache=hash_cache)
    else:
        repository = resolve(source.repository, source.revision, hash_cache=hash_cache)
    if INDEX not in repository.paths:
        raise ModelError(
            f"{repository.name} is not a diffusers pipeline: it has no {INDEX}. "
            "Name a repository or folder in the diffusers layout"
        )
    index = repository.read_json(INDEX)
    if not isinstance(index.get("_class_name"), str):
        raise ModelError(
            f"{repository.name}: {INDEX} names the class {index.get('_class_name')!r}, which is not one of diffusers: "
            "code from a repository is never run, so choose a pipeline that diffusers has"
        )
    if source.variant is not None and file is not None:
        raise ModelError(f"{file.name} is one file, which has no variants: remove variant")
    if source.variant is not None and not _has_variant(repository, source.variant):
        raise ModelError(
            f"{repository.name} has no safetensors weights of the variant {source.variant!r}: "
            "remove variant, or name one that is there"
        )
    vae = vae_file = t5 = None
    if source.t5 is not None:
        if single_file.names_one(source.t5.repository):
            raise ModelError(
                f"{source.t5.repository} is one file, of which T5 isn't loaded: name a repository or folder"
            )
        t5 = resolve(source.t5.repository, source.t5.revision, hash_cache=hash_cache)
    if source.vae is not None and single_file.names_one(source.vae.repository):
        vae_file = single_file.resolve(source.vae.repository, source.vae.revision, hash_cache=hash_cache)
        vae = vae_file.repository
    elif source.vae is not None:
        vae = resolve(source.vae.repository, source.vae.revision, hash_cache=hash_cache)
    return Pipeline(source, repository, index, vae, t5, file, vae_file)


def _has_variant(repository: Repository, variant: str) -> bool:
    weights = re.compile(rf".+/[^/]+\.{re.escape(variant)}(-\d+-of-\d+)?\.safetensors")
    return any(weights.fullmatch(path) for path in repository.paths)


@dataclass(frozen=True)
class Component:
    """One model, tokenizer or processor, and where it lies.

    Attributes:
        folder: relative to the repository's root; empty at the root itself.
        variant: of the weights that are there for it; None is the default.
        files: everything that loading it reads, relative to the repository's root.
        single_file: which has its weights, if they aren't in the repository.
    """

    name: str
    library: str
    class_name: str
    repository: Repository
    folder: str
    variant: str | None
    files: tuple[str, ...]
    single_file: SingleFile | None = None

    @property
    def is_model(self) -> bool:
        """Whether there are weights in it, as opposed to a tokenizer or a processor."""
        return self.single_file is not None or any(file.endswith(".safetensors") for file in self.files)

    def hashes(self) -> dict[str, str]:
        """File name within the component -> hash."""
        found = {file.removeprefix(f"{self.folder}/"): self.repository.hash(file) for file in self.files}
        return found if self.single_file is None else {**found, "single file": self.single_file.hash}
