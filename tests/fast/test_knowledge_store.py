"""The knowledge base: facts are found by any name of their head, and by nothing that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from work import calls
from xinglin.errors import DataError
from xinglin.files import write_records
from xinglin.knowledge.store import Knowledge, join_tails
from xinglin.types import Fact, Origin, make_id


def fact(head: str, relation: str, tail: str, source: str = "own") -> Fact:
    return Fact(
        make_id("fact", head, relation, tail, source),
        head,
        relation,
        tail,
        Origin(source, "1", "Apache-2.0", "summary"),
    )


FACTS = [
    fact("安宁素", "适应症", "示例病"),
    fact("安宁素", "适应症", "样例症"),
    fact("安宁素", "别名", "宁静素"),
    fact("安宁素", "商品名", "宁乐"),
    fact("安宁素", "英文名", "Anningsu"),
    fact("康平素", "用法用量", "成人口服，一次5 mg，每日1次"),
    fact("康平素", "别名", "通用素"),
    fact("乐平素", "适应症", "示例病"),
    fact("乐平素", "别名", "通用素"),
    fact("示例炎", "典型症状", "头晕"),
    fact("示例炎", "别名", "康平素"),
    fact("示例草", "功效", "示例"),
]


@pytest.fixture
def knowledge() -> Knowledge:
    return Knowledge(FACTS)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("安宁素", "安宁素"),
        ("宁静素", "安宁素"),
        ("宁乐", "安宁素"),
        ("ＡＮＮＩＮＧＳＵ", "安宁素"),
        (" anning su", "安宁素"),
        ("安宁素片", "安宁素"),
        ("安宁素缓释胶囊", "安宁素"),
        ("盐酸安宁素", "安宁素"),
        ("注射用盐酸安宁素", "安宁素"),
        ("枸橼酸宁静素口服溶液", "安宁素"),
        ("安宁素钠注射液", "安宁素"),
        ("康平素", "康平素"),
        ("康平素颗粒", "康平素"),
        ("示例炎", "示例炎"),
    ],
)
def test_a_head_is_found_by_each_of_its_names(knowledge: Knowledge, name: str, head: str) -> None:
    assert knowledge.resolve(name) == head


@pytest.mark.parametrize("name", ["", "片", "安宁", "左安宁素", "复方安宁素片", "示例炎片", "示例草颗粒", "没有的药"])
def test_what_is_no_name_is_not_resolved(knowledge: Knowledge, name: str) -> None:
    assert knowledge.resolve(name) is None
    assert knowledge.lookup(name) == ()
    assert knowledge.relations(name) == ()


def test_an_alias_of_two_heads_belongs_to_none_of_them(knowledge: Knowledge) -> None:
    assert knowledge.resolve("通用素") is None
    assert knowledge.resolve("通用素片") is None
    assert knowledge.ambiguous == {"通用素": ("康平素", "乐平素")}
    assert "通用素" not in knowledge.names


def test_facts_are_looked_up_through_any_name_and_by_relation(knowledge: Knowledge) -> None:
    assert [found.tail for found in knowledge.lookup("宁乐", "适应症")] == ["示例病", "样例症"]
    assert len(knowledge.lookup("安宁素胶囊")) == 5
    assert knowledge.lookup("安宁素", "禁忌") == ()
    assert knowledge.relations("宁乐") == ("适应症", "别名", "商品名", "英文名")
    assert knowledge.facts[FACTS[0].id] is FACTS[0]


def test_a_passage_states_the_facts_with_the_answer_sentence(knowledge: Knowledge) -> None:
    passage = knowledge.passage("宁乐", "适应症")
    assert passage.text == "安宁素的适应症：示例病、样例症。"
    assert passage.facts == (FACTS[0].id, FACTS[1].id)
    assert passage.origin == FACTS[0].origin
    assert knowledge.passage("安宁素", "英文名").text == "安宁素的英文名：Anningsu。"
    with pytest.raises(DataError, match="known of 安宁素: 适应症"):
        knowledge.passage("安宁素", "禁忌")


def test_a_fact_of_two_sources_is_said_once_and_cited_twice() -> None:
    knowledge = Knowledge([fact("安宁素", "禁忌", "妊娠"), fact("安宁素", "禁忌", "妊娠", source="other")])
    passage = knowledge.passage("安宁素", "禁忌")
    assert passage.text == "安宁素的禁忌：妊娠。"
    assert len(passage.facts) == 2


def test_items_with_punctuation_of_their_own_are_joined_by_semicolons() -> None:
    assert join_tails(["甲", "乙"]) == "甲、乙"
    assert join_tails(["甲，乙", "丙"]) == "甲，乙；丙"


def test_a_facts_file_is_loaded_and_an_empty_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    write_records(path, [*FACTS, FACTS[0]])
    assert list(Knowledge.load(path).facts.values()) == FACTS
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no facts"):
        Knowledge.load(path)


def test_look_ups_do_not_grow_with_the_number_of_facts() -> None:
    few, many = (
        Knowledge(fact(f"药{number}素", "适应症", f"病{number}") for number in range(count)) for count in (400, 40_000)
    )
    assert all(many.lookup(f"药{number}素", "适应症") for number in range(0, 40_000, 100))
    assert calls(lambda: many.lookup("药399素", "适应症")) == calls(lambda: few.lookup("药399素", "适应症"))
