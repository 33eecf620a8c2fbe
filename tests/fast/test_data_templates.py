"""Facts → questions and answers: samples to learn from, and questions to measure with that were never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinglin.data.templates import OPTIONS, Built, build
from xinglin.data.topics import Topic, group_topics
from xinglin.knowledge.patterns import Pattern, read_patterns
from xinglin.knowledge.sources import import_source


@pytest.fixture(scope="module")
def pack() -> tuple[list[Topic], dict[str, Pattern]]:
    """A third of the starter pack's topics, of all relations, with the patterns that ship."""
    patterns = read_patterns()
    return group_topics(import_source("pack:starter", root=Path()).facts, patterns)[::3], patterns


@pytest.fixture(scope="module", params=["own", "pack"])
def material(
    request: pytest.FixtureRequest,
    topics: list[Topic],
    patterns: dict[str, Pattern],
    pack: tuple[list[Topic], dict[str, Pattern]],
) -> tuple[list[Topic], dict[str, Pattern], Built]:
    given, forms = (topics, patterns) if request.param == "own" else pack
    return given, forms, build(given, forms, phrasings=range(1, 4), seed=5, step="qa")


Material = tuple[list[Topic], dict[str, Pattern], Built]


def test_a_sample_answers_with_every_tail_and_carries_its_facts(material: Material) -> None:
    topics, patterns, built = material
    assert len(built.samples) == 3 * len(topics)
    assert len({sample.id for sample in built.samples}) == len(built.samples)
    for at, sample in enumerate(built.samples):
        topic = topics[at // 3]
        question, answer = sample.messages
        assert (question.role, answer.role) == ("user", "assistant")
        assert question.content == patterns[topic.relation].questions[1 + at % 3].format(head=topic.head)
        assert all(tail in answer.content for tail in topic.tails)
        assert sample.origin.parents == tuple(fact.id for fact in topic.facts)
        assert set(sample.origin.licence.split(" AND ")) == {fact.origin.licence for fact in topic.facts}
        assert sample.origin.kind == "template"
        assert sample.tags == (topic.relation,)


def test_no_question_of_an_evaluation_is_ever_trained_on(material: Material) -> None:
    topics, patterns, built = material
    every = build(topics, patterns, phrasings=range(99), seed=5, step="qa")
    trained = {message.content for sample in every.samples for message in sample.messages}
    asked = {question.messages[-1].content for question in (*built.recall, *built.choice)}
    assert not asked & trained
    assert len(asked) == len(topics)


def test_every_topic_is_asked_once_for_recall(material: Material) -> None:
    topics, patterns, built = material
    assert [question.answers for question in built.recall] == [topic.tails for topic in topics]
    for topic, question in zip(topics, built.recall, strict=True):
        assert question.messages[-1].content == patterns[topic.relation].heldout.format(head=topic.head)
        assert question.task == "recall"
        assert question.origin.parents == tuple(fact.id for fact in topic.facts)
        assert question.choices == ()


def test_a_choice_has_one_true_sentence_among_four(material: Material) -> None:
    topics, patterns, built = material
    by_question = {patterns[topic.relation].heldout.format(head=topic.head): topic for topic in topics}
    tails = {(topic.relation, topic.joined): topic.tails for topic in topics}
    places = [0] * OPTIONS
    for question in built.choice:
        topic = by_question[question.messages[-1].content]
        pattern = patterns[topic.relation]
        assert question.answers == (topic.answer(pattern),)
        assert len(set(question.choices)) == len(question.choices) == OPTIONS
        before, after = pattern.answer.format(head=topic.head, tails="\n").split("\n")
        for choice in question.choices:
            claimed = tails[topic.relation, choice.removeprefix(before).removesuffix(after)]
            assert bool(set(claimed) & set(topic.tails)) == (choice in question.answers)
        places[question.choices.index(question.answers[0])] += 1
    assert len(built.choice) > 0.9 * len(topics)
    # With 24 questions or more, each place holds its share of the answers.
    assert min(places) > len(built.choice) / OPTIONS / 3


def test_the_same_seed_builds_the_same_questions(material: Material) -> None:
    topics, patterns, built = material
    assert build(topics, patterns, phrasings=range(1, 4), seed=5, step="qa") == built
    other = build(topics, patterns, phrasings=range(1, 4), seed=6, step="qa")
    assert other.samples == built.samples
    assert [question.choices for question in other.choice] != [question.choices for question in built.choice]


def test_too_few_topics_make_no_choice(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    few = [topic for topic in topics if topic.relation == "禁忌"][: OPTIONS - 1]
    built = build(few, patterns, phrasings=range(2), seed=5, step="qa")
    assert (len(built.samples), len(built.recall), built.choice) == (6, 3, [])
    assert build([], patterns, phrasings=range(2), seed=5, step="qa") == Built([], [], [])


def test_a_phrasing_that_a_relation_lacks_is_left_out(topics: list[Topic], patterns: dict[str, Pattern]) -> None:
    assert len(build(topics[:1], patterns, phrasings=range(3, 9), seed=5, step="qa").samples) == 2
