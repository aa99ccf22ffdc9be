"""For other trainers: `export`."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from hf_assets.cli import options
from hf_assets.config.export_rules import NAMES, ExportRules, Format
from hf_assets.errors import ConfigError

KNOWN = ", ".join(get_args(Format))


def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help=f"One of {KNOWN}.")],
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Datasets.")],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="Folder; each dataset has one of its name in it.")],
    names: Annotated[
        str | None,
        typer.Option("--names", help="Other names than our own: mlperf (parquet), primus (webdataset)."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="USER/NAME", help="Put it on the Hub as well, in one commit (parquet)."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: a repository that is made now is public, not private.")
    ] = False,
    config: options.ConfigOption = None,
) -> None:
    """Write training sets for other trainers: nothing is encoded again.

    Only what changed since the last export is written; the folder of a dataset
    then leads to its new content in one step, and the content before stays for
    who reads it. Exporting what is there already writes nothing.

    Exit codes: 0 done, 1 there is no training set or the format can't hold it,
    2 wrong usage or config.
    """
    from hf_assets.draw.export_text import summary
    from hf_assets.export import exporting
    from hf_assets.show import run_results

    with options.errors():
        rules = _rules(format, to, names)
        _require_pushable(rules, ids, push, public)
        for recipe in options.recipes(options.load(config).usable(), ids):
            done = exporting.export(recipe, rules, options.progress)
            options.say(summary(done._asdict(), run_results.place(Path(rules.to) / recipe.id)))
            if push is not None:
                pushed = exporting.push(done, push, is_public=public)
                state = "is" if pushed.is_new else "was already"
                options.say(f"{recipe.id}: {state} on the Hub as {pushed.repository} at {pushed.commit}")


def _require_pushable(rules: ExportRules, ids: list[str], push: str | None, public: bool) -> None:
    """
    Raises:
        ConfigError: what is asked for can't be pushed.
    """
    from hf_assets.hub import pushing

    if push is None:
        if public:
            raise ConfigError("--public: has no effect without --push")
        return
    if rules.format != "parquet" or rules.names is not None:
        raise ConfigError("--push: only parquet with its own names is a dataset on the Hub; leave it out")
    if len(set(ids)) > 1:
        raise ConfigError("--push: a repository holds one dataset; name one")
    if not pushing.is_name(push):
        raise ConfigError(f'--push: "{push}" is no name of a dataset on the Hub: write user/name')


def _rules(format: str, to: str, names: str | None) -> ExportRules:
    """What the command line asks for.

    Raises:
        ConfigError: it is wrong.
    """
    from hf_assets.config.mistakes import nearest

    if format not in get_args(Format):
        raise ConfigError(f'FORMAT: is "{format}"{nearest(format, get_args(Format))}')
    if names is not None and names not in NAMES.get(format, ()):
        known = NAMES.get(format, ())
        raise ConfigError(f'--names: is "{names}"; {format} has {" and ".join(known) or "no others than its own"}')
    if not to.strip():
        raise ConfigError("--to: is empty; name a folder")
    if "://" in to:
        raise ConfigError(f'--to: is "{to}"; name a folder, since exports are made of hard links')
    return ExportRules.model_validate({"format": format, "to": str(Path(to).absolute()), "names": names})
