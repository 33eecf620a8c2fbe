"""Duplicates: exact ones by their squeezed text, near ones by verified similarity; the best copy of each stays.

A record goes only if it is verified to be similar to one that stays: similarity is not passed on along a chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xinglin.data import near
from xinglin.formats.nouns import texts_of
from xinglin.formats.row import Record
from xinglin.text import squeeze
from xinglin.types import Preference, Question, Ranking, Sample

Part = Literal["all", "prompt", "answer"]
THRESHOLD = 0.5
"""Jaccard similarity of character 3-grams. Of short Chinese texts with one character in ten changed, the customary 0.7
loses nine in ten (docs/data.md)."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A record that goes: its place (0, 1, …) and id, the place and id of the copy that stays, and how similar."""

    at: int
    id: str
    kept_at: int
    kept: str
    similarity: float
    kind: Literal["exact", "near"]


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """What goes, in the order of the records, and how many records there were."""

    records: int
    removals: tuple[Removal, ...]

    def count(self, kind: str) -> int:
        """The removals of one kind."""
        return sum(removal.kind == kind for removal in self.removals)


def text_of(record: Record, part: Part = "all") -> str:
    """The text by which records are compared: all of it, what is asked, or what is answered."""
    texts = texts_of(record)
    if part == "all":
        return "\n".join(text for _, text in texts)
    asked = _asked(record)
    return "\n".join(text for path, text in texts if (path in asked) == (part == "prompt"))


def _asked(record: Record) -> set[str]:
    match record:
        case Sample():
            return {f"messages[{at}].content" for at, one in enumerate(record.messages) if one.role != "assistant"}
        case Preference() | Ranking():
            return {f"prompt[{at}].content" for at in range(len(record.prompt))}
        case Question():
            return {f"messages[{at}].content" for at in range(len(record.messages))}
        case _:
            return {"text"}


@dataclass(slots=True)
class _Seen:
    """What is remembered of every record: an id, how good it is, and which distinct text it has."""

    ids: list[str]
    worth: list[tuple[int, int, int]]
    group: list[int]
    members: list[list[int]]


def find(
    records: Iterable[Record],
    *,
    threshold: float = THRESHOLD,
    part: Part = "all",
    progress: Callable[[int], None] | None = None,
) -> Deduplicated:
    """The records that go. Reads once, in bounded memory: about 1.5 kB for a record of 100 characters.

    With `threshold` 1 only exact duplicates go. Of equals the one with more passed checks, a known licence and the
    longer text stays, then the earlier one.
    """
    assert 0 < threshold <= 1
    seen = _Seen([], [], [], [])
    grams, digests = near.encode(_distinct(records, seen, part, progress))
    best = [min(members, key=lambda at: (*(-value for value in seen.worth[at]), at)) for members in seen.members]
    removals = [
        _removal(seen, at, best[group], 1.0, "exact") for at, group in enumerate(seen.group) if at != best[group]
    ]
    if threshold < 1:
        pairs = near.find(grams, digests, threshold=threshold)
        removals += [
            _removal(seen, best[group], best[kept], similarity, "near")
            for group, kept, similarity in _choose(pairs, [(seen.worth[at], at) for at in best])
        ]
        removals = _lead(removals, seen)
    return Deduplicated(len(seen.ids), tuple(sorted(removals, key=lambda removal: removal.at)))


def _distinct(
    records: Iterable[Record], seen: _Seen, part: Part, progress: Callable[[int], None] | None
) -> Iterator[str]:
    """The distinct squeezed texts, while everything else about the records is noted."""
    known: dict[bytes, int] = {}
    for at, record in enumerate(records):
        text = squeeze(text_of(record, part))
        digest = hashlib.blake2b(text.encode(), digest_size=12).digest()
        group = known.setdefault(digest, len(known))
        seen.ids.append(record.id)
        seen.worth.append(_worth(record, len(text)))
        seen.group.append(group)
        if group == len(seen.members):
            seen.members.append([at])
            yield text
        else:
            seen.members[group].append(at)
        if progress and at % 1000 == 0:
            progress(at)


def _worth(record: Record, length: int) -> tuple[int, int, int]:
    passed = sum(check.passed for check in record.origin.checks)
    return passed, int(not record.origin.licence.startswith("unknown")), length


def _choose(pairs: near.Pairs, order: Sequence[tuple[tuple[int, int, int], int]]) -> Iterator[tuple[int, int, float]]:
    """(goes, stays, similarity): from the best text to the worst, each goes if one that stays is similar to it."""
    neighbours: dict[int, list[tuple[int, float]]] = {}
    for left, right, similar in zip(
        pairs.left_K.tolist(), pairs.right_K.tolist(), pairs.similar_K.tolist(), strict=True
    ):
        neighbours.setdefault(left, []).append((right, similar))
        neighbours.setdefault(right, []).append((left, similar))
    ranked = sorted(neighbours, key=lambda text: (*(-value for value in order[text][0]), order[text][1]))
    kept = np.zeros(len(order), bool)
    for text in ranked:
        near_kept = [(similar, -other, other) for other, similar in neighbours[text] if kept[other]]
        if near_kept:
            similar, _, other = max(near_kept)
            yield text, other, similar
        else:
            kept[text] = True


def _removal(seen: _Seen, at: int, kept: int, similarity: float, kind: Literal["exact", "near"]) -> Removal:
    return Removal(at, seen.ids[at], kept, seen.ids[kept], round(similarity, 4), kind)


def _lead(removals: list[Removal], seen: _Seen) -> list[Removal]:
    """Exact copies of a text that went itself point to the copy that stays, with that similarity."""
    gone = {removal.at: removal for removal in removals if removal.kind == "near"}
    return [
        _removal(seen, one.at, gone[one.kept_at].kept_at, gone[one.kept_at].similarity, "near")
        if one.kind == "exact" and one.kept_at in gone
        else one
        for one in removals
    ]
