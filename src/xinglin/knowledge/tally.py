"""What every importer hands back: facts, unreadable rows, and a count of everything that happened on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from xinglin.text import fold
from xinglin.types import Fact, Kind, Origin, Qualifiers, make_id


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that could not be read: `where` is file:line."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import. `counts` names rows in, heads, facts out, rows dropped, then what was left out."""

    facts: tuple[Fact, ...]
    dropped: tuple[Dropped, ...]
    counts: tuple[tuple[str, int], ...]
    encoding: str


class Tally:
    """Collects the facts of one source; a fact stated twice is kept once and counted."""

    def __init__(self, source: str, *, licence: str, kind: Kind) -> None:
        self._source = source
        self._licence = licence
        self._kind: Kind = kind
        self._place = ("", "")
        self._head = ""
        self._origin = Origin(source, "", licence, kind)
        self._facts: dict[tuple[str, str, str], Fact] = {}
        self._dropped: list[Dropped] = []
        self._counts: Counter[str] = Counter()

    def add(self, head: str, relation: str, tail: str, *, item: str, qualifiers: Qualifiers | None = None) -> None:
        """Take a fact; `item` says where in the source it stands."""
        if (head, item) != self._place:  # facts of one row share their origin
            self._place = (head, item)
            self._head = fold(head)
            self._origin = Origin(self._source, item, self._licence, self._kind, group=head)
        key = (self._head, relation, fold(tail))
        if key in self._facts:
            self.count("duplicate facts merged")
            return
        name = make_id("fact", head, relation, tail, self._source)
        self._facts[key] = Fact(name, head, relation, tail, self._origin, qualifiers)

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was seen or left out."""
        self._counts[what] += number

    def drop(self, where: str, reason: str) -> None:
        """Note a row that could not be read."""
        self._dropped.append(Dropped(where, reason))

    def imported(self, encoding: str) -> Imported:
        """The result so far."""
        facts = tuple(self._facts.values())
        heads = len({fact.head for fact in facts})
        first = [("rows", self._counts["rows"]), ("heads", heads), ("facts", len(facts))]
        rest = sorted((name, number) for name, number in self._counts.items() if name != "rows")
        dropped = [("rows dropped", len(self._dropped))]
        return Imported(facts, tuple(self._dropped), tuple(first + dropped + rest), encoding)
