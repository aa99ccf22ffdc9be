"""Which files each side of a pipeline is loaded from, and the fingerprints that follow from them."""

import re
from typing import Any

from hf_assets import fingerprint
from hf_assets.errors import ModelError
from hf_assets.hub.model_repository import Repository
from hf_assets.models import families, normalisation, prompt, single_file
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import INDEX, Component, Pipeline, names_component
from hf_assets.models.single_file import SingleFile

# In the libraries' order of preference: diffusers takes a sharded file before a single one, transformers the reverse.
WEIGHT_LAYOUTS = (
    ("diffusion_pytorch_model", ("sharded", "single")),
    ("model", ("single", "sharded")),
)
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
# model.fp16.safetensors, model.fp16-00001-of-00002.safetensors, model-00001-of-00002.fp16.safetensors
VARIANT = re.compile(
    rf"(?:{'|'.join(stem for stem, _ in WEIGHT_LAYOUTS)})(?:-\d+-of-\d+)?\.([^.]+?)(?:-\d+-of-\d+)?\.safetensors"
)
WEIGHT_INDEX = re.compile(r".*\.index(\.[^.]+)?\.json")
NOT_CONTENT = re.compile(r"(readme|license)(\..*)?", re.IGNORECASE)
DENOISERS = ("transformer", "unet")
# Of Stable Cascade and others besides, and of several; whichever module they come from, they read no captions.
DENOISER = re.compile(r"(transformer|unet|prior|decoder)(_\d+)?")
# What pipelines call their autoencoder; Stable Cascade's decoder calls its own so.
VAES = ("vae", normalisation.MOVQ, "vqgan")
# How the names of what reads captions begin.
TEXT_PARTS = ("text_encoder", "tokenizer")
# The class of a text encoder that another may stand in for, what its configuration says, and where it may lie.
T5, T5_TYPE = "T5EncoderModel", "t5"
T5_FOLDERS = ("", "text_encoder", "text_encoder_2", "text_encoder_3")
NOT_TEXT_INDEX_KEYS = frozenset({"_diffusers_version", "_name_or_path"})


def vae_component(pipeline: Pipeline) -> Component:
    """The VAE that the pipeline's latents are made with: its own, or the one given in its place.

    Raises:
        ModelError: there is none, its weights are not safetensors, or its latents follow a rule that is not known here.
    """
    if reason := families.of(pipeline.class_name).latents.unsupported:
        raise ModelError(f"latents of {pipeline.class_name} are not supported: {reason}. Choose another pipeline")
    own = own_vae(pipeline)
    if pipeline.vae_file is not None:
        component = _vae_of_file(pipeline, pipeline.vae_file)
    elif pipeline.vae_repository is not None:
        component = _replacing_vae(pipeline, pipeline.vae_repository)
    elif own is None:
        raise ModelError(f"{pipeline.name} ({pipeline.class_name}) has no VAE: name one with the key vae")
    else:
        component = _component(pipeline, own)
    if reason := families.autoencoder(component.class_name).unsupported:
        raise ModelError(f"latents of {component.class_name} are not supported: {reason}. Choose another pipeline")
    return component


def own_vae(pipeline: Pipeline) -> str | None:
    """The name of the pipeline's own autoencoder, whether or not another stands in its place."""
    return next((name for name in VAES if name in pipeline.components), None)


def text_components(pipeline: Pipeline) -> list[Component]:
    """The text encoders, tokenizers and what else `encode_prompt` reads, in the order of model_index.json.

    Denoisers and autoencoders are of the library diffusers, of which `encode_prompt` reads settings at most.

    Raises:
        ModelError: there are none, or their weights are not safetensors; see also `prompt.usage`.
    """
    if not pipeline.source.has_text:
        return []
    if reason := families.of(pipeline.class_name).text.unsupported:
        raise ModelError(f"captions of {pipeline.class_name} are not supported: {reason}. Choose another pipeline")
    reads = prompt.remembered_usage(pipeline).reads
    names = [
        name
        for name, (library, _) in pipeline.components.items()
        if name in reads and library != "diffusers" and not DENOISER.fullmatch(name)
    ]
    if not names:
        raise ModelError(f"{pipeline.name} ({pipeline.class_name}) has no text encoder: choose one that reads captions")
    t5 = t5_component(pipeline)
    return [
        t5 if t5 is not None and t5.name == name else _component(pipeline, name, may_lack_weights=True)
        for name in names
    ]


def t5_component(pipeline: Pipeline) -> Component | None:
    """The T5 text encoder that stands in for the pipeline's own, where one is given.

    Raises:
        ModelError: the pipeline has none, or what is given is none, or its weights are not safetensors.
    """
    repository, source = pipeline.t5_repository, pipeline.source.t5
    if repository is None or source is None:
        return None
    name = next((name for name, (_, kind) in pipeline.components.items() if kind == T5), None)
    if name is None:
        raise ModelError(f"{pipeline.name} ({pipeline.class_name}) has no T5 text encoder to replace: remove t5")
    for folder in (name, *T5_FOLDERS) if source.subfolder is None else (source.subfolder,):
        config = f"{folder}/config.json".lstrip("/")
        if config in repository.paths and repository.read_json(config).get("model_type") == T5_TYPE:
            break
    else:
        raise ModelError(f"{repository.name} has no config.json of a T5 encoder: name its folder there with subfolder")
    files, variant = _files(repository, folder, source.variant)
    return Component(name, pipeline.components[name][0], T5, repository, folder, variant, files)


def shells_of(pipeline: Pipeline) -> list[str]:
    """The components that the text side may need the configuration of, but not the weights.

    Of a pipeline that the table of families doesn't know, the denoiser, and all that its `encode_prompt` reads.
    """
    reads = prompt.remembered_usage(pipeline).reads
    text = families.of(pipeline.class_name).text
    if not text.outputs:
        return [
            name
            for name, (library, _) in pipeline.components.items()
            if (name in reads or name in DENOISERS)
            and library == "diffusers"
            and f"{name}/config.json" in pipeline.repository.paths
        ]
    shell = text.shell
    if shell is None or shell.component not in pipeline.components or shell.unless in pipeline.components:
        return []
    return [shell.component]


def vae_fingerprint(pipeline: Pipeline, settings: LatentSettings | None = None) -> str:
    """Changes exactly when latents would: with the VAE's weights, configuration or class, the rule of normalisation, or
    what of the posterior is wanted.

    Raises:
        ModelError: see `vae_component`.
    """
    vae = vae_component(pipeline)
    settings = settings or LatentSettings()
    exceptions = {**normalisation.rule_of(pipeline).changed, **families.autoencoder(vae.class_name)._asdict()}
    return fingerprint.of_value(
        {"class": vae.class_name, "files": vae.hashes(), "rule": exceptions, "settings": settings.changed}
    )


def text_fingerprint(pipeline: Pipeline) -> str:
    """Changes exactly when embeddings would: with the text side's files, the pipeline's settings, or its class.

    The settings are those of model_index.json and the arguments that `__call__` of this diffusers version would give.

    Raises:
        ModelError: see `text_components` and `prompt.usage`.
    """
    if not pipeline.source.has_text:
        return fingerprint.of_value({"text": False})
    components = text_components(pipeline)
    usage = prompt.remembered_usage(pipeline)
    loaded = {component.name for component in components}
    shells = shells_of(pipeline)
    return fingerprint.of_value(
        {
            "index": {key: value for key, value in pipeline.index.items() if _is_text_setting(key, value, loaded)},
            "calls": usage.calls,
            "files": {component.name: component.hashes() for component in components},
            # No text depends on the VAE, of which a constructor may read the number of channels.
            "shells": {name: pipeline.repository.hash(f"{name}/config.json") for name in shells if name not in VAES},
            **({"captions": "as __call__ changes them"} if usage.rewrites else {}),
        }
    )


def _is_text_setting(key: str, value: Any, loaded: set[str]) -> bool:
    if names_component(value) and key not in loaded:
        # An empty text encoder is a setting, an empty denoiser is not.
        return value[0] is None and key.startswith(TEXT_PARTS)
    return key not in NOT_TEXT_INDEX_KEYS


def _component(pipeline: Pipeline, name: str, *, may_lack_weights: bool = False) -> Component:
    library, class_name = pipeline.components[name]
    if pipeline.single_file is not None and f"{name}/config.json" in pipeline.repository.paths:
        return _of_single_file(pipeline, pipeline.single_file, name)
    files, variant = _files(pipeline.repository, name, pipeline.source.variant, may_lack_weights=may_lack_weights)
    return Component(name, library, class_name, pipeline.repository, name, variant, files)


def _of_single_file(pipeline: Pipeline, file: SingleFile, name: str) -> Component:
    library, class_name = pipeline.components[name]
    prefixes = single_file.VAE if name in VAES else single_file.PREFIXES.get(class_name, ())
    if not file.has(prefixes):
        key = {"vae": "name one with the key vae", T5: "name one with the key t5"}.get(
            "vae" if name in VAES else class_name,
            "choose a file that has it, or a pipeline in diffusers' layout, or set text to false",
        )
        raise ModelError(f"{file.name} has no {name} ({class_name}): {key}")
    return Component(name, library, class_name, pipeline.repository, name, None, _settings(pipeline, name), file)


def _settings(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """The files of a component that aren't weights."""
    paths = sorted(path for path in pipeline.repository.paths if path.startswith(f"{name}/"))
    return tuple(path for path in paths if _is_setting(path.removeprefix(f"{name}/")))


def _vae_of_file(pipeline: Pipeline, file: SingleFile) -> Component:
    """A VAE of one file, with the settings of the pipeline's own, in whose place it stands."""
    source, own = pipeline.source.vae, own_vae(pipeline)
    assert source is not None
    if source.variant or source.subfolder:
        raise ModelError(f"{file.name} is one file, which has no variants nor folders: remove variant and subfolder")
    if own is None or f"{own}/config.json" not in pipeline.repository.paths:
        raise ModelError(
            f"{file.name} is one file, which has no settings, and {pipeline.name} has none of a VAE: name a repository "
            "or folder with a config.json with the key vae"
        )
    if not file.has(single_file.VAE_ALONE):
        raise ModelError(f"{file.name} has no weights of a VAE: name another with the key vae")
    library, class_name = pipeline.components[own]
    return Component(own, library, class_name, pipeline.repository, own, None, _settings(pipeline, own), file)


def _replacing_vae(pipeline: Pipeline, repository: Repository) -> Component:
    source = pipeline.source.vae
    assert source is not None
    folder = source.subfolder or ""
    if source.subfolder is None and "config.json" not in repository.paths and "vae/config.json" in repository.paths:
        folder = "vae"  # a whole pipeline was named
    config = f"{folder}/config.json".lstrip("/")
    if config not in repository.paths:
        raise ModelError(f"{repository.name} has no {config}: name the VAE's folder there with subfolder")
    class_name = repository.read_json(config).get("_class_name")
    own = own_vae(pipeline)
    if class_name is None and own is not None:
        class_name = pipeline.components[own][1]
    if class_name is None:
        raise ModelError(
            f"{repository.name}: {config} has no _class_name, so it is no VAE of diffusers: choose another"
        )
    files, variant = _files(repository, folder, source.variant)
    if source.variant is not None and variant is None:
        raise ModelError(
            f"{repository.name} has no safetensors weights of the variant {source.variant!r}: "
            "remove variant, or name one that is there"
        )
    return Component(own or "vae", "diffusers", class_name, repository, folder, variant, files)


def _files(
    repository: Repository, folder: str, variant: str | None, *, may_lack_weights: bool = False
) -> tuple[tuple[str, ...], str | None]:
    """The files that `from_pretrained` reads in this folder, and the variant that they are of.

    As in diffusers, a component without weights of the wanted variant falls back to its default weights.
    """
    prefix = f"{folder}/" if folder else ""
    inside = sorted(path for path in repository.paths if path.startswith(prefix))
    names = [path.removeprefix(prefix) for path in inside]
    if not names:
        raise ModelError(f"{repository.name} has no folder {folder}, which it should: fetch the model again")
    for wanted in dict.fromkeys((variant, None)):
        if weights := _weights(names, wanted):
            return tuple(prefix + name for name in sorted({*filter(_is_setting, names), *weights})), wanted
    if others := sorted({found[1] for name in names if (found := VARIANT.fullmatch(name))} - {variant}):
        raise ModelError(
            f"{repository.name}: {folder or 'its root'} has weights of the variant {' and '.join(others)} only: "
            f'set variant to "{others[0]}"'
        )
    if not may_lack_weights or any(name.endswith(PICKLED) for name in names):
        raise ModelError(
            f"{repository.name}: {folder or 'its root'} has no safetensors weights, and pickled ones (.bin, .ckpt) "
            "are never loaded since they can run code: choose a repository or revision with *.safetensors"
        )
    return tuple(path for path in inside if not NOT_CONTENT.fullmatch(path.rpartition("/")[2])), None


def _is_setting(name: str) -> bool:
    return name.endswith(".json") and "/" not in name and name != INDEX and not WEIGHT_INDEX.fullmatch(name)


def _weights(names: list[str], variant: str | None) -> list[str]:
    dotted = f".{variant}" if variant else ""
    for stem, layouts in WEIGHT_LAYOUTS:
        index = f"{stem}.safetensors.index{dotted}.json"
        # The second form, with the variant last, is older.
        shard = re.compile(rf"{stem}({re.escape(dotted)}-\d+-of-\d+|-\d+-of-\d+{re.escape(dotted)})\.safetensors")
        found = {
            "single": [f"{stem}{dotted}.safetensors"] if f"{stem}{dotted}.safetensors" in names else [],
            "sharded": [index, *filter(shard.fullmatch, names)] if index in names else [],
        }
        for layout in layouts:
            if found[layout]:
                return found[layout]
    return []
