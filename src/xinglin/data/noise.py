"""Noise: what typing, listening and scanning do to a text, in graded levels, the same for the same seed."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xinglin.data.intake import Intake, pass_through, write_report
from xinglin.errors import RecipeError
from xinglin.files import read_document
from xinglin.formats.row import Record
from xinglin.types import Maker, Message, Question, Sample, make_id

PACK = Path(__file__).parent.parent / "packs" / "noise.yaml"
RATES = {1: 0.02, 2: 0.05, 3: 0.10, 4: 0.16, 5: 0.25}
"""Share of the characters that each level touches (of those that a kind can touch)."""
_HAN = re.compile("[\u4e00-\u9fff]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MARKS = "，。！？；：、,!?;:"
_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_KEPT = re.compile(
    r"[A-Za-zα-ωΑ-Ω][A-Za-z0-9α-ω\-./+]*"
    r"|[<>≤≥~±]?\d+(?:[.:/,]\d+)*(?:\s*[-~～—至到]\s*\d+(?:\.\d+)?)?\s*"
    r"(?:mmol/L|umol/L|μmol/L|mmHg|mg/kg|mg/dL|ml|mL|mg|kg|cm|mm|μg|ug|IU|[gLU%‰℃°]|毫克|微克|公斤|千克|克|毫升|升|"
    r"单位|厘米|毫米|片|粒|袋|支|滴|丸|次|天|日|周|个?月|年|岁|小时|分钟?|度|斤|倍)?"
    r"|[一二两三四五六七八九十百半]+(?:毫克|微克|公斤|千克|克|毫升|片|粒|袋|支|滴|丸)"
)


@dataclass(frozen=True, slots=True)
class Table:
    """What is taken for what: characters of one sound and of one look, and the fillers of speech."""

    sound: Mapping[str, str]
    shape: Mapping[str, str]
    fillers: tuple[str, ...]
    pairs: int


@cache
def table() -> Table:
    """packs/noise.yaml; `pairs` counts distinct pairs of characters."""
    read: dict[str, Any] = yaml.safe_load(read_document(PACK).text)
    found: dict[str, dict[str, str]] = {}
    pairs: set[frozenset[str]] = set()
    for kind in ("sound", "shape"):
        others: dict[str, str] = {}
        for group in read[kind].split():
            for one in group:
                fresh = [other for other in group if other != one and other not in others.get(one, "")]
                others[one] = others.get(one, "") + "".join(dict.fromkeys(fresh))
                pairs |= {frozenset((one, other)) for other in fresh}
        found[kind] = {one: rest for one, rest in others.items() if rest}
    return Table(found["sound"], found["shape"], tuple(read["fillers"]), len(pairs))


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a text that noise may touch (`free`) or not."""

    text: str
    free: bool


Kind = Callable[[str, float, random.Random], str]


def _swap(others: Mapping[str, str]) -> Kind:
    """Put characters in the place of others, at least one if any has others."""

    def noisy(text: str, rate: float, chance: random.Random) -> str:
        places = [at for at, one in enumerate(text) if one in others]
        picked = set(_some(places, rate * len(text), chance))
        return "".join(chance.choice(others[one]) if at in picked else one for at, one in enumerate(text))

    return noisy


def _some(places: Sequence[int], wanted: float, chance: random.Random) -> list[int]:
    """About `wanted` of the places, rounded by chance."""
    count = int(wanted) + (chance.random() < wanted % 1)
    return chance.sample(places, min(count, len(places)))


def _drop(text: str, rate: float, chance: random.Random) -> str:
    places = [at for at, one in enumerate(text) if _HAN.match(one)]
    gone = set(_some(places, rate * len(text), chance))
    return "".join(one for at, one in enumerate(text) if at not in gone)


def _double(text: str, rate: float, chance: random.Random) -> str:
    places = [at for at, one in enumerate(text) if _HAN.match(one)]
    twice = set(_some(places, rate * len(text), chance))
    return "".join(one * (1 + (at in twice)) for at, one in enumerate(text))


def _unmarked(text: str, rate: float, chance: random.Random) -> str:
    """Marks go: a fifth of them at the lowest level, all at the highest."""
    share = min(1.0, 0.2 + rate * 3.2)
    return "".join(one for one in text if one not in _MARKS or chance.random() >= share)


def _wide(text: str, rate: float, chance: random.Random) -> str:
    """Letters, digits and marks of ASCII become full width, more of them at a higher level."""
    share = min(1.0, 0.2 + rate * 3.2)
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" and chance.random() < share else one for one in text)


def _heard(text: str, rate: float, chance: random.Random) -> str:
    """What a speech recogniser writes: no marks, 的地得 confused, digits as words, fillers, words of one sound."""
    share = min(1.0, 0.3 + rate * 2.8)
    text = _swap(table().sound)(text, rate / 2, chance)
    text = "".join(chance.choice("的地得") if one in "的地得" and chance.random() < share else one for one in text)
    text = _NUMBER.sub(lambda one: _read_aloud(one.group()) if chance.random() < share else one.group(), text)
    parts = re.split(rf"([{_MARKS}])", text)
    said = [_utter(part, rate, share, chance) for part in parts if part]
    return "".join(said)


def _utter(part: str, rate: float, share: float, chance: random.Random) -> str:
    if part in _MARKS:
        return "" if chance.random() < share else part
    return (chance.choice(table().fillers) if chance.random() < rate * 2 else "") + part


def _read_aloud(number: str) -> str:
    """A number as it is said; whole ones of more than four digits digit by digit."""
    digits, point, behind = number.partition(".")
    return _whole(digits) + ("点" if point else "") + "".join(_DIGITS[one] for one in behind)


def _whole(digits: str) -> str:
    if len(digits) > 4 or (len(digits) > 1 and digits[0] == "0"):
        return "".join(_DIGITS[one] for one in digits)
    said, gap = "", False
    for one, unit in zip(digits, ("千", "百", "十", "")[4 - len(digits) :], strict=True):
        if one == "0":
            gap = bool(said)
            continue
        said += ("零" if gap else "") + _DIGITS[one] + unit
        gap = False
    said = said or "零"
    return said[1:] if said.startswith("一十") else said


def _mixed(text: str, rate: float, chance: random.Random) -> str:
    """A little of all: each kind at a share of the rate."""
    for kind in ("sound", "shape", "drop", "double"):
        text = KINDS[kind](text, rate / 4, chance)
    return _unmarked(text, rate / 2, chance) if chance.random() < 0.5 else text


KINDS: dict[str, Kind] = {
    "sound": lambda text, rate, chance: _swap(table().sound)(text, rate, chance),
    "shape": lambda text, rate, chance: _swap(table().shape)(text, rate, chance),
    "asr": _heard,
    "wide": _wide,
    "punctuation": _unmarked,
    "drop": _drop,
    "double": _double,
    "mixed": _mixed,
}
"""Kinds of noise: characters of one sound and of one look, speech recognition, full width, lost marks, characters lost
and doubled, and a little of all."""


def read_wanted(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Kinds with levels written as `asr:3`, `asr` (level 2) or `asr:1-5`; another text is a RecipeError."""
    found: list[tuple[str, int]] = []
    for text in texts:
        match = re.fullmatch(r"([a-z]+)(?::([1-5])(?:-([1-5]))?)?", text.strip())
        if match is None or match[1] not in KINDS:
            raise _unknown(text)
        low = int(match[2] or 2)
        found += [(match[1], level) for level in range(low, int(match[3] or low) + 1)]
    return found


def _unknown(text: str) -> RecipeError:
    fix = f"KIND:LEVEL, KIND one of {', '.join(KINDS)}, LEVEL 1 to 5, such as asr:3"
    return RecipeError(f"no noise {text!r}", where="noise", fix=fix)


@dataclass(slots=True)
class Noise:
    """How to make texts noisy: the kinds `wanted`, each with its level.

    `names` (of drugs, say) are kept, and numbers with units where `keep_numbers`.

    `share` of the records get a noisy copy; `roles` are the turns that are touched.
    """

    wanted: Sequence[tuple[str, int]] = (("mixed", 2),)
    seed: int = 0
    share: float = 1.0
    keep_numbers: bool = True
    names: Iterable[str] = ()
    roles: Sequence[str] = ("user",)
    kept: re.Pattern[str] | None = field(init=False)

    def __post_init__(self) -> None:
        for kind, level in self.wanted:
            if kind not in KINDS or level not in RATES:
                raise _unknown(f"{kind}:{level}")
        words = sorted({name for name in self.names if len(name) > 1}, key=len, reverse=True)
        parts = [*map(re.escape, words), *([_KEPT.pattern] if self.keep_numbers else [])]
        self.kept = re.compile("|".join(parts)) if parts else None

    def text(self, text: str, kind: str, level: int, key: str) -> str:
        """The text with noise; `key` decides which, so that the same record has the same noise in any order."""
        chance = random.Random(f"{self.seed} {kind} {level} {key}")  # noqa: S311 - not for secrets
        rate, change = RATES[level], KINDS[kind]
        return "".join(change(place.text, rate, chance) if place.free else place.text for place in self._places(text))

    def _places(self, text: str) -> Iterator[Place]:
        at = 0
        for match in self.kept.finditer(text) if self.kept else ():
            if match.start() > at:
                yield Place(text[at : match.start()], free=True)
            yield Place(match.group(), free=False)
            at = match.end()
        if at < len(text):
            yield Place(text[at:], free=True)

    def copies(self, record: Sample | Question) -> Iterator[Sample | Question]:
        """The noisy copies of a record: one for every kind and level that is wanted, for `share` of all records."""
        if random.Random(f"{self.seed} share {record.id}").random() >= self.share:  # noqa: S311 - not for secrets
            return
        for kind, level in self.wanted:
            yield self._copy(record, kind, level)

    def _copy(self, record: Sample | Question, kind: str, level: int) -> Sample | Question:
        messages = tuple(
            Message(one.role, self.text(one.content, kind, level, f"{record.id} {at}"))
            if one.role in self.roles
            else one
            for at, one in enumerate(record.messages)
        )
        tag = f"noise:{kind}:{level}"
        # The copy stays with its original in every split.
        group = record.origin.group or record.id
        maker = Maker("noise", prompt_digest=f"{tag}:{self.seed}")
        origin = replace(record.origin, group=group, parents=(record.id,), maker=maker)
        noun = "sample" if isinstance(record, Sample) else "question"
        name = make_id(noun, tag, self.seed, record.id, [(one.role, one.content) for one in messages])
        if isinstance(record, Sample):
            return replace(record, id=name, messages=messages, origin=origin, tags=(*record.tags, tag))
        return replace(record, id=name, messages=messages, origin=origin, extra=record.extra | {"noise": tag})


@dataclass(frozen=True, slots=True)
class Noisy:
    """What was made: records read, copies written, and copies by tag."""

    read: int
    kept: int
    dropped: int
    copies: dict[str, int]
    rejected: dict[str, int]
    seed: int


def noise_files(job: Intake, out: Path, noise: Noise, *, originals: bool = False) -> Noisy:
    """Write the noisy copies of conversations and questions to `out`, after each its original where `originals`.

    A record of another noun, one with spans (they would no longer fit), or a copy that noise left as it was goes to
    OUT.rejected.jsonl."""
    made: Counter[str] = Counter()

    def change(records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if originals:
                yield record
            if not isinstance(record, Sample | Question):
                job.reject(record, "noun", f"noise is for conversations, this is a {type(record).__name__}")
                continue
            if isinstance(record, Question) and record.spans:
                job.reject(record, "spans", "its spans would no longer fit")
                continue
            for copy in noise.copies(record):
                if copy.messages == record.messages:
                    job.reject(record, "unchanged", "nothing in it that this noise touches")
                    continue
                made[copy.tags[-1] if isinstance(copy, Sample) else copy.extra["noise"]] += 1
                yield copy

    pass_through(job, out, change)
    done = Noisy(job.read, job.kept, job.dropped, dict(made), dict(job.rejected), noise.seed)
    write_report(out, "noise", done)
    return done


def drug_names() -> list[str]:
    """Names of the drugs of the starter pack: noise in a name can make another drug of it."""
    from xinglin.knowledge.sources import import_source
    from xinglin.knowledge.store import NAMES

    found: set[str] = set()
    for fact in import_source("pack:starter", root=Path()).facts:
        if fact.origin.item.startswith(("drugs/", "tcm/")):
            found.add(fact.head)
            if fact.relation in NAMES and fact.relation != "拼音":
                found.add(fact.tail)
    return sorted(found)
