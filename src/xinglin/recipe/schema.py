"""A recipe: a closed, typed flat list of named steps, each naming the steps it reads.

Unknown keys are errors. A reference to a step that does not exist, comes later, or makes another noun is an error
before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from xinglin.recipe.curation import (
    Clean,
    Curation,
    Decontaminate,
    Dedup,
    Deidentify,
    Import,
    Mix,
    Noise,
    Split,
)  # fmt: skip
from xinglin.recipe.fields import (
    RECORDS,
    Closed,
    Count,
    Facts,
    Needs,
    Number,
    Policy,
    Questions,
    Share,
    Step,
    StepName,
    Whole,
)  # fmt: skip
from xinglin.recipe.training import (
    ADAPTERS,
    Contrast,
    Distill,
    Grouped,
    Merge,
    Ppo,
    Prefer,
    Pretrain,
    Reject,
    Reward,
    Sft,
    Training,
    Vocab,
)  # fmt: skip

Task = Literal["recall", "choice", "indications", "general"]


class Base(Step):
    """The base model; `tiny` is made from nothing, its tokenizer trained on the text of the steps in `text`."""

    do: Literal["base"] = "base"
    model: str
    text: list[Annotated[str, Needs("text")]] = Field(default_factory=list)
    hidden: Annotated[Whole, Field(ge=32, le=1024, multiple_of=16)] = 192
    layers: Annotated[Whole, Field(ge=1, le=32)] = 4
    pieces: Annotated[Whole, Field(ge=300, le=64_000)] = 4096
    makes: ClassVar[tuple[str, ...]] = ("model",)


class KnowledgeStep(Step):
    """Import facts from `pack:NAME` or files below the data root."""

    do: Literal["knowledge"]
    sources: Annotated[list[str], Field(min_length=1)]
    max_dropped: Annotated[Number, Field(ge=0, le=1)] = 0.01
    makes: ClassVar[tuple[str, ...]] = ("facts",)


class Select(Step):
    """A seeded sample of topics (head + relation) to teach; `longest` is the answer's limit in characters."""

    do: Literal["select"]
    facts: Facts
    relations: list[str] = Field(default_factory=list)
    topics: Count = 500
    longest: Count = 40
    makes: ClassVar[tuple[str, ...]] = ("facts",)


class Statements(Step):
    """Facts as plain sentences for pretraining."""

    do: Literal["statements"]
    facts: Facts
    makes: ClassVar[tuple[str, ...]] = ("passages", "text")


class Templates(Step):
    """Facts as questions and answers in `phrasings` phrasings after the first `skip`.

    One phrasing per relation is held out for evaluation and never among them.
    """

    do: Literal["templates"]
    facts: Facts
    phrasings: Annotated[Whole, Field(ge=1, le=20)] = 6
    skip: Annotated[Whole, Field(ge=0, le=20)] = 0
    makes: ClassVar[tuple[str, ...]] = ("samples", "questions", "text", "prompts")


class PairsStep(Step):
    """Facts as preference pairs: the right answer against a wrong one, asked in the phrasings after `skip`."""

    do: Literal["pairs"]
    facts: Facts
    per_topic: Annotated[Whole, Field(ge=1, le=100)] = 2
    heldout: Share = 0.2
    skip: Annotated[Whole, Field(ge=0, le=20)] = 0
    makes: ClassVar[tuple[str, ...]] = ("preferences", "comparisons")


class Evaluate(Step):
    """Every model on every task, each against its parent, and those after `against` against that model too.

    `indications` names the file of the drug-indication benchmark.
    """

    do: Literal["evaluate"]
    models: Annotated[list[Policy], Field(min_length=1)]
    questions: Questions
    tasks: list[Task] = Field(default_factory=lambda: list[Task](("recall", "choice")), min_length=1)
    against: Policy | None = None
    knowledge: Facts | None = None
    indications: str = ""
    most: Count = 400
    max_tokens: Annotated[Whole, Field(ge=1, le=8192)] = 96
    makes: ClassVar[tuple[str, ...]] = ("report",)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.models)) < len(self.models):
            raise ValueError("models names a step twice")
        if self.against and self.against not in self.models:
            raise ValueError(f"against ({self.against!r}) is not among models")
        if "indications" in self.tasks and not (self.indications and self.knowledge):
            raise ValueError("the task indications needs the keys indications (the benchmark's file) and knowledge")
        return self


AnyStep = Annotated[
    Base
    | KnowledgeStep
    | Import
    | Clean
    | Deidentify
    | Dedup
    | Decontaminate
    | Split
    | Mix
    | Noise
    | Select
    | Statements
    | Templates
    | PairsStep
    | Vocab
    | Pretrain
    | Sft
    | Reward
    | Contrast
    | Reject
    | Prefer
    | Ppo
    | Grouped
    | Distill
    | Merge
    | Evaluate,
    Field(discriminator="do"),
]


class Serve(Closed):
    """The assistant that comes out: its model, its knowledge base, and the questions asked at the end of a run."""

    model: Policy
    knowledge: Facts
    ask: list[str] = Field(default_factory=list)


class Launching(Closed):
    """Several processes for the stages that train: see `train.launch` for the strategies."""

    processes: Annotated[Whole, Field(ge=1, le=1024)] = 1
    nodes: Annotated[Whole, Field(ge=1, le=1024)] = 1
    strategy: Literal["ddp", "fsdp2", "zero2", "zero3"] = "ddp"
    offload: bool = False

    @model_validator(mode="after")
    def _only_deepspeed_offloads(self) -> Self:
        if self.offload and not self.strategy.startswith("zero"):
            raise ValueError(f"offload has no effect with strategy: {self.strategy}; choose zero2 or zero3")
        return self

    @model_validator(mode="after")
    def _one_process_shares_nothing_out(self) -> Self:
        if self.strategy != "ddp" and self.processes * self.nodes == 1:
            raise ValueError(f"strategy: {self.strategy} has no effect on one process; set processes, e.g. 2")
        return self


class Recipe(Closed):
    """A whole regime. `waive` names models that are promoted although they lost to their parent in an evaluation."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
    base: str = "tiny"
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 7
    steps: Annotated[dict[StepName, AnyStep], Field(min_length=1)]
    serve: Serve | None = None
    launch: Launching = Launching()
    waive: list[StepName] = Field(default_factory=list)

    @model_validator(mode="after")
    def _shares_of_weights_hold_no_adapter(self) -> Self:
        for name, step in self.steps.items():
            if self.launch.strategy in ("fsdp2", "zero3") and getattr(step, "tune", "full") in ADAPTERS:
                raise ValueError(
                    f"step {name!r} trains an adapter, which strategy {self.launch.strategy} cannot save whole; "
                    "choose ddp or zero2"
                )
        return self

    @model_validator(mode="after")
    def _every_process_has_its_rows(self) -> Self:
        world = self.launch.processes * self.launch.nodes
        for name, step in self.steps.items():
            if isinstance(step, Training) and step.batch % ((step.micro or max(1, step.batch // world)) * world):
                rows = step.micro or 1
                raise ValueError(
                    f"step {name!r}: batch ({step.batch} rows) cannot be shared by {world} processes of {rows} or more "
                    f"rows; make it a multiple of {rows} times {world}"
                )
        return self

    @model_validator(mode="after")
    def _adapters_are_where_they_must_be(self) -> Self:
        for name, step in self.steps.items():
            below = self.steps.get(getattr(step, "model", ""))
            if below is None or "model" not in getattr(below, "makes", ()):
                continue
            adapts = getattr(below, "tune", "full") in ADAPTERS
            if isinstance(step, Merge) and not adapts and not isinstance(below, Base):
                raise ValueError(f"step {name!r} merges {step.model!r}, which trains no adapter; remove the merge")
            if getattr(step, "tune", "full") == "qlora" and adapts:
                raise ValueError(
                    f"step {name!r} is qlora on the adapter of {getattr(step, 'model', '')!r}; put do: merge between"
                )
        return self


_ALSO = {
    "samples": ("text", "prompts"),
    "questions": ("prompts",),
    "passages": ("text",),
    "preferences": ("comparisons",),
    "rankings": ("comparisons",),
}
"""What records of a noun serve as, too."""


def nouns(step: Step, earlier: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The nouns a step makes; a step that curates records makes what all its inputs, steps before it, make."""
    if isinstance(step, Import):
        made = step.noun
    elif isinstance(step, Curation):
        inputs = [set(earlier.get(name, ())) for name in step.inputs]
        made = next((noun for noun in RECORDS if all(noun in one for one in inputs)), "")
    else:
        return step.makes
    return (made, *_ALSO.get(made, ())) if made else ()


def made(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The nouns that every step of a recipe makes."""
    found: dict[str, tuple[str, ...]] = {}
    for name, step in recipe.steps.items():
        found[name] = nouns(step, found)
    return found


def references(step: BaseModel) -> list[tuple[str, str, str]]:
    """The references of a step: (field, noun needed, name of the step referred to)."""
    found = []
    for field, info in type(step).model_fields.items():
        value = getattr(step, field)
        noun = _needed(info.annotation, info.metadata)
        if noun and value is not None:
            found += [(field, noun, name) for name in (value if isinstance(value, list) else [value])]
    return found


def _needed(annotation: Any, metadata: list[Any]) -> str:
    """The noun of a `Needs` mark on a type, on its list items or on a member of its union."""
    for mark in metadata:
        if isinstance(mark, Needs):
            return mark.noun
    own = getattr(annotation, "__metadata__", ())
    inner = getattr(annotation, "__args__", ())
    marks = [mark.noun for mark in own if isinstance(mark, Needs)]
    nested = [_needed(one, []) for one in inner if one is not type(None)]
    return next((noun for noun in [*marks, *nested] if noun), "")
