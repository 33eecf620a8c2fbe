"""The language-model objective shared by pretraining and SFT: negative log-likelihood of the target tokens."""

from __future__ import annotations

from typing import Any

from torch.nn import functional

from xinglin.model.attention import Batch
from xinglin.model.score import target_logits
from xinglin.train.batches import targets
from xinglin.train.objective import Objective, Part


def next_token_loss(model: Any, batch: Batch) -> Part:
    """Cross-entropy summed over the batch's target tokens; the output layer runs on those positions only."""
    targets_T = targets(batch)
    logits_NV = target_logits(model, batch, targets_T)
    return Part(functional.cross_entropy(logits_NV.float(), batch["labels"][0, targets_T], reduction="sum"))


def count_targets(batch: Batch) -> int:
    """The target tokens of a batch."""
    return int(targets(batch).sum())


NEXT_TOKEN = Objective(next_token_loss, count_targets)
