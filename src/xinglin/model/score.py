"""Likelihoods and rewards of packed batches, and of candidate answers and conversations.

Shapes: T tokens of the packed row, N target positions, V vocabulary, S segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from xinglin.errors import DataError
from xinglin.model.attention import Batch, lay_out, packed
from xinglin.model.render import Template
from xinglin.types import Message

Item = TypeVar("Item")
_TOKENS = 8192
"""Tokens of a packed row when scoring: large enough to keep two cores busy, small enough for a 4k vocabulary."""


def target_logits(model: PreTrainedModel, batch: Batch, targets_T: torch.Tensor) -> torch.Tensor:
    """Logits [N, V] that predict the tokens of a packed row where `targets_T` is true, in order.

    The output layer runs on those positions only: for a 4k vocabulary and half the tokens as targets that is
    9 % of the step (training.md addendum). The first token of a segment cannot be a target. Called within
    `attention.packed(model)`; everything goes through the model's own `forward`, so wrapped models (DDP, PEFT) work.
    """
    before = targets_T.nonzero().squeeze(1) - 1
    return model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        segments=batch["segments"],
        logits_to_keep=before,
        use_cache=False,
    ).logits[0]


def token_logprobs(logits_NV: torch.Tensor, tokens_N: torch.Tensor) -> torch.Tensor:
    """Log-probability [N] of each token under its logits, in fp32."""
    return torch.log_softmax(logits_NV.float(), dim=-1).gather(1, tokens_N[:, None]).squeeze(1)


@torch.inference_mode()
def score_answers(
    model: PreTrainedModel,
    template: Template,
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[Sequence[str]],
) -> list[list[float]]:
    """Mean log-likelihood per token of every candidate answer to every prompt (end token not counted)."""
    pairs: list[tuple[list[int], list[int]]] = []
    for prompt, candidates in zip(prompts, answers, strict=True):
        start = template.prompt(prompt)
        pairs += [(start, template.words(text)) for text in candidates]
    if not all(words for _, words in pairs):
        raise DataError("an empty answer has no likelihood", fix="give every candidate answer at least one character")
    means = iter(
        mean
        for group in _portions(pairs, [len(start) + len(words) for start, words in pairs])
        for mean in _score(group, model)
    )
    return [[next(means) for _ in candidates] for candidates in answers]


def _portions(items: Sequence[Item], lengths: Sequence[int]) -> Iterator[list[Item]]:
    """The items in order, in portions of at most `_TOKENS` tokens or one item."""
    portion: list[Item] = []
    total = 0
    for item, length in zip(items, lengths, strict=True):
        if portion and total + length > _TOKENS:
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += length
    if portion:
        yield portion


def _score(pairs: Sequence[tuple[list[int], list[int]]], model: PreTrainedModel) -> list[float]:
    """Mean log-probability per answer token of (prompt ids, answer ids) pairs, packed into one row."""
    batch = lay_out([[*start, *words] for start, words in pairs], device=model.device)
    targets_T = torch.tensor(
        [inside for start, words in pairs for inside in [False] * len(start) + [True] * len(words)],
        device=model.device,
    )
    with packed(model):
        logits_NV = target_logits(model, batch, targets_T)
    logprobs_N = token_logprobs(logits_NV, batch["input_ids"][0, targets_T])
    return [part.mean().item() for part in logprobs_N.split([len(words) for _, words in pairs])]


def rewards_at(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Rewards [S] of the packed segments: the classification head on each segment's last token.

    Called within `attention.packed(model)`.
    """
    return token_scores(model, batch)[batch["ends"]]


def token_scores(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """The classification head's output [T] for every token of a packed row.

    Called within `attention.packed(model)`. The model's own `forward` pools one token of a row, so the head's output
    for all tokens is taken on its way; calling the parts by themselves would not work for a wrapped model (DDP).
    """
    head = next(part for name, part in model.named_modules() if name.rpartition(".")[2] == "score")
    outputs: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        model(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            segments=batch["segments"],
            use_cache=False,
        )
    finally:
        hook.remove()
    return outputs[0][0, :, 0].float()


@torch.inference_mode()
def score_rewards(
    model: PreTrainedModel, template: Template, conversations: Sequence[Sequence[Message]]
) -> list[float]:
    """The reward of every finished conversation."""
    encoded = [template.encode(conversation).ids for conversation in conversations]
    rewards: list[float] = []
    with packed(model):
        for portion in _portions(encoded, [len(ids) for ids in encoded]):
            rewards += rewards_at(model, lay_out(portion, device=model.device)).tolist()
    return rewards
