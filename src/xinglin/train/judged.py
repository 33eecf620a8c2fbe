"""What a reward model is worth: measured on held-out preferences before anything is trained on its rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xinglin.metrics.calibration import Bin, calibration_error, rank_correlation, reliability
from xinglin.metrics.choice import wilson_of_groups
from xinglin.model.rewarder import Rewarder
from xinglin.train.heldout import group_of
from xinglin.train.pairs import answers_of
from xinglin.types import Message, Preference, Ranking


@dataclass(frozen=True, slots=True)
class Judged:
    """A reward model on held-out pairs.

    `accuracy` with its 95 % interval is the share of pairs in the right order (pairs of one entity, dialogue or ranking
    are no independent evidence), `margin` the mean difference of rewards. `calibration` is the expected error of
    sigmoid(margin) as the chance that the first of a pair is the better one, over both orders of each pair; `bins` is
    its diagram. Length bias: `length` is the rank correlation of reward and answer length, `shorter` and `longer` are
    the accuracies where the better answer is the shorter or the longer one (None where there is none).
    """

    pairs: int
    accuracy: float
    low: float
    high: float
    margin: float
    calibration: float
    length: float
    shorter: float | None
    longer: float | None
    bins: tuple[Bin, ...]


def judge(rewarder: Rewarder, heldout: Sequence[Preference | Ranking]) -> Judged:
    """Measure a reward model on preferences or rankings that it was not trained on."""
    answers = [answers_of(one) for one in heldout]
    conversations = [
        [*one.prompt, Message("assistant", answer)]
        for one, given in zip(heldout, answers, strict=True)
        for answer in given
    ]
    rewards = iter(rewarder.rewards(conversations))
    scored = [[(next(rewards), len(answer)) for answer in given] for given in answers]
    pairs = [(better, worse) for group in scored for better, worse in combinations(group, 2)]
    margins = [better[0] - worse[0] for better, worse in pairs]
    low, high = wilson_of_groups(_in_groups(heldout, scored))
    chances = [0.5 * (1 + math.tanh(margin / 2)) for margin in margins]  # the logistic function without overflow
    both, outcomes = [*chances, *(1 - chance for chance in chances)], [True] * len(pairs) + [False] * len(pairs)
    every = [one for group in scored for one in group]
    return Judged(
        pairs=len(pairs),
        accuracy=sum(margin > 0 for margin in margins) / len(pairs),
        low=low,
        high=high,
        margin=sum(margins) / len(pairs),
        calibration=calibration_error(both, outcomes),
        length=rank_correlation([reward for reward, _ in every], [float(length) for _, length in every]),
        shorter=_share([margin > 0 for margin, (a, b) in zip(margins, pairs, strict=True) if a[1] < b[1]]),
        longer=_share([margin > 0 for margin, (a, b) in zip(margins, pairs, strict=True) if a[1] > b[1]]),
        bins=tuple(reliability(both, outcomes)),
    )


def _in_groups(heldout: Sequence[Preference | Ranking], scored: Sequence[list[tuple[float, int]]]) -> list[list[bool]]:
    """Whether each pair is in order, together with the others of its group."""
    found: dict[str, list[bool]] = {}
    for one, group in zip(heldout, scored, strict=True):
        pairs = [better[0] > worse[0] for better, worse in combinations(group, 2)]
        found.setdefault(group_of(one), []).extend(pairs)
    return list(found.values())


def _share(right: list[bool]) -> float | None:
    return sum(right) / len(right) if right else None
