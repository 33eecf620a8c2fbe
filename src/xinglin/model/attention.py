"""Attention over packed segments: every sample of a long row attends to itself only, and no mask is ever built.

A batch is one row of T tokens made of S segments. The queries, keys and values of the segments are gathered into a few
right-padded groups of similar length, on which the causal attention of torch runs (its flash kernels on CPU and CUDA):
with causal attention no real token can see the padding behind it, so the result is that of each sample alone. A dense
block-diagonal mask over the row computes the same, 1.2 times slower at rows of 512 tokens (bench/train).

Shapes: T tokens of the row, H heads, D size of a head, N segments of a group, L its longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from xinglin.errors import ModelError

NAME = "xinglin_packed"
Batch = dict[str, Any]
"""A packed batch as transformers takes it: `input_ids`, `position_ids` [1, T], `segments` (lengths), `ends` [S]."""
_SINKS = ("gpt_oss",)
"""Architectures whose attention has weights of its own, which ours does not compute."""
_CLOSE = 0.6
"""A segment joins a group if it has at least this share of the group's longest: padding against number of calls."""


def lay_out(sequences: Sequence[Sequence[int]], *, device: torch.device | None = None) -> Batch:
    """Token sequences as one packed row: positions restart at 0 in each, `ends` is the place of its last token."""
    segments = tuple(len(ids) for ids in sequences)
    ids_T = torch.tensor([token for ids in sequences for token in ids], device=device)
    positions_T = torch.cat([torch.arange(length, device=device) for length in segments])
    ends_S = torch.tensor(segments, device=device).cumsum(0) - 1
    return {"input_ids": ids_T[None], "position_ids": positions_T[None], "segments": segments, "ends": ends_S}


def beside(model: torch.nn.Module, batch: Batch) -> Batch:
    """The batch with its tensors on the model's device."""
    device = next(model.parameters()).device
    return {name: part.to(device) if isinstance(part, torch.Tensor) else part for name, part in batch.items()}


@lru_cache(maxsize=64)
def _groups(
    segments: tuple[int, ...], device: torch.device
) -> tuple[list[tuple[torch.Tensor, int, int]], torch.Tensor]:
    """The groups as (place of every token in the row, segments N, longest L), and where each token of the row went."""
    starts = [0]
    for length in segments[:-1]:
        starts.append(starts[-1] + length)
    groups: list[list[int]] = []
    for at in sorted(range(len(segments)), key=lambda one: -segments[one]):
        if not groups or segments[at] < _CLOSE * segments[groups[-1][0]]:
            groups.append([])
        groups[-1].append(at)
    places: list[tuple[torch.Tensor, int, int]] = []
    back_T = torch.empty(sum(segments), dtype=torch.long)
    before = 0
    for members in groups:
        longest = segments[members[0]]
        place_NL = torch.zeros(len(members), longest, dtype=torch.long)
        for row, at in enumerate(members):
            inside = slice(starts[at], starts[at] + segments[at])
            place_NL[row, : segments[at]] = torch.arange(inside.start, inside.stop)
            back_T[inside] = torch.arange(segments[at]) + before + row * longest
        places.append((place_NL.flatten().to(device), len(members), longest))
        before += place_NL.numel()
    return places, back_T.to(device)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function in transformers' signature: [1, H, T, D] each → [1, T, H, D]."""
    segments: tuple[int, ...] | None = options.get("segments")
    assert segments is not None, "packed attention was called without its segments"
    assert attention_mask is None, "packed attention takes no mask"
    assert query.shape[0] == 1
    assert options.get("s_aux") is None, "packed attention knows no sinks"
    window, softcap = options.get("sliding_window") or 0, options.get("softcap")
    places, back_T = _groups(segments, query.device)
    query, key, value = (part.transpose(1, 2)[0] for part in (query, key, value))
    outputs = []
    for place, number, longest in places:
        q, k, v = (
            part.index_select(0, place).view(number, longest, *part.shape[1:]).transpose(1, 2)
            for part in (query, key, value)
        )
        windowed = 0 < window < longest
        mask_LL = _window(longest, window if windowed else longest, query.device) if windowed or softcap else None
        if softcap and mask_LL is not None:
            output = _capped(q, k, v, mask_LL, scale=options["scaling"], softcap=softcap)
        else:
            output = functional.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=mask_LL,
                is_causal=mask_LL is None,
                dropout_p=options.get("dropout") or 0.0,
                scale=options.get("scaling"),
                enable_gqa=query.shape[1] != key.shape[1],
            )
        outputs.append(output.transpose(1, 2).reshape(number * longest, output.shape[1], output.shape[3]))
    return torch.cat(outputs).index_select(0, back_T)[None], None


def _capped(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask_LL: torch.Tensor, *, scale: float, softcap: float
) -> torch.Tensor:
    """Attention with capped scores (Gemma 2, section 2): softcap * tanh(scores / softcap) before the softmax."""
    repeats = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(repeats, dim=1) for part in (key, value))
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * (scale / softcap))
    return torch.softmax(scores.masked_fill(~mask_LL, float("-inf")), dim=-1) @ value


@lru_cache(maxsize=64)
def _window(longest: int, window: int, device: torch.device) -> torch.Tensor:
    """The causal mask [L, L] of a token that sees itself and `window` - 1 tokens before."""
    full_LL = torch.ones(longest, longest, dtype=torch.bool, device=device)
    return full_LL.tril().triu(1 - window)


AttentionInterface.register(NAME, _attend)


def check(model: PreTrainedModel) -> None:
    """Refuse an architecture whose attention cannot be replaced, or whose attention does more than ours computes."""
    config = model.config.get_text_config()
    if config.model_type in _SINKS or not model._supports_attention_backend:
        raise ModelError(
            f"packed training is not possible with this architecture ({type(model).__name__})",
            where=str(model.config.model_type),
            fix="use a Llama, Qwen, Mistral, GLM, Gemma or similar model",
        )


def check_context(model: PreTrainedModel, tokens: int) -> None:
    """Refuse samples longer than the model has positions: what it makes of places it has never seen is not its best."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if most and tokens > most:
        raise ModelError(
            f"the longest sample has {tokens:,} tokens, the model's context is {most:,} (max_position_embeddings)",
            where=str(model.config.model_type),
            fix=f"set length (or max_tokens) so that samples have at most {most:,} tokens",
        )


@contextmanager
def packed(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model attends within packed segments. It must hold over the backward pass too.

    With activation checkpointing the backward pass runs the forward pass again.
    """
    found = [getattr(one, "config", None) for one in model.modules()]
    configs = {id(one): one for one in found if isinstance(one, PreTrainedConfig)}
    kept = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in kept:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in kept:
            config._attn_implementation = name
