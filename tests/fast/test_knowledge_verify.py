"""Verification: a sentence passes only if the facts state exactly what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinglin.knowledge.sources import import_source
from xinglin.knowledge.store import Knowledge
from xinglin.knowledge.verify import supports
from xinglin.types import Fact, Origin


def fact(name: str, head: str, relation: str, tail: str) -> Fact:
    return Fact(name, head, relation, tail, Origin("own", "1", "Apache-2.0", "summary"))


FACTS = [
    fact("a1", "安宁素", "适应症", "高血压"),
    fact("a2", "安宁素", "适应症", "慢性稳定型心绞痛"),
    fact("a3", "安宁素", "适应症", "预防偏头痛，成人"),
    fact("c1", "安宁素", "禁忌", "严重低血压"),
    fact("c2", "安宁素", "禁忌", "对安宁素过敏"),
    fact("r1", "安宁素", "不良反应", "头痛"),
    fact("r2", "安宁素", "不良反应", "踝部水肿"),
    fact("d1", "安宁素", "用法用量", "成人口服，一次5 mg，每日1次，每日最大量10 mg"),
    fact("d2", "安宁素", "用法用量", "一次1.5×10² U"),
    fact("h1", "高血压", "常用药物", "安宁素"),
    fact("h2", "高血压", "并发症", "脑卒中"),
    fact("f1", "示例汤", "组成", "甘草"),
    fact("f2", "示例汤", "组成", "桂枝"),
]


@pytest.mark.parametrize(
    ("sentence", "ids"),
    [
        ("安宁素的适应症：高血压、慢性稳定型心绞痛。", ("a1", "a2")),
        ("安宁素的适应症：慢性稳定型心绞痛、高血压。", ("a1", "a2")),
        ("安宁素用于高血压。", ("a1",)),
        ("安宁素用于高血压", ("a1",)),
        ("安宁素的适应证包括高血压和慢性稳定型心绞痛等。", ("a1", "a2")),
        ("安宁素的适应症：预防偏头痛，成人；高血压。", ("a1", "a3")),
        ("安宁素的副作用有头痛，踝部水肿。", ("r1", "r2")),
        ("安宁素的常见不良反应有头痛。", ("r1",)),
        ("以下情况禁用安宁素：严重低血压、对安宁素过敏。", ("c1", "c2")),
        ("安宁素的用法用量：成人口服，一次5mg，每日1次，每日最大量10mg。", ("d1",)),
        ("安宁素的用法用量：一次1.5×10² U。", ("d2",)),
        ("治疗高血压可选用的药物包括安宁素。", ("h1",)),
        ("示例汤由甘草、桂枝组成。", ("f1", "f2")),
        ("　安宁素的适应症：高血压．", ("a1",)),
    ],
)
def test_a_sentence_that_the_facts_state_names_those_facts(sentence: str, ids: tuple[str, ...]) -> None:
    assert supports(sentence, FACTS) == ids


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "安宁素",
        "高血压",
        "安宁素的适应症：",
        "安宁素的适应症：、。",
        # a wrong tail, an extra tail, a longer tail, a cut tail
        "安宁素的适应症：低血压。",
        "安宁素的适应症：高血压、糖尿病。",
        "安宁素的适应症：高血压性心脏病。",
        "安宁素的适应症：高血压脑病、慢性稳定型心绞痛。",
        "安宁素的适应症：稳定型心绞痛。",
        "安宁素的适应症：预防偏头痛。",
        "安宁素的适应症：高血压慢性稳定型心绞痛。",
        "安宁素的适应症：高血压、高血压、高血压。",
        # a tail of another relation
        "安宁素的适应症：严重低血压。",
        "安宁素用于头痛。",
        "安宁素的不良反应：高血压。",
        "安宁素的禁忌：高血压。",
        "安宁素的适应症：高血压、头痛。",
        # negation put in, taken out, or doubled
        "安宁素不用于高血压。",
        "安宁素不能用于高血压。",
        "安宁素的适应症不包括高血压。",
        "安宁素没有不良反应。",
        "安宁素没有头痛的不良反应。",
        "安宁素可用于严重低血压。",
        "安宁素用于严重低血压。",
        "以下情况不禁用安宁素：严重低血压。",
        "安宁素的适应症：非高血压。",
        "安宁素的适应症：高血压除外。",
        # another number, another unit, a lost or added number
        "安宁素的用法用量：成人口服，一次50 mg，每日1次，每日最大量10 mg。",
        "安宁素的用法用量：成人口服，一次5 g，每日1次，每日最大量10 mg。",
        "安宁素的用法用量：成人口服，一次5 Mg，每日1次，每日最大量10 mg。",
        "安宁素的用法用量：成人口服，一次5 mg，每日1次，每日最大量100 mg。",
        "安宁素的用法用量：成人口服，一次5 mg，每日11次，每日最大量10 mg。",
        "安宁素的用法用量：儿童口服，一次5 mg，每日1次，每日最大量10 mg。",
        "安宁素的用法用量：成人口服，一次5 mg，每日1次。",
        "安宁素的用法用量：一次1.5×102 U。",
        "安宁素的用法用量：一次1.5×10³ U。",
        "安宁素的适应症：高血压3次。",
        # another head, a longer head, a second head, no head
        "康平素的适应症：高血压。",
        "左安宁素的适应症：高血压。",
        "复方安宁素用于高血压。",
        "安宁素片用于高血压。",
        "安宁素和康平素的适应症：高血压。",
        "康平素的适应症：高血压，安宁素也是。",
        "它用于高血压。",
        # the direction turned round
        "高血压用于安宁素。",
        "安宁素的常用药物：高血压。",
        "安宁素的并发症：脑卒中。",
        "治疗安宁素可选用的药物包括高血压。",
        # words that add a claim
        "安宁素只用于高血压。",
        "安宁素是高血压的首选药物。",
        "安宁素用于重度高血压。",
        "安宁素用于高血压，效果很好。",
        "安宁素用于高血压？",
        "安宁素用于高血压。安宁素无毒。",
        "安宁素用于高血压[1]",
        # a part of what is only true as a whole
        "示例汤由甘草组成。",
        "示例汤的组成：桂枝。",
        "安宁素的禁忌：对安宁素过敏。",
        "安宁素的禁忌包括严重低血压等。",
        "以下情况禁用安宁素：严重低血压。",
    ],
)
def test_a_sentence_that_the_facts_do_not_state_is_unsupported(sentence: str) -> None:
    assert supports(sentence, FACTS) == ()


def test_without_facts_nothing_is_supported() -> None:
    assert supports("安宁素用于高血压。", []) == ()
    assert supports("安宁素用于高血压。", [fact for fact in FACTS if fact.id != "a1"]) == ()


def test_a_fact_of_two_sources_is_cited_twice() -> None:
    twin = fact("b1", "安宁素", "适应症", "高血压")
    assert supports("安宁素用于高血压。", [*FACTS, twin]) == ("a1", "b1")


def test_a_list_of_thousands_of_items_is_judged_and_does_not_break() -> None:
    assert supports("安宁素的不良反应：" + "头痛、" * 5000 + "头痛。", FACTS) == ()


def test_a_relation_without_a_pattern_is_read_by_its_name() -> None:
    leaflet = fact("x1", "安宁素", "剂型", "片剂：5mg")
    assert supports("安宁素的剂型：片剂：5mg。", [leaflet]) == ("x1",)
    assert supports("安宁素的剂型：片剂：50mg。", [leaflet]) == ()


def test_every_passage_and_statement_of_the_starter_pack_is_supported_by_its_own_facts_only() -> None:
    knowledge = Knowledge(import_source("pack:starter", root=Path()).facts)
    heads = sorted({fact.head for fact in knowledge.facts.values()})
    for head, other in zip(heads[::5], heads[1::5], strict=False):
        for relation in knowledge.relations(head):
            passage = knowledge.passage(head, relation)
            tails = "、".join(fact.tail for fact in knowledge.lookup(head, relation))
            for statement in knowledge.patterns[relation].statements:
                text = statement.replace("{head}", head).replace("{tails}", tails)
                assert supports(text, knowledge.lookup(head)) == passage.facts
                assert supports(text, knowledge.lookup(other)) == ()
            assert supports(passage.text, knowledge.lookup(head)) == passage.facts
            assert supports(passage.text.replace(head, other), knowledge.lookup(head)) == ()
