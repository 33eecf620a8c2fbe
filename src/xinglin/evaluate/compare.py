"""Paired comparison of models with their parents on the same questions (evaluation.md section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from xinglin.errors import DataError
from xinglin.metrics.paired import bootstrap, detectable, holm, mcnemar, sign_flip
from xinglin.types import Prediction

ALPHA = 0.05
Outcome = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: the predictions of a parent (`before`) and of a child (`after`) on one task."""

    parent: str
    child: str
    task: str
    before: Sequence[Prediction]
    after: Sequence[Prediction]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Child minus parent, in score units (0 to 1), with a bootstrap 95 % interval (not adjusted for multiplicity).

    `p` is McNemar's exact p for 0/1 scores, else the sign-flip p; `holm_p` is adjusted within the table.
    `gained` and `lost` count the questions on which the child scored higher or lower. `detectable` is the
    difference found with 80 % power, at most 1: no larger one exists.
    """

    parent: str
    child: str
    task: str
    difference: float
    low: float
    high: float
    p: float
    holm_p: float
    detectable: float
    count: int
    verdict: Outcome
    gained: int = 0
    lost: int = 0
    test: Literal["McNemar", "sign-flip"] = "McNemar"


def compare(pairs: Sequence[Pair], *, seed: int = 0) -> list[Comparison]:
    """One comparison per pair, in order, Holm-adjusted over all of them; different questions are a DataError."""
    raw = [_compare(pair, seed) for pair in pairs]
    adjusted = holm([comparison.p for comparison in raw])
    return [
        replace(comparison, holm_p=p, verdict=_verdict(comparison.difference, p))
        for comparison, p in zip(raw, adjusted, strict=True)
    ]


def verdict_words(comparison: Comparison, *, language: Literal["en", "zh"] = "en") -> str:
    """The fixed words of a verdict; differences are given in percentage points."""
    points = f"{100 * comparison.detectable:.1f}"
    english = {
        "better": "better (Holm p < 0.05)",
        "worse": "worse",
        "no difference shown": f"no difference shown (detectable: {points} points)",
    }
    chinese = {
        "better": "更好（Holm p < 0.05）",
        "worse": "更差",
        "no difference shown": f"未见差异（可检出：{points} 个百分点）",
    }
    return (english if language == "en" else chinese)[comparison.verdict]


def _compare(pair: Pair, seed: int) -> Comparison:
    before = {prediction.question: prediction.score for prediction in pair.before}
    after = {prediction.question: prediction.score for prediction in pair.after}
    if set(before) != set(after) or not before:
        raise DataError(
            f"{pair.parent} and {pair.child} did not answer the same questions",
            where=pair.task,
            fix="evaluate both models on the same evaluation set",
        )
    differences = [after[question] - before[question] for question in sorted(before)]
    gained, lost = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    binary = all(score in (0.0, 1.0) for score in (*before.values(), *after.values()))
    p = mcnemar(lost, gained) if binary else sign_flip(differences, seed=seed)
    low, high = bootstrap(differences, seed=seed)
    least = detectable(differences)
    if not gained and not lost:
        # Resampling equal scores shows no spread; that none of n items differs bounds the share that do by 3 / n
        # (rule of three: Hanley and Lippman-Hand 1983).
        least = 3 / len(differences)
        low, high = -least, least
    return Comparison(
        parent=pair.parent,
        child=pair.child,
        task=pair.task,
        difference=sum(differences) / len(differences),
        low=low,
        high=high,
        p=p,
        holm_p=p,
        detectable=min(least, 1.0),
        count=len(differences),
        verdict="no difference shown",
        gained=gained,
        lost=lost,
        test="McNemar" if binary else "sign-flip",
    )


def _verdict(difference: float, holm_p: float) -> Outcome:
    if holm_p >= ALPHA or difference == 0:
        return "no difference shown"
    return "better" if difference > 0 else "worse"
