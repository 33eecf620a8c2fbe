"""What a stage minimises: a loss summed over its units, and how many units a batch holds.

The unit is a target token in pretraining and SFT and a pair in preference stages. A step's loss is the sum divided by
the units of the whole step, over all forward passes and processes, so it does not depend on how rows were dealt out
(the mean of means that Trainer computes otherwise weighs a token of a short batch more).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from xinglin.model.attention import Batch


@dataclass(frozen=True, slots=True)
class Part:
    """The loss of one batch summed over its units (a scalar), and numbers worth logging."""

    total: torch.Tensor
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Objective:
    """`loss` of a batch and `count` of its units."""

    loss: Callable[[Any, Batch], Part]
    count: Callable[[Batch], int]
