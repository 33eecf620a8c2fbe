"""The knowledge base in memory: facts by id, by head and relation, and by every name a head goes by."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from xinglin.errors import DataError
from xinglin.files import read_records
from xinglin.knowledge.patterns import Pattern, read_patterns
from xinglin.text import fold
from xinglin.types import Fact, Passage, make_id

NAMES = ("别名", "商品名", "英文名", "拼音")
"""Relations whose tails are other names of the head."""

_FORMS = (
    "缓释片 控释片 分散片 肠溶片 咀嚼片 泡腾片 口崩片 含片 薄膜衣片 糖衣片 片剂 片 缓释胶囊 肠溶胶囊 软胶囊 硬胶囊 "
    "胶囊剂 胶囊 颗粒剂 颗粒 干混悬剂 混悬剂 混悬液 口服溶液 口服液 溶液 糖浆 滴剂 滴丸 散剂 冲剂 注射液 注射剂 粉针剂 "
    "滴眼液 滴耳液 滴鼻液 眼膏 眼用凝胶 鼻喷雾剂 喷雾剂 气雾剂 吸入气雾剂 粉吸入剂 吸入粉雾剂 吸入溶液 乳膏 软膏 凝胶 "
    "栓剂 栓 贴剂 贴片 透皮贴剂 搽剂 洗剂 酊 丸剂 丸"
)
_SALTS = "注射用 盐酸 枸橼酸 硫酸 酒石酸 马来酸 富马酸 琥珀酸 磷酸 醋酸 乳酸 氢溴酸 甲磺酸 苯磺酸 苹果酸"
FORMS = tuple(sorted(_FORMS.split(), key=lambda form: (-len(form), form)))
"""Dosage forms, longest first."""
SALTS = tuple(_SALTS.split())
"""What may stand before a drug's name without making it another drug."""
CATIONS = ("钠", "钾", "钙")
"""What may stand behind it, likewise."""

_HERB = ("功效", "组成", "主治")
_LONGEST = 40


class Knowledge:
    """Facts, and the names under which they are found. Look-ups take constant time."""

    def __init__(self, facts: Iterable[Fact], *, patterns: Mapping[str, Pattern] | None = None) -> None:
        self.facts: dict[str, Fact] = {}
        self.patterns: Mapping[str, Pattern] = read_patterns() if patterns is None else patterns
        self._heads: dict[str, str] = {}
        self._table: dict[str, dict[str, list[Fact]]] = {}
        folded: dict[str, str] = {}
        for fact in facts:
            if fact.id in self.facts:
                continue
            self.facts[fact.id] = fact
            key = folded.get(fact.head) or folded.setdefault(fact.head, fold(fact.head))
            head = self._heads.setdefault(key, fact.head)
            self._table.setdefault(head, {}).setdefault(fact.relation, []).append(fact)
        self._names, self.ambiguous = self._name()

    @classmethod
    def load(cls, path: Path) -> Knowledge:
        """Read a facts file (JSON Lines of Fact); an empty one is a DataError."""
        facts = read_records(path, Fact)
        if not facts:
            raise DataError("no facts", where=str(path), fix="run the knowledge step of the recipe again")
        return cls(facts)

    def _name(self) -> tuple[dict[str, str], Mapping[str, tuple[str, ...]]]:
        """Names to heads. A head's own name wins; another name that several heads share belongs to none."""
        owners: dict[str, list[str]] = {}
        for head, relations in self._table.items():
            for relation in NAMES:
                for fact in relations.get(relation, ()):
                    name = fold(fact.tail)
                    known = owners.setdefault(name, [])
                    if name not in self._heads and head not in known:
                        known.append(head)
        names = dict(self._heads)
        names.update((name, heads[0]) for name, heads in owners.items() if len(heads) == 1)
        shared = {name: tuple(heads) for name, heads in owners.items() if len(heads) > 1}
        return names, MappingProxyType(shared)

    @property
    def names(self) -> Mapping[str, str]:
        """Every folded name and the head it stands for; names shared by several heads are in `ambiguous`."""
        return MappingProxyType(self._names)

    def resolve(self, name: str) -> str | None:
        """The head a name, alias or brand stands for; a drug also with a dosage form or a salt, else None.

        Only drugs lose their dosage form: 鼻炎片 is not the disease 鼻炎, 甘草片 not the herb 甘草.
        """
        folded = fold(name)
        if folded in self._names or folded in self.ambiguous:
            return self._names.get(folded)
        for variant in _variants(folded):
            head = self._names.get(variant)
            if head is not None and self.is_drug(head):
                return head
        return None

    def near(self, name: str, count: int = 3) -> list[str]:
        """Heads under names that are spelt like `name`."""
        found = difflib.get_close_matches(fold(name), self._names, n=count, cutoff=0.5)
        return list(dict.fromkeys(self._names[one] for one in found))

    def is_drug(self, head: str) -> bool:
        """Whether a head is a medicine (it has indications or a dosage), not a disease or a herb."""
        table = self._table.get(head, ())
        return "适应症" in table or ("用法用量" in table and not self.is_herb(head))

    def is_herb(self, head: str) -> bool:
        """Whether a head is a herb or a formula (it has actions or ingredients)."""
        return any(relation in self._table.get(head, ()) for relation in _HERB)

    def lookup(self, head: str, relation: str | None = None) -> tuple[Fact, ...]:
        """The facts of a head (any of its names), of one relation or of all; empty when there are none."""
        table = self._table.get(self.resolve(head) or "", {})
        if relation is not None:
            return tuple(table.get(relation, ()))
        return tuple(fact for facts in table.values() for fact in facts)

    def relations(self, head: str) -> tuple[str, ...]:
        """The relations known of a head, in the order of its source."""
        return tuple(self._table.get(self.resolve(head) or "", ()))

    def passage(self, head: str, relation: str) -> Passage:
        """One relation of a head as a sentence; its origin is that of the first fact. No such facts: DataError."""
        facts = self.lookup(head, relation)
        if not facts:
            known = ", ".join(self.relations(head)) or "nothing"
            raise DataError(f"no fact {head} / {relation}", where="knowledge", fix=f"known of {head}: {known}")
        pattern = self.patterns.get(relation)
        answer = pattern.answer if pattern else f"{{head}}的{relation}：{{tails}}。"
        tails: dict[str, str] = {}
        for fact in facts:
            tails.setdefault(fold(fact.tail), fact.tail)
        name = self.resolve(head) or head
        text = answer.replace("{head}", name).replace("{tails}", join_tails(tails.values()))
        ids = tuple(fact.id for fact in facts)
        return Passage(make_id("passage", text, ids), text, ids, facts[0].origin)


def join_tails(tails: Iterable[str]) -> str:
    """Tails as one list: 、 between short items, ； where an item has punctuation of its own."""
    items = list(tails)
    return ("；" if any(mark in item for item in items for mark in "，、。；：") else "、").join(items)


def _variants(name: str) -> Iterator[str]:
    """The name without salts before it, and dosage forms and cations behind it; the least changed first."""
    seen, queue = {name}, [name] if len(name) <= _LONGEST else []
    while queue:
        current = queue.pop(0)
        shorter = [current.removesuffix(end) for end in (*FORMS, *CATIONS)]
        shorter += [current.removeprefix(salt) for salt in SALTS]
        for variant in shorter:
            if len(variant) > 1 and variant not in seen:
                seen.add(variant)
                queue.append(variant)
                yield variant
