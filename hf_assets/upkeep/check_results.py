"""What comes of the checks of a dataset. None reads media, and of a store only samples."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import draw
from hf_assets.config.recipe import Recipe
from hf_assets.draw import numbers
from hf_assets.encode import quarantine
from hf_assets.previews import decoded, token_counts
from hf_assets.store import index, spot_checks
from hf_assets.store.spot_checks import Tensor
from hf_assets.store.table_file import TableFile
from hf_assets.store.tensors import TensorStore

# Latents as a denoiser reads them are scaled to a deviation of about 1. Some autoencoders have outliers.
LARGEST_LATENT = 30.0
LARGEST_OF = {"SanaPipeline": 60.0, "SanaSprintPipeline": 60.0, "StableAudioPipeline": 60.0}


class CheckResult(NamedTuple):
    """What came of one check.

    Attributes:
        name: of the check.
        message: one sentence for people, with numbers; of a failure also what to do.
        numbers: plotted over time.
        table: Markdown.
    """

    name: str
    passed: bool
    message: str
    numbers: dict[str, int | float]
    table: str | None = None


def raw_dataset(recipe: Recipe, num_rows: int, before: int | None) -> list[CheckResult]:
    """Held against the rows from which the last training set was made; None: there was none."""
    lost = max(0.0, 1 - num_rows / before) if before else 0.0
    limit = recipe.checks.shrink.at_most
    if before is None:
        message = f"{num_rows:,} rows; there is no earlier training set to compare with"
    else:
        message = f"{num_rows:,} rows, where the last training set was made from {before:,}"
    passed = lost <= limit
    if not passed:
        message += f": {lost:.1%} are gone, more than {limit:.1%}. If that is meant, raise checks.shrink.at_most"
    return [CheckResult("shrink", passed, message, {"rows": num_rows, "lost_share": lost})]


def vae_latents(recipe: Recipe, pipeline: str | None) -> list[CheckResult]:
    """Some stored latents, and the images that were decoded from some.

    Args:
        pipeline: class of the model's pipeline, if it is known.
    """
    keys = _column(recipe, "vae_latents", "latent_key")
    sampled = list(spot_checks.sample(TensorStore(recipe.folders.latents), pc.unique(keys)))
    return [_finite("latents", sampled), _value_range(recipe, sampled, pipeline), _decode_back(recipe, keys)]


def text_embeds(recipe: Recipe) -> list[CheckResult]:
    """Some stored embeds."""
    keys = _column(recipe, "text_embeds", "embed_key")
    finite = _finite("embeds", list(spot_checks.sample(TensorStore(recipe.folders.embeds), pc.unique(keys))))
    return [finite, _cut_captions(recipe, _table(recipe, "text_embeds", "caption", "embed_key"))]


def _cut_captions(recipe: Recipe, embeds: pa.Table) -> CheckResult:
    """The share of the captions of which a tokenizer cuts the end."""
    cuts = token_counts.cuts_of(recipe.folders.metadata, embeds)
    share, limit = cuts.num_cut / max(cuts.num_counted, 1), recipe.checks.cut_captions.at_most
    by = ", ".join(f"{count:,} by {name.replace(' ', ' at ')} tokens" for name, count in sorted(cuts.by.items()))
    message = (
        f"{cuts.num_cut:,} of {cuts.num_counted:,} counted captions are cut ({share:.1%}){f': {by}' if by else ''}"
    )
    if share > limit:
        message += f"; at most {limit:.1%} may be: shorten them, or raise max_sequence_length or checks.cut_captions"
    table = draw.cut_captions(cuts.longest) if cuts.longest else None
    return CheckResult("cut_captions", share <= limit, message, {"cut": cuts.num_cut, "share": share}, table)


def training_set(recipe: Recipe) -> list[CheckResult]:
    """Whether all that it names is stored, how many media are there twice, and how many samples failed."""
    table = _table(recipe, "training_set", "latent_key", "embed_keys", "media_hash")
    return [_coverage(recipe, table), _duplicates(recipe, table), error_budget(recipe, len(table))]


def error_budget(recipe: Recipe, num_trainable: int) -> CheckResult:
    """The share of the wanted samples that failed."""
    failed = quarantine.failed_samples(recipe)
    is_row = pc.greater_equal(failed["row"], 0)  # what `raw_dataset` couldn't read is no row
    num_failed = len(pc.unique(failed["row"].filter(is_row))) + len(failed) - (pc.sum(is_row).as_py() or 0)
    num_wanted = num_failed + num_trainable
    share = num_failed / max(num_wanted, 1)
    message = f"{num_failed:,} of {num_wanted:,} samples failed ({share:.1%}); the budget is {recipe.error_budget:.1%}"
    passed = share <= recipe.error_budget
    if not passed:
        message += f": mend them, or raise error_budget. See {recipe.folders.metadata}/*_quarantined.parquet"
    facts: dict[str, int | float] = {"failed": num_failed, "share": share}
    return CheckResult("error_budget", passed, message, facts, draw.failures(failed) if num_failed else None)


def _finite(what: str, sampled: list[Tensor]) -> CheckResult:
    unreadable = [one for one in sampled if one.wrong is not None]
    infinite = [one for one in sampled if not one.is_finite]
    message = f"{len(sampled):,} tensors of stored {what} read"
    if unreadable:
        message += f"; {len(unreadable):,} can't be read (first: {unreadable[0].wrong}): run `hf-assets verify`"
    if infinite:
        message += f"; {len(infinite):,} hold NaN or infinity, such as {infinite[0].name} of {infinite[0].key}"
    if not unreadable and not infinite:
        message += ": all whole, and finite"
    facts: dict[str, int | float] = {
        "sampled": len(sampled),
        "unreadable": len(unreadable),
        "not_finite": len(infinite),
    }
    return CheckResult("finite", not unreadable and not infinite, message, facts)


def _value_range(recipe: Recipe, sampled: list[Tensor], pipeline: str | None) -> CheckResult:
    limit = recipe.checks.value_range.at_most or LARGEST_OF.get(pipeline or "", LARGEST_LATENT)
    values = [np.abs(one.values[np.isfinite(one.values)]) for one in sampled if one.values is not None]
    largest = max((float(one.max(initial=0)) for one in values), default=0.0)
    passed = largest <= limit
    message = f"the largest magnitude in {len(values):,} latents is {largest:.1f}; at most {limit:g} is usual"
    if not passed:
        message += ": look at the images of decoded latents, and whether the model's VAE and dtype belong together"
    return CheckResult("value_range", passed, message, {"largest": largest})


def _decode_back(recipe: Recipe, keys: pa.ChunkedArray) -> CheckResult:
    pairs = decoded.pairs(recipe.folders.metadata, decoded.chosen_keys(keys))
    if not pairs:
        return CheckResult("decode_back", True, "no latent was decoded yet", {"decoded": 0})
    mean, floor = float(np.mean([pair.psnr_db for pair in pairs])), recipe.checks.decode_back.at_least_db
    passed = mean >= floor
    message = f"{len(pairs):,} decoded latents have a mean PSNR of {mean:.1f} dB; at least {floor:g} is wanted"
    if not passed:
        message += ": look at the images of vae_latents; a VAE that doesn't belong to the model, or a toy, does this"
    return CheckResult("decode_back", passed, message, {"decoded": len(pairs), "psnr_db": mean})


def _coverage(recipe: Recipe, table: pa.Table) -> CheckResult:
    sides = (
        ("latents", recipe.folders.latents, table["latent_key"]),
        ("embeds", recipe.folders.embeds, pc.list_flatten(table["embed_keys"])),
    )
    facts: dict[str, int | float] = {"samples": len(table)}
    missing = []
    for name, store, keys in sides:
        wanted = pc.unique(keys)
        stored = index.stored_keys(TensorStore(store).look_up(wanted, ("status",)))
        lacking = wanted.filter(pc.invert(pc.is_in(wanted, value_set=stored)))
        facts[f"missing_{name}"] = len(lacking)
        if len(lacking):
            missing.append(f"{len(lacking):,} of {len(wanted):,} {name}")
    if missing:
        message = f"{' and '.join(missing)} are not stored, or damaged: materialize the group again"
    else:
        message = f"all {len(table):,} samples have their latent and their embeds"
    return CheckResult("coverage", not missing, message, facts)


def _duplicates(recipe: Recipe, table: pa.Table) -> CheckResult:
    share, limit = numbers.duplicates_share(table["media_hash"]), recipe.checks.duplicates.at_most
    message = (
        f"{share:.1%} of {len(table):,} samples have media that an earlier one has; at most {limit:.1%} are expected"
    )
    return CheckResult("duplicates", share <= limit, message, {"share": share})


def _column(recipe: Recipe, name: str, column: str) -> pa.ChunkedArray:
    return _table(recipe, name, column)[column]


def _table(recipe: Recipe, name: str, *columns: str) -> pa.Table:
    return TableFile(recipe.folders.metadata, name, f"{recipe.id}/{name}").read(columns)
