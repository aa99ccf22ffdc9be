"""Which pipeline a config means: by its name on the Hub, or by SimpleTuner's names of a family and a flavour."""

import difflib
from pathlib import Path
from typing import NamedTuple

from hf_assets.config.model_families import FAMILIES, USUAL_ALIGNMENT_PX, ModelFamily
from hf_assets.models import families as pipelines

# family without a pipeline -> what else can be said of it
WITHOUT = {
    "ace_step": "these are in a layout of their own (a version in diffusers' is ACE-Step/acestep-v15-base-diffusers)",
    "deepfloyd": "it works on pixels and has no VAE",
    "stable_cascade": "its prior has no VAE that encodes",
}
# A family whose name is as near to a known one as this is a slip of the pen.
NEAR = 0.7
# Why it is the repository that the config names.
NAMED = "named by pretrained_model_name_or_path"


class ChoiceError(Exception):
    """A family or flavour that names no model.

    Attributes:
        key: `family`, `flavour` or `pretrained_model_name_or_path`.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


class Choice(NamedTuple):
    """The model that is meant, and what its family decides.

    Attributes:
        repository: a Hub id or a folder.
        reason: why it is this one.
        family, flavour: as given, or the default; None where no family is named.
        refusal: why nothing can be made with it, if so.
    """

    repository: str
    reason: str
    family: str | None = None
    flavour: str | None = None
    refusal: str | None = None

    @property
    def facts(self) -> ModelFamily | None:
        """What is known of the family; None: there is none, or nothing is known of it."""
        return FAMILIES.get(self.family or "")

    @property
    def alignment_px(self) -> int | None:
        """What both edges of a target are multiples of in this family; None: nothing is known of it."""
        facts = self.facts
        return facts and facts.alignments.get(self.flavour or "", facts.alignment or USUAL_ALIGNMENT_PX)

    @property
    def forces_alignment(self) -> bool:
        """Whether the family allows no other alignment."""
        return self.facts is not None and self.facts.alignment is not None

    @property
    def is_i2v(self) -> bool | None:
        """Whether videos train from their first frame where their entry doesn't say; None: the family is unknown."""
        return None if self.facts is None else self.facts.is_i2v or self.forces_i2v

    @property
    def forces_i2v(self) -> bool:
        """Whether they do so in any case."""
        prefix = self.facts.i2v_flavours if self.facts else None
        return prefix is not None and (self.flavour or "").startswith(prefix)


def encodes(family: str) -> tuple[str, ...]:
    """The kinds of media that are encoded with a family: `image`, `video`, `audio`; none where that isn't known."""
    known = pipelines.FAMILIES.get(FAMILIES[family].pipeline or "")
    if known is None:
        return ()
    return ("video", "image") if known.makes == "video" else (known.makes,)


def listing() -> list[str]:
    """The names of families that can be encoded, each with its flavours, the default first."""
    known = {name: facts for name, facts in FAMILIES.items() if facts.pipeline is not None}
    width = max(map(len, known))
    lines = [f"{'NAME':<{width}}  FLAVOURS"]
    for name, facts in sorted(known.items()):
        flavours = sorted(facts.repositories, key=lambda one: one != facts.default)
        lines.append(f"{name:<{width}}  {', '.join(flavours)}")
    return lines


def choose(family: str | None, flavour: str | None, repository: str | None, folder: Path = Path()) -> Choice | None:
    """The model that these name; a repository wins. None where nothing is named.

    Args:
        folder: that a repository may be a folder in.

    Raises:
        ChoiceError: the family or the flavour is unknown, or the family has no default flavour; or a family is given
            for a repository.
    """
    if repository in FAMILIES and family is None and not (folder / repository).is_dir():
        said = f'is "{repository}", which is the name of a family; write "family": "{repository}" in its place'
        raise ChoiceError("pretrained_model_name_or_path", said)
    if family is None:
        return Choice(repository, NAMED) if repository else None
    facts = FAMILIES.get(family)
    if facts is None:
        near = difflib.get_close_matches(family.lower(), FAMILIES, n=1, cutoff=NEAR)
        if repository and not near:  # one that came after the table was made: nothing of it is known, nothing needed
            return Choice(repository, NAMED, family, flavour)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(FAMILIES))}"
        raise ChoiceError("family", f'is "{family}", which is not known; {hint}')
    if repository:
        return Choice(repository, NAMED, family, flavour or facts.default)
    return _of_family(family, flavour, facts)


def _of_family(family: str, flavour: str | None, facts: ModelFamily) -> Choice:
    taken = flavour or facts.default
    if taken is None:
        raise ChoiceError("flavour", f'is missing, which family "{family}" needs; use {_list_text(facts)}')
    if taken not in facts.repositories:
        near = difflib.get_close_matches(taken.lower(), facts.repositories, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"use {_list_text(facts)}"
        raise ChoiceError("flavour", f'is "{taken}", which family "{family}" has not; {hint}')
    repository = facts.repositories[taken]
    reason = f'family "{family}", {"" if flavour else "default "}flavour "{taken}"'
    return Choice(repository, reason, family, taken, None if facts.pipeline else _refusal(family, repository))


def _refusal(family: str, repository: str) -> str:
    more = f": {WITHOUT[family]}" if family in WITHOUT else ""
    return (
        f'"{family}" ({repository}) can\'t be encoded, as diffusers has no pipeline of it with encoders{more}; choose '
        "another family, or name a diffusers pipeline in pretrained_model_name_or_path"
    )


def _list_text(facts: ModelFamily) -> str:
    return ", ".join(f'"{flavour}"' for flavour in facts.repositories)
