"""Gold strings in an answer: containment, and containment that respects negation (evaluation.md section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from xinglin.text import fold

_CLAUSE = re.compile(r"[,;!?。]|但是?|然而|而是")
"""Clause ends of folded text. `、` joins the items of one list and `:` follows a heading: neither ends a clause."""
_INSERTED = re.compile(r"\([^()]*\)")
_BEFORE = re.compile(
    r"不(?:能|可以?|宜|应该?|得|建议|推荐|适合|适宜|是|再)?(?:被)?(?:适?用于|应用于|使用于|用来|用作|治疗)"
    r"|(?:禁|慎|忌|避免|禁止)(?:使|应)?用于|禁忌|不属于|不包括|不是|并非|而非"
)
"""What voids the mentions that follow it, up to the end of the clause."""
_AFTER = re.compile(
    r"[禁慎忌停]用(?!于)|[禁慎忌]服|禁止(?:使用|服用|应用)|禁忌|除外|不适用(?!于)"
    r"|不(?:能|可|宜|应|得|要)(?:使用|服用|应用|用)(?:本品|本药|该药|此药)?$"
)
"""What voids the mentions before it in its clause: `高血压患者禁用`."""
_CITED = re.compile(r"\[\d+\]")
_LEAD = re.compile(
    r"^(?:本品|主要|可|也|亦|适?用于|用以|治疗|防治|预防|缓解|改善|控制|以及|包括|例如|如|和|及|与|或|并|的|所致|引起)+"
)
_ITEM = re.compile(r"[、,;。!?]|以及|但是?")


def hits(answer: str, gold: Sequence[str]) -> list[str]:
    """The gold strings that the answer states, in gold order.

    A string counts when its folded (NFKC) form occurs in the folded answer outside a negation or contraindication.
    Gold strings nested in one another each count.
    """
    text = fold(answer.replace("\n", "。"))
    voided = list(_voided(text))
    return [name for name in gold if _stated(fold(name), text, voided)]


def _stated(name: str, text: str, voided: Sequence[tuple[int, int]]) -> bool:
    start = text.find(name) if name else -1
    while start >= 0:
        if not any(low <= start < high for low, high in voided):
            return True
        start = text.find(name, start + 1)
    return False


def _voided(text: str) -> Iterator[tuple[int, int]]:
    """Character ranges in which a mention does not count; what stands in brackets is a clause of its own."""
    for match in _INSERTED.finditer(text):
        yield from _clauses(text[match.start() + 1 : match.end() - 1], match.start() + 1)
    yield from _clauses(_INSERTED.sub(lambda match: " " * len(match.group()), text), 0)


def _clauses(text: str, offset: int) -> Iterator[tuple[int, int]]:
    start = 0
    for end in [*(match.start() for match in _CLAUSE.finditer(text)), len(text)]:
        clause = text[start:end]
        if before := _BEFORE.search(clause):
            yield offset + start + before.start(), offset + end
        for after in _AFTER.finditer(clause):
            yield offset + start, offset + start + after.start()
        start = end


def criteria(hits: int, gold: int) -> tuple[int, int, int]:
    """QiZhen's criteria 1 (one hit), 2 (half of the labels), 3 (two thirds), as exact fractions, each 0 or 1."""
    assert gold >= 1, "a drug without labels cannot be graded"
    assert 0 <= hits <= gold, f"{hits} of {gold}"
    return int(hits >= 1), int(2 * hits >= gold), int(3 * hits >= 2 * gold)


def contains_all(answer: str, tails: Sequence[str]) -> bool:
    """Whether every tail occurs in the answer after folding; false where there is no tail to find."""
    text = fold(answer)
    return bool(tails) and all(fold(tail) in text for tail in tails)


def listed(answer: str) -> list[str]:
    """The items an answer lists (what follows its first colon, split at 、，；), lead words such as 用于 removed."""
    text = _CITED.sub("", fold(answer.replace("\n", "。")))
    head, colon, rest = text.partition(":")
    items = [_LEAD.sub("", item) for item in _ITEM.split(rest if colon and len(head) <= 40 else text)]
    return [item for item in items if len(item) >= 2]


def overlaps(item: str, gold: Sequence[str]) -> bool:
    """Whether a listed item contains a gold string or is contained in one, after folding."""
    text = fold(item)
    return any(fold(name) in text or text in fold(name) for name in gold if name)
