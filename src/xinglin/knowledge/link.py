"""Find in a question which entities and which of their attributes it asks about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xinglin.knowledge.boundary import Kind, Place, closes, formed, is_short, opens, salted
from xinglin.knowledge.store import Knowledge
from xinglin.knowledge.verify import NOUNS
from xinglin.text import fold, fold_spans

_OPPOSITES = (("急性", "慢性"), ("原发性", "继发性"), ("良性", "恶性"), ("1型", "2型"))
_REACH, _MOST_MISSING = 20, 4
# A relation that herbs and formulas lack, and the one that says it of them.
_TWINS = {"适应症": "主治", "相互作用": "配伍禁忌", "主治": "适应症", "禁忌": "使用注意", "注意事项": "使用注意"}

# "怎么办" asks for what to do, in whatever form the knowledge base has it of this head.
_HELP = re.compile("怎么办|咋办|怎么处理|如何处理|怎么急救|怎么做|如何做")
_HELPING = ("操作步骤", "禁止做法", "护理", "何时就医")
# Everyday words ask for these, so they count only where the head has them.
_FAINT = frozenset({"适用情形", "操作步骤", "禁止做法", "释义", "常指", "安全提醒"})

# What a question says beside a name and an attribute; single characters count only at the edge of a name.
_ASIDE = re.compile(
    "请问|你好|您好|医生|大夫|我想知道|我想了解|想了解|想知道|想问一下|想问|问一下|告诉我|帮我|请列出|请说明|请介绍|请写出|"
    "介绍一下|说说|有什么|有哪些|有没有|是什么|是哪些|什么是|什么|哪些|哪个|哪种|怎么样|怎么|怎样|如何|多少|为什么|"
    "可不可以|可以|能不能|能否|会不会|是否|需要|应该|应当|主要|关于|得了|服用|使用|药物|患者|一般|通常|常见|可能|属于|"
    "出现|期间|平时|发作时|以后|正在|怀疑|诊断|引起|引发|带来|一种|一次|自己|家里人|比较|合适|适合|其他|严重时|吗|呢|吧|呀|啊|的|"
    r"[\s，。？！、；：,.?!;:（）()“”\"'《》【】\[\]]"
)
_LEFT, _RIGHT = "打有能是吃用要我得做了该请看给服买查", "有会能是吃用要做了该都还与跟在到应时里可引"


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a question: `text` as written, at [start, end), and the head it stands for."""

    text: str
    head: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Link:
    """What a question is about; empty tuples where nothing was found.

    `missing` are the longer names, not in the knowledge base, of which a known name is only a part.
    """

    mentions: tuple[Mention, ...]
    relations: tuple[str, ...]
    missing: tuple[str, ...] = ()


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


_WIDEST, _MISSING = 20, 8
"""Characters that an unknown name may add on each side of a known one, and how many such names are reported."""


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
        place = self._place(folded, spans)
        found, parts = self._entities(place)
        mentions = tuple(self._mention(hit, question, spans) for hit in found)
        if not mentions:
            mentions = self._exact(question)
        named = {at for mention in mentions for at in range(mention.start, mention.end)}
        taken = [start in named for start, _ in spans]
        loose = [part for part in parts if not taken[part.start]][:_MISSING]
        missing = (self._longer(place, part, question, spans) for part in loose)
        relations = self._attributes(folded, taken, [mention.head for mention in mentions])
        return Link(mentions, relations, tuple(dict.fromkeys(missing)))

    def unknown(self, question: str) -> str:
        """The name a question asks about when it is not in the knowledge base; "" when nothing looks like one."""
        link = self.link(question)
        return "" if link.mentions else next(iter(link.missing), "") or self._guess(question)

    def _mention(self, hit: _Hit, question: str, spans: list[tuple[int, int]]) -> Mention:
        start, end = spans[hit.start][0], spans[hit.end - 1][1]
        return Mention(question[start:end], self._knowledge.names[hit.name], start, end)

    def _place(self, text: str, spans: list[tuple[int, int]]) -> Place:
        gaps = frozenset(at for at in range(1, len(spans)) if spans[at - 1][1] < spans[at][0])
        before: dict[int, frozenset[str]] = {}
        after: dict[int, frozenset[str]] = {}
        for hit in self._words.hits(text):
            if len(hit.name) > 1:
                relations = frozenset(self._relations[hit.name])
                before[hit.end] = before.get(hit.end, frozenset()) | relations
                after[hit.start] = after.get(hit.start, frozenset()) | relations
        return Place(text, gaps, before, after)

    def _kind(self, name: str) -> Kind:
        heads = self._knowledge.ambiguous.get(name) or (self._knowledge.names[name],)
        if any(self._knowledge.is_drug(head) for head in heads):
            return "drug"
        return "herb" if any(self._knowledge.is_herb(head) for head in heads) else "disease"

    def _entities(self, place: Place) -> tuple[list[_Hit], list[_Hit]]:
        """The names that stand by themselves, and those that are only a part of something longer."""
        found = _longest(hit for hit in self._names.hits(place.text) if _whole(place.text, hit))
        wide = [self._widest(place, hit) for hit in found]
        kept = dict(enumerate(wide))
        while True:
            bad = [at for at in kept if not self._stands(place, wide, kept, at)]
            if not bad:
                break
            for at in bad:
                del kept[at]
        usable = [hit for hit in kept.values() if hit.name not in self._knowledge.ambiguous]
        return usable, [hit for at, hit in enumerate(wide) if at not in kept]

    def _widest(self, place: Place, hit: _Hit) -> _Hit:
        """A drug with the salts before and the dosage form behind it, if the name can end there."""
        if self._kind(hit.name) != "drug":
            return hit
        ends = formed(place.text, hit.end)
        end = next((end for end in ends if closes(place, end, "drug")), ends[0])
        return _Hit(hit.name, salted(place.text, hit.start), end)

    def _stands(self, place: Place, wide: list[_Hit], kept: dict[int, _Hit], at: int) -> bool:
        """Whether both sides of a name are boundaries. Names that touch must be a disease and its medicine."""
        hit = wide[at]
        kind = self._kind(hit.name)
        if kind == "disease" and _opposite(place.text, hit, self._knowledge.names.get(hit.name, "")):
            return False
        if at and wide[at - 1].end == hit.start and hit.start not in place.gaps:
            left = at - 1 in kept and self._kind(wide[at - 1].name) == "disease" != kind
        else:
            left = opens(place, hit.start, kind)
        if at + 1 < len(wide) and wide[at + 1].start == hit.end and hit.end not in place.gaps:
            return left and at + 1 in kept and kind == "disease" != self._kind(wide[at + 1].name)
        return left and closes(place, hit.end, kind, short=self._short(hit.name))

    def _short(self, name: str) -> bool:
        """Whether a name is a brand or byname of a medicine that ordinary words may hold."""
        return is_short(name) and self._kind(name) != "disease" and fold(self._knowledge.names.get(name, "")) != name

    def _longer(self, place: Place, part: _Hit, question: str, spans: list[tuple[int, int]]) -> str:
        """The unknown name, as written, around a known one that is only a part of it."""
        kind, start, end = self._kind(part.name), part.start, part.end
        first, last = max(start - _WIDEST, 0), min(end + _WIDEST, len(place.text))
        while start > first and not opens(place, start, kind):
            start -= 1
        while end < last and not closes(place, end, kind, glue=False):
            end += 1
        return question[spans[start][0] : spans[end - 1][1]].rstrip("时后").strip()

    def _exact(self, question: str) -> tuple[Mention, ...]:
        """The question's one name where only resolving finds it: a name of one character, a salt, a form."""
        guess = self._guess(question)
        head = self._knowledge.resolve(guess) if guess else None
        if head is None:
            return ()
        start = question.index(guess)
        folded, spans = fold_spans(question)
        inside = [at for at, span in enumerate(spans) if start <= span[0] < start + len(guess)]
        place, kind = self._place(folded, spans), self._kind(fold(head))
        if not inside or not opens(place, inside[0], kind):
            return ()
        if not closes(place, inside[-1] + 1, kind, short=is_short(guess) and fold(guess) != fold(head)):
            return ()
        return (Mention(guess, head, start, start + len(guess)),)

    def _attributes(self, text: str, taken: list[bool], heads: list[str]) -> tuple[str, ...]:
        masked = "".join("\0" if used else character for character, used in zip(text, taken, strict=True))
        found: dict[str, None] = {}
        for hit in _longest(self._words.hits(masked)):
            relations = self._relations[hit.name]
            held = [name for name in relations if self._held(heads, name)]
            twins = [_TWINS[name] for name in relations if name in _TWINS and self._held(heads, _TWINS[name])]
            found.update(dict.fromkeys(held or twins or [name for name in relations[:1] if name not in _FAINT]))
        if not found and _HELP.search(masked):
            found.update((name, None) for name in _HELPING if self._held(heads, name))
        return tuple(found)

    def _held(self, heads: list[str], relation: str) -> bool:
        return any(self._knowledge.lookup(head, relation) for head in heads)

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


def _opposite(text: str, hit: _Hit, head: str) -> bool:
    """急性胃炎 is not 慢性胃炎, though that goes by the name of 胃炎 too."""
    for pair in _OPPOSITES:
        for said, meant in (pair, pair[::-1]):
            if text.endswith(said, 0, hit.start) and meant in fold(head):
                return True
    return False
