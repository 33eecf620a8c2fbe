"""Alignment on preference pairs: DPO and its relatives, one loss function each.

The policy at the start is the reference. Its log-probabilities do not change, so they are computed once before
training: no second model is held, and a step costs no more than one of SFT on the same tokens.

| method | loss of a pair | source |
|---|---|---|
| dpo | -log sigmoid(beta * h), h = (log p_c - log ref_c) - (log p_r - log ref_r) | Rafailov et al. 2023, eq. 7 |
| ipo | (h per token - 1 / (2 beta))^2 | Azar et al. 2023, eq. 17; per token as its authors advised |
| kto | 1 - sigmoid(beta (k_c - z)) + 1 - sigmoid(beta (z - k_r)), k = log p - log ref | Ethayarajh et al. 2024, eq. 8 |
| orpo | -log p_c per token - beta * log sigmoid(log odds_c - log odds_r) | Hong et al. 2024, eq. 6, 7 |
| simpo | -log sigmoid(beta (log p_c per token - log p_r per token) - gamma) | Meng et al. 2024, eq. 6 |

`anchor` adds the negative log-likelihood per token of the chosen answer (the RPO term of Pang et al. 2024), which
keeps the probability of right answers from sinking together with that of wrong ones.
Shapes: S segments, N target tokens, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from xinglin.model.adapter import FULL, Tuning
from xinglin.model.attention import Batch, beside, packed
from xinglin.model.render import Template
from xinglin.model.score import target_logits, token_logprobs
from xinglin.train.batches import Rows, collate, segment_ids, targets
from xinglin.train.fit import Schedule, begin, fit, keep
from xinglin.train.objective import Objective, Part
from xinglin.train.pairs import count_groups, pack_pairs
from xinglin.train.recorder import Progress
from xinglin.types import Preference

Method = Literal["dpo", "ipo", "kto", "orpo", "simpo"]
_ROWS = 4


@dataclass(frozen=True, slots=True)
class Pull:
    """A method, `beta` of its loss, the weight `anchor` of the chosen answers' likelihood, SimPO's margin `gamma`."""

    method: Method
    beta: float = 0.1
    anchor: float = 0.0
    gamma: float = 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """Sum of log-probabilities and number of target tokens of the answers."""

    logprobs: torch.Tensor
    counts: torch.Tensor

    def mean(self) -> torch.Tensor:
        """Log-probability per token."""
        return self.logprobs / self.counts

    def every(self, first: int, step: int) -> Answers:
        """The answers at place `first` of every group of `step`."""
        return Answers(self.logprobs[first::step], self.counts[first::step])


@dataclass(frozen=True, slots=True)
class Compared:
    """Chosen and rejected answers [P] under the policy; what the reference gave to them; KTO's baseline."""

    chosen: Answers
    rejected: Answers
    chosen_reference: torch.Tensor
    rejected_reference: torch.Tensor
    baseline: torch.Tensor

    def gains(self) -> tuple[torch.Tensor, torch.Tensor]:
        """log p - log ref of the chosen and of the rejected answers, each [P]."""
        return self.chosen.logprobs - self.chosen_reference, self.rejected.logprobs - self.rejected_reference


def answer_logprobs(model: Any, batch: Batch) -> Answers:
    """Log-probability of each segment's answer [S] under the model."""
    targets_T = targets(batch)
    logprobs_N = token_logprobs(target_logits(model, batch, targets_T), batch["labels"][0, targets_T])
    segments_N = segment_ids(batch)[targets_T]
    zeros_S = torch.zeros(len(batch["segments"]), device=logprobs_N.device)
    return Answers(
        zeros_S.index_add(0, segments_N, logprobs_N), zeros_S.index_add(0, segments_N, torch.ones_like(logprobs_N))
    )


def dpo_loss(at: Compared, pull: Pull) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses and the implicit reward margins of the pairs, each [P]."""
    chosen_P, rejected_P = at.gains()
    margins_P = pull.beta * (chosen_P - rejected_P)
    return -functional.logsigmoid(margins_P), margins_P


def ipo_loss(at: Compared, pull: Pull) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses and the margins per token of the pairs, each [P]."""
    chosen_P, rejected_P = at.gains()
    margins_P = chosen_P / at.chosen.counts - rejected_P / at.rejected.counts
    return (margins_P - 1 / (2 * pull.beta)) ** 2, margins_P


def kto_loss(at: Compared, pull: Pull) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of both answers of a pair and the implicit reward margins, each [P]."""
    chosen_P, rejected_P = at.gains()
    liked_P = 1 - torch.sigmoid(pull.beta * (chosen_P - at.baseline))
    disliked_P = 1 - torch.sigmoid(pull.beta * (at.baseline - rejected_P))
    return liked_P + disliked_P, pull.beta * (chosen_P - rejected_P)


def orpo_loss(at: Compared, pull: Pull) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses and the log odds ratios of the pairs, each [P]."""
    chosen_P, rejected_P = at.chosen.mean(), at.rejected.mean()
    odds_P = (chosen_P - _log1mexp(chosen_P)) - (rejected_P - _log1mexp(rejected_P))
    return -chosen_P - pull.beta * functional.logsigmoid(odds_P), odds_P


def _log1mexp(logprobs_P: torch.Tensor) -> torch.Tensor:
    """log(1 - exp(x)) of x < 0 without cancellation (Mächler 2012); certainty is taken back by one part in 10^6."""
    safe_P = logprobs_P.clamp(max=-1e-6)
    return torch.where(safe_P > -0.6931472, torch.log(-torch.expm1(safe_P)), torch.log1p(-torch.exp(safe_P)))


def simpo_loss(at: Compared, pull: Pull) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses and the margins before `gamma` of the pairs, each [P]."""
    margins_P = pull.beta * (at.chosen.mean() - at.rejected.mean())
    return -functional.logsigmoid(margins_P - pull.gamma), margins_P


_LOSSES: dict[str, Callable[[Compared, Pull], tuple[torch.Tensor, torch.Tensor]]] = {
    "dpo": dpo_loss,
    "ipo": ipo_loss,
    "kto": kto_loss,
    "orpo": orpo_loss,
    "simpo": simpo_loss,
}
DEFAULTS: dict[str, Pull] = {
    "dpo": Pull("dpo", anchor=1.0),
    "ipo": Pull("ipo"),
    "kto": Pull("kto"),
    "orpo": Pull("orpo"),
    "simpo": Pull("simpo", beta=2.0, gamma=1.0),
}
"""The values of the papers; DPO with the anchor that a small model needs."""
ALONE = ("orpo", "simpo")
"""Methods without a reference."""
WITH_STRANGERS = ("kto",)
"""Methods that also look at the answer to another prompt."""


@dataclass(frozen=True, slots=True)
class Aim:
    """The loss of a method; `reference` holds the log-probabilities [group] of each pair's answers at the start."""

    pull: Pull
    reference: dict[str, tuple[float, ...]]

    def __call__(self, model: Any, batch: Batch) -> Part:
        size = batch["groups"][0]
        policy = answer_logprobs(model, batch)
        at = self._compare(policy, batch, size)
        losses_P, margins_P = _LOSSES[self.pull.method](at, self.pull)
        losses_P = losses_P - self.pull.anchor * at.chosen.mean()
        numbers = {"accuracy": (margins_P > 0).float().mean().item(), "margin": margins_P.mean().item()}
        return Part(losses_P.sum(), numbers | {"chosen": at.chosen.mean().mean().item()})

    def _compare(self, policy: Answers, batch: Batch, size: int) -> Compared:
        chosen, rejected = policy.every(0, size), policy.every(1, size)
        if self.pull.method in ALONE:
            nothing_P = torch.zeros_like(chosen.logprobs)
            return Compared(chosen, rejected, nothing_P, nothing_P, nothing_P[0])
        known = [self.reference[name] for name in batch["names"][::size]]
        reference_PG = torch.tensor(known, device=chosen.logprobs.device)
        # KTO's baseline is the policy's distance from the reference, estimated on answers to other prompts.
        other_P = policy.logprobs[2::size].detach() - reference_PG[:, 2] if size > 2 else torch.zeros(1)
        baseline = other_P.mean().clamp(min=0)
        return Compared(chosen, rejected, reference_PG[:, 0], reference_PG[:, 1], baseline)


@torch.no_grad()
def reference_logprobs(model: PreTrainedModel, rows: Rows) -> dict[str, tuple[float, ...]]:
    """Log-probabilities of the answers of every group under the model as it is, by the group's name."""
    found: dict[str, tuple[float, ...]] = {}
    was = model.training
    model.eval()
    with packed(model):
        for first in range(0, len(rows.rows), _ROWS):
            batch = collate(rows.rows[first : first + _ROWS])
            sums = answer_logprobs(model, beside(model, batch)).logprobs.tolist()
            at = 0
            for size in batch["groups"]:
                found[batch["names"][at]] = tuple(sums[at : at + size])
                at += size
    model.train(was)
    return found


def align(
    base: Path | str,
    preferences: Sequence[Preference],
    folder: Path,
    *,
    pull: Pull,
    schedule: Schedule,
    tuning: Tuning = FULL,
    progress: Progress | None = None,
) -> Rows:
    """Align the policy at `base` on preference pairs and save it into `folder`; returns the packed rows."""
    model, tokenizer = begin(base, tuning, schedule.seed)
    template = Template(tokenizer)
    # Names are keys of the reference's log-probabilities, and nothing says that the ids of a user's file differ.
    named = [replace(one, id=f"{one.id}#{at}") for at, one in enumerate(preferences)]
    rows = pack_pairs(named, template, length=schedule.length, strangers=pull.method in WITH_STRANGERS)
    reference = {} if pull.method in ALONE else reference_logprobs(model, rows)
    objective = Objective(Aim(pull, reference), count_groups)
    fit(model, rows.rows, objective=objective, schedule=schedule, folder=folder, progress=progress)
    keep(model, tokenizer, folder, stage=pull.method, base=base)
    return rows
