"""Likelihoods: logits at target positions only, and the log-likelihood of candidate answers.

Shapes: B rows, L row length, N target positions, H hidden size, V vocabulary, S sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from xinglin.errors import DataError
from xinglin.model.load import pad_id
from xinglin.model.render import Template
from xinglin.types import Message

# Configuration members by which an architecture scales or caps its logits after the output layer.
_LOGIT_RULES = (
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
    "lm_head_multiplier",
    "output_multiplier",
)


def target_logits(
    model: PreTrainedModel, input_ids_BL: torch.Tensor, position_ids_BL: torch.Tensor, targets_BL: torch.Tensor
) -> torch.Tensor:
    """Logits [N, V] that predict the tokens where `targets_BL` is true, in row-major order.

    The output layer runs on those positions only: for a 4k vocabulary and half the tokens as targets that is
    9 % of the step (training.md addendum). Position 0 of a row cannot be a target. No attention mask is
    passed and the cache is off: transformers then attends within each run of consecutive positions only.
    """
    before_BL = torch.zeros_like(targets_BL)
    before_BL[:, :-1] = targets_BL[:, 1:]
    head = model.get_output_embeddings()
    if head is None or any(getattr(model.config.get_text_config(), rule, None) for rule in _LOGIT_RULES):
        logits_BLV = model(input_ids=input_ids_BL, position_ids=position_ids_BL, use_cache=False).logits
        return logits_BLV[before_BL]
    hidden_BLH = model.base_model(
        input_ids=input_ids_BL, position_ids=position_ids_BL, use_cache=False
    ).last_hidden_state
    return head(hidden_BLH[before_BL])


def token_logprobs(logits_NV: torch.Tensor, tokens_N: torch.Tensor) -> torch.Tensor:
    """Log-probability [N] of each token under its logits, in fp32."""
    return torch.log_softmax(logits_NV.float(), dim=-1).gather(1, tokens_N[:, None]).squeeze(1)


@torch.inference_mode()
def score_answers(
    model: PreTrainedModel,
    template: Template,
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[Sequence[str]],
    *,
    batch: int = 32,
) -> list[list[float]]:
    """Mean log-likelihood per token of every candidate answer to every prompt (end token not counted)."""
    pairs: list[tuple[int, list[int], list[int]]] = []
    for at, (prompt, candidates) in enumerate(zip(prompts, answers, strict=True)):
        start = template.prompt(prompt)
        pairs += [(at, start, template.words(text)) for text in candidates]
    if not all(words for _, _, words in pairs):
        raise DataError("an empty answer has no likelihood", fix="give every candidate answer at least one character")
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index][1]) + len(pairs[index][2]))
    means = [0.0] * len(pairs)
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        for index, mean in zip(chosen, _score([pairs[index][1:] for index in chosen], model, template), strict=True):
            means[index] = mean
    scores: list[list[float]] = [[] for _ in prompts]
    for (at, _, _), mean in zip(pairs, means, strict=True):
        scores[at].append(mean)
    return scores


def _score(pairs: list[tuple[list[int], list[int]]], model: PreTrainedModel, template: Template) -> list[float]:
    """Mean log-probability per answer token of (prompt ids, answer ids) pairs, right-padded into one batch."""
    length = max(len(start) + len(end) for start, end in pairs)
    pad = pad_id(template.tokenizer)
    device = model.device
    ids_BL = torch.full((len(pairs), length), pad, device=device)
    # Padding has position 0, so each padding token is a segment of its own and no row is without context.
    positions_BL = torch.zeros_like(ids_BL)
    targets_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for row, (start, end) in enumerate(pairs):
        total = len(start) + len(end)
        ids_BL[row, :total] = torch.tensor([*start, *end], device=device)
        positions_BL[row, :total] = torch.arange(total, device=device)
        targets_BL[row, len(start) : total] = True
    logprobs_N = token_logprobs(target_logits(model, ids_BL, positions_BL, targets_BL), ids_BL[targets_BL])
    counts = targets_BL.sum(dim=1)
    rows_N = torch.repeat_interleave(torch.arange(len(pairs), device=device), counts)
    sums_B = torch.zeros(len(pairs), device=device).index_add_(0, rows_N, logprobs_N)
    return (sums_B / counts).tolist()


def rewards_at(
    model: PreTrainedModel, input_ids_BL: torch.Tensor, position_ids_BL: torch.Tensor, ends_S2: torch.Tensor
) -> torch.Tensor:
    """Rewards [S] of the packed segments: the classification head on each segment's last token."""
    hidden_BLH = model.base_model(
        input_ids=input_ids_BL, position_ids=position_ids_BL, use_cache=False
    ).last_hidden_state
    return model.score(hidden_BLH[ends_S2[:, 0], ends_S2[:, 1]]).squeeze(-1).float()  # type: ignore[operator]


@torch.inference_mode()
def score_rewards(
    model: PreTrainedModel, template: Template, conversations: Sequence[Sequence[Message]], *, batch: int = 64
) -> list[float]:
    """The reward of every finished conversation."""
    encoded = [template.encode(conversation).ids for conversation in conversations]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    rewards = [0.0] * len(encoded)
    pad = pad_id(template.tokenizer)
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        length = max(len(encoded[index]) for index in chosen)
        ids_BL = torch.full((len(chosen), length), pad, device=model.device)
        positions_BL = torch.zeros_like(ids_BL)
        for row, index in enumerate(chosen):
            ids_BL[row, : len(encoded[index])] = torch.tensor(encoded[index], device=model.device)
            positions_BL[row, : len(encoded[index])] = torch.arange(len(encoded[index]), device=model.device)
        ends_S2 = torch.tensor([(row, len(encoded[index]) - 1) for row, index in enumerate(chosen)])
        for index, value in zip(chosen, rewards_at(model, ids_BL, positions_BL, ends_S2).tolist(), strict=True):
            rewards[index] = value
    return rewards
