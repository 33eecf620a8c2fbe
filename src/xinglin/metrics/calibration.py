"""Whether stated probabilities come true, and whether scores follow the length of what is scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bin:
    """Items whose probability lies in one bin: their mean probability, the share that came true, how many."""

    stated: float
    true: float
    count: int


def reliability(probabilities: Sequence[float], outcomes: Sequence[bool], *, bins: int = 10) -> list[Bin]:
    """The bins of equal width between 0 and 1 that hold an item (Guo et al. 2017, section 2)."""
    members: dict[int, list[int]] = {}
    for at, probability in enumerate(probabilities):
        members.setdefault(min(int(probability * bins), bins - 1), []).append(at)
    return [
        Bin(
            sum(probabilities[at] for at in members[number]) / len(members[number]),
            sum(outcomes[at] for at in members[number]) / len(members[number]),
            len(members[number]),
        )
        for number in sorted(members)
    ]


def calibration_error(probabilities: Sequence[float], outcomes: Sequence[bool], *, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: the mean distance of stated and true shares (Guo et al. 2017, eq. 3)."""
    found = reliability(probabilities, outcomes, bins=bins)
    return sum(one.count * abs(one.stated - one.true) for one in found) / len(probabilities)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, ties with their mean rank; 0 where one side does not vary."""
    left, right = _ranks(first), _ranks(second)
    mean = (len(left) + 1) / 2
    across = sum((a - mean) * (b - mean) for a, b in zip(left, right, strict=True))
    spread = math.sqrt(sum((a - mean) ** 2 for a in left) * sum((b - mean) ** 2 for b in right))
    return across / spread if spread else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda at: values[at])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks
