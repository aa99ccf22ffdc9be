"""What is stored: `verify`, `gc`, `quarantine`."""

import json
from datetime import timedelta
from typing import Annotated

import typer

from hf_assets.cli import options
from hf_assets.errors import StoreError


def verify(ids: options.IdsArgument = None, config: options.ConfigOption = None, id: options.IdOption = None) -> None:
    """Read everything that is stored against its checksums.

    Damaged files are renamed, so that their samples count as missing: the next
    materialization computes these again, and no others.

    Exit codes: 0 all is whole, 1 something was damaged, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import verify_lines
    from hf_assets.upkeep import maintenance

    with options.errors():
        num_damaged = 0
        for found in maintenance.verify(options.recipes(options.load(config), ids, id), options.progress):
            options.say(verify_lines(found._asdict()))
            num_damaged += len(found.damaged)
        if num_damaged:
            raise StoreError(
                f"{num_damaged:,} damaged or missing: `hf-assets run` computes these again, and nothing else"
            )


def gc(
    ids: options.IdsArgument = None,
    config: options.ConfigOption = None,
    id: options.IdOption = None,
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
    "stray_files": \\[path], "freed_bytes": n or null, "error": text or null, …}}

    Exit codes: 0 done, 1 a folder was left as it is, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import garbage_lines
    from hf_assets.upkeep import maintenance

    with options.errors():
        recipes = options.recipes(options.load(config), ids, id)
        found = []
        for one in maintenance.collect_garbage(recipes, keep, timedelta(hours=grace), delete=delete):
            found.append(one)
            if one.error:
                options.say(one.error, err=True)
            elif not as_json:
                options.say(garbage_lines(one._asdict()))
        if as_json:
            options.say(json.dumps({one.folder: one._asdict() for one in found}, indent=2))
        elif not delete:
            is_clean = not any(one.dead_bytes or one.stray_files for one in found)
            options.say("there is nothing to remove" if is_clean else "nothing was removed; --delete does")
        if any(one.error for one in found):
            raise typer.Exit(options.FAILED)


def quarantine(
    ids: options.IdsArgument = None,
    config: options.ConfigOption = None,
    id: options.IdOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Let the next run try these samples once more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """List the samples that failed in the last run of each stage.

    A sample that failed is left alone until its bytes, the config or the code
    change, or until it is marked with --retry.

    JSON: {id: [{"row": n, "address": "file#row", "source_path": its own file or
    null, "stage": …, "reason": …, "message": …, "first_seen": time,
    "last_seen": time, "key": …}]}

    Exit codes: 0 done, 1 a table is damaged, 2 wrong config.
    """
    from hf_assets.draw.upkeep_text import quarantine_lines
    from hf_assets.encode import quarantine as worker

    with options.errors():
        rows = {}
        for recipe in options.recipes(options.load(config), ids, id):
            failed = worker.failed_samples(recipe)
            rows[recipe.id] = failed.to_pylist()
            if not as_json:
                options.say(quarantine_lines(recipe.id, rows[recipe.id]))
            if retry:
                worker.retry(recipe, failed)
        if as_json:
            options.say(json.dumps(rows, indent=2, default=lambda time: time.isoformat()))
        elif retry and any(rows.values()):
            options.say("marked: the next run tries these again")
