"""From nothing to a config: `init`."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hf_assets import near_paths
from hf_assets.cli import options
from hf_assets.errors import ConfigError, DatasetError, MediaError

if TYPE_CHECKING:
    from hf_assets.sources.first_look import MediaFolder

CONFIG_FILE = "datasets.json"
# A folder that is at most so many levels up is named relative to the config.
NEAR = 2
# Videos of at most so many bytes are looked at, to find out how long they are.
LARGEST = 200_000_000
PLURAL = {"image": "images", "video": "videos", "audio": "audio"}

T = TypeVar("T")


def init(
    source: Annotated[
        str | None,
        typer.Argument(help="A folder of media, or a dataset on the Hub as user/name. Asked for where it is left out."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Model family, such as sdxl or flux; `hf-assets families` lists them.")
    ] = None,
    flavour: Annotated[str | None, typer.Option(help="Of the family. Default: its own.")] = None,
    model: Annotated[
        str | None, typer.Option(help="In place of a family: Hub id or folder of a diffusers pipeline.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="Name of the dataset. Default: made of the source's name.")] = None,
    prompt: Annotated[str | None, typer.Option(help="One caption for all, where there are none.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Of a dataset: the column of the captions.")] = None,
    resolution: Annotated[
        int | None, typer.Option(min=16, help="Edge in pixels of a square of the wanted area. Default: the family's.")
    ] = None,
) -> None:
    """Write datasets.json for a folder of media or a dataset on the Hub, and what Dagster needs beside it.

    In the working directory: datasets.json, dagster.yaml, workspace.yaml and
    .gitignore. What is there stays; a datasets.json that is there is refused.
    Then `hf-assets check` says what becomes of the first media, and
    `hf-assets run` makes the training data.

    Exit codes: 0 written, 1 the source can't be read, 2 wrong usage.
    """
    from hf_assets.config import loading, starter
    from hf_assets.orchestrate import home

    with options.errors():
        if model and (family or flavour):
            raise ConfigError("--family and --model: give one of them")
        if Path(CONFIG_FILE).exists():
            raise ConfigError(f"{CONFIG_FILE} is here already: add the dataset to it, or go to another folder")
        if id is not None and starter.dataset_id(id) != id:
            raise ConfigError(f'--id: is "{id}"; use letters, digits, _, - and . only: "{starter.dataset_id(id)}"')
        entry, notes = _answer(
            source,
            "Folder of media, or dataset on the Hub (user/name)",
            "source",
            lambda named: _entry(named, id, prompt, caption_column),
        )
        kind = entry.get("dataset_type", "image")
        if resolution is not None and kind == "audio":
            raise ConfigError("--resolution: has no effect on audio; leave it out")
        block = _answer(
            model or family,
            "Model: a family, a pipeline on the Hub (user/name), or its folder",
            "--family",
            lambda named: _repository(named) if model or _is_repository(named) else _family(named, flavour, kind),
            starter.DEFAULT_MODELS[kind],
        )
        content = starter.config(entry, block, resolution)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        loaded = loading.parse(content, Path(CONFIG_FILE)).usable()
        Path(CONFIG_FILE).write_text(text, encoding="utf-8")
        written = [CONFIG_FILE]
        for name, content_of in (("dagster.yaml", home.SETTINGS_BESIDE), ("workspace.yaml", starter.WORKSPACE)):
            if not Path(name).exists():
                Path(name).write_text(content_of, encoding="utf-8")
                written.append(name)
        ignore = Path(".gitignore")
        before = ignore.read_text(encoding="utf-8") if ignore.exists() else ""
        if (after := starter.with_ignored(before)) != before:
            ignore.write_text(after, encoding="utf-8")
            written.append(ignore.name)
        for note in (*notes, loaded.model, f"written: {', '.join(written)}"):
            options.say(note)
        options.say("next: hf-assets check, then hf-assets run, then hf-assets page")


def _answer(given: str | None, what: str, missing: str, use: Callable[[str], T], default: str | None = None) -> T:
    """What `use` makes of an option, or of an answer from the terminal, which is asked for until it is right.

    Args:
        default: without a terminal.

    Raises:
        ConfigError, DatasetError: there is no answer, or it is wrong and nobody is there to give another.
    """
    if given is not None:
        return use(given)
    if not is_asked():
        if default is None:
            raise ConfigError(f"{missing} is missing: `hf-assets init FOLDER --family sdxl`, for example")
        return use(default)
    while True:
        try:
            return use(str(typer.prompt(what, default=default)).strip())
        except (ConfigError, DatasetError) as error:
            options.say(str(error), err=True)


def is_asked() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty()


def _entry(
    source: str, id: str | None, prompt: str | None, caption_column: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The entry of the dataset, and what was found.

    Raises:
        ConfigError, DatasetError: there is no such thing, or nothing to caption it with.
    """
    from hf_assets.config import starter
    from hf_assets.sources import first_look

    path = Path(os.path.expanduser(source))
    name = id or starter.dataset_id(str(path.resolve()) if path.is_dir() else source)
    if path.is_dir():
        relative = os.path.relpath(path.resolve())
        shown = relative if relative.count("..") <= NEAR else str(path.resolve())
        shown = _beside(shown)
        if (media := first_look.at_folder(path)) is not None:
            if caption_column is not None:
                raise ConfigError(f'--caption-column: "{source}" is a folder of media and has no columns; leave it out')
            made = starter.of_folder(name, shown, media, prompt, _shortest(media))
            return made, [_of_media(media, prompt), *_of_frames(made)]
        repository, shown_name = str(path.resolve()), shown
    elif path.is_file():
        raise ConfigError(f'"{source}" is a file; name the folder that it lies in, "{path.parent}"')
    elif first_look.is_repository_id(source):
        options.say(f'there is no folder "{source}" here, so it is looked up on the Hub', err=True)
        repository = shown_name = source
    else:
        meant = near_paths.hint(path)
        raise ConfigError(f'there is no folder "{source}"; name one, or a dataset on the Hub as user/name{meant}')
    with tempfile.TemporaryDirectory() as memory:
        found = first_look.at_columns(repository, Path(memory))
    if caption_column is not None and caption_column.split(".")[0] not in found.names:
        raise ConfigError(f'--caption-column: there is no "{caption_column}"; columns are {", ".join(found.names)}')
    if caption_column is None and found.caption is None and prompt is None:
        names = ", ".join(found.names)
        raise ConfigError(f"no column is called like captions: choose one of {names} by --caption-column, or --prompt")
    entry = starter.of_columns(name, shown_name, found, caption_column, prompt)
    captions = entry.get("caption_column") or "the prompt that was given"
    return entry, [f"{found.kind}s in column {found.media}, captions: {captions}"]


def _beside(path: str) -> str:
    """A path as nobody takes it for a name on the Hub."""
    return path if path.startswith((".", "/")) else f"./{path}"


def _of_media(found: "MediaFolder", prompt: str | None) -> str:
    """What a folder holds, and where captions come from."""
    what = f"{found.num_files:,} {found.kind} file{'' if found.num_files == 1 else 's'}"
    if prompt is not None:
        return f"{what}; the caption of all is the prompt that was given"
    if found.num_captioned:
        without = found.num_files - found.num_captioned
        lack = f", which {without:,} {'lacks' if without == 1 else 'lack'}" if without else ""
        return f"{what}; captions: .txt files beside them{lack}"
    examples = ", ".join(path.stem.replace("_", " ") for path in found.first[:3])
    return (
        f"{what}; captions: their file names ({examples}), since no .txt files lie beside them; --prompt gives all one"
    )


def _of_frames(entry: dict[str, Any]) -> list[str]:
    if "video" not in entry:
        return []
    said = f"video.num_frames is {entry['video']['num_frames']}, as many as the shortest that was looked at has"
    return [f"{said}: what is shorter is left out, so set it as you need it"]


def _shortest(found: "MediaFolder") -> int | None:
    """Frames of the shortest of a few videos; None where nothing is known of any."""
    from hf_assets.media import video

    lengths = []
    for path in found.first if found.kind == "video" else ():
        if path.stat().st_size <= LARGEST:
            try:
                lengths.append(video.probe(path.read_bytes()).num_frames)
            except MediaError:  # it will be quarantined
                continue
    return min(lengths, default=None)


def _is_repository(model: str) -> bool:
    return "/" in model or Path(os.path.expanduser(model)).is_dir()


def _repository(model: str) -> dict[str, str]:
    """What to write of a pipeline: a folder relative to the config file, else as it is.

    Raises:
        ConfigError: a folder isn't there.
    """
    from hf_assets.config.model_families import FAMILIES

    path = Path(os.path.expanduser(model))
    if path.is_dir():
        model = model if path.is_absolute() else _beside(os.path.relpath(path))
    elif model in FAMILIES:
        raise ConfigError(f'--model: "{model}" is the name of a family; give --family {model}')
    elif not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", model):
        meant = near_paths.hint(path)
        raise ConfigError(
            f'--model: there is no folder "{model}"; name one, or a pipeline on the Hub as user/name{meant}'
        )
    return {"pretrained_model_name_or_path": model}


def _family(family: str, flavour: str | None, kind: str) -> dict[str, str]:
    """What to write of a family.

    Args:
        kind: of the media that are to be encoded.

    Raises:
        ConfigError: there is none, or these can't be encoded with it.
    """
    from hf_assets.config import model_choice, starter
    from hf_assets.config.model_families import FAMILIES

    try:
        choice = model_choice.choose(family, flavour, None)
    except model_choice.ChoiceError as error:
        raise ConfigError(f"--{error.key}: {error.message}") from None
    if choice is not None and choice.refusal:
        raise ConfigError(f"--family: is {choice.refusal}")
    kinds = model_choice.encodes(family)
    if kinds and kind not in kinds:
        others = ", ".join(name for name in FAMILIES if kind in model_choice.encodes(name))
        way = f"use {others}" if others else f"name a pipeline by --model, such as {starter.DEFAULT_MODELS[kind]}"
        raise ConfigError(f'--family: is "{family}", which makes no {PLURAL[kind]}; {way}')
    return {"family": family, **({"flavour": flavour} if flavour else {})}
