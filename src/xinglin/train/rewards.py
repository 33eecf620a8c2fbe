"""Rewards of drawn answers: a reward model, verifiers that cannot be talked round, and weighted mixtures of them.

A verifier looks at what the sample is known to be right for (its facts, its exam answer), never at how an answer
presents itself. Each is tested against attacks (tests/fast/test_train_rewards.py): keyword stuffing, naming every
option, orders to the judge, padding and refusing never earn more than the honest answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinglin.errors import DataError
from xinglin.knowledge.verify import supports
from xinglin.metrics.extract import choose
from xinglin.metrics.repetition import repeated_share
from xinglin.metrics.spans import hits
from xinglin.model.rewarder import Rewarder
from xinglin.safety.privacy import find
from xinglin.text import sentences
from xinglin.train.rollout import Rollout
from xinglin.types import Fact, Sample

LOOPING = 0.3
"""Repeated share from which an answer counts as looping."""
_DOSE = re.compile(r"\d\s*(?:mg|g|μg|ug|ml|毫克|克|微克|毫升|iu|单位|片|粒|丸|袋|滴|支)(?![a-z])", re.IGNORECASE)
_ROOM = 20
"""Characters that an answer may have beyond twice the known answer's."""


@dataclass(frozen=True, slots=True)
class Score:
    """The reward of an answer, and what each source gave before its weight."""

    value: float
    parts: dict[str, float]


Reward = Callable[[Sequence[Rollout]], list[float]]
"""One number per drawn answer."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A weighted sum of rewards by name."""

    rewards: Mapping[str, Reward]
    weights: Mapping[str, float]

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        given = {name: reward(rollouts) for name, reward in self.rewards.items()}
        found = []
        for at in range(len(rollouts)):
            parts = {name: values[at] for name, values in given.items()}
            found.append(Score(sum(self.weights[name] * value for name, value in parts.items()), parts))
        return found


def from_model(path: Path) -> Reward:
    """The reward of a reward model."""
    rewarder = Rewarder(path)
    return lambda rollouts: rewarder.rewards([one.conversation() for one in rollouts])


def from_facts(facts: Sequence[Fact]) -> Reward:
    """1 for an answer that holds the tails of all the facts its sample stands on and says little more, else less.

    A text longer than twice the known tails loses in proportion, so listing everything that could be asked for does
    not pay.
    """
    known = {fact.id: fact for fact in facts}

    def reward(one: Rollout) -> float:
        tails = [fact.tail for fact in _facts_of(one.sample, known)]
        if len(hits(one.text, tails)) < len(tails):
            return 0.0
        room = 2 * sum(map(len, tails)) + _ROOM
        return min(1.0, room / max(len(one.text), 1))

    return lambda rollouts: [reward(one) for one in rollouts]


def from_knowledge(facts: Sequence[Fact]) -> Reward:
    """From -1 to 1: the share of sentences that the sample's facts support less the share that they do not.

    A sentence said twice counts against the answer the second time; an answer that says nothing earns 0.
    """
    known = {fact.id: fact for fact in facts}

    def reward(one: Rollout) -> float:
        own = _facts_of(one.sample, known)
        said = [text for start, end in sentences(one.text) if (text := one.text[start:end].strip())]
        new = [text not in said[:at] and bool(supports(text, own)) for at, text in enumerate(said)]
        return sum(1 if good else -1 for good in new) / len(new) if new else 0.0

    return lambda rollouts: [reward(one) for one in rollouts]


def _facts_of(sample: Sample, known: Mapping[str, Fact]) -> list[Fact]:
    found = [known[parent] for parent in sample.origin.parents if parent in known]
    if not found:
        raise DataError(
            "this prompt stands on no known fact, so answers to it cannot be verified",
            where=sample.id,
            fix="take prompts made from the facts of this `knowledge`, or leave this verifier out",
        )
    return found


def exam(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for the right option or options, 0 for anything else: an answer that decides nothing is no guess."""

    def reward(one: Rollout) -> float:
        options, right = one.sample.extra.get("options"), one.sample.extra.get("answer")
        if not isinstance(options, dict) or not isinstance(right, str) or not right:
            raise DataError(
                "this prompt is no exam question", where=one.sample.id, fix="take a step that makes questions"
            )
        return float(choose(one.text, options, several=len(right) > 1) == "".join(sorted(right)))

    return [reward(one) for one in rollouts]


def form(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for an answer that says something, ends by itself and does not loop; 0 else."""
    return [float(one.finished and bool(one.text) and repeated_share(one.text) < LOOPING) for one in rollouts]


def safety(rollouts: Sequence[Rollout]) -> list[float]:
    """-1 for an answer with personal data or with a dose (a number no source stands for), 0 else."""
    return [-float(bool(find(one.text)) or bool(_DOSE.search(one.text))) for one in rollouts]
