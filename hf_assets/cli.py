"""The command `hf-assets`. Exit codes: 0 done, 1 failed, 2 wrong usage or config."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from hf_assets import inert
from hf_assets.config import loading
from hf_assets.config.loading import Config
from hf_assets.config.recipe import Recipe
from hf_assets.errors import ConfigError, HfAssetsError, StoreError

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
def check(
    config: ConfigOption = None,
    id: IdOption = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Count the captions that tokenizers cut.")] = False,
) -> None:
    """Validate the config against the real datasets and models. Nothing is encoded.

    Shows which model was taken and why, what is for the trainer only, rows, columns found, what each filter keeps,
    captions found, what becomes of the first few media and their buckets, and the
    encoders.
    """
    from hf_assets.plan.checking import check as check_recipe

    with _errors():
        loaded = _load(config)
        for line in (loaded.model, *loaded.notes):
            _print(line)
        for recipe in _recipes(loaded.usable(), id):
            _print(f"{recipe.id}")
            for line in check_recipe(recipe, tokens=tokens):
                _print(f"  {line}")


@app.command()
def plan(
    config: ConfigOption = None,
    id: IdOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Say what a run would compute, fetch and store, and why.

    Nothing is computed and no media is downloaded: the revision is resolved
    and the columns of new files are read, as a run does. Each dataset is
    planned as if it ran alone, and each latent and caption is counted once,
    however many rows share it.

    Why a latent is computed, the first that applies:
    - retry: it failed before and is to be tried again
    - damaged: the store has lost it
    - media: its row held another image in the last training set
    - new: the last training set lacks this image
    - settings: other settings of latents (mean, draw, tiles, first frames)
    - vae, dtype, code: another VAE, dtype or version of hf_assets
    - geometry: resized or cropped differently
    - unknown_until_read: the row lies in a file that no run has read. At most
    one latent per row, and none where the image turns out to be known.

    Why a caption is encoded: retry, damaged, caption (it is new), encoder, dtype,
    code, duration (of its clip, where text encoders read it), unknown_until_read.

    Fetch counts data files and model weights that the Hugging Face cache
    lacks; a file is fetched whole where one of its rows is needed. Store
    counts tensors, as large as those stored by the same encoder, or before
    there are any as its configuration says (captions: at full length). Time
    is that of encoding at the rates last measured for this dataset; downloads
    and loading come on top.

    JSON: {id: {"vae_latents": {"reuse": n, "compute": {reason: n}},
    "text_embeds": {…}, "bytes_to_fetch": n, "bytes_to_store": n,
    "seconds": n or null, …}}

    Exit codes: 0 planned, 1 a dataset or model can't be read, 2 wrong config.
    """
    from hf_assets.draw.plan_text import plan as as_text
    from hf_assets.plan.planning import plan as plan_recipe

    with _errors():
        plans = {}
        for recipe in _recipes(_load(config).usable(), id):
            plans[recipe.id] = plan_recipe(recipe, lambda line: _print(line, err=True)).as_json()
            if not as_json:
                _print(as_text(recipe.id, plans[recipe.id]))
        if as_json:
            _print(json.dumps(plans, indent=2))


@app.command()
def families() -> None:
    """List the pipelines that are known by name, and which of them the tests go through.

    Others work where the general rules suffice: see docs/models.md.
    """
    from hf_assets.models.families_page import listing

    for line in listing():
        _print(line)


@app.command()
def verify(config: ConfigOption = None, id: IdOption = None) -> None:
    """Read everything that is stored against its checksums.

    Damaged files are renamed, so that their samples count as missing: the next
    materialization computes these again, and no others.

    Exit codes: 0 all is whole, 1 something was damaged, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import verify_lines
    from hf_assets.upkeep import maintenance

    with _errors():
        num_damaged = 0
        for found in maintenance.verify(_recipes(_load(config), id), _progress):
            _print(verify_lines(found._asdict()))
            num_damaged += len(found.damaged)
        if num_damaged:
            raise StoreError(
                f"{num_damaged:,} damaged or missing: materialize these datasets again, which computes only those"
            )


@app.command()
def gc(
    config: ConfigOption = None,
    id: IdOption = None,
    keep: Annotated[int, typer.Option(min=1, help="Training sets of each dataset, counted from the newest.")] = 3,
    grace: Annotated[float, typer.Option(min=0, help="Hours for which everything new is left alone.")] = 24,
    delete: Annotated[bool, typer.Option("--delete", help="Remove what is reported.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Report what no training set uses any more; remove it with --delete.

    What stays: everything that the current tables or the last --keep training
    sets of any dataset name, also of datasets of other configs that share a
    folder with these; failures; and everything younger than --grace. Shards
    that are mostly dead are copied without their dead tensors; nothing is
    encoded. A folder that a run is using is left as it is.

    JSON: {folder: {"num_samples": n, "num_bytes": n, "dead_samples": n,
    "dead_bytes": n, "dead_shards": n, "sparse_shards": n, "damaged_shards": n,
    "stray_files": [path], "freed_bytes": n or null, "error": text or null, …}}

    Exit codes: 0 done, 1 a folder was left as it is, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import garbage_lines
    from hf_assets.upkeep import maintenance

    with _errors():
        recipes = _recipes(_load(config), id)
        found = []
        for one in maintenance.collect_garbage(recipes, keep, timedelta(hours=grace), delete=delete):
            found.append(one)
            if one.error:
                _print(one.error, err=True)
            elif not as_json:
                _print(garbage_lines(one._asdict()))
        if as_json:
            _print(json.dumps({one.folder: one._asdict() for one in found}, indent=2))
        elif not delete:
            _print("nothing was removed; --delete does")
        if any(one.error for one in found):
            raise typer.Exit(FAILED)


@app.command()
def quarantine(
    config: ConfigOption = None,
    id: IdOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let the next run try these samples once more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """List the samples that failed in the last run of each stage.

    A sample that failed is left alone until its bytes, the config or the code
    change, or until it is marked with --retry.

    JSON: {id: [{"row": n, "address": "file#row", "stage": …, "reason": …,
    "message": …, "first_seen": time, "last_seen": time, "key": …}]}

    Exit codes: 0 done, 1 a table is damaged, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import quarantine_lines
    from hf_assets.encode import quarantine as worker

    with _errors():
        rows = {}
        for recipe in _recipes(_load(config), id):
            failed = worker.failed_samples(recipe)
            rows[recipe.id] = failed.to_pylist()
            if not as_json:
                _print(quarantine_lines(recipe.id, rows[recipe.id]))
            if retry:
                worker.retry(recipe, failed)
        if as_json:
            _print(json.dumps(rows, indent=2, default=lambda time: time.isoformat()))
        elif retry and any(rows.values()):
            _print("marked; materialize these datasets to try again")


def _load(config: Path | None) -> Config:
    return loading.load(config or loading.config_file())


def _print(text: str, err: bool = False) -> None:
    """Print what may quote a stranger's text: a name of a file can't turn into a command of the terminal."""
    typer.echo(inert.text(text), err=err)


def _progress(line: str) -> None:
    _print(line, err=True)


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
        _print(str(error), err=True)
        raise typer.Exit(WRONG_CONFIG) from None
    except HfAssetsError as error:
        _print(str(error), err=True)
        raise typer.Exit(FAILED) from None
    except OSError as error:  # of the disk: what the Hub raises was one of ours before
        if error.filename is None:
            raise
        _print(f'"{error.filename}": {error.strerror}: check the path in the config, and who may write there', err=True)
        raise typer.Exit(FAILED) from None
