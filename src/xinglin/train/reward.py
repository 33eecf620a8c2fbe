"""Reward model: one number per conversation, trained so that the chosen answer of a pair gets the larger one.

Loss: -log sigmoid(r_chosen - r_rejected) (Bradley-Terry; Ouyang et al. 2022, InstructGPT, equation 1).
A ranking of K answers counts as one, with the mean over its K (K - 1) / 2 pairs (the same source): pairs of one prompt
taken one by one are strongly correlated, and the model would overfit to them.
Shapes: S segments, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification

from xinglin.model.adapter import FULL, Tuning
from xinglin.model.attention import Batch
from xinglin.model.render import Template
from xinglin.model.score import rewards_at
from xinglin.train.batches import Rows
from xinglin.train.fit import Schedule, begin, fit, keep
from xinglin.train.objective import Objective, Part
from xinglin.train.pairs import count_groups, pack_pairs
from xinglin.train.recorder import Progress
from xinglin.types import Preference, Ranking


def pair_loss(model: Any, batch: Batch) -> Part:
    """Bradley-Terry loss summed over the groups, each the mean of its pairs; share in order and mean margin."""
    rewards_S = rewards_at(model, batch)
    better_P, worse_P, weights_P = (part.to(rewards_S.device) for part in _pairs(batch["groups"]))
    margins_P = rewards_S[better_P] - rewards_S[worse_P]
    numbers = {"accuracy": (margins_P > 0).float().mean().item(), "margin": margins_P.mean().item()}
    return Part(-(functional.logsigmoid(margins_P) * weights_P).sum(), numbers)


@lru_cache(maxsize=64)
def _pairs(groups: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Segments of the better and of the worse answer of every pair, and the pair's share of its group, each [P]."""
    starts = [sum(groups[:at]) for at in range(len(groups))]
    found = [
        (start + better, start + worse, 2 / (size * (size - 1)))
        for start, size in zip(starts, groups, strict=True)
        for better, worse in combinations(range(size), 2)
    ]
    better, worse, weights = zip(*found, strict=True)
    return torch.tensor(better), torch.tensor(worse), torch.tensor(weights)


BRADLEY_TERRY = Objective(pair_loss, count_groups)


def reward(
    base: Path | str,
    preferences: Sequence[Preference | Ranking],
    folder: Path,
    *,
    schedule: Schedule,
    tuning: Tuning = FULL,
    progress: Progress | None = None,
) -> Rows:
    """Train a reward model on pairs or rankings and save it into `folder`; returns its rows. It starts as `base`."""
    kind = AutoModelForSequenceClassification
    model, tokenizer = begin(base, tuning, schedule.seed, kind=kind, num_labels=1, fresh=["score.weight"])
    rows = pack_pairs(preferences, Template(tokenizer), length=schedule.length)
    fit(model, rows.rows, objective=BRADLEY_TERRY, schedule=schedule, folder=folder, progress=progress)
    keep(model, tokenizer, folder, stage="reward", base=base)
    return rows
