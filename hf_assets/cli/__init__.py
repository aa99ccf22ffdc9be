"""The command `hf-assets`. Exit codes: 0 done, 1 failed, 2 wrong usage or config.

One module for each group of commands: `starting` (init), `running` (run, page), `inspecting` (check, plan, families),
`exporting_command` (export) and `tidying` (verify, gc, quarantine). What they share is in
`options`. Open `options` first.
"""

import importlib.metadata
import platform
from typing import Annotated

import typer

from hf_assets.cli import exporting_command, inspecting, running, starting, tidying

app = typer.Typer(
    help="Hugging Face datasets and folders of media to latents and text embeddings, exactly incremental.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        names = ("hf_assets", "dagster", "diffusers", "torch")
        python = f"Python {platform.python_version()}"
        typer.echo(", ".join([*(f"{name} {importlib.metadata.version(name)}" for name in names), python]))
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print versions, for a report.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Begin with `init`, then `run`, then `page`."""


for group, commands in (
    ("Three commands from a folder to training data", (starting.init, running.run, running.page)),
    ("What a run would do", (inspecting.check, inspecting.plan, inspecting.families)),
    ("For other trainers", (exporting_command.export,)),
    ("What is stored", (tidying.quarantine, tidying.verify, tidying.gc)),
):
    for command in commands:
        app.command(rich_help_panel=group)(command)
