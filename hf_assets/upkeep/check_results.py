"""What comes of the checks of a dataset. None reads media, and of a store only samples."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import draw, files, fingerprint
from hf_assets.config.recipe import Recipe
from hf_assets.encode import lookup, quarantine, trainable
from hf_assets.previews import decoded
from hf_assets.previews.token_counts import Counted, Cuts
from hf_assets.stages import joining
from hf_assets.store import index, memo, spot_checks
from hf_assets.store.spilling import DistinctTexts, SpilledRows
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
    table = TableFile(recipe.folders.metadata, "vae_latents", f"{recipe.id}/vae_latents")
    if (noted := _noted(table, spot_checks.FIRST)) is not None:
        least = pa.array(json.loads(noted), pa.string())
    else:  # an earlier release wrote it, or it is damaged
        least = spot_checks.first_of(table.tables(["latent_key"]), "latent_key")
    sampled = list(spot_checks.sample(TensorStore(recipe.folders.latents), least))
    return [_finite("latents", sampled), _value_range(recipe, sampled, pipeline), _decode_back(recipe, least)]


def text_embeds(recipe: Recipe) -> list[CheckResult]:
    """Some stored embeds."""
    counted = Counted(recipe.folders.metadata)

    def counting() -> Iterator[pa.Table]:
        for table in _tables(recipe, "text_embeds", "caption", "embed_key"):
            counted.add(table)
            yield table

    least = spot_checks.first_of(counting(), "embed_key")
    finite = _finite("embeds", list(spot_checks.sample(TensorStore(recipe.folders.embeds), least)))
    return [finite, _cut_captions(recipe, counted.cuts())]


def _cut_captions(recipe: Recipe, cuts: Cuts) -> CheckResult:
    """The share of the captions of which a tokenizer cuts the end."""
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
    table = TableFile(recipe.folders.metadata, "training_set", f"{recipe.id}/training_set")
    is_known = _is_whole(recipe)
    if is_known and (num_media := _noted(table, trainable.NUM_MEDIA)) is not None:
        num_rows = table.num_rows()
        found = [_coverage(num_rows, {}), _duplicates(recipe, num_rows, int(num_media))]
        return [*found, error_budget(recipe, num_rows)]
    num_rows = 0
    columns = () if is_known else ("latent_key", "embed_keys", "empty_caption_key")
    with TemporaryDirectory(prefix="hf-assets-check-") as name, DistinctTexts() as media:
        named = {side: SpilledRows(Path(name) / side, _NAMED, "key") for side in ("latents", "embeds")}
        for rows in table.tables(["media_hash", *columns]):
            num_rows += len(rows)
            media.add_hashes(rows["media_hash"])
            if not is_known:
                named["latents"].add(pa.table([fingerprint.pack(rows["latent_key"])], schema=_NAMED))
                named["embeds"].add(pa.table([fingerprint.pack(joining.embed_keys_of(rows))], schema=_NAMED))
        stores = {"latents": recipe.folders.latents, "embeds": recipe.folders.embeds}
        lacking = {} if is_known else {side: _num_lacking(TensorStore(stores[side]), named[side]) for side in stores}
        found = [_coverage(num_rows, lacking), _duplicates(recipe, num_rows, media.count())]
    return [*found, error_budget(recipe, num_rows)]


def _noted(table: TableFile, key: bytes) -> bytes | None:
    """What a table says of itself; None where it doesn't, or isn't whole: then who reads its rows says so."""
    return files.metadata_of(table.path).get(key) if files.is_whole_file(table.path) else None


def _is_whole(recipe: Recipe) -> bool:
    """Whether the tables that the training set was joined of name just what is stored: their memos show it, as long as
    the shards and what says so are as they were. Then nothing needs to be looked up.
    """
    root = recipe.folders.metadata
    made_of = TableFile(root, "training_set", f"{recipe.id}/training_set").facts().made_from
    for name in ("vae_latents", "text_embeds"):
        noted = memo.load(root, name)
        if noted is None or not noted.rests or noted.version != made_of.get(name) or not noted.is_intact(root):
            return False
    return True


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


def _decode_back(recipe: Recipe, least: pa.Array) -> CheckResult:
    pairs = decoded.pairs(recipe.folders.metadata, decoded.chosen_keys(least))
    if not pairs:
        return CheckResult("decode_back", True, "no latent was decoded yet", {"decoded": 0})
    mean, floor = float(np.mean([pair.psnr_db for pair in pairs])), recipe.checks.decode_back.at_least_db
    passed = mean >= floor
    message = f"{len(pairs):,} decoded latents have a mean PSNR of {mean:.1f} dB; at least {floor:g} is wanted"
    if not passed:
        message += ": look at the images of vae_latents; a VAE that doesn't belong to the model, or a toy, does this"
    return CheckResult("decode_back", passed, message, {"decoded": len(pairs), "psnr_db": mean})


_NAMED = pa.schema([pa.field("key", fingerprint.PACKED)])


def _num_lacking(store: TensorStore, named: SpilledRows) -> tuple[int, int]:
    """How many of the keys that are named are not stored, and how many there are."""
    num_wanted = num_lacking = 0
    present, opened = store.present(), store.open_index()
    for piece in named.pieces(lookup.LOOKED_UP_ROWS):
        wanted = pc.unique(piece["key"])
        stored = index.stored_keys(store.look_up(wanted, ("status",), present, opened))
        num_wanted += len(wanted)
        num_lacking += len(wanted) - (pc.sum(pc.is_in(wanted, value_set=stored)).as_py() or 0)
    return num_lacking, num_wanted


def _coverage(num_rows: int, lacking: Mapping[str, tuple[int, int]]) -> CheckResult:
    """
    Args:
        lacking: of each side, how many tensors are not stored, of how many; nothing where it is known that all are.
    """
    facts: dict[str, int | float] = {"samples": num_rows, "missing_latents": 0, "missing_embeds": 0}
    facts |= {f"missing_{name}": num_lacking for name, (num_lacking, _) in lacking.items()}
    missing = [f"{num:,} of {num_wanted:,} {name}" for name, (num, num_wanted) in lacking.items() if num]
    if missing:
        message = f"{' and '.join(missing)} are not stored, or damaged: materialize the group again"
    else:
        message = f"all {num_rows:,} samples have their latent and their embeds"
    return CheckResult("coverage", not missing, message, facts)


def _duplicates(recipe: Recipe, num_rows: int, num_media: int) -> CheckResult:
    share, limit = 1 - num_media / num_rows if num_rows else 0.0, recipe.checks.duplicates.at_most
    message = (
        f"{share:.1%} of {num_rows:,} samples have media that an earlier one has; at most {limit:.1%} are expected"
    )
    return CheckResult("duplicates", share <= limit, message, {"share": share})


def _tables(recipe: Recipe, name: str, *columns: str) -> Iterator[pa.Table]:
    return TableFile(recipe.folders.metadata, name, f"{recipe.id}/{name}").tables(columns)
