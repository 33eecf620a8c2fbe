"""Facts → topics → plain sentences."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from xinglin.data.statements import state
from xinglin.data.topics import Choice, Topic, group_topics, select, strictest
from xinglin.errors import DataError
from xinglin.knowledge.patterns import Pattern
from xinglin.types import Fact, make_id

ALL = Choice(relations=(), topics=999, longest=999, seed=1)


def test_a_topic_holds_all_facts_of_a_head_and_relation_in_their_order(
    topics: list[Topic], patterns: dict[str, Pattern]
) -> None:
    facts = [fact for topic in topics for fact in topic.facts]
    shuffled = random.Random(3).sample(facts, len(facts))
    for topic in group_topics(shuffled, patterns):
        wanted = [fact for fact in shuffled if (fact.head, fact.relation) == (topic.head, topic.relation)]
        assert list(topic.facts) == wanted
        assert topic.tails == tuple(fact.tail for fact in wanted)
    assert len(group_topics(shuffled, patterns)) == len(topics) == 24
    assert [topic.head for topic in group_topics(facts, patterns)] == [topic.head for topic in topics]


def test_a_relation_without_patterns_makes_no_topic(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    fact = topics[0].facts[0]
    other = replace(fact, id=make_id("fact", "颜色"), relation="颜色")
    assert group_topics([other], patterns) == []
    assert group_topics([fact], {}) == []


def test_an_answer_states_every_tail(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    assert topics[0].answer(patterns["适应症"]) == "安络宁的适应症：头痛、失眠。"
    for topic in topics:
        answer = topic.answer(patterns[topic.relation])
        assert topic.head in answer
        assert all(tail in answer for tail in topic.tails)


def test_braces_in_a_name_are_no_slots(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    fact = replace(topics[0].facts[0], head="维生素{head}", tail="缺乏症{0}")
    assert Topic(fact.head, "适应症", (fact,)).answer(patterns["适应症"]) == "维生素{head}的适应症：缺乏症{0}。"


def test_all_licences_of_a_record_bind_each_once(topics: list[Topic]) -> None:
    assert strictest(["CC0-1.0", "GPL-3.0", "CC0-1.0"]) == "CC0-1.0 AND GPL-3.0"
    first, second = topics[0].facts[0], topics[2].facts[0]
    assert first.origin.licence != second.origin.licence
    origin = Topic("安络宁", "适应症", (first, second, first)).origin("qa")
    assert origin.licence == "Apache-2.0 AND CC-BY-4.0"
    assert (origin.kind, origin.group) == ("template", "安络宁")
    assert origin.parents == (first.id, second.id, first.id)
    assert origin.maker
    assert origin.maker.step == "qa"


def test_a_selection_is_the_same_for_a_seed_and_in_the_order_of_the_knowledge_base(topics: list[Topic]) -> None:
    ten = replace(ALL, topics=10)
    chosen = select(topics, ten)
    assert chosen == select(topics, ten)
    assert len(chosen) == 10
    places = [topics.index(topic) for topic in chosen]
    assert places == sorted(set(places))
    assert chosen != select(topics, replace(ten, seed=2))
    assert select(topics, ALL) == topics


def test_a_selection_obeys_relations_and_length(topics: list[Topic]) -> None:
    only = select(topics, replace(ALL, relations=("禁忌",), longest=6))
    assert {topic.relation for topic in only} == {"禁忌"}
    assert max(len(topic.joined) for topic in only) <= 6
    assert len(only) == sum(topic.relation == "禁忌" and len(topic.joined) <= 6 for topic in topics)


def test_a_selection_that_cannot_be_made_says_why(topics: list[Topic]) -> None:
    with pytest.raises(DataError, match="颜色") as caught:
        select(topics, replace(ALL, relations=("禁忌", "颜色")))
    assert "适应症" in caught.value.fix
    with pytest.raises(DataError, match="no topic fits"):
        select(topics, replace(ALL, longest=1))
    with pytest.raises(DataError):
        select([], ALL)


def test_statements_say_every_fact_and_carry_its_id(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    passages = state(topics, patterns, step="books")
    facts: dict[str, Fact] = {fact.id: fact for topic in topics for fact in topic.facts}
    assert len(passages) == 3 * len(topics)
    assert len({passage.id for passage in passages}) == len({passage.text for passage in passages}) == len(passages)
    for passage in passages:
        assert passage.facts == passage.origin.parents
        for fact in (facts[name] for name in passage.facts):
            assert fact.head in passage.text
            assert fact.tail in passage.text
    assert {name for passage in passages for name in passage.facts} == set(facts)
    assert passages == state(topics, patterns, step="books")


def test_a_statement_that_two_patterns_word_alike_is_said_once(
    topics: list[Topic], patterns: dict[str, Pattern]
) -> None:
    pattern = replace(patterns["适应症"], statements=(patterns["适应症"].answer,))
    assert len(state(topics[:1], {"适应症": pattern}, step="books")) == 1
