"""Rewards of drawn answers: a reward model, verifiers that cannot be talked round, and weighted mixtures of them.

A verifier looks at what the sample is known to be right for (its facts, its exam answer), never at how an answer
presents itself, and at what it says after thinking. Each is tested against attacks (tests/fast/test_train_rewards.py):
keyword stuffing, naming every option, orders to the judge, padding and refusing never earn more than the honest answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinglin.errors import DataError, EngineError
from xinglin.knowledge.verify import supports
from xinglin.metrics.extract import choose, without_thinking
from xinglin.metrics.repetition import repeated_share
from xinglin.metrics.spans import hits
from xinglin.model.rewarder import Rewarder
from xinglin.safety.doses import states_amount
from xinglin.safety.privacy import find
from xinglin.text import NOT_IN_KNOWLEDGE_BASE, fold, sentences
from xinglin.train.rollout import Rollout
from xinglin.types import Fact, Sample

LOOPING = 0.3
"""Repeated share from which an answer counts as looping."""
_ROOM = 20
"""Characters that an answer may have beyond twice the known answer's."""
_PRIVATE = 0xE000
"""The first of the characters that Unicode gives to nobody."""


@dataclass(frozen=True, slots=True)
class Score:
    """The reward of an answer, and what each source gave before its weight."""

    value: float
    parts: dict[str, float]


_ABSTAINS = re.compile(rf"{NOT_IN_KNOWLEDGE_BASE}(?:关于|与)?[^,，;；。！？!?]{{0,30}}[。！!]?")
_WORD = re.compile(r"\w")

Reward = Callable[[Sequence[Rollout]], list[float]]
"""One number per drawn answer."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A weighted sum of rewards by name; a reward that is not finite is an EngineError that names source and sample."""

    rewards: Mapping[str, Reward]
    weights: Mapping[str, float]

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        given = {name: _finite(name, reward(rollouts), rollouts) for name, reward in self.rewards.items()}
        found = []
        for at in range(len(rollouts)):
            parts = {name: values[at] for name, values in given.items()}
            found.append(Score(sum(self.weights[name] * value for name, value in parts.items()), parts))
        return found


def _finite(name: str, values: list[float], rollouts: Sequence[Rollout]) -> list[float]:
    assert len(values) == len(rollouts), f"{name} gave {len(values)} rewards for {len(rollouts)} answers"
    for value, one in zip(values, rollouts, strict=True):
        if not math.isfinite(value):
            raise EngineError(
                f"the reward {name} of an answer is {value}",
                where=f"sample {one.sample.id}",
                fix="look at this sample, and check the reward model where it is the source",
            )
    return values


def from_model(path: Path) -> Reward:
    """The reward of a reward model."""
    rewarder = Rewarder(path)
    return lambda rollouts: rewarder.rewards([one.conversation() for one in rollouts])


def from_facts(facts: Sequence[Fact]) -> Reward:
    """1 for an answer that holds the tails of all the facts its sample stands on and says little more, else less.

    A text longer than twice the known tails loses in proportion, so listing everything that could be asked for does
    not pay; nor does an answer about another head (a wrong drug with the right indications) that never names its own,
    or names it only within a longer one (麻疹 in 荨麻疹).
    """
    known = {fact.id: fact for fact in facts}
    heads: dict[str, set[str]] = {}
    for fact in facts:
        heads.setdefault(fact.relation, set()).add(fold(fact.head))

    def reward(one: Rollout) -> float:
        own = _facts_of(one.sample, known)
        answer = without_thinking(one.text)
        if not _states(answer, own) or _about_another(fold(answer), own, heads):
            return 0.0
        room = 2 * sum(len(fact.tail) for fact in own) + _ROOM
        return min(1.0, room / max(len(answer), 1))

    return lambda rollouts: [reward(one) for one in rollouts]


def _states(answer: str, own: Sequence[Fact]) -> bool:
    """Whether an answer states the tails of all these facts; words of theirs that deny (不自行停用, 禁忌) void none."""
    text = fold(answer.replace("\n", "。"))
    tails = sorted({fold(fact.tail) for fact in own}, key=len, reverse=True)
    marks = {tail: chr(_PRIVATE + at) for at, tail in enumerate(tails)}
    for tail, mark in marks.items():
        text = text.replace(tail, mark)
    for relation in {fold(fact.relation) for fact in own}:
        if not hits(f"{relation}:{marks[tails[0]]}", [marks[tails[0]]]):
            text = text.replace(relation, "")
    said = {tail for tail, mark in marks.items() if hits(text, [mark])}
    return all(any(tail in longer for longer in said) for tail in tails)


def _about_another(answer: str, own: Sequence[Fact], heads: Mapping[str, set[str]]) -> bool:
    """Whether a folded answer names a head that these facts are not about, and not the one that they are about.

    That is a head of the same relation anywhere, or any that the answer begins with.
    """
    mine = {fold(fact.head) for fact in own}
    others = {head for relation in {fact.relation for fact in own} for head in heads[relation]} - mine
    rest = _without(answer, [head for head in others if any(name in head for name in mine)])
    if any(name in rest for name in mine):
        return False
    rest = _without(answer, [fold(fact.tail) for fact in own])
    if any(len(head) > 1 and head in rest for head in others):
        return True
    return any(rest.startswith(head) for every in heads.values() for head in every)


def _without(text: str, names: Sequence[str]) -> str:
    """A text with a comma in place of every name, the longest first."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "，")
    return text


def from_knowledge(facts: Sequence[Fact]) -> Reward:
    """From -1 to 1: the share of sentences that the sample's facts support less the share that they do not.

    A sentence counts as supported if it states a fact that none before it has stated: saying one fact in many ways
    does not outweigh a false one. An answer that says nothing, or only that the knowledge base has nothing, earns 0.
    """
    known = {fact.id: fact for fact in facts}

    def reward(one: Rollout) -> float:
        own = _facts_of(one.sample, known)
        answer = without_thinking(one.text)
        said = [text for start, end in sentences(answer) if (text := answer[start:end].strip())]
        if not said or _ABSTAINS.fullmatch(answer):
            return 0.0
        stated: set[str] = set()
        total = 0
        for text in said:
            found = {*supports(text, own)}
            total += 1 if found - stated else -1
            stated |= found
        return total / len(said)

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
    """1 for an answer that says a word after thinking, ends by itself and does not loop; 0 else."""
    return [
        float(
            one.finished and _WORD.search(without_thinking(one.text)) is not None and repeated_share(one.text) < LOOPING
        )
        for one in rollouts
    ]


def safety(rollouts: Sequence[Rollout]) -> list[float]:
    """-1 for an answer with personal data or with a dose (an amount no source stands for), 0 else.

    Thinking counts: it is stored with the answer, and shown where a page shows it.
    """
    return [-1.0 if find(one.text) or states_amount(one.text) else 0.0 for one in rollouts]
