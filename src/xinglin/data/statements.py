"""Facts → plain sentences: the text that continued pretraining reads."""

from __future__ import annotations

from collections.abc import Sequence

from xinglin.data.topics import Topic
from xinglin.knowledge.patterns import Pattern
from xinglin.types import Passage, make_id


def state(topics: Sequence[Topic], patterns: dict[str, Pattern], *, step: str) -> list[Passage]:
    """Every statement pattern and the answer sentence of every topic, each a passage with the ids of its facts."""
    passages = []
    for topic in topics:
        pattern = patterns[topic.relation]
        texts = [
            *(form.format(head=topic.head, tails=topic.joined) for form in pattern.statements),
            topic.answer(pattern),
        ]
        for text in dict.fromkeys(texts):
            facts = tuple(fact.id for fact in topic.facts)
            passages.append(Passage(id=make_id("passage", text), text=text, facts=facts, origin=topic.origin(step)))
    return passages
