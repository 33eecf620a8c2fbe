"""Paired comparison of two systems on the same items, and the interval of a mean.

Definitions of evaluation.md section 9; golden values in tests/golden/test_metrics.py. All draws come from
`numpy.random.default_rng(seed)`, so the same input gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xinglin.metrics.choice import Z975
from xinglin.types import Metric

Z80 = 0.8416212335729143
"""The 80 % point of the standard normal distribution: a power of 80 %."""
EXACT = 16
"""Up to this many non-zero differences every sign vector is enumerated (65,536 of them)."""
DRAWS = 10_000
_TIE = 1e-12
_CELLS = 1 << 22  # random numbers held at once: 32 MB


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's test on the items that only one of two systems got right."""
    count = only_a + only_b
    term = tail = 1
    for chosen in range(1, min(only_a, only_b) + 1):
        term = term * (count - chosen + 1) // chosen
        tail += term
    return min(1.0, 2 * tail / 2**count)  # integers: exact, and correctly rounded whatever their size


def bootstrap(differences: Sequence[float], *, seed: int = 0, resamples: int = 10_000) -> tuple[float, float]:
    """Percentile 95 % interval of the mean under resampling of the items.

    Drawing how often each distinct value occurs (multinomial) is the same distribution as drawing items, and
    much cheaper where scores are 0 or 1.
    """
    assert differences, "a bootstrap needs at least one item"
    values, counts = np.unique(np.asarray(differences, dtype=np.float64), return_counts=True)
    count, rng = int(counts.sum()), np.random.default_rng(seed)
    block = max(1, _CELLS // len(values))
    means = [
        (rng.multinomial(count, counts / count, size=min(block, resamples - start)) * values).sum(axis=1) / count
        for start in range(0, resamples, block)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p of the sign-flip permutation test of a zero mean difference.

    Exact for at most 16 non-zero differences, else 10,000 draws with (k + 1) / (B + 1). Zeros change nothing
    under a flip and are left out.
    """
    values = np.asarray([value for value in differences if value != 0], dtype=np.float64)
    if len(values) == 0:
        return 1.0
    bound = abs(values.sum()) - _TIE * len(differences)
    if len(values) <= EXACT:
        masks = np.arange(1 << len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((1 - 2 * masks) @ values) >= bound))
    rng, reached, block = np.random.default_rng(seed), 0, max(1, _CELLS // len(values))
    for start in range(0, DRAWS, block):
        signs = rng.integers(0, 2, size=(min(block, DRAWS - start), len(values)), dtype=np.int8) * 2 - 1
        reached += int(np.count_nonzero(np.abs((signs * values).sum(axis=1)) >= bound))
    return (reached + 1) / (DRAWS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order of the input."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def detectable(differences: Sequence[float]) -> float:
    """The mean difference found with 80 % power at alpha 0.05; infinite with fewer than two items."""
    if len(differences) < 2:
        return math.inf
    return (Z975 + Z80) * float(np.std(differences, ddof=1)) / math.sqrt(len(differences))


def average(scores: Sequence[float], name: str, signature: str = "") -> Metric:
    """The mean of scores between 0 and 1 with its bootstrap 95 % interval (seed 0)."""
    low, high = bootstrap(scores) if scores else (0.0, 1.0)
    return Metric(name, float(np.mean(scores)) if scores else 0.0, low, high, len(scores), signature)
