"""The kinds of fields that steps of a recipe have, and what all steps share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Needs:
    """Marks a field as a reference to a step that makes this noun."""

    def __init__(self, noun: str) -> None:
        self.noun = noun


RECORDS = ("samples", "preferences", "rankings", "questions", "passages")
"""The nouns that steps for data take and give; a reference to `records` takes a step that makes any of them."""

Facts = Annotated[str, Needs("facts")]
Passages = Annotated[str, Needs("passages")]
Samples = Annotated[str, Needs("samples")]
Preferences = Annotated[str, Needs("preferences")]
Prompts = Annotated[str, Needs("prompts")]
"""Samples, or exam questions."""
Comparisons = Annotated[str, Needs("comparisons")]
"""Preferences or rankings."""
Questions = Annotated[str, Needs("questions")]
Records = Annotated[str, Needs("records")]
Policy = Annotated[str, Needs("model")]
Rewarder = Annotated[str, Needs("reward model")]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number")  # noqa: TRY004 - the protocol of pydantic
    return value


# Python counts True as 1, so `epochs: yes` would pass.
Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth)]
Share = Annotated[Number, Field(gt=0, lt=1)]
Count = Annotated[Whole, Field(ge=1)]
Rate = Annotated[Number, Field(gt=0, le=1)]
Epochs = Annotated[Number, Field(gt=0, le=1000)]


StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class Closed(BaseModel):
    """A mapping with a closed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Step(Closed):
    """What every step has in common: a closed set of knobs, and the nouns it makes."""

    makes: ClassVar[tuple[str, ...]] = ()
