"""Direct preference optimisation against the frozen starting policy.

Loss: -log sigmoid(beta * ((log p_c - log ref_c) - (log p_r - log ref_r))) (Rafailov et al. 2023, equation 7), plus
`anchor` times the mean negative log-likelihood of the chosen answers (the RPO term of Pang et al. 2024), which keeps
the probability of right answers from sinking together with that of wrong ones.
Shapes: S segments, N target tokens, P pairs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.score import target_logits, token_logprobs
from xinglin.train.batches import IGNORED, Rows
from xinglin.train.fit import Progress, Schedule, fit
from xinglin.train.pairs import pack_pairs, segments
from xinglin.types import Preference


@dataclass(frozen=True, slots=True)
class Answers:
    """Sum of log-probabilities and number of target tokens of every segment, each [S]."""

    logprobs: torch.Tensor
    counts: torch.Tensor


def answer_logprobs(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> Answers:
    """Log-probability of each segment's answer under the model."""
    labels_BL = batch["labels"]
    targets_BL = labels_BL != IGNORED
    logits_NV = target_logits(model, batch["input_ids"], batch["position_ids"], targets_BL)
    logprobs_N = token_logprobs(logits_NV, labels_BL[targets_BL])
    segments_N = segments(batch)[targets_BL]
    zeros_S = torch.zeros(len(batch["ends"]), device=logprobs_N.device)
    return Answers(
        zeros_S.index_add(0, segments_N, logprobs_N), zeros_S.index_add(0, segments_N, torch.ones_like(logprobs_N))
    )


def dpo_loss(policy_S: torch.Tensor, reference_S: torch.Tensor, *, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The DPO loss over alternating (chosen, rejected) log-probabilities, and the implicit reward margins [P]."""
    gain_S = policy_S - reference_S
    margins_P = beta * (gain_S[0::2] - gain_S[1::2])
    return -functional.logsigmoid(margins_P).mean(), margins_P


@dataclass(frozen=True, slots=True)
class Pull:
    """`beta` scales the implicit reward, `anchor` the likelihood of the chosen answers."""

    beta: float = 0.1
    anchor: float = 1.0


@dataclass(frozen=True, slots=True)
class Objective:
    """The stage's loss: holds the frozen reference policy."""

    reference: PreTrainedModel
    pull: Pull

    def __call__(self, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        policy = answer_logprobs(model, batch)
        with torch.no_grad():
            reference = answer_logprobs(self.reference, batch)
        loss, margins_P = dpo_loss(policy.logprobs, reference.logprobs, beta=self.pull.beta)
        chosen = -policy.logprobs[0::2].sum() / policy.counts[0::2].sum()
        numbers = {"accuracy": (margins_P > 0).float().mean().item(), "margin": margins_P.mean().item()}
        return loss + self.pull.anchor * chosen, numbers


def dpo(
    base: Path | str,
    preferences: Sequence[Preference],
    folder: Path,
    *,
    schedule: Schedule,
    length: int,
    pull: Pull,
    progress: Progress | None = None,
) -> Rows:
    """Align the policy at `base` on preference pairs and save it into `folder`; returns the packed rows."""
    model, tokenizer = load.open_pair(str(base))
    rows = pack_pairs(preferences, Template(tokenizer), length=length)
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    objective = Objective(reference, pull)
    pad = load.pad_id(tokenizer)
    fit(model, rows.rows, loss=objective, schedule=schedule, folder=folder, pad=pad, progress=progress)
    load.save(model, tokenizer, folder / load.FOLDER, stage="dpo", base=base)
    return rows
