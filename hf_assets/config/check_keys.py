"""The block `checks` of a dataset."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from hf_assets.values import Block, Finite, Number

Severity = Literal["off", "warn", "error"]


Share = Annotated[float, Field(ge=0, le=1)]


SEVERITY = "`off`: it is not checked; `warn`: a failure is shown; `error`: it also stops the run."


class Check(Block):
    """A check that has no limit to choose."""

    severity: Severity = Field("error", description=SEVERITY)


class ReachedCheck(Block):
    """A check of whether what lies outside could be asked for."""

    severity: Severity = Field("warn", description=SEVERITY)


class ShrinkCheck(Block):
    """A check of how many rows are left."""

    at_most: Share = Field(0.2, description="Largest share that may be gone, 0 to 1.")
    severity: Severity = Field("warn", description=SEVERITY)


class DuplicatesCheck(Block):
    """A check of media that are there more than once."""

    at_most: Share = Field(0.5, description="Largest share that passes, 0 to 1.")
    severity: Severity = Field("warn", description=SEVERITY)


class CutCheck(Block):
    """A check of captions that are longer than what a text encoder reads."""

    at_most: Share = Field(0.1, description="Largest share that passes, 0 to 1.")
    severity: Severity = Field("warn", description=SEVERITY)


class RangeCheck(Block):
    """A check of the latents' values."""

    at_most: Number | None = Field(
        None, description="Largest magnitude of a latent that passes. Default: the model family's."
    )
    severity: Severity = Field("warn", description=SEVERITY)


class QualityCheck(Block):
    """A check of what comes back when latents are decoded."""

    at_least_db: Finite = Field(16.0, description="Smallest mean PSNR of decoded latents that passes, in decibels.")
    severity: Severity = Field("warn", description=SEVERITY)


class Checks(Block):
    """What is checked of a dataset's assets after they were made."""

    not_empty: Check = Field(
        Check(), description="Something is left after filters, captions and sizes, and in the training set."
    )
    hub_reached: ReachedCheck = Field(
        ReachedCheck(), description="The Hub was reached, and nothing is taken as it was seen before an outage."
    )
    shrink: ShrinkCheck = Field(
        ShrinkCheck(),
        description="Rows that the dataset lost since the last training set was made, as a share of those.",
    )
    finite: Check = Field(Check(), description="Sampled latents and embeds can be read, and hold no NaN or infinity.")
    cut_captions: CutCheck = Field(
        CutCheck(), description="Captions of which a tokenizer cuts the end, as a share of those that were counted."
    )
    value_range: RangeCheck = Field(RangeCheck(), description="No sampled latent has values that the family never has.")
    decode_back: QualityCheck = Field(QualityCheck(), description="Latents decode to the images they were made from.")
    coverage: Check = Field(Check(), description="Each sample of the training set has its latent and embeds stored.")
    duplicates: DuplicatesCheck = Field(
        DuplicatesCheck(), description="Samples whose media an earlier one has already, as a share of all."
    )
    error_budget: Check = Field(Check(), description="No larger share of the wanted rows failed than `error_budget`.")
