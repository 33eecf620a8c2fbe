"""Reward model: one number per conversation, trained so that the chosen answer of a pair gets the larger one.

Loss: -log sigmoid(r_chosen - r_rejected) (Bradley-Terry; Ouyang et al. 2022, InstructGPT, equation 1).
A ranking of K answers counts as one, with the mean over its K (K - 1) / 2 pairs (the same source): pairs of one prompt
taken one by one are strongly correlated, and the model would overfit to them.
`prefixes` gives that weight to the same loss on the answers as far as their first k tokens, averaged over all k from
where they differ to the end of the shorter one: a verifier judging at every token overfits less than one judging whole
answers (Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems, section 4.3).
Shapes: S segments, P pairs, K pairs of prefixes, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations, pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from xinglin.model.adapter import FULL, Tuning
from xinglin.model.attention import Batch
from xinglin.model.render import Template
from xinglin.model.score import token_scores
from xinglin.train.batches import IGNORED, Rows
from xinglin.train.fit import Schedule, begin, fit, keep
from xinglin.train.objective import Objective, Part
from xinglin.train.pairs import count_groups, pack_pairs
from xinglin.train.recorder import Progress
from xinglin.types import Preference, Ranking


@dataclass(frozen=True, slots=True)
class Weighed:
    """Places of the better and of the worse of two, and what their comparison weighs."""

    better: torch.Tensor
    worse: torch.Tensor
    weights: torch.Tensor

    def margins(self, rewards: torch.Tensor) -> torch.Tensor:
        """How much larger the better one's reward is."""
        return rewards[self.better] - rewards[self.worse]

    def loss(self, rewards: torch.Tensor) -> torch.Tensor:
        """The weighted Bradley-Terry loss, a scalar."""
        return -(functional.logsigmoid(self.margins(rewards)) * self.weights).sum()


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """The loss summed over the groups, each the mean of its pairs; share in order and mean margin of whole answers."""

    prefixes: float = 0.0

    def __call__(self, model: Any, batch: Batch) -> Part:
        scores_T = token_scores(model, batch)
        rewards_S = scores_T[batch["ends"]]
        whole = _weighed(_pairs(batch["groups"]), rewards_S.device)
        loss = whole.loss(rewards_S)
        if self.prefixes:
            parts = _weighed(_prefixes(batch), rewards_S.device)
            loss = (1 - self.prefixes) * loss + self.prefixes * parts.loss(scores_T)
        margins_P = whole.margins(rewards_S.detach())
        numbers = {"accuracy": (margins_P > 0).float().mean().item(), "margin": margins_P.mean().item()}
        return Part(loss, numbers)


Comparison = tuple[int, int, float]
"""The places of a better and of a worse one, and the weight."""


def _weighed(found: Sequence[Comparison], device: torch.device) -> Weighed:
    better, worse, weights = zip(*found, strict=True) if found else ((), (), ())
    return Weighed(
        torch.tensor(better, dtype=torch.long, device=device),
        torch.tensor(worse, dtype=torch.long, device=device),
        torch.tensor(weights, dtype=torch.float, device=device),
    )


@lru_cache(maxsize=64)
def _pairs(groups: tuple[int, ...]) -> tuple[Comparison, ...]:
    """The segments of every pair's better and worse answer [P], and the pair's share of its group."""
    starts = [sum(groups[:at]) for at in range(len(groups))]
    return tuple(
        (start + better, start + worse, 2 / (size * (size - 1)))
        for start, size in zip(starts, groups, strict=True)
        for better, worse in combinations(range(size), 2)
    )


def _prefixes(batch: Batch) -> list[Comparison]:
    """The last tokens of the k tokens long beginnings of every pair's answers [K], and each one's share of its group.

    From the first token in which the answers differ to the end of the shorter one. One that the other begins with is
    compared in its end token alone; in a template without one nothing is.
    """
    labels = batch["labels"][0].tolist()
    bounds = [0, *accumulate(batch["segments"])]
    answers = [[at for at in range(start, end) if labels[at] != IGNORED] for start, end in pairwise(bounds)]
    found: list[Comparison] = []
    for better, worse, weight in _pairs(batch["groups"]):
        both = list(zip(answers[better], answers[worse], strict=False))
        first = next((at for at, (one, other) in enumerate(both) if labels[one] != labels[other]), len(both))
        found += [(one, other, weight / (len(both) - first)) for one, other in both[first:]]
    return found


def reward(
    base: Path | str,
    preferences: Sequence[Preference | Ranking],
    folder: Path,
    *,
    schedule: Schedule,
    tuning: Tuning = FULL,
    prefixes: float = 0.0,
    progress: Progress | None = None,
) -> Rows:
    """Train a reward model on pairs or rankings and save it into `folder`; returns its rows. It starts as `base`."""
    kind = AutoModelForSequenceClassification
    model, tokenizer = begin(base, tuning, schedule.seed, kind=kind, num_labels=1, fresh=["score.weight"])
    rows = pack_pairs(preferences, Template(tokenizer), length=schedule.length)
    objective = Objective(BradleyTerry(prefixes), count_groups)
    fit(model, rows.rows, objective=objective, schedule=schedule, folder=folder, progress=progress)
    keep(model, tokenizer, folder, stage="reward", base=base)
    return rows
