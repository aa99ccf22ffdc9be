"""Hold a recipe against the real dataset and model, before anything is encoded."""

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import fingerprint, folder, schema
from hf_assets.config.recipe import Recipe
from hf_assets.draw import empty_text
from hf_assets.encode import bucketing
from hf_assets.encode.media_files import Media, by_file, media_of
from hf_assets.errors import DatasetError, MediaError
from hf_assets.kinds.medium import Medium, medium_of
from hf_assets.models import model_loading, prompt, token_limits
from hf_assets.models.components import text_components, vae_component
from hf_assets.models.pipeline import INDEX, Pipeline, resolve_pipeline
from hf_assets.sources import rows, unicode_names
from hf_assets.sources.formats import text_files
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.places import media_folder
from hf_assets.sources.places.local_repository import media_below
from hf_assets.sources.source import Source, source_of
from hf_assets.sources.spec import Snapshot
from hf_assets.stages import captions, filtering, naming
from hf_assets.upkeep import emptiness, reachability

# So many media are looked at: the first that would be used, so that one file, or few of its bytes, is enough.
SAMPLED = 32
SHOWN_BUCKETS = 10
SHOWN_FAULTS = SHOWN_CAPTIONS = SHOWN_TABLES = 5
SHOWN_CHARACTERS = 60
# How tables that may lie beside media are read, by their ending.
TABLES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "json"}


def check(recipe: Recipe, *, tokens: bool = False) -> Iterator[str]:
    """What was found, line by line. Columns are read, and the media of a few rows; nothing is kept of a dataset that no
    run has made yet.

    Raises:
        DatasetError, ModelError: the first thing that would stop a run.
    """
    recipe.folders.require(writable=True)
    name = recipe.source.dataset_name
    if not Path(name).is_absolute() and "://" not in name:
        yield f'dataset "{name}": no folder of that name is here, so the Hub is asked'
    with TemporaryDirectory() as temporary:
        root = recipe.folders.metadata
        by_runs = folder.sources(root)
        if by_runs.is_dir():  # what runs have kept is looked at, so that the Hub isn't needed for it
            sources, columns = by_runs, folder.columns(root)
        else:
            sources, columns = folder.sources(Path(temporary)), folder.columns(Path(temporary))
        source = source_of(recipe.source, sources)
        snapshot = source.resolve()
        yield f"dataset {snapshot.repository} at {snapshot.commit}"
        if recipe.source.folder is None:  # a folder of media is one list of them
            yield f"split {recipe.source.split}: {_count(len(snapshot.files), 'file')}"
        wanted = WantedColumns(recipe.media_column, recipe.required_columns, recipe.optional_columns)
        read = rows.read(source, snapshot, wanted, columns, lambda line: None, recipe.key_of_column)
        table = read.table
        yield f"rows: {len(table):,}; columns {', '.join((recipe.media_column, *recipe.required_columns))} found"
        if read.missing[0]:
            num_missing, example = read.missing
            named = f"{_count(num_missing, 'row')} {'names' if num_missing == 1 else 'name'}"
            yield f'  {named} media that aren\'t there, such as "{example[:SHOWN_CHARACTERS]}"'
        judged = filtering.judge(table, recipe.filter)
        kept, dropped = filtering.kept(judged), filtering.dropped(judged)
        if recipe.filter != filtering.FilterRules():
            yield f"filter keeps {len(kept):,} ({_share(len(kept), len(table))})"
        yield from _dropped_text(dropped)
        is_folder = recipe.source.folder is not None
        yield from (f"  {line}" for line in filtering.lacking(table, recipe.filter, is_folder=is_folder))
        if not len(kept):
            yield from _refuse_empty(recipe, emptiness.no_row_kept(recipe, table, dropped))
        captioned, without = captions.extract(kept, recipe.captions)
        yield from _caption_lines(recipe, captioned, without)
        if not len(captioned):
            yield from _refuse_empty(recipe, emptiness.no_caption(recipe, kept, table))
        for fault in read.faults.slice(0, SHOWN_FAULTS).to_pylist():
            yield f"  {fault['address']} can't be read: {fault['message']}"
        if len(read.faults) > SHOWN_FAULTS:
            yield f"  {_count(len(read.faults) - SHOWN_FAULTS, 'more row')} can't be read"
        try:
            emptied = yield from _check_sample(recipe, source, snapshot, captioned, table, sources)
        except DatasetError as error:
            if not reachability.is_offline() and not reachability.outages(recipe):
                raise
            emptied = None
            yield f"the first media are not looked at: {error}"
        if emptied is not None:
            yield from _refuse_empty(recipe, emptied)
    hash_cache = folder.model_hashes(root) if by_runs.is_dir() else None
    pipeline = resolve_pipeline(recipe.model.pipeline, hash_cache=hash_cache)
    yield from reachability.outages(recipe)
    encoders = ", ".join(component.class_name for component in text_components(pipeline) if component.is_model)
    encoders = encoders if recipe.model.pipeline.has_text else "no text encoder, since model.text is false"
    revision = f" at {pipeline.sha}" if pipeline.sha else ""  # a folder has none
    yield f"model {pipeline.name}{revision}: {vae_component(pipeline).class_name}; {encoders}"
    yield from _argument_lines(pipeline)
    yield medium_of(recipe).examples(pipeline)
    if tokens and recipe.model.pipeline.has_text:
        yield from _token_lines(pipeline, captions.distinct(captioned).to_pylist())


def _caption_lines(recipe: Recipe, captioned: pa.Table, without: pa.Table) -> Iterator[str]:
    if not recipe.model.pipeline.has_text:
        yield "no captions are read, since model.text is false: text_embeds will be empty"
        return
    num_distinct = len(captions.distinct(captioned))
    lack = f", without: {len(without):,}" if len(without) else ""
    yield f"rows with captions: {len(captioned):,}{lack}; distinct captions: {num_distinct:,}"
    named = [naming.name_of(row) for row in without.slice(0, SHOWN_CAPTIONS).to_pylist()]
    if named:
        more = f" and {len(without) - len(named):,} more" if len(without) > len(named) else ""
        yield f"  without: {', '.join(named)}{more}"
    yield from unused_texts(recipe)
    yield from unused_tables(recipe)


def _refuse_empty(recipe: Recipe, why: str) -> Iterator[str]:
    """What a run would say of a table without rows, as severely.

    Raises:
        DatasetError: that fails a run.
    """
    severity = recipe.checks.not_empty.severity
    if severity == "error":
        raise DatasetError(f'nothing is left of dataset "{recipe.id}": {why}')
    if severity == "warn":
        yield f"nothing is left: {why}"


def _argument_lines(pipeline: Pipeline) -> Iterator[str]:
    """The arguments of `encode_prompt` that the config sets, and what the pipeline itself would give it."""
    if not (chosen := pipeline.source.arguments):
        return
    own = prompt.usage(prompt.pipeline_class(pipeline)).calls[0].arguments
    for name, value in chosen.items():
        usual = json.dumps(own[name], ensure_ascii=False) if name in own else "its default"
        usual = usual if len(usual) <= SHOWN_CHARACTERS else f"{usual[:SHOWN_CHARACTERS]}..."
        yield f"encode_prompt: {name} = {json.dumps(value, ensure_ascii=False)} (without model.encode_prompt: {usual})"


def _token_lines(pipeline: Pipeline, texts: list[str]) -> Iterator[str]:
    """How many captions each tokenizer cuts, and the longest. The tokenizers are fetched, no encoder is."""
    folder = pipeline.repository.fetch([INDEX])
    components = [one for one in text_components(pipeline) if not one.is_model and "tokenizer" in one.name]
    for one in components:
        pipeline.repository.fetch(list(one.files))
    tokenizers = {one.name: model_loading.load_small(one, folder) for one in components}
    arguments = prompt.remembered_usage(pipeline).calls[0].arguments
    for name, counted in token_limits.counted(tokenizers, arguments, texts).items():
        cut = sorted(
            ((count, text) for count, text in zip(counted.tokens, texts, strict=True) if count > counted.limit)
        )
        yield f"{name} cuts {len(cut):,} of {len(texts):,} captions at {counted.limit:,} tokens"
        for count, text in cut[::-1][:SHOWN_CAPTIONS]:
            yield f'  {count:,} tokens: "{" ".join(text.split())[:80]}"'


def _media_folder(recipe: Recipe) -> Path | None:
    """The folder of media on this machine that a dataset is; None where it is anything else."""
    name = recipe.source.dataset_name
    return Path(name) if recipe.source.folder is not None and Path(name).is_absolute() else None


def unused_tables(recipe: Recipe) -> Iterator[str]:
    """The tables that lie in a folder of media and name them, which no setting reads, with the settings that would."""
    rules, root = recipe.source.folder, _media_folder(recipe)
    if root is None or rules is None or rules.captions == "table":
        return
    tables = [path for path in sorted(root.iterdir()) if path.suffix.lower() in TABLES and path.is_file()]
    if rules.table is not None:  # it says sizes
        tables = [path for path in tables if path != root / rules.table.path]
    inside = [path for path in tables if path.resolve().is_relative_to(root.resolve())]
    media = {unicode_names.composed(path.name) for path in media_below(root)} if inside else set()
    for path in inside[:SHOWN_TABLES]:
        table = media_folder.first_rows(path)
        named = table and next((name for name in table.column_names if _names_media(table[name], media)), None)
        if not table or not named:
            continue
        yield f'"{path.name}" names media of the folder in its column "{named}", and isn\'t read'
        texts = [name for name in table.column_names if name != named and pa.types.is_string(table[name].type)]
        kind = TABLES[path.suffix.lower()]
        if kind == "json":
            yield (
                f'  to read it: call it metadata.jsonl, its column "file_name", and set type to "huggingface" and '
                f'dataset_name to "{root}"'
            )
        elif texts:
            block = {"path": path.name, "filename_column": named, "caption_column": texts[0]}
            yield f'  to read it: "caption_strategy": "{kind}", "{kind}": {json.dumps(block, ensure_ascii=False)}'


def _names_media(values: pa.ChunkedArray, media: set[str]) -> bool:
    """Whether texts are names of files, of which some are there."""
    if not pa.types.is_string(values.type):
        return False
    names = {unicode_names.composed(PurePath(str(text).replace("\\", "/")).name) for text in values.to_pylist()}
    stems = {PurePath(name).stem for name in media}
    return bool(names & (media | stems))


def unused_texts(recipe: Recipe) -> Iterator[str]:
    """The files of captions beside media that no setting reads, with some of their captions."""
    rules, root = recipe.source.folder, _media_folder(recipe)
    if root is None or rules is None or rules.captions != "filename":
        return
    media = {text_files.key(os.path.relpath(path, root)) for path in media_below(root)}
    beside = [
        path
        for key, path in sorted(media_folder.texts_of(root).items())
        if key in media and path.resolve().is_relative_to(root.resolve())
    ]
    if not beside:
        return
    yield (
        f"{_count(len(beside), 'text file')} beside media, not read since captions are the media's names: set "
        'caption_strategy to "textfile" to read them'
    )
    for path in beside[:3]:
        text = media_folder.text(path).strip()
        yield f'  {os.path.relpath(path, root)}: "{" ".join(text.split())[:80]}"'


def _check_sample(
    recipe: Recipe, source: Source, snapshot: Snapshot, captioned: pa.Table, table: pa.Table, memory: Path
) -> Generator[str, None, str | None]:
    """What becomes of the first rows once their media are read.

    Returns:
        Why nothing is left of the dataset, where these are all of it and nothing is.
    """
    medium = medium_of(recipe)
    wanted = bucketing.locations(captioned.slice(0, SAMPLED), table)
    if not any(file.content for file in snapshot.files):  # in place, so that a few bytes of a large file are enough
        source = source_of(recipe.source.model_copy(update={"streaming": True}), memory)
    media = media_of(by_file(wanted, snapshot), source, snapshot, recipe.media_column)
    looks = [(one.row, _look(medium, one)) for one in media]
    if not looks:
        return None
    failed = [(row, found) for row, found in looks if isinstance(found, str)]
    facts = [{"row": row, **found} for row, found in looks if not isinstance(found, str)]
    fields = [pa.field("row", pa.int64()), pa.field("media_hash", pa.string()), *medium.facts]
    described = medium.describe(pa.Table.from_pylist(facts, schema=pa.schema(fields)))
    buckets, dropped = bucketing.fit(recipe, described, filtering.sizeless(table, recipe.filter))
    which = f"the first {len(looks)}" if len(captioned) > len(looks) else str(len(looks))
    share = "" if len(buckets) == len(looks) else f" ({_share(len(buckets), len(looks))})"
    yield f"media that can be used: {len(buckets)} of {which}{share}"
    yield from _dropped_text(dropped)
    yield from _enlarged(buckets)
    named = table.select(["row", schema.SOURCE_PATH.name]).take(pa.array([row for row, _ in failed[:3]], pa.int64()))
    for row, (_, message) in zip(named.to_pylist(), failed, strict=False):
        yield f"  {naming.name_of(row)} can't be read: {message}"
    counts = sorted(pc.value_counts(buckets["bucket"]).to_pylist(), key=lambda one: (-one["counts"], one["values"]))
    if counts:
        shown = ", ".join(f"{one['values']}: {one['counts']}" for one in counts[:SHOWN_BUCKETS])
        yield f"  buckets: {shown}{', …' if len(counts) > SHOWN_BUCKETS else ''}"
    if len(buckets) or len(captioned) > len(looks):
        return None
    return empty_text.no_media(len(looks), emptiness.reasons(dropped), {"unreadable": len(failed)} if failed else {})


def _enlarged(buckets: pa.Table) -> Iterator[str]:
    """How many pictures are smaller than what is made of them."""
    if not {"original_size", "resized_size"} <= set(buckets.column_names) or not len(buckets):
        return
    before, after = (pc.list_element(buckets[name], 0) for name in ("original_size", "resized_size"))
    times = pc.divide(pc.cast(after, pa.float64()), before)
    if num_enlarged := pc.sum(pc.greater(times, 1)).as_py():
        verb, most = "is" if num_enlarged == 1 else "are", f"{pc.max(times).as_py():.1f} times"
        ways = "max_upscale_threshold leaves such out, a smaller resolution takes them as they are"
        yield f"  {num_enlarged:,} of them {verb} enlarged, up to {most}: {ways}"


def _look(medium: Medium, media: Media) -> dict[str, object] | str:
    """Facts of one medium, or why there are none."""
    if media.error is not None:
        return str(media.error)
    assert media.data is not None, "media without an error have bytes"
    try:
        return {"media_hash": fingerprint.of_bytes(media.data), **medium.probe(media.data)}
    except MediaError as error:
        return str(error)


def _dropped_text(rows_with_reasons: pa.Table) -> Iterator[str]:
    counts = pc.value_counts(rows_with_reasons["dropped_for"]).to_pylist()
    for entry in sorted(counts, key=lambda one: (-one["counts"], one["values"])):
        yield f"  dropped, {entry['values']}: {entry['counts']:,}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "of none"
