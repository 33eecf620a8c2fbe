"""Steps that make and curate data: import, clean, de-identify, deduplicate, decontaminate, split, mix, add noise.

They work on records of any noun: the noun that comes out is that which goes in (`import` says which it makes).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from xinglin.formats.row import Record
from xinglin.recipe.fields import Count, Number, Records, Share, Step, Whole
from xinglin.types import Passage, Preference, Question, Ranking, Sample

NOUNS: dict[str, type[Record]] = {
    "samples": Sample,
    "preferences": Preference,
    "rankings": Ranking,
    "questions": Question,
    "passages": Passage,
}
"""The nouns by the names that recipes use."""
Noun = Literal["samples", "preferences", "rankings", "questions", "passages"]
Inputs = Annotated[list[Records], Field(min_length=1)]


class Import(Step):
    """Read files of a public format below the data root; `noun` is what their rows become."""

    do: Literal["import"]
    input: Annotated[list[str], Field(min_length=1)]
    noun: Noun = "samples"
    format: str = "auto"
    licence: str = "unknown"
    max_dropped: Annotated[Number, Field(ge=0, le=1)] = 0.01


class Curation(Step):
    """What the steps that take records and give records of the same noun have in common."""

    inputs: Inputs


class Clean(Curation):
    """Apply the named cleaning rules (all, without those in `skip`); the counts are in the manifest."""

    do: Literal["clean"]
    rules: list[str] = Field(default_factory=list)
    skip: list[str] = Field(default_factory=list)
    shortest: Count = 2


class Deidentify(Curation):
    """Mask personal data in every text."""

    do: Literal["deidentify"]
    policy: Literal["mask", "pseudonym", "shift"] = "mask"
    key: str = ""

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.policy != "mask" and not self.key:
            raise ValueError(f"policy {self.policy} needs key, the file of a secret below the data root")
        return self


class Dedup(Curation):
    """Remove exact duplicates and, below 1, those of at least this Jaccard similarity of character 3-grams."""

    do: Literal["dedup"]
    threshold: Annotated[Number, Field(gt=0, le=1)] = 0.5
    part: Literal["all", "prompt", "answer"] = "all"


class Decontaminate(Curation):
    """Compare with evaluation files; a hit fails the run unless its set is waived, or the records are removed."""

    do: Literal["decontaminate"]
    against: Annotated[list[str], Field(min_length=1)]
    format: str = "auto"
    remove: bool = False
    waive: list[str] = Field(default_factory=list)


class Split(Curation):
    """Keep one part of a split by group: a group goes to a part by its hash, so that the parts never share one."""

    do: Literal["split"]
    part: Literal["train", "test"]
    test: Share = 0.1


class Mix(Curation):
    """Draw from the inputs by weight, at most `most` records in all and `cap` from one input."""

    do: Literal["mix"]
    weights: list[Annotated[Number, Field(gt=0)]] = Field(default_factory=list)
    most: Count = 1_000_000
    cap: Count = 1_000_000

    @model_validator(mode="after")
    def _one_weight_an_input(self) -> Self:
        if self.weights and len(self.weights) != len(self.inputs):
            raise ValueError(f"{len(self.weights)} weights for {len(self.inputs)} inputs")
        return self


class Noise(Curation):
    """Add copies with noisy user turns (typing and speech errors) to a share of the records."""

    do: Literal["noise"]
    level: Annotated[Whole, Field(ge=1, le=5)] = 2
    share: Annotated[Number, Field(gt=0, le=1)] = 0.1
