"""Steps that train: vocabulary, pretraining, SFT, reward model, rejection sampling, preferences, online stages.

The default rates suit full fine-tuning of a 1-8 B base; adapters take about ten times as much, and `tiny` a hundred.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from xinglin.recipe.fields import (
    Closed,
    Comparisons,
    Count,
    Epochs,
    Facts,
    Needs,
    Number,
    Passages,
    Policy,
    Preferences,
    Prompts,
    Rate,
    Rewarder,
    Samples,
    Step,
    Whole,
)  # fmt: skip

Tune = Literal["full", "freeze", "embeddings", "lora", "dora", "qlora"]
ADAPTERS = ("lora", "dora", "qlora")
Length = Annotated[Whole, Field(ge=16, le=131_072)]
Weight = Annotated[Number, Field(ge=0, le=10)]


class Lora(Closed):
    """An adapter on all linear layers but the output layer, or on those in `targets`.

    `embeddings`: train the embeddings and the output layer too, as after a change of the vocabulary.
    """

    rank: Annotated[Whole, Field(ge=1, le=1024)] = 16
    alpha: Annotated[Number, Field(gt=0, le=4096)] = 32
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    targets: list[str] = Field(default_factory=list)
    embeddings: bool = False


def _with_adapter(given: Any) -> Any:
    """Who gives the knobs of an adapter wants one."""
    return {"tune": "lora"} | given if isinstance(given, dict) and given.get("lora") is not None else given


def _check_adapter(tune: str, lora: Lora | None) -> None:
    if lora and tune not in ADAPTERS:
        raise ValueError(f"lora has no effect with tune: {tune}; remove it, or choose {', '.join(ADAPTERS)}")


class Fitting(Step):
    """Knobs of every stage: `batch` packed rows of `length` tokens a step, `rate` the learning rate.

    `tune` says what is trained: all weights, the last two layers, the embeddings, or an adapter (`lora` has its knobs).
    """

    epochs: Epochs = 1.0
    batch: Count = 4
    rate: Rate
    length: Length = 256
    tune: Tune = "full"
    lora: Lora | None = None

    @model_validator(mode="before")
    @classmethod
    def _an_adapter_is_meant(cls, given: Any) -> Any:
        return _with_adapter(given)

    @model_validator(mode="after")
    def _knobs_of_an_adapter_need_one(self) -> Self:
        _check_adapter(self.tune, self.lora)
        return self


class Training(Fitting):
    """`micro` rows go through the model at once (0: the whole batch), `recompute` trades time for memory."""

    micro: Annotated[Whole, Field(ge=0)] = 0
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    recompute: bool = False

    @model_validator(mode="after")
    def _passes_make_up_a_step(self) -> Self:
        if self.micro and self.batch % self.micro:
            raise ValueError(f"batch ({self.batch} rows) is no multiple of micro ({self.micro})")
        return self


class Measured(Training):
    """`heldout` is the share of the data that is kept for measuring, and the weights that do best on it are kept.

    `patience` measurements without improvement end the training early (0: never). `decay` is the weight decay.
    """

    decay: Annotated[Number, Field(ge=0, le=1)] = 0.01
    heldout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    patience: Annotated[Whole, Field(ge=0, le=10)] = 0

    @model_validator(mode="after")
    def _patience_needs_measurements(self) -> Self:
        if self.patience and not self.heldout:
            raise ValueError("patience needs held-out data: set heldout, e.g. 0.02")
        return self


class Vocab(Step):
    """Add `pieces` new tokens learnt from the text of other steps; old ids stay, rows are padded to `multiple`."""

    do: Literal["vocab"]
    model: Policy
    text: Annotated[list[Annotated[str, Needs("text")]], Field(min_length=1)]
    pieces: Annotated[Whole, Field(ge=1, le=200_000)] = 4000
    multiple: Annotated[Whole, Field(ge=1, le=1024)] = 64
    makes: ClassVar[tuple[str, ...]] = ("model",)


class Pretrain(Measured):
    """Next-token training on text."""

    do: Literal["pretrain"]
    rate: Rate = 1e-4
    model: Policy
    data: Passages
    makes: ClassVar[tuple[str, ...]] = ("model",)


class Sft(Measured):
    """Supervised fine-tuning on conversations; `neftune` is the strength of the noise on embeddings (0: none)."""

    do: Literal["sft"]
    rate: Rate = 1e-5
    model: Policy
    data: Samples
    neftune: Annotated[Number, Field(ge=0, le=100)] = 0.0
    makes: ClassVar[tuple[str, ...]] = ("model",)


class Reward(Training):
    """A reward model from preference pairs or rankings; its accuracy on the held-out ones is in its manifest.

    `prefixes` is the weight of the loss on the answers' beginnings (0: only whole answers are compared).
    """

    do: Literal["reward"]
    rate: Rate = 1e-5
    model: Policy
    data: Comparisons
    prefixes: Annotated[Number, Field(ge=0, le=1)] = 0.0
    makes: ClassVar[tuple[str, ...]] = ("reward model",)


Verifier = Literal["facts", "knowledge", "exam", "form", "safety"]
_ON_FACTS = ("facts", "knowledge")
_PENALTIES = ("safety",)
"""Verifiers that give 0 at best; the others give 1."""
_RANGES = {"knowledge": 2}
"""How far apart a verifier's best and worst are; the others' are 1."""


class Rewarded(Step):
    """What rewards the policy's own answers: a reward model, plus the weighted verifiers in `verify`.

    `facts` and `knowledge` look facts up in `knowledge`.
    """

    reward: Rewarder | None = None
    verify: dict[Verifier, Annotated[Number, Field(gt=0, le=100)]] = Field(default_factory=dict)
    knowledge: Facts | None = None

    @model_validator(mode="after")
    def _has_a_reward(self) -> Self:
        if not (self.reward or self.verify):
            raise ValueError("nothing rewards the answers: name a reward model in reward, or verifiers in verify")
        if any(name in _ON_FACTS for name in self.verify) and not self.knowledge:
            raise ValueError("the verifiers facts and knowledge need the key knowledge (a step with facts)")
        if self.knowledge and not any(name in _ON_FACTS for name in self.verify):
            raise ValueError("knowledge has no effect without the verifiers facts or knowledge in verify")
        return self


class Drawn(Rewarded):
    """`samples` answers of `model` to each of at most `most` prompts, with their rewards."""

    model: Policy
    prompts: Prompts
    samples: Annotated[Whole, Field(ge=2, le=64)] = 4
    most: Count = 400
    temperature: Annotated[Number, Field(gt=0, le=5)] = 0.8
    max_tokens: Annotated[Whole, Field(ge=1, le=8192)] = 64


class Contrast(Drawn):
    """Preference pairs of the policy's own answers: of each prompt's at most `pairs`, whose rewards are `gap` apart.

    `heldout` is the share of the prompts' groups whose pairs are kept for measuring a reward model.
    """

    do: Literal["contrast"]
    pairs: Annotated[Whole, Field(ge=1, le=64)] = 1
    gap: Annotated[Number, Field(gt=0)] = 0.5
    heldout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    makes: ClassVar[tuple[str, ...]] = ("preferences", "comparisons")

    @model_validator(mode="after")
    def _the_gap_can_be_reached(self) -> Self:
        most = sum(_RANGES.get(name, 1) * weight for name, weight in self.verify.items())
        if not self.reward and self.gap > most + 1e-9:
            raise ValueError(
                f"no two answers can be gap ({self.gap:g}) apart: the verifiers in verify differ by {most:g} at most"
            )
        return self


class Reject(Fitting, Drawn):
    """Rejection sampling: `samples` answers a prompt, the best by reward, one more round of SFT on them.

    Kept are the `keep` best of each prompt, or with `top` the best of all answers together; none below `floor`.
    """

    do: Literal["reject"]
    rate: Rate = 1e-5
    keep: Annotated[Whole, Field(ge=1, le=64)] = 1
    top: Annotated[Whole, Field(ge=0)] = 0
    floor: Number | None = None
    makes: ClassVar[tuple[str, ...]] = ("model", "samples", "prompts")

    @model_validator(mode="after")
    def _keeps_no_more_than_it_draws(self) -> Self:
        if self.keep > self.samples:
            raise ValueError(f"keep ({self.keep}) is more than samples ({self.samples})")
        if self.top and "keep" in self.model_fields_set:
            raise ValueError("keep has no effect with top, which takes the best of all answers; remove one of them")
        return self

    @model_validator(mode="after")
    def _the_floor_can_be_reached(self) -> Self:
        most = sum(weight for name, weight in self.verify.items() if name not in _PENALTIES)
        if self.floor is not None and not self.reward and self.floor > most + 1e-9:
            raise ValueError(
                f"no answer can reach floor ({self.floor:g}): the verifiers in verify give {most:g} at most"
            )
        return self


class Prefer(Training):
    """Alignment on at most `most` preference pairs. `beta` scales the loss, `gamma` is SimPO's margin.

    `anchor` weighs the chosen answers' own likelihood. What is left out has the value of the method's paper.
    """

    do: Literal["dpo", "ipo", "kto", "orpo", "simpo"]
    rate: Rate = 1e-6
    model: Policy
    data: Preferences
    beta: Annotated[Number, Field(gt=0, le=10)] | None = None
    anchor: Weight | None = None
    gamma: Weight | None = None
    most: Count = 1_000_000
    makes: ClassVar[tuple[str, ...]] = ("model",)

    @model_validator(mode="after")
    def _the_margin_is_simpos(self) -> Self:
        if self.gamma is not None and self.do != "simpo":
            raise ValueError(f"gamma has no effect with do: {self.do}; it is the margin of simpo")
        return self


class Merge(Step):
    """An adapter put into the weights of its base: a plain model, with proof that the logits are the same."""

    do: Literal["merge"]
    model: Policy
    makes: ClassVar[tuple[str, ...]] = ("model",)


class Online(Rewarded):
    """Knobs of the stages that train on rewards of the policy's own answers, iteration by iteration.

    An iteration draws answers to `batch` prompts and makes `passes` over them; `iterations` 0 means once over all
    prompts. `ceiling` (nats of KL per answer) ends training with the last weights below it.
    """

    model: Policy
    prompts: Prompts
    rate: Rate = 1e-6
    iterations: Annotated[Whole, Field(ge=0)] = 0
    batch: Count = 32
    passes: Annotated[Whole, Field(ge=1, le=16)] = 1
    max_tokens: Annotated[Whole, Field(ge=1, le=8192)] = 64
    ceiling: Annotated[Number, Field(ge=0)] = 0.0
    tune: Tune = "full"
    lora: Lora | None = None
    makes: ClassVar[tuple[str, ...]] = ("model",)

    @model_validator(mode="before")
    @classmethod
    def _an_adapter_is_meant(cls, given: Any) -> Any:
        return _with_adapter(given)

    @model_validator(mode="after")
    def _knobs_of_an_adapter_need_one(self) -> Self:
        _check_adapter(self.tune, self.lora)
        return self


class Ppo(Online):
    """Proximal policy optimisation; `beta` prices a nat of KL, and adapts to hold a `target` (nats per answer).

    `baseline` answers of the start to each prompt are drawn first; only reward above their mean counts (0: none).
    """

    do: Literal["ppo"]
    beta: Annotated[Number, Field(ge=0, le=10)] = 0.05
    target: Annotated[Number, Field(ge=0)] = 0.0
    baseline: Annotated[Whole, Field(ge=0, le=64)] = 0

    @model_validator(mode="after")
    def _a_price_adapts(self) -> Self:
        if self.target and not self.beta:
            raise ValueError("target has no effect with beta: 0, which it multiplies; give beta, e.g. 0.05")
        return self


class Grouped(Online):
    """GRPO or RLOO: `samples` answers to a prompt are measured against each other; `beta` prices the KL."""

    do: Literal["grpo", "rloo"]
    samples: Annotated[Whole, Field(ge=2, le=128)] = 4
    beta: Annotated[Number, Field(ge=0, le=10)] = 0.0


class Distill(Step):
    """On-policy distillation: the model answers, and a teacher of the same vocabulary judges every word."""

    do: Literal["distill"]
    model: Policy
    teacher: Policy
    prompts: Prompts
    rate: Rate = 1e-6
    iterations: Annotated[Whole, Field(ge=0)] = 0
    batch: Count = 32
    max_tokens: Annotated[Whole, Field(ge=1, le=8192)] = 64
    tune: Tune = "full"
    lora: Lora | None = None
    makes: ClassVar[tuple[str, ...]] = ("model",)

    @model_validator(mode="before")
    @classmethod
    def _an_adapter_is_meant(cls, given: Any) -> Any:
        return _with_adapter(given)

    @model_validator(mode="after")
    def _knobs_of_an_adapter_need_one(self) -> Self:
        _check_adapter(self.tune, self.lora)
        return self
