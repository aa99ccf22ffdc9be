"""The tables that travel between assets: their columns, types and order.

Sizes are [width, height] in pixels; a crop is [top, left] in pixels of the resized image. Tables that people and other
programs read (`training_set` above all) keep these names from release to release.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SIZE = pa.list_(pa.int32(), 2)

# Of a composite image, which shows several: [left, top, width, height] in pixels of the one that is taken.
CELL = pa.field("cell", pa.list_(pa.int32(), 4))

# What was done to media beyond the plain case, as `media.steps` writes it; null where nothing was.
DECODING = pa.field("decoding", pa.string())

# Position of the row in the split.
ROW = pa.field("row", pa.int64(), nullable=False)

# Where a row's bytes lie: the file's path in the repository, the hash of its content, and the row within it.
LOCATION = pa.schema(
    [
        pa.field("file_path", pa.dictionary(pa.int32(), pa.string())),
        pa.field("file_hash", pa.dictionary(pa.int32(), pa.string())),
        pa.field("file_row", pa.int64()),
    ]
)

# The file that is a row's media, by its path within the folder, repository or archive; null where the bytes lie in a
# table.
SOURCE_PATH = pa.field("source_path", pa.string())

# The columns of the dataset that the config names, in one struct, so that no name can collide with ours.
COLUMNS = "columns"

# Behind the name of a column of classes by number: a column of their names, which may be captions.
CLASS_NAMES = "#names"

# Captions may take more than 2 GiB in all, the most that `pa.string` holds.
CAPTION = pa.large_string()

# What is trained on in place of a caption that is left out: no row has it by itself, since blank captions are none.
EMPTY_CAPTION = ""

CAPTIONS = pa.schema([ROW, pa.field("captions", pa.list_(CAPTION))])
# Of audio, the table of captions has this too.
LYRICS = pa.field("lyrics", CAPTION)
# How much of a clip is encoded. Rows of captions, and texts, have it where the text encoders read it.
DURATION = pa.field("duration_s", pa.float64())

MEDIA = pa.schema([ROW, pa.field("media_hash", pa.string()), pa.field("original_size", SIZE), DECODING])

BUCKETS = pa.schema(
    [
        *MEDIA,
        pa.field("resized_size", SIZE),
        pa.field("intermediary_size", SIZE),
        pa.field("target_size", SIZE),
        pa.field("crop_top_left", SIZE),
        pa.field("aspect_ratio", pa.float64()),
        pa.field("bucket", pa.string()),
    ]
)

VIDEO_MEDIA = pa.schema(
    [
        *MEDIA,
        pa.field("original_num_frames", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("rotation", pa.int32()),  # degrees by which frames were turned counterclockwise to stand upright
    ]
)

# Of a clip, `num_frames` frames from `first_frame` on are encoded.
VIDEO_BUCKETS = pa.schema(
    [
        *VIDEO_MEDIA,
        *(field for field in BUCKETS if field.name not in MEDIA.names),
        pa.field("first_frame", pa.int32()),
        pa.field("num_frames", pa.int32()),
    ]
)

AUDIO_MEDIA = pa.schema(
    [
        ROW,
        pa.field("media_hash", pa.string()),
        pa.field("original_sample_rate_hz", pa.int32()),
        pa.field("original_num_channels", pa.int32()),
        pa.field("original_num_samples", pa.int64()),  # of each channel
        DECODING,
    ]
)

# The part of a clip that is encoded: samples are counted at `sample_rate_hz`.
AUDIO_BUCKETS = pa.schema(
    [
        *AUDIO_MEDIA,
        pa.field("sample_rate_hz", pa.int32()),
        pa.field("num_channels", pa.int32()),
        pa.field("mixed_to", pa.int32()),  # channels, of which one is then given to both of a stereo encoder
        pa.field("first_sample", pa.int64()),
        pa.field("num_samples", pa.int64()),
        pa.field("bucket", pa.string()),
    ]
)

# Of a sample's tensors, as they are stored.
NUM_BYTES = pa.field("num_bytes", pa.int64())

VAE_LATENTS = pa.schema(
    [
        ROW,
        pa.field("latent_key", pa.string()),
        pa.field("latent_shape", pa.list_(pa.int32())),
        pa.field("shard", pa.string()),
        NUM_BYTES,
    ]
)

TEXT_EMBEDS = pa.schema(
    [pa.field("caption", CAPTION), pa.field("embed_key", pa.string()), pa.field("shard", pa.string()), NUM_BYTES]
)

TRAINING_SET = pa.schema(
    [
        ROW,
        pa.field("file", pa.string()),
        SOURCE_PATH,
        pa.field("media_hash", pa.string()),
        pa.field("captions", pa.list_(CAPTION)),
        pa.field("original_size", SIZE),
        pa.field("intermediary_size", SIZE),
        pa.field("target_size", SIZE),
        pa.field("crop_top_left", SIZE),
        pa.field("bucket", pa.string()),
        pa.field("latent_key", pa.string()),
        pa.field("latent_shape", pa.list_(pa.int32())),
        pa.field("embed_keys", pa.list_(pa.string())),
        pa.field("empty_caption_key", pa.dictionary(pa.int32(), pa.string())),
    ]
)

# A sample that failed: what it is, where it came from, in which stage and why.
QUARANTINE = pa.schema(
    [
        ROW,
        pa.field("address", pa.string()),
        SOURCE_PATH,
        pa.field("key", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("first_seen", pa.timestamp("us", tz="UTC")),
        pa.field("last_seen", pa.timestamp("us", tz="UTC")),
    ]
)


def column_names(table: pa.Table) -> set[str]:
    """The top-level columns of the dataset that this table has."""
    return {field.name for field in table.schema.field(COLUMNS).type} if COLUMNS in table.column_names else set()


def column(table: pa.Table, path: str) -> pa.ChunkedArray:
    """A column of the dataset by its name or dotted path.

    A path is first taken as the name of a column that has dots in it, then as a way into structs and into lists of
    structs, of which it gives the lists of that field. A column or field that isn't there reads as nulls.
    """
    names = [field.name for field in table.schema.field(COLUMNS).type] if COLUMNS in table.column_names else []
    head, *rest = [path] if path in names else path.split(".")
    if head not in names:
        return pa.chunked_array([pa.nulls(len(table))])
    values = pc.struct_field(table[COLUMNS], head)
    for name in rest:
        if field_type(values.type, name) is None:
            return pa.chunked_array([pa.nulls(len(table))])
        values = pa.chunked_array([_field(chunk, name) for chunk in values.chunks], field_type(values.type, name))
    return values


def has_column(table: pa.Table, path: str) -> bool:
    """Whether a column is there, by its name or dotted path."""
    names = column_names(table)
    head, *rest = [path] if path in names else path.split(".")
    if head not in names:
        return False
    kind: pa.DataType | None = table.schema.field(COLUMNS).type.field(head).type
    for name in rest:
        kind = None if kind is None else field_type(kind, name)
    return kind is not None


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def list_parents(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The list that each of `pc.list_flatten(values)` is of.

    Arrow's own `list_parent_indices` also counts values that a null list hides, which `list_flatten` leaves out.
    """
    lengths = pc.if_else(pc.is_valid(values), pc.list_value_length(values), 0)
    return np.repeat(np.arange(len(values)), pc.cast(lengths, pa.int64()).to_numpy(zero_copy_only=False))


def field_type(kind: pa.DataType, name: str) -> pa.DataType | None:
    """The type of a field of a struct, or of a list's structs; None where there is no such field."""
    if is_list(kind):
        inner = field_type(kind.value_type, name)
        if inner is None:
            return None
        return pa.large_list(inner) if pa.types.is_large_list(kind) else pa.list_(inner)
    if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return None
    return kind.field(name).type


def with_values(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Lists of the same lengths over other values: one for each of `lists.values`."""
    kind = pa.LargeListArray if pa.types.is_large_list(lists.type) else pa.ListArray
    offsets = pa.array(lists.offsets.to_numpy())  # of a slice, Arrow takes no mask
    return kind.from_arrays(offsets, values, mask=lists.is_null() if lists.null_count else None)


def _field(values: pa.Array, name: str) -> pa.Array:
    if pa.types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
    if is_list(values.type):
        return with_values(values, _field(values.values, name))
    return pc.struct_field(values, name)


def pairs(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.FixedSizeListArray:
    """Two columns as one of pairs."""
    values = np.empty(2 * len(first), dtype=np.int32)
    values[0::2] = first.to_numpy()
    values[1::2] = second.to_numpy()
    return pa.FixedSizeListArray.from_arrays(pa.array(values), type=SIZE)


def halves(values: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A column of pairs as two arrays."""
    flat = pc.list_flatten(values).to_numpy()
    return flat[0::2], flat[1::2]
