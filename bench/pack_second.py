"""How far an independent second writing agrees with the starter pack, and what became of every disagreement.

The second writing (`bench/pack/second/*.yaml`) holds indications, contraindications and the maximum dose of every drug,
and departments, key symptoms and signs to see a doctor of every disease. Its author knew the list of names and nothing
of the pack. `bench/pack/decisions*.csv` say of each item without a counterpart what was decided after looking at it.

    python bench/pack_second.py            # the table, into bench/results/pack_second.md
    python bench/pack_second.py --open     # items without counterpart and without decision, as CSV
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from xinglin.knowledge.amounts import amount
from xinglin.knowledge.pack import read_pack
from xinglin.knowledge.sources import PACKS
from xinglin.text import squeeze
from xinglin.types import Fact

HERE = Path(__file__).parent
SECOND, DECISIONS, RESULT = (
    HERE / "pack" / "second",
    HERE / "pack",
    HERE / "results" / "pack_second.md",
)
FIELDS = ("适应症", "禁忌", "科室", "典型症状", "何时就医")
MOST = "每日最大量"
NEAR = 0.5
"""Share of the shorter item's character pairs that the longer one must hold to count as the same point."""
WIDER = {
    "禁忌": ("禁忌", "注意事项", "妊娠哺乳", "儿童用药", "肝肾功能不全"),
    "典型症状": ("典型症状", "何时就医"),
    "适应症": ("适应症", "用法用量"),
}
"""Fields of the pack in which a point of the second writing may stand as well."""
VERDICTS = {
    "wording": "同一内容，写法不同 same point in other words",
    "added": "概要漏写，已补 missing in the pack, added",
    "corrected": "概要有误，已改 wrong in the pack, corrected",
    "kept": "维持原文：过细、非说明书所列或第二稿有误 pack kept: too fine, off-label, or the second writing is wrong",
}


@dataclass(frozen=True)
class Item:
    """A point of the second writing, and whether the pack has it."""

    head: str
    field: str
    text: str
    matched: bool


def pairs(text: str) -> set[str]:
    """The character pairs of a text without marks."""
    plain = squeeze(text)
    return {plain[at : at + 2] for at in range(len(plain) - 1)} or {plain}


def same(one: str, other: str) -> bool:
    """Whether two items make the same point, as far as their characters show it."""
    left, right = pairs(one), pairs(other)
    return len(left & right) >= NEAR * min(len(left), len(right))


def compare(facts: list[Fact]) -> list[Item]:
    """Every point of the second writing against the pack."""
    table: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        table.setdefault((fact.head, fact.relation), []).append(fact)
    items = []
    for path in sorted(SECOND.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            head = str(entry["名称"])
            for field in FIELDS:
                held = [fact.tail for name in WIDER.get(field, (field,)) for fact in table.get((head, name), ())]
                for text in map(str, entry.get(field) or ()):
                    items.append(Item(head, field, text, any(same(text, tail) for tail in held)))
            for most in entry.get(MOST) or ():
                items.append(_most(head, most, table.get((head, "用法用量"), [])))
    return items


def _most(head: str, most: dict[str, str], regimens: list[Fact]) -> Item:
    """A maximum per day against those of the pack for the same route; no such regimen with a maximum is a mismatch."""
    said = amount(str(most["最大"]))
    text = f"{most.get('人群', '成人')}{most.get('途径', '')} {most['最大']}"
    held = []
    for fact in regimens:
        if fact.qualifiers and fact.qualifiers.daily_max and fact.qualifiers.route == most.get("途径"):
            held.append(amount(fact.qualifiers.daily_max))
    matched = said is not None and any(
        one is not None and one.unit == said.unit and abs(one.high - said.high) <= 0.01 * said.high for one in held
    )
    return Item(head, MOST, text, matched)


def decisions() -> dict[tuple[str, str, str], str]:
    """Verdict by (head, field, item)."""
    found = {}
    for path in sorted(DECISIONS.glob("decisions*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found |= {(row["head"], row["field"], row["item"]): row["verdict"] for row in csv.DictReader(file)}
    return found


def table(items: list[Item], decided: dict[tuple[str, str, str], str]) -> str:
    """The comparison as Markdown."""
    names = list(VERDICTS)
    lines = [
        "| 字段 field | 条目 items | 字面一致 same by characters | " + " | ".join(names) + " | 未决 open |",
        "|" + "---|" * (4 + len(names)),
    ]
    for field in (*FIELDS[:2], MOST, *FIELDS[2:], "全部 all"):
        mine = [item for item in items if item.field == field or field.startswith("全部")]
        # A decision comes first: what was added or corrected for it matches by now.
        counts = Counter(
            decided.get((item.head, item.field, item.text), "same" if item.matched else "open") for item in mine
        )
        cells = [str(len(mine)), str(counts["same"]), *(str(counts[name]) for name in names), str(counts["open"])]
        lines.append(f"| {field} | " + " | ".join(cells) + " |")
    legend = [f"- `{name}`: {meaning}" for name, meaning in VERDICTS.items()]
    heads = len({item.head for item in items})
    return "\n".join([f"{heads} 个条目 entries, {len(items)} 个要点 points", "", *lines, "", *legend, ""])


def main() -> None:
    """Print the table and keep it, or list what is still to be decided."""
    items, decided = compare(list(read_pack(PACKS / "starter").facts)), decisions()
    if "--open" in sys.argv[1:]:
        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(["head", "field", "item"])
        out.writerows(
            (one.head, one.field, one.text)
            for one in items
            if not one.matched and (one.head, one.field, one.text) not in decided
        )
        return
    text = table(items, decided)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
