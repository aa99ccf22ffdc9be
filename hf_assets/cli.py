"""The command `hf-assets`. Exit codes: 0 done, 1 failed, 2 wrong usage or config."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from hf_assets.config import loading
from hf_assets.config.loading import Config
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ConfigError, HfAssetsError

FAILED, WRONG_CONFIG = 1, 2

app = typer.Typer(
    help=(
        "Hugging Face datasets to latents and text embeddings, exactly incremental. "
        "Materialize with Dagster; look and tidy up with this."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help=f"Config file. Default: ${loading.ENVIRONMENT_VARIABLE}, else {loading.DEFAULT_FILE}.",
        show_default=False,
    ),
]
IdOption = Annotated[
    list[str] | None, typer.Option("--id", help="Only the dataset of this id; repeatable.", show_default=False)
]


@app.callback()
def main() -> None:
    """Look at what a config asks for."""


@app.command()
def check(config: ConfigOption = None, id: IdOption = None) -> None:
    """Validate the config against the real datasets and models. Nothing is encoded.

    Shows rows, columns found, what each filter keeps, captions found, and the encoders.
    """
    from hf_assets.workers.checking import check as check_recipe

    with _errors():
        recipes = _recipes(_load(config), id)
        for recipe in recipes:
            typer.echo(f"{recipe.id}")
            for line in check_recipe(recipe):
                typer.echo(f"  {line}")


def _load(config: Path | None) -> Config:
    return loading.load(config or loading.config_file())


def _recipes(config: Config, ids: list[str] | None) -> list[Recipe]:
    known = {recipe.id: recipe for recipe in config.recipes}
    for wanted in ids or ():
        if wanted not in known:
            raise ConfigError(f'{config.file}: datasets: there is no dataset "{wanted}"; there are {", ".join(known)}')
    return [known[wanted] for wanted in ids] if ids else list(known.values())


@contextmanager
def _errors() -> Iterator[None]:
    """Our own errors as lines on standard error, without a traceback."""
    try:
        yield
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(WRONG_CONFIG) from None
    except HfAssetsError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(FAILED) from None
