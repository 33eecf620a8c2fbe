"""Find in a question which entities and which of their attributes it asks about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xinglin.knowledge.store import CATIONS, FORMS, SALTS, Knowledge
from xinglin.knowledge.verify import NOUNS
from xinglin.text import fold, fold_spans

# Directly before or behind a drug's name these make it another drug (左氧氟沙星, 氨茶碱, 阿莫西林克拉维酸钾),
# behind a disease's name another disease (糖尿病足, 高血压性心脏病).
_DRUG_BEFORE = ("复方", "氢化", *"左右去异单双二三地甲乙丙丁氨羟氟氯溴碘硫磺苯环酰索")
_DRUG_AFTER = ("克拉维酸", "舒巴坦", "他唑巴坦", "氢氯噻嗪", "双嘧达莫", "伪麻", "可待因", "/")
_DISEASE_AFTER = ("性", "足", "危象", "酮症", "脑病", "肾病", "心脏病", "视网膜")
_OPPOSITES = (("急性", "慢性"), ("原发性", "继发性"), ("良性", "恶性"), ("1型", "2型"))

# What a question says beside a name and an attribute; single characters count only at the edge of a name.
_ASIDE = re.compile(
    "请问|你好|您好|医生|大夫|我想知道|我想了解|想了解|想知道|想问一下|想问|问一下|告诉我|帮我|请列出|请说明|请介绍|请写出|"
    "介绍一下|说说|有什么|有哪些|有没有|是什么|是哪些|什么是|什么|哪些|哪个|哪种|怎么样|怎么|怎样|如何|多少|为什么|"
    "可不可以|可以|能不能|能否|会不会|是否|需要|应该|应当|主要|关于|得了|服用|使用|药物|患者|一般|通常|常见|可能|属于|"
    "出现|期间|平时|发作时|以后|正在|怀疑|诊断|引起|引发|带来|一种|一次|自己|家里人|比较|合适|适合|其他|严重时|吗|呢|吧|呀|啊|的|"
    r"[\s，。？！、；：,.?!;:（）()“”\"'《》【】\[\]]"
)
_LEFT, _RIGHT = "有能是吃用要我得做了该请看给服买查", "有会能是吃用要做了该都还与跟在到应时里可引"
# Where the run of characters behind a name ends: what follows no longer belongs to the name.
_RUN = re.compile(
    "(?:(?<=口)服|[^有会能是吃用要我得做了该请的和与跟或对为什哪怎如何几多吗呢服治，。？！、；：,.?!;:（）()\\s]){0,10}"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a question: `text` as written, at [start, end), and the head it stands for."""

    text: str
    head: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Link:
    """What a question is about; empty tuples where nothing was found."""

    mentions: tuple[Mention, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Hit:
    name: str
    start: int
    end: int


class _Index:
    """Longest match over a set of folded names, by first character and length."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        lengths: dict[str, set[int]] = {}
        for name in self._names:
            lengths.setdefault(name[0], set()).add(len(name))
        self._lengths = {first: tuple(sorted(found, reverse=True)) for first, found in lengths.items()}

    def hits(self, text: str) -> list[_Hit]:
        """Every occurrence of every name, longest first; of equal length the earlier one."""
        found = [
            _Hit(text[at : at + length], at, at + length)
            for at, first in enumerate(text)
            for length in self._lengths.get(first, ())
            if at + length <= len(text) and text[at : at + length] in self._names
        ]
        return sorted(found, key=lambda hit: (hit.start - hit.end, hit.start))


class Linker:
    """Links questions to a knowledge base; build it once, a question then takes well under a millisecond."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._relations: dict[str, list[str]] = {}
        for relation, pattern in knowledge.patterns.items():
            for word in {relation, *pattern.attributes, *NOUNS.get(relation, ())}:
                self._relations.setdefault(fold(word), []).append(relation)
        # A name that several heads share takes its place too, so that no shorter name inside it is found.
        names = (*knowledge.names, *knowledge.ambiguous)
        usable = (name for name in names if len(name) > 1 and not name.isdigit())
        self._names = _Index(name for name in usable if name not in self._relations)
        self._words = _Index(self._relations)
        questions = [question for pattern in knowledge.patterns.values() for question in pattern.questions]
        self._phrasings = [question.rstrip("？?。").split("{head}") for question in questions]

    def link(self, question: str) -> Link:
        """Entities by the longest names, then attributes by the longest words outside of them."""
        folded, spans = fold_spans(question)
        hits = self._entities(folded)
        mentions = tuple(self._mention(hit, question, spans) for hit in hits)
        if not mentions:
            mentions = self._exact(question)
        named = {at for mention in mentions for at in range(mention.start, mention.end)}
        taken = [start in named for start, _ in spans]
        return Link(mentions, self._attributes(folded, taken, [mention.head for mention in mentions]))

    def unknown(self, question: str) -> str:
        """The name a question asks about when it is not in the knowledge base; "" when nothing looks like one."""
        return "" if self.link(question).mentions else self._guess(question)

    def _mention(self, hit: _Hit, question: str, spans: list[tuple[int, int]]) -> Mention:
        start, end = spans[hit.start][0], spans[hit.end - 1][1]
        return Mention(question[start:end], self._knowledge.names[hit.name], start, end)

    def _entities(self, text: str) -> list[_Hit]:
        found = _longest(hit for hit in self._names.hits(text) if _whole(text, hit))
        ends = [*(hit.start for hit in found[1:]), len(text)]
        kept = [self._extended(text, hit, end) for hit, end in zip(found, ends, strict=False)]
        return [hit for at, hit in enumerate(kept) if hit and not self._compound(kept, at)]

    def _extended(self, text: str, hit: _Hit, limit: int) -> _Hit | None:
        """A drug with the salt before and the dosage form behind it; None where the name is part of another's.

        `limit` is where the next name starts.
        """
        if hit.name in self._knowledge.ambiguous:
            return None
        head = self._knowledge.names[hit.name]
        between, form = _form(text, hit.end, limit)
        if not self._knowledge.is_drug(head):
            return None if form or _other_disease(text, hit, head) else hit
        start = hit.start
        while salt := next((salt for salt in SALTS if text.endswith(salt, 0, start)), ""):
            start -= len(salt)
        if (form and between not in ("", *CATIONS)) or _other_drug(text, start, hit.end):
            return None
        return _Hit(hit.name, start, hit.end + len(between + form if form else ""))

    def _compound(self, hits: list[_Hit | None], at: int) -> bool:
        """Two drugs without a sign between them are a third one (缬沙坦氨氯地平片)."""
        return any(self._touch(hits[one], hits[one + 1]) for one in (at - 1, at) if 0 <= one < len(hits) - 1)

    def _touch(self, left: _Hit | None, right: _Hit | None) -> bool:
        if not left or not right or left.end != right.start:
            return False
        return all(self._knowledge.is_drug(self._knowledge.names[hit.name]) for hit in (left, right))

    def _exact(self, question: str) -> tuple[Mention, ...]:
        """The question's one name where only resolving finds it: a name of one character, a salt, a form."""
        guess = self._guess(question)
        head = self._knowledge.resolve(guess) if guess else None
        if head is None:
            return ()
        start = question.index(guess)
        return (Mention(guess, head, start, start + len(guess)),)

    def _attributes(self, text: str, taken: list[bool], heads: list[str]) -> tuple[str, ...]:
        masked = "".join("\0" if used else character for character, used in zip(text, taken, strict=True))
        found: dict[str, None] = {}
        for hit in _longest(self._words.hits(masked)):
            relations = self._relations[hit.name]
            held = [name for name in relations if any(self._knowledge.lookup(head, name) for head in heads)]
            found.update(dict.fromkeys(held or relations))
        return tuple(found)

    def _guess(self, question: str) -> str:
        """The longest stretch of the question that is neither an attribute nor a question word."""
        folded, spans = fold_spans(question)
        asked = self._asked(question.strip().rstrip("？?。"))
        if asked and not _ASIDE.search(asked):
            return asked
        free = [True] * len(question)
        for hit in self._words.hits(folded):
            free[spans[hit.start][0] : spans[hit.end - 1][1]] = [False] * (spans[hit.end - 1][1] - spans[hit.start][0])
        for match in _ASIDE.finditer(question):
            free[match.start() : match.end()] = [False] * len(match.group())
        masked = "".join(character if keep else "\0" for character, keep in zip(question, free, strict=True))
        return max((piece.lstrip(_LEFT).rstrip(_RIGHT) for piece in masked.split("\0")), key=len, default="")

    def _asked(self, question: str) -> str:
        """The name in a question of exactly a known phrasing; of several phrasings the most specific one."""
        found = [
            question[len(before) : len(question) - len(after)]
            for before, after in self._phrasings
            if question.startswith(before) and question.endswith(after) and len(question) > len(before) + len(after)
        ]
        return min(found, key=len, default="").strip()


def _longest(hits: Iterable[_Hit]) -> list[_Hit]:
    """Of hits that overlap the one that comes first; the result in the order of the text."""
    taken: set[int] = set()
    chosen: list[_Hit] = []
    for hit in hits:
        if hit.start not in taken and hit.end - 1 not in taken:
            taken.update(range(hit.start, hit.end))
            chosen.append(hit)
    return sorted(chosen, key=lambda hit: hit.start)


def _whole(text: str, hit: _Hit) -> bool:
    """A Latin name is not part of a longer word (CT in ECT)."""
    before, behind = text[hit.start - 1 : hit.start] if hit.start else "", text[hit.end : hit.end + 1]
    inside = ((before, hit.name[0]), (behind, hit.name[-1]))
    return not any(_latin(outer) and _latin(inner) for outer, inner in inside)


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _other_drug(text: str, start: int, end: int) -> bool:
    behind = text[end : end + 1]
    letter = behind.isascii() and behind.isalpha()
    return letter or text.endswith(_DRUG_BEFORE, 0, start) or text.startswith(_DRUG_AFTER, end)


def _other_disease(text: str, hit: _Hit, head: str) -> bool:
    """急性胃炎 is not 慢性胃炎, though that goes by the name of 胃炎 too; 复方甘草… is not 甘草."""
    for pair in _OPPOSITES:
        for said, meant in (pair, pair[::-1]):
            if text.endswith(said, 0, hit.start) and meant in fold(head):
                return True
    return text.endswith("复方", 0, hit.start) or text.startswith(_DISEASE_AFTER, hit.end)


def _form(text: str, at: int, limit: int) -> tuple[str, str]:
    """The dosage form that ends the run of characters from `at`, and what stands before it; "" without one.

    A form of one character counts at the end of the run only (片, not 片子).
    """
    match = _RUN.match(text, at, limit)
    run = match.group() if match else ""
    for form in FORMS:
        place = run.find(form)
        if place >= 0 and (len(form) > 1 or place == len(run) - 1):
            return run[:place], form
    return "", ""
