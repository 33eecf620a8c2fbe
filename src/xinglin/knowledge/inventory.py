"""What a collection of facts holds, in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xinglin.knowledge.check import CODES, folder_of
from xinglin.knowledge.store import NAMES
from xinglin.types import Fact

LABELS = frozenset({*NAMES, *CODES})
"""Relations that name or number an entry; they are no medical statements."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Counts: facts (items); questions (distinct head, relation and population that facts answer); the rest by name.

    `statements` are the questions without names and codes, so that aliases count nothing.
    """

    facts: int
    questions: int
    statements: int
    entries: dict[str, int]
    relations: dict[str, int]
    departments: dict[str, int]
    sources: dict[str, int]


def count(facts: Iterable[Fact]) -> Inventory:
    """The inventory of facts; departments are counted by diseases."""
    facts = list(facts)
    questions = {(fact.head, fact.relation, _population(fact)) for fact in facts}
    entries: dict[str, set[str]] = {}
    for fact in facts:
        entries.setdefault(folder_of(fact) if fact.origin.source.startswith("pack:") else "heads", set()).add(fact.head)
    return Inventory(
        facts=len(facts),
        questions=len(questions),
        statements=sum(relation not in LABELS for _, relation, _ in questions),
        entries={name: len(heads) for name, heads in entries.items()},
        relations=_counted(fact.relation for fact in facts),
        departments=_counted(fact.tail for fact in facts if fact.relation == "科室" and folder_of(fact) != "tests"),
        sources=_counted(f"{fact.origin.source} ({fact.origin.licence}, {fact.origin.kind})" for fact in facts),
    )


def _population(fact: Fact) -> str:
    """Whom a structured fact is about: a dose for adults and one for children answer two questions."""
    return f"{fact.qualifiers.population} {fact.qualifiers.route}".strip() if fact.qualifiers else ""


def _counted(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
