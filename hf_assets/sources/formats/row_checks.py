"""Whether some rows of an Arrow array can be read, and theirs alone: Arrow itself looks at all values that nested rows
have in common, of a slice too.
"""

import numpy as np
import pyarrow as pa


def require_sound(values: pa.Array) -> None:
    """
    Args:
        values: a slice of some rows.

    Raises:
        ArrowInvalid: a text isn't UTF-8, or a value lies where there is none.
    """
    kind = values.type
    if pa.types.is_struct(kind):
        for at in range(kind.num_fields):
            require_sound(values.field(at))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        first, last = _window(values)
        for inner in (values.keys, values.items) if pa.types.is_map(kind) else (values.values,):
            require_sound(inner.slice(first, last - first))
    elif pa.types.is_fixed_size_list(kind):
        require_sound(values.values.slice(values.offset * kind.list_size, len(values) * kind.list_size))
    elif pa.types.is_dictionary(kind):
        require_sound(_named(values))
    else:
        values.validate(full=True)


def plain(values: pa.Array) -> pa.Array:
    """Values without a dictionary, of which the rows that are left may not use all."""
    return _named(values) if pa.types.is_dictionary(values.type) else values


def _named(values: pa.DictionaryArray) -> pa.Array:
    """What rows name in a dictionary; of bytes, since others of its texts may be none."""
    values.indices.validate(full=True)
    dictionary, kind = values.dictionary, values.type.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        large = pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
        return dictionary.view(large).take(values.indices).view(kind)
    return dictionary.take(values.indices)


def _window(values: pa.Array) -> tuple[int, int]:
    """The first and the last of the values that some lists have.

    Raises:
        ArrowInvalid: their offsets lead nowhere.
    """
    if not len(values):
        return 0, 0
    wide = pa.types.is_large_list(values.type)
    kind = np.dtype(np.int64 if wide else np.int32)
    offsets = np.frombuffer(values.buffers()[1], kind)[values.offset : values.offset + len(values) + 1]
    num_values = len(values.keys if pa.types.is_map(values.type) else values.values)
    if len(offsets) <= len(values) or offsets[0] < 0 or offsets[-1] > num_values or (np.diff(offsets) < 0).any():
        raise pa.ArrowInvalid("a list whose values lie where there are none")
    return int(offsets[0]), int(offsets[-1])
