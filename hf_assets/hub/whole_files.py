"""Whether files on the Hub are read by range, or fetched whole and compared with the hashes that it lists.

A listed hash is of all of a file: of some of its bytes, none can be compared.
"""

import os

from hf_assets.errors import ConfigError

# `1`: nothing is read by range.
VARIABLE = "HF_ASSETS_WHOLE_FILES"


def are_wanted() -> bool:
    """Whether the environment asks for it.

    Raises:
        ConfigError: it says neither yes nor no.
    """
    value = os.environ.get(VARIABLE) or "0"
    if value not in ("0", "1"):
        raise ConfigError(f'{VARIABLE} is "{value}"; write 1 or 0, or unset it')
    return value == "1"
