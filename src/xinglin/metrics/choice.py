"""Proportions: accuracy with its Wilson interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xinglin.types import Metric

Z975 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: two-sided 95 %."""


def wilson(correct: float, count: float) -> tuple[float, float]:
    """The Wilson 95 % interval of a proportion (Wilson 1927); (0, 1) where nothing was counted."""
    assert 0 <= correct <= count, f"{correct} of {count}"
    if count == 0:
        return 0.0, 1.0
    share, square = correct / count, Z975 * Z975
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = Z975 / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    low = 0.0 if correct == 0 else max(centre - half, 0.0)
    high = 1.0 if correct == count else min(centre + half, 1.0)
    return low, high


def wilson_of_groups(groups: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """The Wilson 95 % interval of a share of items that come in groups and are alike within them.

    The items count as so many independent ones as have the variance found between groups (design effect: Korn and
    Graubard 1998; Dean and Pagano 2015), never more than there are: as the groups where each is of one mind, and as
    all items where each is a group.
    """
    count = sum(map(len, groups))
    right = sum(map(sum, groups))
    if right in (0, count):
        effective = float(sum(map(bool, groups)))
    else:
        share = right / count
        spread = sum((sum(group) - share * len(group)) ** 2 for group in groups)
        effective = min(count, count * count * share * (1 - share) / spread) if spread else count
    return wilson(effective * right / count if count else 0, effective)


def accuracy(scores: Sequence[float], name: str, signature: str = "") -> Metric:
    """The share of ones among 0/1 scores (0 to 1) with its Wilson 95 % interval."""
    assert all(score in (0.0, 1.0) for score in scores), "accuracy needs scores of 0 or 1"
    correct = sum(score == 1.0 for score in scores)
    low, high = wilson(correct, len(scores))
    return Metric(name, correct / len(scores) if scores else 0.0, low, high, len(scores), signature)
