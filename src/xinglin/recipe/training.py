"""Steps that train: vocabulary, pretraining, SFT, reward model, rejection sampling, the DPO family.

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
    Needs,
    Number,
    Passages,
    Policy,
    Preferences,
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
        if isinstance(given, dict) and given.get("lora") is not None:
            return {"tune": "lora"} | given
        return given

    @model_validator(mode="after")
    def _knobs_of_an_adapter_need_one(self) -> Self:
        if self.lora and self.tune not in ADAPTERS:
            raise ValueError(f"lora has no effect with tune: {self.tune}; remove it, or choose {', '.join(ADAPTERS)}")
        return self


class Training(Fitting):
    """`micro` rows go through the model at once (0: the whole batch), `recompute` trades time for memory."""

    micro: Annotated[Whole, Field(ge=0)] = 0
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    recompute: bool = False


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
    """A reward model from preference pairs or rankings; its accuracy on the held-out ones is in its manifest."""

    do: Literal["reward"]
    rate: Rate = 1e-5
    model: Policy
    data: Comparisons
    makes: ClassVar[tuple[str, ...]] = ("reward model",)


class Reject(Fitting):
    """Rejection sampling: `samples` answers a prompt, the best by reward, one more round of SFT on them.

    Kept are the `keep` best of each prompt, or with `top` the best of all answers together.
    """

    do: Literal["reject"]
    rate: Rate = 1e-5
    model: Policy
    reward: Rewarder
    prompts: Samples
    samples: Annotated[Whole, Field(ge=2, le=64)] = 4
    keep: Annotated[Whole, Field(ge=1, le=64)] = 1
    top: Annotated[Whole, Field(ge=0)] = 0
    most: Count = 400
    temperature: Annotated[Number, Field(gt=0, le=5)] = 0.8
    max_tokens: Annotated[Whole, Field(ge=1, le=8192)] = 64
    makes: ClassVar[tuple[str, ...]] = ("model", "samples")

    @model_validator(mode="after")
    def _keeps_no_more_than_it_draws(self) -> Self:
        if self.keep > self.samples:
            raise ValueError(f"keep ({self.keep}) is more than samples ({self.samples})")
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
