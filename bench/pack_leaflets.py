"""The starter pack against real leaflets and the real disease table, where the entity occurs in them.

    python bench/pack_leaflets.py [DATA]   # DATA: the shared data; writes bench/results/pack_leaflets.md

For every drug of the pack with a leaflet: how many of its indications and contraindications the leaflet's text holds,
and conflicts: a contraindication of one that is an indication of the other, and a maximum daily dose that differs.
For every disease with a row: departments and symptoms likewise, and as a conflict departments without one in common.
The real files are web records, not truth: they show where to look. `bench/pack/conflicts.csv` says what was decided.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pack_second import pairs, same
from xinglin.knowledge.amounts import amount
from xinglin.knowledge.pack import read_pack
from xinglin.knowledge.sources import PACKS, import_source
from xinglin.knowledge.store import Knowledge
from xinglin.types import Fact

HERE = Path(__file__).parent
CONFLICTS, RESULT = HERE / "pack" / "conflicts.csv", HERE / "results" / "pack_leaflets.md"
_MOST = re.compile(
    r"(?:[一每]日|24小时)[^，。；]{0,8}(?:不超过|不得超过|最大量|最大剂量|极量|最高)[^\d，。；]{0,6}(\d+(?:\.\d+)?)\s*(mg|g|μg|ml)"
)
HELD = 0.6
"""Share of an item's character pairs that the other side's whole text must hold."""


@dataclass(frozen=True)
class Conflict:
    """Two statements that cannot both be right, or that differ in a number."""

    head: str
    kind: str
    pack: str
    other: str


@dataclass
class Agreement:
    """Items of one field of the pack, and how many of them the other side's text holds."""

    field: str
    heads: int = 0
    items: int = 0
    held: int = 0

    def row(self) -> str:
        share = f"{100 * self.held / self.items:.1f} %" if self.items else "–"
        return f"| {self.field} | {self.heads} | {self.items} | {self.held} | {share} |"


def tails(facts: Iterable[Fact]) -> list[str]:
    """The tails of facts."""
    return [fact.tail for fact in facts]


def holds(text: str, item: str) -> bool:
    """Whether a text says an item, as far as character pairs show it."""
    wanted = pairs(item)
    return len(wanted & pairs(text)) >= HELD * len(wanted)


def agree(ours: Knowledge, theirs: Knowledge, field: str, fields: tuple[str, ...]) -> Agreement:
    """Agreement of one field of the pack with some fields of the other side."""
    found = Agreement(field)
    for head in heads(ours, field):
        text = "；".join(tail for name in fields for tail in tails(theirs.lookup(head, name)))
        if text:
            mine = tails(ours.lookup(head, field))
            found.heads += 1
            found.items += len(mine)
            found.held += sum(holds(text, item) for item in mine)
    return found


def heads(ours: Knowledge, field: str) -> list[str]:
    """The heads that have a field."""
    return list(dict.fromkeys(fact.head for fact in ours.facts.values() if fact.relation == field))


def opposed(ours: Knowledge, theirs: Knowledge) -> list[Conflict]:
    """Indications of one side that are contraindications of the other."""
    found = []
    for one, other, kind in (("适应症", "禁忌", "适应症 ↔ 禁忌"), ("禁忌", "适应症", "禁忌 ↔ 适应症")):
        for head in heads(ours, one):
            found += [
                Conflict(head, kind, item, against)
                for item in tails(ours.lookup(head, one))
                for against in tails(theirs.lookup(head, other))
                if len(against) < 30 and same(item, against)
            ]
    return found


def most(ours: Knowledge, theirs: Knowledge) -> list[Conflict]:
    """Maximum daily doses that no number of the leaflet equals."""
    found = []
    for head in heads(ours, "用法用量"):
        numbers = [
            (value, match[0])
            for text in tails(theirs.lookup(head, "用法用量"))
            for match in _MOST.finditer(text)
            if (value := amount(f"{match[1]} {match[2]}")) is not None
        ]
        for fact in ours.lookup(head, "用法用量"):
            limit = amount(fact.qualifiers.daily_max) if fact.qualifiers and fact.qualifiers.daily_max else None
            near = [(value, text) for value, text in numbers if limit and value.unit == limit.unit]
            if limit and near and not any(abs(value.high - limit.high) <= 0.01 * limit.high for value, _ in near):
                found.append(Conflict(head, "每日最大量", fact.tail, "；".join(text for _, text in near)))
    return found


def apart(ours: Knowledge, theirs: Knowledge) -> list[Conflict]:
    """Diseases whose departments have none in common."""
    found = []
    for head in heads(ours, "科室"):
        mine, other = tails(ours.lookup(head, "科室")), tails(theirs.lookup(head, "科室"))
        if other and not any(same(one, two) for one in mine for two in other):
            found.append(Conflict(head, "科室", "、".join(mine), "、".join(other)))
    return found


def conflicts(ours: Knowledge, leaflets: Knowledge, diseases: Knowledge) -> list[Conflict]:
    """Everything to look at."""
    return [*opposed(ours, leaflets), *most(ours, leaflets), *apart(ours, diseases)]


def decided() -> dict[tuple[str, str, str], str]:
    """What was decided on conflicts, by (head, kind, pack)."""
    if not CONFLICTS.is_file():
        return {}
    with CONFLICTS.open(encoding="utf-8", newline="") as file:
        return {(row["head"], row["kind"], row["pack"]): row["decision"] for row in csv.DictReader(file)}


def report(ours: Knowledge, leaflets: Knowledge, diseases: Knowledge) -> str:
    """The whole comparison as Markdown; nothing of the real files is quoted."""
    agreements = [
        ("说明书 leaflets", agree(ours, leaflets, "适应症", ("适应症", "用法用量"))),
        ("说明书 leaflets", agree(ours, leaflets, "禁忌", ("禁忌", "注意事项"))),
        ("疾病表 disease table", agree(ours, diseases, "科室", ("科室",))),
        ("疾病表 disease table", agree(ours, diseases, "典型症状", ("典型症状",))),
    ]
    found, known = conflicts(ours, leaflets, diseases), decided()
    lines = [
        "| 对照 against | 字段 field | 条目 entries | 要点 points | 对方也有 held | 比例 share |",
        "|" + "---|" * 6,
    ]
    lines += [f"| {name} {one.row()}" for name, one in agreements]
    lines += [
        "",
        f"冲突 conflicts: {len(found)}",
        "",
        "| 条目 | 种类 kind | 本包 pack | 结论 decision |",
        "|" + "---|" * 4,
    ]
    for one in found:
        decision = known.get((one.head, one.kind, one.pack), "未看 open")
        lines.append(f"| {one.head} | {one.kind} | {one.pack} | {decision} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the comparison and keep it; `--open` prints conflicts with the other side's words, to look at."""
    places = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    data = Path(places[0]) if places else HERE.parent.parent / "shared" / "data"
    ours = Knowledge(read_pack(PACKS / "starter").facts)
    leaflets = Knowledge(import_source("drugkb_caregpt/drug.json", root=data).facts)
    diseases = Knowledge(import_source("kg_39health_disease/disease.csv", root=data).facts)
    if "--open" in sys.argv[1:]:
        for one in conflicts(ours, leaflets, diseases):
            print(one.head, one.kind, one.pack, one.other, sep="\t")
        return
    text = report(ours, leaflets, diseases)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
