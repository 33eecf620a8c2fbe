"""Linking: the longest names and attributes are found where they stand, and look-alikes are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from work import calls
from xinglin.knowledge.link import Linker
from xinglin.knowledge.sources import import_source
from xinglin.knowledge.store import Knowledge
from xinglin.text import fold, fold_spans
from xinglin.types import Fact, Origin, make_id


def fact(head: str, relation: str, tail: str) -> Fact:
    return Fact(
        make_id("fact", head, relation, tail), head, relation, tail, Origin("own", "1", "Apache-2.0", "summary")
    )


def drug(head: str, *names: str) -> list[Fact]:
    return [fact(head, "适应症", "示例"), fact(head, "不良反应", "示例"), *(fact(head, "别名", name) for name in names)]


def disease(head: str, *names: str) -> list[Fact]:
    return [fact(head, "典型症状", "示例"), *(fact(head, "别名", name) for name in names)]


KNOWLEDGE = Knowledge(
    [
        *drug("阿莫西林", "阿莫仙", "Amoxicillin"),
        *drug("氧氟沙星"),
        *drug("缬沙坦"),
        *drug("氨氯地平"),
        *drug("对乙酰氨基酚"),
        *disease("慢性胃炎", "胃炎", "老胃病"),
        *disease("高血压", "血压高"),
        *disease("普通感冒", "感冒"),
        *disease("痔"),
        *disease("甲型眼病", "同名病"),
        *disease("乙型眼病", "同名病"),
        *disease("眼病", "CT"),
        fact("甘草", "功效", "示例"),
    ]
)
LINKER = Linker(KNOWLEDGE)


def heads(question: str) -> list[str]:
    return [mention.head for mention in LINKER.link(question).mentions]


@pytest.mark.parametrize(
    ("question", "head", "relation"),
    [
        ("阿莫西林胶囊有什么副作用", "阿莫西林", "不良反应"),
        ("ａｍｏｘｉｃｉｌｌｉｎ 的适应症是什么？", "阿莫西林", "适应症"),
        ("阿莫仙能治疗哪些病", "阿莫西林", "适应症"),
        ("阿莫西林的适应病症", "阿莫西林", "适应症"),
        ("哪些人不能用阿莫西林？", "阿莫西林", "禁忌"),
        ("孕妇能用对乙酰氨基酚吗", "对乙酰氨基酚", "妊娠哺乳"),
        ("盐酸阿莫西林颗粒怎么吃", "阿莫西林", "用法用量"),
        ("缬沙坦钙片一天几次", "缬沙坦", "用法用量"),
        ("血压高挂什么科", "高血压", "科室"),
        ("老胃病吃什么药", "慢性胃炎", "常用药物"),
        ("痔有什么症状", "痔", "典型症状"),
        ("请问痔的典型症状有哪些？", "痔", "典型症状"),
    ],
)
def test_a_question_is_linked_to_its_entity_and_attribute(question: str, head: str, relation: str) -> None:
    link = LINKER.link(question)
    assert [mention.head for mention in link.mentions] == [head]
    assert link.relations == (relation,)


@pytest.mark.parametrize(
    "question",
    [
        "左氧氟沙星的副作用",
        "阿莫西林克拉维酸钾的不良反应",
        "阿莫西林双氯西林胶囊怎么吃",
        "复方氨氯地平片的禁忌",
        "缬沙坦氨氯地平片一天几次",
        "感冒灵颗粒是治什么的",
        "甘草片怎么吃",
        "甘草酸二铵胶囊有什么副作用",
        "急性胃炎怎么治",
        "高血压性心脏病有什么症状",
        "同名病怎么治疗",
        "ECT是什么",
        "今天天气怎么样",
        "",
    ],
)
def test_what_only_contains_a_known_name_is_not_linked_to_it(question: str) -> None:
    assert heads(question) == []


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("高血压能吃缬沙坦胶囊吗", ["高血压", "缬沙坦"]),
        ("缬沙坦片和氨氯地平片能一起吃吗", ["缬沙坦", "氨氯地平"]),
        ("高血压服缬沙坦胶囊要注意什么", ["高血压", "缬沙坦"]),
        ("慢性胃炎和胃炎有什么区别", ["慢性胃炎", "慢性胃炎"]),
        ("痔疮手术", []),
        ("甘草有什么功效", ["甘草"]),
    ],
)
def test_several_entities_are_found_in_the_order_of_the_text(question: str, expected: list[str]) -> None:
    assert heads(question) == expected


def test_mentions_carry_the_text_as_written_and_its_place() -> None:
    question = "请问 ＡＭＯＸＩＣＩＬＬＩＮ 胶囊 和 高 血压"
    first, second = LINKER.link(question).mentions
    assert (first.text, first.head) == ("ＡＭＯＸＩＣＩＬＬＩＮ 胶囊", "阿莫西林")
    assert (second.text, second.head) == ("高 血压", "高血压")
    for mention in (first, second):
        assert question[mention.start : mention.end] == mention.text


def test_attributes_are_read_outside_of_the_names_only() -> None:
    knowledge = Knowledge([*drug("禁忌素"), fact("禁忌素", "禁忌", "示例")])
    assert Linker(knowledge).link("禁忌素的副作用和禁忌").relations == ("不良反应", "禁忌")
    assert Linker(knowledge).link("禁忌素").relations == ()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("替格瑞洛片的适应病症", "替格瑞洛片"),
        ("请问替格瑞洛片有什么副作用？", "替格瑞洛片"),
        ("哪些药能治疗硬皮病？", "硬皮病"),
        ("医生给硬皮病患者一般开什么药？", "硬皮病"),
        ("对氨基水杨酸钠的禁忌有哪些", "对氨基水杨酸钠"),
        ("急性胃炎怎么治", "急性胃炎"),
        ("有什么副作用？", ""),
        ("阿莫西林有什么副作用", ""),
    ],
)
def test_the_name_of_an_unknown_entity_is_guessed(question: str, name: str) -> None:
    assert LINKER.unknown(question) == name


def test_every_question_pattern_of_the_starter_pack_links_back_to_its_fact() -> None:
    knowledge = Knowledge(import_source("pack:starter", root=Path()).facts)
    linker = Linker(knowledge)
    asked = missed = 0
    for head in sorted({fact.head for fact in knowledge.facts.values()})[::7]:
        for relation in knowledge.relations(head):
            pattern = knowledge.patterns[relation]
            for text in (*pattern.questions, pattern.heldout):
                link = linker.link(text.replace("{head}", head))
                asked += 1
                missed += [mention.head for mention in link.mentions] != [head] or relation not in link.relations
    assert asked > 1500
    assert missed / asked < 0.005


def test_linking_takes_no_longer_with_many_names_and_grows_with_the_text_only() -> None:
    few, many = (
        Linker(Knowledge(found for number in range(count) for found in disease(f"示例{number}号病")))
        for count in (200, 20_000)
    )
    asked = [f"请问示例{number}号病有什么症状？" for number in range(100)]
    assert all(many.link(text).mentions for text in asked)
    assert calls(lambda: [many.link(text) for text in asked]) < 1.1 * calls(lambda: [few.link(text) for text in asked])
    short, long = (calls(lambda times=times: many.link("示例1号病" * times)) for times in (500, 5_000))
    assert long < 12 * short


@given(st.text(alphabet="头痛高血压 ＡＢａｂAB１２12㎎ﬁ①ｶﾞe\u0301\u3000\t\n，。", max_size=30))
def test_folding_with_spans_is_folding_and_every_span_folds_to_its_characters(text: str) -> None:
    folded, spans = fold_spans(text)
    assert folded == fold(text)
    assert len(spans) == len(folded)
    for character, (start, end) in zip(folded, spans, strict=True):
        assert character in fold(text[start:end])
