"""Check a sentence against facts: it passes only if the facts state exactly what it says.

The same function serves filters, rewards, metrics and the assistant. It reads a sentence as one of the
declarative frames of its relation (氨氯地平的适应症包括…。) around a list whose every item is the tail of a
fact. Whatever is left over (another word, a number, a 不) makes the sentence unsupported: a frame is
matched whole, so that neither the direction of a relation nor a negation can be flipped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from xinglin.knowledge.patterns import Pattern, read_patterns
from xinglin.types import Fact

_HEAD, _TAILS = "{head}", "{tails}"
_COPULAS = ("是", "为", "有", "包括", "包含", "主要有", "主要包括", ":")
_WHOLE = frozenset({"组成", "禁忌", "配伍禁忌", "相互作用", "何时就医", "注意事项"})
"""Relations of which a part is not true by itself (a formula is all of its herbs), or is dangerous where it reads as
all there is (the contraindications of a drug)."""

# Only words that mean the same as the relation: a question word (孕妇, 化验) often names a part of it.
NOUNS = {
    "适应症": ("适应证", "适应病症"),
    "禁忌": ("禁忌症", "禁忌证"),
    "不良反应": ("副作用", "毒副作用"),
    "相互作用": ("药物相互作用",),
    "典型症状": ("症状", "临床表现"),
    "检查": ("检查项目",),
    "治疗": ("治疗方法", "治疗措施"),
    "常用药物": ("常用药", "治疗药物"),
    "科室": ("就诊科室",),
    "护理": ("护理要点", "日常护理"),
    "别名": ("别称",),
    "商品名": ("商品名称",),
    "组成": ("药物组成",),
}
_SEPARATOR = re.compile(r"[、,;]|以及|及|和|与|或")
_END = "。.!;"
# Blanks mean nothing except between two digits; NFKC alone would turn 10² into 102.
_BLANK = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
_POWER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]")


def supports(sentence: str, facts: Sequence[Fact], *, patterns: Mapping[str, Pattern] | None = None) -> tuple[str, ...]:
    """The ids of the facts a sentence states, in the order of `facts`; empty when it is not supported.

    The sentence must name the head as the facts do. Doubt counts as unsupported.
    """
    text = _plain(sentence)
    known = read_patterns() if patterns is None else patterns
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for fact in facts:
        tails = groups.setdefault((_plain(fact.head), fact.relation), {})
        tails.setdefault(_plain(fact.tail), []).append(fact.id)
    for (head, relation), tails in groups.items():
        if not head or head not in text:
            continue
        for items in _readings(text, head, _frames(relation, known.get(relation))):
            stated = _items(items, tails)
            if stated and (relation not in _WHOLE or stated == tails.keys()):
                found = {name for tail in stated for name in tails[tail]}
                return tuple(fact.id for fact in facts if fact.id in found)
    return ()


def _plain(text: str) -> str:
    """The text without differences that carry no meaning; case stays (mU is not MU)."""
    powers = _POWER.sub(lambda match: f"^{unicodedata.normalize('NFKC', match.group())}", text)
    return _BLANK.sub("", unicodedata.normalize("NFKC", powers)).rstrip(_END)


@cache
def _frames(relation: str, pattern: Pattern | None) -> tuple[str, ...]:
    """The sentences, with slots, that state a relation; no end punctuation."""
    nouns = (relation, *NOUNS.get(relation, ()))
    frames = [f"{_HEAD}{of}{noun}{copula}{_TAILS}" for noun in nouns for of in ("的", "") for copula in _COPULAS]
    if pattern:
        frames = [pattern.answer, *pattern.statements, *frames]
    return tuple(dict.fromkeys(_plain(frame) for frame in frames))


def _readings(text: str, head: str, frames: tuple[str, ...]) -> Iterator[str]:
    """What stands in the place of the tails, for every frame the text fits."""
    for frame in frames:
        before, after = (part.replace(_HEAD, head) for part in frame.split(_TAILS))
        if text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            yield text[len(before) : len(text) - len(after)]


def _items(text: str, tails: Mapping[str, list[str]]) -> frozenset[str]:
    """The tails a list is made of; empty when anything in it is not a tail or is said twice.

    等 at the end adds nothing. Read from the end, so that a long list needs no deep recursion.
    """
    text = text.removesuffix("等")
    by_length = sorted((tail for tail in tails if tail), key=len, reverse=True)
    following: dict[int, tuple[str, int]] = {}
    for at in range(len(text) - 1, -1, -1):
        for tail in by_length:
            if not text.startswith(tail, at):
                continue
            end = at + len(tail)
            separator = _SEPARATOR.match(text, end)
            rest = len(text) if end == len(text) else separator.end() if separator else -1
            if rest == len(text) == end or rest in following:
                following[at] = (tail, rest)
                break
    found: list[str] = []
    at = 0
    while at in following:
        tail, at = following[at]
        found.append(tail)
    return frozenset(found) if at == len(text) and len(found) == len(set(found)) else frozenset()
