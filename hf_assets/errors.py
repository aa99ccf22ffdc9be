"""Every error that hf_assets raises on purpose.

HfAssetsError
├── ConfigError    the JSON file is wrong: file, JSON path, value and remedy are in the message
├── DatasetError   the dataset is not there, not readable, or not as the config says
│   └── MissingColumnError   it lacks a column that the config names
├── ModelError     the pipeline is not there, not readable, or not one that can encode
├── MediaError     one sample's bytes can't be used: the sample is quarantined, the run goes on
└── StoreError     a shard or an index part is not what it should be
"""

from hf_assets import inert


class HfAssetsError(Exception):
    """Base of all errors raised on purpose. What their messages quote shows as it is, and does nothing."""

    def __init__(self, message: str = "") -> None:
        super().__init__(inert.text(message))


class ConfigError(HfAssetsError):
    """The config file is wrong. The message reads `file: json.path: what, and what to do`, a line for each mistake.

    Attributes:
        located: the message as compilers write it, `file:line:column: json.path: …`, where the places are known.
    """

    def __init__(self, message: str, located: str | None = None) -> None:
        super().__init__(message)
        self.located = inert.text(located or message)


class DatasetError(HfAssetsError):
    """The dataset can't be found, read, or doesn't hold what the config names."""


class MissingColumnError(DatasetError):
    """The dataset lacks a column that the config names.

    Attributes:
        column: its name, of a dotted path the first part.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class ModelError(HfAssetsError):
    """The model can't be found, read, or can't encode this kind of data."""


class MediaError(HfAssetsError):
    """One sample's bytes can't be used.

    Attributes:
        reason: a short, countable word such as `undecodable`; the message holds the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["MediaError"], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class StoreError(HfAssetsError):
    """A stored tensor or table is missing, truncated or altered."""
