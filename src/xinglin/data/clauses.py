"""Clauses that sell or say nothing: found in a text and taken out, so that what is left still reads as sentences."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xinglin.files import read_document

PACK = Path(__file__).parent.parent / "packs" / "clean.yaml"
"""The phrases that the rules know."""


@cache
def pack() -> dict[str, Any]:
    """packs/clean.yaml, read once."""
    return yaml.safe_load(read_document(PACK).text)


def _any(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def has(*parts: str) -> Callable[[str], object]:
    """A look for one of these texts. One alternation, a branch for every first character, is several times faster than
    `in` for each."""
    tails: dict[str, list[str]] = {}
    for part in parts:
        tails.setdefault(part[0], []).append(re.escape(part[1:]))
    branches = (re.escape(first) + (f"(?:{'|'.join(rest)})" if any(rest) else "") for first, rest in tails.items())
    return re.compile("|".join(branches)).search


_STOPS = re.compile(r"((?:，|,(?!\d)|[。！？!?；;\n]|(?<=[\u4e00-\u9fff])\.(?![\dA-Za-z]))+\s*)")
_SENTENCE = re.compile(r"[^。！？!?\n]+")
_ENDS = frozenset("。！？!?\n.")


def _without(text: str, bad: Callable[[str, int], object]) -> str:
    """The text without its clauses that are `bad(clause, start)`. An end of sentence after one of them ends what stood
    before."""
    parts = _STOPS.split(text)
    kept: list[str] = []
    start = 0
    for at in range(0, len(parts), 2):
        clause, stop = parts[at], parts[at + 1] if at + 1 < len(parts) else ""
        if not clause.strip() or not bad(clause, start):
            kept += [clause, stop]
        elif kept and not _ENDS & set(kept[-1]) and (_ENDS & set(stop) or at + 2 >= len(parts)):
            kept[-1] = stop or "。"
        start += len(clause) + len(stop)
    return "".join(kept).strip()


MAY_ADVERTISE = has(*pack()["advert_hints"].split())
"""A look that every text with an advert passes."""
MAY_BE_BOILERPLATE = has(*pack()["boilerplate_hints"].split())
"""A look that every text with what a portal says passes."""


@cache
def _adverts_found() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return _any(pack()["adverts"]), _any(pack()["keep"])


def without_adverts(text: str) -> str:
    """The text without clauses that advertise; those with numbers that save lives stay."""
    found, keep = _adverts_found()
    if not found.search(text):
        return text
    kept = [sentence.span() for sentence in _SENTENCE.finditer(text) if keep.search(sentence.group())]

    def bad(clause: str, start: int) -> bool:
        return bool(found.search(clause)) and not any(low <= start < high for low, high in kept)

    return _without(text, bad)


@dataclass(frozen=True, slots=True)
class _Boilerplate:
    """`clause` is such a clause as a whole; `start` finds where one may begin; `below` is where the page goes on."""

    clause: re.Pattern[str]
    start: re.Pattern[str]
    below: re.Pattern[str]


@cache
def _boilerplate_found() -> _Boilerplate:
    ends = r"[\s~～！!。哦哟吧呢^_]*"
    one = f"(?:{'|'.join(pack()['boilerplate'])})"
    return _Boilerplate(
        re.compile(rf"\s*{one}{ends}"), re.compile(rf"(?:^|(?<=[，,。.！？!?；;\s])){one}"), _any(pack()["below"])
    )


@cache
def _joined() -> re.Pattern[str]:
    return re.compile(rf"(?:^|(?<=[，。！？；\n]))(?:{'|'.join(pack()['joined'])})(?=[，。！!；\n]|$)")


def without_boilerplate(text: str) -> str:
    """The text without what portals say around an answer and below it."""
    found = _boilerplate_found()
    if cut := found.below.search(text):
        text = text[: cut.start()].rstrip()
    text = _joined().sub(lambda match: match.group().replace("，", "").replace(",", ""), text)
    if not found.start.search(text):
        return text
    return _without(text, lambda clause, _: MAY_BE_BOILERPLATE(clause) and found.clause.fullmatch(clause))
