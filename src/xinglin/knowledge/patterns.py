"""Question, answer and statement patterns per relation, read from a data file and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from xinglin.errors import DataError
from xinglin.knowledge.nodes import compose, members, place, scalar, scalars

PATTERNS = Path(__file__).parent.parent / "packs" / "patterns.yaml"
QUESTIONS = 4
"""The least number of phrasings a relation needs (the held-out one not counted)."""

_KEYS = ("questions", "heldout", "answer", "statement", "attributes")
_SLOT = re.compile(r"\{[^{}]*\}")
_LONG = 60


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one relation is asked for, answered and stated; `{head}` and `{tails}` are the slots."""

    relation: str
    questions: tuple[str, ...]
    heldout: str
    answer: str
    statements: tuple[str, ...]
    attributes: tuple[str, ...]


def read_patterns(path: Path | None = None) -> dict[str, Pattern]:
    """The patterns by relation (default: those shipped with xinglin); a mistake is a DataError with file:line."""
    return dict(_read(path or PATTERNS))


@cache
def _read(path: Path) -> dict[str, Pattern]:
    root = compose(path)
    if not isinstance(root, yaml.MappingNode):
        raise DataError("expected `relation:` blocks", where=place(path, root), fix=f"members: {' '.join(_KEYS)}")
    patterns: dict[str, Pattern] = {}
    for key, node in root.value:
        relation = scalar(key, path=path, what="relation")
        if relation in patterns:
            raise DataError(f"{relation}: second block", where=place(path, key), fix="merge the two blocks")
        patterns[relation] = _pattern(relation, node, path)
    return patterns


def _pattern(relation: str, node: yaml.Node, path: Path) -> Pattern:
    fields = members(node, path=path, what=relation, allowed=_KEYS)
    missing = [name for name in _KEYS if name not in fields]
    if missing:
        raise DataError(f"{relation}: no {', '.join(missing)}", where=place(path, node), fix="add the missing members")
    texts = {name: scalars(fields[name], path=path, what=f"{relation}.{name}") for name in _KEYS}
    for name in ("heldout", "answer"):
        texts[name] = [scalar(fields[name], path=path, what=f"{relation}.{name}")]
    slots = {"questions": ["{head}"], "heldout": ["{head}"], "attributes": []}
    for name in _KEYS:
        _check(texts[name], slots.get(name, ["{head}", "{tails}"]), f"{relation}.{name}", place(path, fields[name]))
    where = place(path, fields["questions"])
    if len(texts["questions"]) < QUESTIONS:
        raise DataError(f"{relation}: fewer than {QUESTIONS} questions", where=where, fix="add phrasings")
    if texts["heldout"][0] in texts["questions"]:
        raise DataError(
            f"{relation}: the held-out phrasing is among the questions",
            where=place(path, fields["heldout"]),
            fix="it may only be used for evaluation: word it differently",
        )
    return Pattern(
        relation,
        tuple(texts["questions"]),
        texts["heldout"][0],
        texts["answer"][0],
        tuple(texts["statement"]),
        tuple(texts["attributes"]),
    )


def _check(texts: Sequence[str], slots: list[str], what: str, where: str) -> None:
    """Each text has exactly the slots it needs, once each, and stands there once."""
    for text in texts:
        if sorted(_SLOT.findall(text)) != slots:
            needed = " and ".join(slots) or "no slot"
            raise DataError(f"{what}: {text[:_LONG]} needs {needed}", where=where, fix="each slot exactly once")
    if len(set(texts)) != len(texts):
        raise DataError(f"{what}: the same text twice", where=where, fix="delete one of them")
    if not texts:
        raise DataError(f"{what}: the list is empty", where=where, fix="add at least one text")
