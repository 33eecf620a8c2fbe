"""Licences of data: what each allows, who stands in the way of a use, and the strictest of several."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from xinglin.files import read_document
from xinglin.formats.row import Record

Use = Literal["research", "commercial", "internal"]
USES: tuple[Use, ...] = ("research", "commercial", "internal")
TABLE = Path(__file__).parent.parent / "packs" / "licences.yaml"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Licence:
    """A known licence: `uses` that it allows for data; `share`: what is made of it must carry the same terms."""

    name: str
    words: tuple[str, ...]
    uses: frozenset[str]
    share: bool = False


@dataclass(frozen=True, slots=True)
class Blocker:
    """Records of one source whose licence does not allow a use."""

    source: str
    licence: str
    records: int
    allowed: tuple[str, ...]


@cache
def known() -> tuple[Licence, ...]:
    """packs/licences.yaml."""
    rows = yaml.safe_load(read_document(TABLE).text)
    return tuple(
        Licence(row["name"], tuple(map(_plain, row["words"])), frozenset(row["uses"]), row.get("share", False))
        for row in rows
    )


def _plain(text: str) -> str:
    """The form in which licences are compared: lower case, hyphens and underscores as blanks."""
    return " ".join(re.sub(r"[-_/]+", " ", text.lower()).split())


@cache
def find(text: str) -> tuple[Licence, ...]:
    """The known licences that a text names, the longest writing of each place winning; (unknown,) if it names none.

    "Apache-2.0 code; data research only" names two: what it covers has the uses that both allow.
    """
    plain = _plain(text)
    spans: list[tuple[int, int, Licence]] = []
    words = sorted(((word, one) for one in known() for word in one.words), key=lambda pair: -len(pair[0]))
    for word, one in words:
        for match in re.finditer(_bounded(word), plain):
            if not any(start < match.end() and match.start() < end for start, end, _ in spans):
                spans.append((*match.span(), one))
    found = dict.fromkeys(one for _, _, one in sorted(spans, key=lambda span: span[0]))
    return tuple(found) or tuple(one for one in known() if one.name == UNKNOWN)


def _bounded(word: str) -> str:
    bound = r"(?<![a-z0-9]){}(?![a-z])" if word.isascii() else "{}"
    return bound.format(re.escape(word))


def uses(text: str) -> frozenset[str]:
    """The uses that a licence, as it is written, allows."""
    return frozenset(USES).intersection(*(one.uses for one in find(text)))


def strictest(texts: Iterable[str]) -> tuple[str, frozenset[str]]:
    """The strictest of the licences of what is put together, and the uses that all of them allow.

    Of licences with equal uses one that demands the same terms is stricter; then the first by name.
    """
    texts = sorted(set(texts))
    assert texts
    allowed = frozenset(USES).intersection(*(uses(text) for text in texts))
    lead = min(texts, key=lambda text: (len(uses(text)), not any(one.share for one in find(text)), text))
    return lead, allowed


def blockers(records: Iterable[Record], use: Use) -> tuple[int, list[Blocker]]:
    """How many records there are, and those of every source and licence that do not allow the use, most first."""
    counts = Counter((record.origin.source, record.origin.licence) for record in records)
    return counts.total(), blocked([(source, licence, count) for (source, licence), count in counts.items()], use)


def blocked(rows: Sequence[tuple[str, str, int]], use: Use) -> list[Blocker]:
    """The blockers among (source, licence, records)."""
    found = [
        Blocker(source, licence, count, tuple(sorted(uses(licence))))
        for source, licence, count in rows
        if use not in uses(licence)
    ]
    return sorted(found, key=lambda one: (-one.records, one.source, one.licence))
