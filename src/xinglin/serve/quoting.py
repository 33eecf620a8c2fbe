"""What of the knowledge base may be quoted to a patient, and the passages that carry it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xinglin.knowledge.store import Knowledge
from xinglin.types import Fact, Passage, make_id

DOSAGE = "用法用量"
ASK_LABEL = "具体剂量以药品说明书和医嘱为准"

# Numbers with a unit of dose. "ml/min" is a clearance, and care advice such as "每日食盐少于5 g" is no drug dose.
_DOSE = re.compile(
    r"\d\s*(?:mg|g|μg|µg|ug|mcg|ml|毫克|克|微克|毫升|IU|U|单位|片|粒|丸|袋|支|滴|揿|喷)(?!/min|[A-Za-z])"
)
_NO_DOSE = (
    "护理 检查 何时就医 典型症状 饮食 预防 病因 高危人群 参考范围 偏高意义 偏低意义 检查前准备 检查过程 检查后注意 "
    "影响因素 适用情形 操作步骤 禁止做法"
)
_CARE = frozenset(_NO_DOSE.split())


def states_dose(fact: Fact) -> bool:
    """Whether a fact says how much of a drug to take."""
    conditions = fact.qualifiers
    if fact.relation == DOSAGE or (conditions and (conditions.dose or conditions.daily_max)):
        return True
    return fact.relation not in _CARE and _DOSE.search(fact.tail) is not None


def quotable(fact: Fact) -> bool:
    """Whether a fact may be quoted: doses only from real records, never from unreviewed summaries."""
    return fact.origin.kind != "summary" or not states_dose(fact)


def passages(knowledge: Knowledge, facts: Sequence[Fact]) -> list[Passage]:
    """One passage per head, relation and source, rendered by the knowledge base from exactly these facts."""
    groups: dict[tuple[str, str, str], list[Fact]] = {}
    for fact in facts:
        groups.setdefault((fact.head, fact.relation, fact.origin.source), []).append(fact)
    return [_passage(knowledge, group) for group in groups.values()]


def _passage(knowledge: Knowledge, facts: Sequence[Fact]) -> Passage:
    head, relation = facts[0].head, facts[0].relation
    whole = knowledge.lookup(head, relation)
    source = (
        knowledge
        if {fact.id for fact in whole} == {fact.id for fact in facts}
        else Knowledge(facts, patterns=knowledge.patterns)
    )
    return source.passage(head, relation)


def withheld_passage(facts: Sequence[Fact]) -> Passage:
    """A passage that says that dose facts exist, without any of their numbers."""
    first = facts[0]
    text = f"{first.head}的{first.relation}：知识库收有{len(facts)}条自写概要，未经医师审核，不展示具体数字。"
    return Passage(make_id("passage", "withheld", *names(facts)), text, names(facts), first.origin)


def names(facts: Iterable[Fact]) -> tuple[str, ...]:
    """The ids of facts."""
    return tuple(fact.id for fact in facts)
