"""Pictures for the gallery of media on this machine that no run has decoded, such as dropped ones.

Each is tried once, and so many at most of the rows that are shown: what came of it is kept in a file beside the
gallery, by the file's hash and the row in it.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_assets import files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.config.recipe import Recipe
from hf_assets.encode import quarantine
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.engines.ahead import map_ahead
from hf_assets.kinds.medium import medium_of
from hf_assets.previews import pictures
from hf_assets.previews.pictures import Pictures
from hf_assets.previews.thumbnails import first
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import Snapshot

THREADS = 8
# By a row's place: the hash of its media; none where it couldn't be drawn.
Tried = dict[str, str | None]


def draw(recipe: Recipe, snapshot: Snapshot, shown: pa.Table, media: pa.Table, count: int) -> list[dict[str, Any]]:
    """Make pictures of media on this machine of which none were made while they were encoded.

    Args:
        shown: `row` and `schema.LOCATION` of the rows in the gallery.
        media: what is known of their media.
        count: so many, those of earlier runs among them.

    Returns:
        `row` and `media_hash` of those whose hash no run has needed, as of a row without a caption.
    """
    if not Path(recipe.source.dataset_name).is_absolute():
        return []
    root = recipe.folders.metadata
    known = pictures.known(root)["key"].combine_chunks()
    lacking = media.filter(pc.invert(pc.is_in(pictures.keys_of(media), value_set=known)))
    failed = quarantine.failed_samples(recipe)["row"].combine_chunks()
    lacks = pc.is_in(shown["row"], value_set=lacking["row"].combine_chunks())
    if recipe.source.folder is not None:
        lacks = pc.or_(lacks, pc.invert(pc.is_in(shown["row"], value_set=media["row"].combine_chunks())))
    lacks = pc.and_not(lacks, pc.is_in(shown["row"], value_set=failed))
    places, tried = _places(shown), _tried_of(root, shown)
    drawn_before = set(known.to_pylist())
    # a sheet may be gone
    tried = {place: one for place, one in tried.items() if one is None or pictures.key_of(one) in drawn_before}
    is_tried = pc.is_in(places, value_set=pa.array(tried, pa.string()))
    keys = dict(zip(lacking["row"].to_pylist(), pictures.keys_of(lacking).to_pylist(), strict=True))
    again = zip(shown["row"].filter(is_tried).to_pylist(), places.filter(is_tried).to_pylist(), strict=True)
    are_known = set(media["row"].to_pylist())
    hashed = [
        {"row": row, "media_hash": tried[place]}
        for row, place in again
        if tried[place] is not None and row not in are_known
    ]
    wanted = first(shown.filter(pc.and_not(lacks, is_tried)), max(count - len(tried), 0))
    if not len(wanted):
        return hashed
    wanted = wanted.sort_by("row")
    place_of = dict(zip(wanted["row"].to_pylist(), _places(wanted).to_pylist(), strict=True))
    medium, made = medium_of(recipe), Pictures(root)
    source = source_of(recipe.source, folder.sources(root))

    def make(one: Any) -> None:
        if not one.data:
            return
        media_hash = fingerprint.of_bytes(one.data)
        if (key := keys.get(one.row)) is None:
            hashed.append({"row": one.row, "media_hash": media_hash})
            key = pictures.key_of(media_hash)
        if key not in drawn_before:
            try:
                picture = medium.thumbnail(one.data)
            except Exception:  # decoration: whatever is wrong with it, probing and encoding say it
                return
            if picture is None:
                return
            made.add(key, np.asarray(picture.convert("RGB")))
        tried[place_of[one.row]] = media_hash

    tried |= dict.fromkeys(place_of.values())
    read = media_of(by_file(wanted, snapshot), source, snapshot, recipe.media_column)
    threads = min(os.cpu_count() or 1, THREADS)
    for _ in map_ahead(make, read, threads=threads, ahead=2 * threads):
        pass
    made.flush()
    files.write_atomically(folder.local_pictures(root), json.dumps(tried, separators=(",", ":")).encode())
    return hashed


def _places(located: pa.Table) -> pa.ChunkedArray:
    """Of each row, its file's hash and its number there."""
    parts = (located[name].cast(pa.string()) for name in ("file_hash", "file_row"))
    return pc.binary_join_element_wise(*parts, ".", null_handling="replace", null_replacement="")


def _tried_of(root: Location, shown: pa.Table) -> Tried:
    """What is known of the rows that are shown."""
    try:
        known = json.loads(folder.local_pictures(root).read_bytes())
        found: Tried = dict.fromkeys(_places(shown).to_pylist())
        return {place: known[place] for place in known if place in found}
    except (OSError, ValueError, TypeError):
        return {}
