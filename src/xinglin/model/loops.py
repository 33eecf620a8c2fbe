"""A guard while decoding: an answer that has begun to say the same over and over (复读) is ended.

Small or badly trained models fall into loops and fill the limit with them (training.md, traps). Holtzman et al. 2020
show why likelihood alone does not end them.

Shapes: B answers, L tokens so far.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import StoppingCriteria

REPEATS, TOKENS, PERIOD = 4, 32, 64
"""A loop is one run of at most `PERIOD` tokens, said `REPEATS` times or more, over at least `TOKENS` tokens: a line of
a table, an enumeration, or a verse is none."""
_EVERY = 8
"""Tokens between two looks."""


def looping(ids_BL: torch.Tensor) -> torch.Tensor:
    """Whether each row [B] ends in a loop."""
    found_B = torch.zeros(len(ids_BL), dtype=torch.bool, device=ids_BL.device)
    for period in range(1, PERIOD + 1):
        size = max(REPEATS * period, TOKENS)
        if size > ids_BL.shape[1]:
            break
        tail_BL = ids_BL[:, -size:]
        found_B |= (tail_BL[:, period:] == tail_BL[:, :-period]).all(dim=1)
    return found_B


class Loops(StoppingCriteria):
    """Ends looping answers; `cut` has the number of tokens of each row that was ended."""

    def __init__(self, prompt: int) -> None:
        self.prompt = prompt
        self.cut: dict[int, int] = {}

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        made_BL = input_ids[:, self.prompt :]
        if made_BL.shape[1] % _EVERY:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        found_B = looping(made_BL)
        for row in found_B.nonzero().flatten().tolist():
            self.cut.setdefault(row, made_BL.shape[1])
        return found_B
