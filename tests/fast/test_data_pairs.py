"""Facts → preference pairs: a right answer, and a wrong one that is just as familiar."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from xinglin.data.pairs import Deal, Pairs, build
from xinglin.data.topics import Choice, Topic, group_topics, select
from xinglin.knowledge.patterns import Pattern, read_patterns
from xinglin.knowledge.sources import import_source
from xinglin.types import Fact

DEAL = Deal(per_topic=4, heldout=0.25, skip=1)


@pytest.fixture(scope="module", params=["own", "pack"])
def material(
    request: pytest.FixtureRequest, topics: list[Topic], patterns: dict[str, Pattern]
) -> tuple[list[Topic], dict[str, Pattern], Pairs]:
    if request.param == "pack":
        patterns = read_patterns()
        topics = group_topics(import_source("pack:starter", root=Path()).facts, patterns)
        topics = select(topics, Choice(relations=(), topics=500, longest=40, seed=2))
    return topics, patterns, build(topics, patterns, deal=DEAL, seed=9, step="pairs")


Material = tuple[list[Topic], dict[str, Pattern], Pairs]


def by_answer(material: Material) -> dict[str, Topic]:
    topics, patterns, _ = material
    return {topic.answer(patterns[topic.relation]): topic for topic in topics}


def facts_of(topics: list[Topic]) -> dict[str, Fact]:
    return {fact.id: fact for topic in topics for fact in topic.facts}


def test_the_chosen_answer_is_true_and_the_rejected_one_is_not_the_answer(material: Material) -> None:
    topics, patterns, pairs = material
    right = by_answer(material)
    facts = facts_of(topics)
    for pair in [*pairs.train, *pairs.heldout]:
        topic = right[pair.chosen]
        questions = [form.format(head=topic.head) for form in patterns[topic.relation].questions]
        (asked,) = pair.prompt
        assert asked.role == "user"
        assert asked.content in questions
        assert topic.head in pair.rejected
        wrong = [facts[name] for name in pair.origin.parents[len(topic.facts) :]]
        assert all(fact.tail in pair.rejected for fact in wrong)
        assert not {fact.tail for fact in wrong} & set(topic.tails)
        assert {fact.head for fact in wrong} == {topic.head} or {fact.relation for fact in wrong} == {topic.relation}


def test_a_pair_carries_the_facts_and_licences_of_both_answers(material: Material) -> None:
    topics, _, pairs = material
    right, facts = by_answer(material), facts_of(topics)
    for pair in [*pairs.train, *pairs.heldout]:
        own = right[pair.chosen].facts
        assert pair.origin.parents[: len(own)] == tuple(fact.id for fact in own)
        assert len(pair.origin.parents) > len(own)
        licences = {facts[name].origin.licence for name in pair.origin.parents}
        assert set(pair.origin.licence.split(" AND ")) == licences
        assert pair.origin.group == right[pair.chosen].head
    every = [*pairs.train, *pairs.heldout]
    assert len({pair.id for pair in every}) == len(every)


def test_both_kinds_of_wrong_answer_are_dealt(material: Material) -> None:
    topics, _, pairs = material
    right, facts = by_answer(material), facts_of(topics)
    kinds = Counter(facts[pair.origin.parents[-1]].relation == right[pair.chosen].relation for pair in pairs.train)
    assert min(kinds[True], kinds[False]) > len(pairs.train) / 8


def test_an_answer_is_rejected_about_as_often_as_it_is_chosen(material: Material) -> None:
    topics, _, pairs = material
    right, facts = by_answer(material), facts_of(topics)

    def key(fact: Fact) -> str:
        return f"{fact.relation} {fact.tail}"

    chosen = Counter(key(fact) for pair in pairs.train for fact in right[pair.chosen].facts)
    rejected = Counter(
        key(facts[name]) for pair in pairs.train for name in pair.origin.parents[len(right[pair.chosen].facts) :]
    )
    uneven = sum(abs(chosen[name] - rejected[name]) for name in chosen | rejected)
    assert uneven < 0.2 * chosen.total()
    never = [name for name, count in chosen.items() if count >= 4 and not rejected[name]]
    assert len(never) < 0.05 * len(chosen)


def test_a_held_out_topic_is_in_no_training_pair(material: Material) -> None:
    topics, _, pairs = material
    right = by_answer(material)
    trained = {name for pair in pairs.train for name in pair.origin.parents}
    measured = {name for pair in pairs.heldout for name in pair.origin.parents}
    assert not trained & measured
    assert pairs.heldout
    aside = {(right[pair.chosen].head, right[pair.chosen].relation) for pair in pairs.heldout}
    assert len(aside) <= 0.25 * len(topics)


def test_questions_skip_the_phrasings_of_the_first_lessons(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    pairs = build(topics, patterns, deal=Deal(per_topic=2, heldout=0.0, skip=3), seed=9, step="pairs")
    first = {form.format(head=topic.head) for topic in topics for form in patterns[topic.relation].questions[:3]}
    held = {patterns[topic.relation].heldout.format(head=topic.head) for topic in topics}
    asked = {pair.prompt[0].content for pair in pairs.train}
    assert not asked & (first | held)
    assert pairs.heldout == []


def test_either_kind_of_wrong_answer_meets_every_phrasing() -> None:
    patterns = read_patterns()
    topics = group_topics(import_source("pack:starter", root=Path()).facts, patterns)
    topics = select(topics, Choice(relations=(), topics=300, longest=40, seed=2))
    rounds = 4 * max(len(pattern.questions) for pattern in patterns.values())
    pairs = build(topics, patterns, deal=Deal(per_topic=rounds, heldout=0.0, skip=0), seed=9, step="pairs")
    relations = {fact.id: fact.relation for topic in topics for fact in topic.facts}
    met: dict[tuple[str, bool], set[str]] = {}
    for pair in pairs.train:
        own, *_, other = (relations[name] for name in pair.origin.parents)
        met.setdefault((own, own == other), set()).add(pair.prompt[0].content.replace(pair.origin.group, "{head}"))
    assert len(met) > 10
    for (relation, _), asked in met.items():
        assert asked == set(patterns[relation].questions)


def test_the_same_seed_deals_the_same_pairs(material: Material) -> None:
    topics, patterns, pairs = material
    assert build(topics, patterns, deal=DEAL, seed=9, step="pairs") == pairs
    other = build(topics, patterns, deal=DEAL, seed=10, step="pairs")
    assert {pair.id for pair in other.heldout} != {pair.id for pair in pairs.heldout}


def test_a_topic_without_a_counterpart_makes_no_pair(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    deal = Deal(per_topic=3, heldout=0.0, skip=0)
    assert build(topics[:1], patterns, deal=deal, seed=9, step="pairs") == Pairs([], [])
    assert build([], patterns, deal=deal, seed=9, step="pairs") == Pairs([], [])
