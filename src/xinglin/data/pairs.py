"""Facts → preference pairs: the right answer against an answer that is wrong in a known way.

The wrong answers are right answers to other questions, dealt out so that every answer is rejected about as often as
it is chosen, and training pairs use answers of training topics only. Otherwise a reward model learns which answers
it has seen chosen and not which answer belongs to which question: dealt out at random it ordered 28 % of the
held-out pairs correctly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xinglin.data.topics import Topic, strictest
from xinglin.knowledge.patterns import Pattern
from xinglin.types import Message, Origin, Preference, make_id


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs to train on, and pairs of other topics to measure on."""

    train: list[Preference]
    heldout: list[Preference]


@dataclass(frozen=True, slots=True)
class Deal:
    """How pairs are dealt: pairs per topic, the share of topics held out, training phrasings left out at the start."""

    per_topic: int
    heldout: float
    skip: int


def build(topics: Sequence[Topic], patterns: dict[str, Pattern], *, deal: Deal, seed: int, step: str) -> Pairs:
    """Pairs for every topic; a share of the topics is kept for measuring.

    Two kinds of wrong answer take turns: another head's tails, and the same head's answer to another relation.
    """
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    order = list(topics)
    chance.shuffle(order)
    aside = int(len(order) * deal.heldout)
    made = [
        [
            pair
            for number in range(deal.per_topic)
            for pair in _round(part, patterns, number=number, skip=deal.skip, step=step)
        ]
        for part in (order[aside:], order[:aside])
    ]
    return Pairs(train=made[0], heldout=made[1])


def _round(
    topics: Sequence[Topic], patterns: dict[str, Pattern], *, number: int, skip: int, step: str
) -> list[Preference]:
    """One pair per topic: even rounds give it another head's tails, odd rounds the answer to another relation."""
    groups: dict[str, list[Topic]] = {}
    for topic in topics:
        groups.setdefault(topic.relation if number % 2 == 0 else topic.head, []).append(topic)
    made = []
    for group in groups.values():
        for at, topic in enumerate(group):
            wrong = _shifted(group, at, shift=1 + number // 2)
            if wrong is not None:
                made.append(_pair(topic, wrong, patterns, number=skip + number, step=step))
    return made


def _shifted(group: Sequence[Topic], at: int, *, shift: int) -> Topic | None:
    """The next topic of the group, `shift` places on, none of whose tails is also true of the one at `at`."""
    own = set(group[at].tails)
    for more in range(len(group) - 1):
        other = group[(at + shift + more) % len(group)]
        if other is not group[at] and not own & set(other.tails):
            return other
    return None


def _pair(topic: Topic, wrong: Topic, patterns: dict[str, Pattern], *, number: int, step: str) -> Preference:
    pattern = patterns[topic.relation]
    question = _phrasing(pattern, number).format(head=topic.head)
    right = topic.answer(pattern)
    rejected = patterns[wrong.relation].answer.format(head=topic.head, tails=wrong.joined)
    identity = make_id("preference", question, right, rejected)
    return Preference(identity, (Message("user", question),), right, rejected, _origin(topic, wrong, step))


def _phrasing(pattern: Pattern, number: int) -> str:
    """The phrasings in turn; an even number of them is shifted by one each time round.

    The kinds of wrong answer take turns, too: without the shift either kind would meet every other phrasing only.
    """
    count = len(pattern.questions)
    return pattern.questions[(number + (number // count if count % 2 == 0 else 0)) % count]


def _origin(topic: Topic, wrong: Topic, step: str) -> Origin:
    """The origin of a pair: both answers' facts are its parents, and both answers' licences bind."""
    facts = (*topic.facts, *wrong.facts)
    licence = strictest(fact.origin.licence for fact in facts)
    return replace(topic.origin(step), licence=licence, parents=tuple(fact.id for fact in facts))
