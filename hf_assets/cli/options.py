"""What the commands share: options, the config that they name, and errors as lines.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hf_assets import inert
from hf_assets.errors import ConfigError, DatasetError, HfAssetsError

if TYPE_CHECKING:
    from hf_assets.config.loading import Config
    from hf_assets.config.recipe import Recipe

FAILED, WRONG_CONFIG = 1, 2

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Config file. Default: $HF_ASSETS_CONFIG, else datasets.json.", show_default=False),
]
IdOption = Annotated[
    list[str] | None, typer.Option("--id", help="Only the dataset of this id; repeatable.", show_default=False)
]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Datasets; by default all.", show_default=False)
]


def load(config: Path | None) -> "Config":
    """The config that is named, else the usual one.

    Raises:
        ConfigError: it is wrong.
    """
    from hf_assets.config import loading

    file = config or loading.config_file()
    if not file.exists() and config is None:
        raise ConfigError(f"{file}: no such file here; make one with `hf-assets init`, or name another with --config")
    return loading.load(file)


def recipes(config: "Config", *named: list[str] | None) -> list["Recipe"]:
    """The recipes of these datasets, in this order; of all where none is named.

    Args:
        named: ids, as arguments and by `--id`.

    Raises:
        ConfigError: the config has no such dataset.
        StoreError: its results are to lie below a file.
    """
    from hf_assets.config.mistakes import nearest

    known = {recipe.id: recipe for recipe in config.recipes}
    ids = [id for some in named for id in some or ()]
    for wanted in ids:
        if wanted not in known:
            raise ConfigError(f'{config.file}: datasets: there is no dataset "{wanted}"{nearest(wanted, known)}')
    chosen = [known[wanted] for wanted in dict.fromkeys(ids)] if ids else list(known.values())
    for recipe in chosen:
        recipe.folders.require()
    return chosen


def say(text: str, err: bool = False) -> None:
    """Print what may quote a stranger's text: a name of a file can't turn into a command of the terminal."""
    typer.echo(inert.text(text), err=err)


def progress(line: str) -> None:
    """Say on standard error how far a command is."""
    say(line, err=True)


@contextmanager
def about(id: str) -> Iterator[None]:
    """Errors begin with the dataset that they are about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(naming(id, error)) from None
    except HfAssetsError as error:
        raise DatasetError(naming(id, error)) from None


def naming(id: str, error: HfAssetsError) -> str:
    """What an error says, with the dataset that it is about."""
    return str(error) if f'"{id}"' in str(error) else f"{id}: {error}"


@contextmanager
def errors() -> Iterator[None]:
    """Our own errors as lines on standard error, without a traceback."""
    try:
        yield
    except ConfigError as error:
        say(str(error), err=True)
        raise typer.Exit(WRONG_CONFIG) from None
    except HfAssetsError as error:
        say(str(error), err=True)
        raise typer.Exit(FAILED) from None
    except Exception as error:
        from hf_assets.blobs import atomic

        if (full := atomic.full_disk(error)) is not None:
            say(str(full), err=True)
            raise typer.Exit(FAILED) from None
        # of the disk: what the Hub raises was one of ours before
        if not isinstance(error, OSError) or error.filename is None:
            raise
        say(f'"{error.filename}": {error.strerror}: check the path in the config, and who may write there', err=True)
        raise typer.Exit(FAILED) from None
