"""Filters of cleaning: named reasons for which a whole record is turned away."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from xinglin.formats.row import Record
from xinglin.text import squeeze
from xinglin.types import Passage, Preference, Question, Ranking, Sample

SHORTEST = 2
"""Characters that an answer must have: a label such as 阳性 is one."""
GRAM = 10
"""Characters of the pieces whose repetition shows that an answer loops."""
LOOPING = 0.5
"""Share of the pieces of a text that stood in it before, from which on it loops."""
_LONG = 60
_PROBES = (0.4, 0.6, 0.82)
_CUT_LENGTH = 30
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_OPEN_END = re.compile(
    r"[，、：；,:（(《“\-]\s*$|\n\s*(?:\d{1,2}[.、．)）]|[-*•])\s*$|(?:\[|【)(?:详细|更多|全文)(?:\]|】)\s*$"
)
_CUT_END = re.compile(r"(?<!…)…\s*$|(?<!\.)\.{3}\s*$")
_LETTER = re.compile("[A-Za-z]")
_LONG_RUN = re.compile(r"[A-Za-z]{60,}")


@dataclass(frozen=True, slots=True)
class Parts:
    """The texts of a record by what they are for; `answers` are those that a model would learn to say."""

    asked: tuple[str, ...]
    answers: tuple[str, ...]
    exam: bool = False


def parts(record: Record) -> Parts:
    """What is asked and what is answered in a record."""
    match record:
        case Sample():
            answers = tuple(one.content for one in record.messages if one.role == "assistant")
            return Parts(tuple(one.content for one in record.messages if one.role == "user"), answers)
        case Preference():
            return Parts(tuple(one.content for one in record.prompt), (record.chosen, record.rejected))
        case Ranking():
            return Parts(tuple(one.content for one in record.prompt), record.answers)
        case Question():
            return Parts(tuple(one.content for one in record.messages), record.answers, exam=True)
        case Passage():
            return Parts((), (record.text,))


@dataclass(frozen=True, slots=True)
class Filter:
    """`why(record's parts, shortest)` is the reason to turn a record away, or "" to keep it."""

    name: str
    what: str
    why: Callable[[Parts, int], str]


def _empty(one: Parts, shortest: int) -> str:
    if not one.asked and not one.answers:
        return "nothing is said"
    if any(not text.strip() for text in one.asked):
        return "a question without a text"
    return "an answer without a text" if any(not text.strip() for text in one.answers) else ""


def _short(one: Parts, shortest: int) -> str:
    if one.exam or not one.answers:
        return ""
    length = sum(len(text.strip()) for text in one.answers)
    return f"{length} characters are answered, {shortest} are needed" if length < shortest else ""


def _loop(one: Parts, shortest: int) -> str:
    return next(("an answer repeats itself" for text in one.answers if loops(text)), "")


def loops(text: str) -> bool:
    """Whether at least half of the GRAM-character pieces of a text stood in it before."""
    if len(text) < _LONG:
        return False
    # What loops does so at one of these places, as any half of a text holds one: little work for all others.
    places = [int(len(text) * share) for share in _PROBES]
    if all(text.find(text[at : at + GRAM]) == at for at in places):
        return False
    count = len(text) - GRAM + 1
    return len({text[at : at + GRAM] for at in range(count)}) <= (1 - LOOPING) * count


def _chinese(one: Parts, shortest: int) -> str:
    for text in one.answers or one.asked:
        if _HAN.search(text):
            return ""
    return "" if any(_HAN.search(text) for text in one.asked) else "no Chinese character"


def _truncated(one: Parts, shortest: int) -> str:
    if one.exam or not one.answers:
        return ""
    if len(one.answers[-1]) < _CUT_LENGTH:
        return ""
    last = one.answers[-1][-_CUT_LENGTH:]
    if last[-1] in "。！？!?":
        return ""
    return "the answer ends in the middle" if _OPEN_END.search(last) or _CUT_END.search(last) else ""


def _echo(one: Parts, shortest: int) -> str:
    if one.exam or not one.asked or not one.answers:
        return ""
    for answer in one.answers:
        for asked in one.asked:
            # Squeezing is slow: only texts that begin alike and have about one length can be equal.
            if asked[:1] != answer[:1] or len(answer) < 8 or abs(len(asked) - len(answer)) > 8 + len(asked) // 4:
                continue
            if squeeze(asked) == squeeze(answer):
                return "the answer is the question"
    return ""


def _damaged(one: Parts, shortest: int) -> str:
    lost = "\ufffd" in "".join(one.asked) or "\ufffd" in "".join(one.answers)
    return "characters were lost in a conversion (U+FFFD)" if lost else ""


def _run(one: Parts, shortest: int) -> str:
    found = any(_LETTER.search(text) and _LONG_RUN.search(text) for text in one.answers)
    return "60 or more letters without a blank" if found else ""


FILTERS: tuple[Filter, ...] = (
    Filter("empty", "没有内容 nothing is asked or answered", _empty),
    Filter("short", "答案太短 the answers are shorter than --shortest", _short),
    Filter("chinese", "没有汉字 no Chinese character", _chinese),
    Filter("damaged", "转码丢字 characters lost in a conversion", _damaged),
    Filter("echo", "答案就是问题 the answer is the question", _echo),
    Filter("truncated", "答案不完整 the answer ends in the middle", _truncated),
    Filter("loop", "答案循环重复 an answer repeats itself", _loop),
    Filter("run", "无空格的长英文 60 or more letters without a blank", _run),
)
"""All filters, in the order in which they are asked; the first that speaks is the reason."""
