"""Looking at what a config asks for: `check`, `plan`, `families`."""

import json
from typing import Annotated

import typer

from hf_assets.cli import options
from hf_assets.errors import ConfigError, DatasetError, HfAssetsError


def check(
    ids: options.IdsArgument = None,
    config: options.ConfigOption = None,
    id: options.IdOption = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Count the captions that tokenizers cut.")] = False,
) -> None:
    """Validate the config against the real datasets and models. Nothing is encoded.

    Shows which model was taken and why, what is for the trainer only, rows,
    columns found, what each filter keeps, captions found, what becomes of the
    first few media and their buckets, and the encoders.

    Exit codes: 0 fine, 1 a dataset or model can't be read, or nothing is left
    of a dataset, 2 wrong config.
    """
    from hf_assets.config import siblings
    from hf_assets.plan.checking import check as check_recipe

    with options.errors():
        loaded, failures = options.load(config), list[str]()
        for line in (loaded.model, *loaded.notes, *siblings.notes(loaded)):
            options.say(line)
        for recipe in options.recipes(loaded.usable(), ids, id):
            options.say(f"{recipe.id}")
            try:
                for line in check_recipe(recipe, tokens=tokens):
                    options.say(f"  {line}")
            except HfAssetsError as error:  # the other datasets are looked at, too
                failures.append(options.naming(recipe.id, error))
        if failures:
            raise DatasetError("\n".join(failures))


def plan(
    ids: options.IdsArgument = None,
    config: options.ConfigOption = None,
    id: options.IdOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a comment for a pull request.")] = False,
    names: Annotated[bool, typer.Option("--names", help="Name the files of the samples that change.")] = False,
) -> None:
    """Say what a run would change in the training set, and what it would compute, fetch and store for it, and why.

    Nothing is computed and no media is downloaded: the revision is resolved
    and the columns of new files are read, as a run does. Each dataset is
    planned as if it ran alone, and each latent and caption is counted once,
    however many rows share it. The empty caption, which trainers put in the
    place of left-out ones, is one of the captions.

    Of the training set: samples added, with changed bytes under the same name,
    recaptioned, re-cropped, and removed, by the reason for which they are left
    out now; and those whose media are not read yet, new or changed. A sample is
    its file; where its media lie in a table, their hash.

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
    is that of encoding at the rates last measured for this dataset, else on
    this machine for another one with the same model; downloads and loading come
    on top.

    JSON: {id: {"vae_latents": {"reuse": n, "compute": {reason: n}},
    "text_embeds": {…}, "bytes_to_fetch": n, "bytes_to_store": n,
    "seconds": n or null, "device_hours": n or null,
    "training_set": {"before": n or null, "after": n, "added": n, "media": n,
    "recaptioned": n, "recropped": n, "unread": n, "removed": {reason: n}}, …}}

    Exit codes: 0 planned, 1 a dataset or model can't be read, 2 wrong config.
    """
    from hf_assets.config import siblings
    from hf_assets.draw import plan_text
    from hf_assets.plan.planning import plan as plan_recipe

    with options.errors():
        if as_json and as_markdown:
            raise ConfigError("--json and --markdown: give one of them")
        plans, loaded = {}, options.load(config).usable()
        for line in siblings.notes(loaded):
            options.progress(line)
        for recipe in options.recipes(loaded, ids, id):
            with options.about(recipe.id):
                plans[recipe.id] = plan_recipe(recipe, options.progress, with_names=names).as_json()
            if not as_json and not as_markdown:
                options.say(plan_text.plan(recipe.id, plans[recipe.id]))
        if as_json:
            options.say(json.dumps(plans, indent=2))
        if as_markdown:
            options.say(plan_text.markdown(plans))


def families() -> None:
    """List the names of models for --family, and the pipelines that are known, with what tests go through.

    First the names, each with its flavours, of which the first is the default.
    Then pipelines of diffusers: any repository of one can be named in a
    family's place. Others work where the general rules suffice: see
    docs/models.md.
    """
    from hf_assets.config import model_choice
    from hf_assets.models.families_page import listing

    for line in (*model_choice.listing(), "", *listing()):
        options.say(line)
