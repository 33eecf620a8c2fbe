"""Check a pack: ids, codes, units, dangling references, contradictions, duplicates and missing fields.

Reading a pack finds what is malformed (`pack.read_pack`); this finds what is well-formed and wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from xinglin.knowledge.amounts import amount, per_day
from xinglin.knowledge.nodes import compose, scalars
from xinglin.knowledge.pack import OUTSIDE, RANGES, REGIMENS
from xinglin.knowledge.store import NAMES
from xinglin.text import fold
from xinglin.types import Fact

NEEDED = {
    "drugs": ("管理类别", "类别", "适应症", REGIMENS, "禁忌", "不良反应", "注意事项", "妊娠哺乳"),
    "diseases": ("科室", "典型症状", "检查", "治疗", "何时就医"),
    "tcm": ("功效", "主治", "使用注意"),
    "tests": ("检查用途",),
    "care": ("适用情形", "操作步骤", "禁止做法", "何时就医"),
    "terms": ("释义", "常指"),
}
"""What an entry of each folder must say."""
CODES = {"ATC编码": re.compile(r"[A-Z]\d{2}[A-Z]{2}\d{2}"), "ICD-10编码": re.compile(r"[A-Z]\d{2}(\.\d{1,2})?")}
"""How codes are written: ATC level 5 (WHO), ICD-10 category or subcategory."""
REFERENCES = {"常用药物": ("drugs", "tcm"), "组成": ("tcm",), "常指": ()}
"""Relations whose tails are names of other entries, and the folders those may stand in; none named is any."""
OPPOSITES = (("适应症", "禁忌"), ("主治", "使用注意"), ("偏高意义", "偏低意义"), ("操作步骤", "禁止做法"))
"""Relations of one head that cannot say the same thing."""
CONDITIONS = frozenset(("病因", "鉴别诊断", "并发症", "偏高意义", "偏低意义"))
"""Relations that list conditions: the same one may be a cause, a complication and what to tell apart."""
PINYIN = "拼音"
CLASSES = frozenset(
    (
        "处方药",
        "非处方药",
        "甲类非处方药",
        "乙类非处方药",
        "麻醉药品",
        "第一类精神药品",
        "第二类精神药品",
        "医疗用毒性药品",
    )
)
_MARKS = re.compile(r"[\s，。、；：,.;:（）()“”\"'·\-—]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a pack: `where` is file:line of the entry."""

    kind: str
    where: str
    head: str
    problem: str


@dataclass(frozen=True, slots=True)
class Pack:
    """The facts of a pack by folder, head and relation, and the names it mentions without describing them."""

    facts: tuple[Fact, ...]
    outside: frozenset[str]

    def entries(self, folder: str = "") -> dict[str, dict[str, list[Fact]]]:
        """Relations by head, of one folder or of all."""
        found: dict[str, dict[str, list[Fact]]] = {}
        for fact in self.facts:
            if not folder or folder_of(fact) == folder:
                found.setdefault(fact.head, {}).setdefault(fact.relation, []).append(fact)
        return found


def folder_of(fact: Fact) -> str:
    """The folder of a pack that a fact stands in."""
    return fact.origin.item.partition("/")[0]


def read_outside(folder: Path) -> frozenset[str]:
    """The names in a pack's list of names without an entry; a pack need not have one."""
    path = folder / OUTSIDE
    return frozenset(scalars(compose(path), path=path, what=OUTSIDE)) if path.is_file() else frozenset()


def check(facts: Iterable[Fact], *, outside: Iterable[str] = ()) -> list[Finding]:
    """Everything that is wrong in the facts of a pack, in the order of its files."""
    pack = Pack(tuple(facts), frozenset(outside))
    looks: Sequence[Callable[[Pack], Iterator[Finding]]] = (
        *(_ids, _codes, _units, _amounts, _limits, _references, _stale, _names),
        *(_opposites, _forbidden, _repeats, _missing),
    )
    found = [finding for look in looks for finding in look(pack)]
    return sorted(found, key=lambda finding: (finding.where.partition(":")[0], _line(finding.where), finding.kind))


def _line(where: str) -> int:
    number = where.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def _finding(kind: str, fact: Fact, problem: str) -> Finding:
    return Finding(kind, fact.origin.item, fact.head, problem)


def _ids(pack: Pack) -> Iterator[Finding]:
    for name, count in Counter(fact.id for fact in pack.facts).items():
        if count > 1:
            same = [fact for fact in pack.facts if fact.id == name]
            yield _finding("id", same[-1], f"{name} stands for {count} facts")


def _codes(pack: Pack) -> Iterator[Finding]:
    owners: dict[tuple[str, str], Fact] = {}
    for fact in pack.facts:
        pattern = CODES.get(fact.relation)
        if pattern and not pattern.fullmatch(fact.tail):
            yield _finding("code", fact, f"{fact.relation} {fact.tail} is not written like {pattern.pattern}")
        if pattern:
            first = owners.setdefault((fact.relation, fact.tail), fact)
            if first.head != fact.head and fact.relation == "ATC编码":
                yield _finding("code", fact, f"{fact.tail} is the code of {first.head} too")
        if fact.relation == "管理类别" and fact.tail not in CLASSES:
            yield _finding("code", fact, f"管理类别 {fact.tail} is none of {'、'.join(sorted(CLASSES))}")


def _units(pack: Pack) -> Iterator[Finding]:
    for fact in pack.facts:
        regimen = fact.qualifiers
        if fact.relation != REGIMENS or regimen is None:
            continue
        if amount(regimen.dose, regimen.unit) is None:
            yield _finding("unit", fact, f"剂量 {regimen.dose} {regimen.unit} is no number (or a～b) with a known unit")
        if regimen.daily_max and amount(regimen.daily_max) is None:
            yield _finding("unit", fact, f"每日最大量 {regimen.daily_max} is no number with a known unit")


def _amounts(pack: Pack) -> Iterator[Finding]:
    for fact in pack.facts:
        regimen = fact.qualifiers
        if fact.relation != REGIMENS or regimen is None or not regimen.daily_max:
            continue
        dose, most = amount(regimen.dose, regimen.unit), amount(regimen.daily_max)
        if dose is None or most is None or dose.unit != most.unit:
            continue
        daily = dose.low * per_day(regimen.frequency)
        if daily > most.high * 1.001:
            yield _finding(
                "contradiction",
                fact,
                f"{regimen.dose} {regimen.unit} {regimen.frequency} is more than 每日最大量 {regimen.daily_max}",
            )


def _limits(pack: Pack) -> Iterator[Finding]:
    for fact in pack.facts:
        limits = fact.qualifiers
        if fact.relation != RANGES or limits is None:
            continue
        low, high = (_number(text) for text in (limits.low, limits.high))
        if (limits.low and low is None) or (limits.high and high is None):
            yield _finding("unit", fact, f"参考范围 {fact.tail}: the limits are no numbers")
        elif low is not None and high is not None and low >= high:
            yield _finding("contradiction", fact, f"参考范围 {fact.tail}: the lower limit is not below the upper one")


def _number(text: str) -> float | None:
    value = amount(text, "g")
    return None if value is None else value.low


def _references(pack: Pack) -> Iterator[Finding]:
    names = _by_name(pack)
    for fact in pack.facts:
        folders = REFERENCES.get(fact.relation)
        if folders is None or fact.tail in pack.outside:
            continue
        homes = {folder_of(one) for one in names.get(fold(fact.tail), ())}
        if not homes:
            problem = f"{fact.relation} {fact.tail} is no entry and not in {OUTSIDE}"
            yield _finding("reference", fact, problem)
        elif folders and homes.isdisjoint(folders):
            yield _finding("reference", fact, f"{fact.relation} {fact.tail} is an entry of {'、'.join(sorted(homes))}")


def _stale(pack: Pack) -> Iterator[Finding]:
    names, used = _by_name(pack), {fact.tail for fact in pack.facts if fact.relation in REFERENCES}
    for name in sorted(pack.outside):
        if fold(name) in names:
            yield Finding("reference", OUTSIDE, name, "has an entry of its own: take it out of this list")
        elif name not in used:
            yield Finding("reference", OUTSIDE, name, "is mentioned nowhere: take it out of this list")


def _by_name(pack: Pack) -> dict[str, list[Fact]]:
    names: dict[str, list[Fact]] = {}
    for fact in pack.facts:
        names.setdefault(fold(fact.head), []).append(fact)
        if fact.relation in NAMES:
            names.setdefault(fold(fact.tail), []).append(fact)
    return names


def _names(pack: Pack) -> Iterator[Finding]:
    """A name must lead to one entry: no alias is another entry's name, and no two entries share one."""
    heads = {fold(fact.head): fact.head for fact in pack.facts}
    homes: dict[str, set[str]] = {}
    owners: dict[str, Fact] = {}
    for fact in pack.facts:
        homes.setdefault(fact.head, set()).add(folder_of(fact))
        if fact.relation not in NAMES or fact.relation == PINYIN:  # words of one sound are many
            continue
        name = fold(fact.tail)
        if heads.get(name, fact.head) != fact.head:
            yield _finding("name", fact, f"{fact.relation} {fact.tail} is the name of another entry")
        first = owners.setdefault(name, fact)
        if first.head != fact.head:
            yield _finding("name", fact, f"{fact.relation} {fact.tail} belongs to {first.head} too")
        elif name == fold(fact.head):
            yield _finding("name", fact, f"{fact.relation} {fact.tail} is the entry's own name")
    for head, folders in homes.items():
        if len(folders) > 1:
            place = next(fact for fact in pack.facts if fact.head == head)
            yield _finding("name", place, f"stands in {'、'.join(sorted(folders))}: give each its own name")


def _opposites(pack: Pack) -> Iterator[Finding]:
    for relations in pack.entries().values():
        for one, other in OPPOSITES:
            said = {fold(fact.tail) for fact in relations.get(one, ())}
            for fact in relations.get(other, ()):
                if fold(fact.tail) in said:
                    yield _finding("contradiction", fact, f"{fact.tail} stands in {one} and in {other}")


def _forbidden(pack: Pack) -> Iterator[Finding]:
    """A disease's usual medicine must not be contraindicated in that disease."""
    drugs = pack.entries("drugs")
    names = _by_name(pack)
    for head, relations in pack.entries("diseases").items():
        known = {fold(head), *(fold(fact.tail) for fact in relations.get("别名", ()))}
        for fact in relations.get("常用药物", ()):
            for drug in {one.head for one in names.get(fold(fact.tail), ())}:
                against = [one.tail for one in drugs.get(drug, {}).get("禁忌", ()) if fold(one.tail) in known]
                if against:
                    yield _finding("contradiction", fact, f"常用药物 {drug}, and {drug} has 禁忌 {against[0]}")


def _repeats(pack: Pack) -> Iterator[Finding]:
    for relations in pack.entries().values():
        plain = [
            (fact, _MARKS.sub("", fold(fact.tail)))
            for facts in relations.values()
            for fact in facts
            if fact.relation not in NAMES and fact.relation not in CODES and fact.relation not in CONDITIONS
        ]
        for (one, said), (other, again) in combinations(plain, 2):
            if said == again and {one.relation, other.relation} not in map(set, OPPOSITES):
                yield _finding("duplicate", other, f"{other.tail} stands in {one.relation} and in {other.relation}")


def _missing(pack: Pack) -> Iterator[Finding]:
    for folder, needed in NEEDED.items():
        for relations in pack.entries(folder).values():
            place = next(iter(relations.values()))[0]
            lacking = [name for name in needed if name not in relations]
            if lacking:
                yield _finding("missing", place, f"no {'、'.join(lacking)}")
