"""The language-model loss shared by pretraining and SFT: mean negative log-likelihood of the target tokens."""

from __future__ import annotations

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from xinglin.model.score import target_logits
from xinglin.train.batches import IGNORED


def next_token_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy averaged over the batch's target tokens; the output layer runs on those positions only."""
    labels_BL = batch["labels"]
    targets_BL = labels_BL != IGNORED
    logits_NV = target_logits(model, batch["input_ids"], batch["position_ids"], targets_BL)
    return functional.cross_entropy(logits_NV.float(), labels_BL[targets_BL]), {}
