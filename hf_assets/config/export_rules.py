"""Where a training set is also written for other trainers, and how."""

from typing import Literal

from pydantic import Field, model_validator

from hf_assets.blobs.location import SCHEMES
from hf_assets.values import Block, Name, mistake_at

Format = Literal["simpletuner", "parquet", "webdataset", "fastvideo"]
# Of formats that have more than one set of names, those beside our own.
NAMES: dict[str, tuple[str, ...]] = {"parquet": ("mlperf",), "webdataset": ("primus",)}


class ExportRules(Block):
    """One export of a dataset."""

    format: Format = Field(
        description="`simpletuner`: its caches and config; `parquet`: a dataset that `datasets` reads; `webdataset`: "
        "tars; `fastvideo`: FastVideo's Parquet. See [export.md](export.md)."
    )
    to: Name = Field(description="The folder, relative to this file; each dataset has one of its name in it.")
    names: Literal["mlperf", "primus"] | None = Field(
        None,
        description="Other names of columns or files than our own: of `parquet`, `mlperf`; of `webdataset`, `primus`.",
    )

    @model_validator(mode="after")
    def _is_a_folder(self) -> "ExportRules":
        if self.to.startswith(SCHEMES):
            raise mistake_at("to", f'is "{self.to}"; name a folder, since exports are made of hard links')
        return self

    @model_validator(mode="after")
    def _names_are_of_the_format(self) -> "ExportRules":
        known = NAMES.get(self.format, ())
        if self.names is not None and self.names not in known:
            remedy = f'use "{known[0]}"' if known else "remove it"
            raise mistake_at("names", f'is "{self.names}", which {self.format} has not; {remedy}')
        return self
