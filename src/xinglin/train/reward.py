"""Reward model: one number per conversation, trained so that the chosen answer of a pair gets the larger one.

Loss: -log sigmoid(r_chosen - r_rejected) (Bradley-Terry; Ouyang et al. 2022, InstructGPT, equation 1).
Shapes: S segments, H hidden size, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.score import rewards_at
from xinglin.train.batches import Rows
from xinglin.train.fit import Progress, Schedule, fit
from xinglin.train.pairs import pack_pairs
from xinglin.types import Preference


def pair_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """Bradley-Terry loss over the batch's pairs, with the share of pairs in the right order and the mean margin."""
    rewards_S = rewards_at(model, batch["input_ids"], batch["position_ids"], batch["ends"])
    margins_P = rewards_S[0::2] - rewards_S[1::2]
    numbers = {"accuracy": (margins_P > 0).float().mean().item(), "margin": margins_P.mean().item()}
    return -functional.logsigmoid(margins_P).mean(), numbers


def reward(
    base: Path | str,
    preferences: Sequence[Preference],
    folder: Path,
    *,
    schedule: Schedule,
    length: int,
    progress: Progress | None = None,
) -> Rows:
    """Train a reward model, initialised from the policy at `base`, and save it into `folder`; returns its rows."""
    torch.manual_seed(schedule.seed)
    kind = AutoModelForSequenceClassification
    model, tokenizer = load.open_pair(str(base), kind=kind, num_labels=1, fresh=["score.weight"])
    rows = pack_pairs(preferences, Template(tokenizer), length=length)
    pad = load.pad_id(tokenizer)
    fit(model, rows.rows, loss=pair_loss, schedule=schedule, folder=folder, pad=pad, progress=progress)
    load.save(model, tokenizer, folder / load.FOLDER, stage="reward", base=base)
    return rows
