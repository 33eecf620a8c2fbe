"""Topics: all facts of one head and relation, which one question asks for and one sentence answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xinglin.errors import DataError
from xinglin.knowledge.patterns import Pattern
from xinglin.knowledge.store import join_tails
from xinglin.types import Fact, Maker, Origin


@dataclass(frozen=True, slots=True)
class Topic:
    """The facts of one head and relation, in the knowledge base's order."""

    head: str
    relation: str
    facts: tuple[Fact, ...]

    @property
    def tails(self) -> tuple[str, ...]:
        return tuple(fact.tail for fact in self.facts)

    @property
    def joined(self) -> str:
        """All tails as one list."""
        return join_tails(self.tails)

    def answer(self, pattern: Pattern) -> str:
        """The sentence that states all tails."""
        return pattern.answer.format(head=self.head, tails=self.joined)

    def origin(self, step: str) -> Origin:
        """The origin of a record made from this topic by a template: its parents are the facts."""
        first = self.facts[0].origin
        return Origin(
            source=first.source,
            item=first.item,
            licence=strictest(fact.origin.licence for fact in self.facts),
            kind="template",
            group=self.head,
            parents=tuple(fact.id for fact in self.facts),
            maker=Maker(step=step),
        )


def strictest(licences: Iterable[str]) -> str:
    """The licences of all sources of a record, each once, joined by ` AND ` (SPDX): all of them bind."""
    return " AND ".join(dict.fromkeys(licences))


def group_topics(facts: Iterable[Fact], patterns: dict[str, Pattern]) -> list[Topic]:
    """Topics in the order of their first fact; relations without question patterns are left out."""
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        if fact.relation in patterns:
            groups.setdefault((fact.head, fact.relation), []).append(fact)
    return [Topic(head, relation, tuple(members)) for (head, relation), members in groups.items()]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which topics to teach: relations (empty = all), at most `topics`, answers of at most `longest` characters."""

    relations: tuple[str, ...]
    topics: int
    longest: int
    seed: int


def select(topics: Sequence[Topic], choice: Choice) -> list[Topic]:
    """A seeded sample of topics, in the knowledge base's order; an unknown relation is a DataError."""
    known = dict.fromkeys(topic.relation for topic in topics)
    for relation in choice.relations:
        if relation not in known:
            raise DataError(
                f"no fact has the relation {relation!r}", where="relations", fix=f"choose among: {', '.join(known)}"
            )
    fitting = [
        at
        for at, topic in enumerate(topics)
        if (not choice.relations or topic.relation in choice.relations) and len(topic.joined) <= choice.longest
    ]
    if not fitting:
        raise DataError("no topic fits the choice", where="select", fix="raise `longest` or name other relations")
    chosen = random.Random(choice.seed).sample(fitting, min(choice.topics, len(fitting)))  # noqa: S311 - not for secrets
    return [topics[at] for at in sorted(chosen)]
