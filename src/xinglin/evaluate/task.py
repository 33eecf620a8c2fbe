"""A task: questions, how a model is asked, and how one reply is scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from xinglin.errors import DataError
from xinglin.types import Question, Sampling


@dataclass(frozen=True, slots=True)
class Task:
    """Questions and their scorer. `generate` scores the reply's text, `choose` the likeliest of the choices.

    `score` returns a number between 0 and 1. `signature` names the definition and its settings: numbers with
    different signatures are not comparable.
    """

    name: str
    questions: tuple[Question, ...]
    kind: Literal["generate", "choose"]
    score: Callable[[Question, str], float]
    sampling: Sampling
    signature: str


def place(question: Question) -> str:
    """Where a question comes from, as `source:item`, for messages."""
    return f"{question.origin.source}:{question.origin.item}"


def check_questions(questions: Sequence[Question], task: str) -> tuple[Question, ...]:
    """The questions as a tuple; none at all, a repeated id or a question without gold answers is a DataError."""
    if not questions:
        raise DataError(f"the task {task} has no questions", where=task, fix="check the evaluation set of the recipe")
    repeated = [name for name, count in Counter(question.id for question in questions).items() if count > 1]
    if repeated:
        first = next(question for question in questions if question.id == repeated[0])
        raise DataError(
            f"the question {repeated[0]} occurs more than once", where=place(first), fix="remove repeated questions"
        )
    for question in questions:
        if not question.messages or not any(answer.strip() for answer in question.answers):
            raise DataError(
                f"the question {question.id} has no text or no gold answer",
                where=place(question),
                fix="give every question a user message and at least one answer",
            )
    return tuple(questions)
