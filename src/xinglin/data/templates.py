"""Facts → questions and answers by patterns (A10): training samples, and questions in a phrasing never trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from xinglin.data.topics import Topic
from xinglin.knowledge.patterns import Pattern
from xinglin.types import Message, Question, Sample, make_id

OPTIONS = 4


@dataclass(frozen=True, slots=True)
class Built:
    """Training samples, recall questions (answers are tails), choice questions (answers and choices are sentences)."""

    samples: list[Sample]
    recall: list[Question]
    choice: list[Question]


def build(topics: Sequence[Topic], patterns: dict[str, Pattern], *, phrasings: range, seed: int, step: str) -> Built:
    """Ask every topic in the training phrasings numbered by `phrasings`, and once in the held-out phrasing."""
    by_relation: dict[str, list[Topic]] = {}
    for topic in topics:
        by_relation.setdefault(topic.relation, []).append(topic)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    built = Built([], [], [])
    for topic in topics:
        pattern = patterns[topic.relation]
        built.samples.extend(_samples(topic, pattern, phrasings=phrasings, step=step))
        asked = (Message("user", pattern.heldout.format(head=topic.head)),)
        built.recall.append(_question(topic, asked, answers=topic.tails, task="recall", step=step))
        wrong = _distractors(topic, by_relation[topic.relation], pattern, chance)
        if len(wrong) == OPTIONS - 1:
            right = topic.answer(pattern)
            choices = [right, *wrong]
            chance.shuffle(choices)
            built.choice.append(
                _question(topic, asked, answers=(right,), choices=tuple(choices), task="choice", step=step)
            )
    return built


def _samples(topic: Topic, pattern: Pattern, *, phrasings: range, step: str) -> list[Sample]:
    answer = topic.answer(pattern)
    samples = []
    for question in pattern.questions[phrasings.start : phrasings.stop]:
        messages = (Message("user", question.format(head=topic.head)), Message("assistant", answer))
        identity = make_id("sample", [(message.role, message.content) for message in messages])
        samples.append(Sample(identity, messages, topic.origin(step), tags=(topic.relation,)))
    return samples


def _question(
    topic: Topic,
    messages: tuple[Message, ...],
    *,
    answers: tuple[str, ...],
    task: str,
    step: str,
    choices: tuple[str, ...] = (),
) -> Question:
    identity = make_id("question", task, messages[-1].content, choices)
    return Question(identity, messages, answers, task, topic.origin(step), choices=choices)


def _distractors(topic: Topic, others: Sequence[Topic], pattern: Pattern, chance: random.Random) -> list[str]:
    """Up to three sentences that give this head another head's tails, none of which is among its own."""
    own = set(topic.tails)
    foreign = [other for other in others if other.head != topic.head and not own & set(other.tails)]
    distinct = list({other.tails: other for other in foreign}.values())
    picked = chance.sample(distinct, min(OPTIONS - 1, len(distinct)))
    return [pattern.answer.format(head=topic.head, tails=other.joined) for other in picked]
