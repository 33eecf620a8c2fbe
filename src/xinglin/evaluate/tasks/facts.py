"""Facts of the knowledge base: recalled by generation, and recognised among candidate answers."""

from __future__ import annotations

from collections.abc import Sequence

from xinglin.errors import DataError
from xinglin.evaluate.task import Task, check_questions, place
from xinglin.metrics.spans import contains_all
from xinglin.types import Question, Sampling

RECALL, CHOICE = "recall", "choice"


def recall_task(questions: Sequence[Question], *, max_tokens: int = 128) -> Task:
    """Fact recall by generation: 1.0 when the greedy answer contains every gold answer, else 0.0."""
    return Task(
        name=RECALL,
        questions=check_questions(questions, RECALL),
        kind="generate",
        score=lambda question, reply: float(contains_all(reply, question.answers)),
        sampling=Sampling(max_tokens=max_tokens),
        signature=f"xl-recall|match:contains-all|norm:fold|decode:greedy|max:{max_tokens}|v:1",
    )


def choice_task(questions: Sequence[Question]) -> Task:
    """Fact recognition: the likeliest of the choices (log-likelihood per token) must be the first gold answer."""
    for question in check_questions(questions, CHOICE):
        distinct = set(question.choices)
        if len(distinct) < 2 or len(distinct) < len(question.choices) or question.answers[0] not in distinct:
            raise DataError(
                f"the choices of {question.id} must be two or more different texts, the gold answer among them",
                where=place(question),
                fix="rebuild the evaluation set",
            )
    return Task(
        name=CHOICE,
        questions=tuple(questions),
        kind="choose",
        score=lambda question, reply: float(reply == question.answers[0]),
        sampling=Sampling(),
        signature="xl-choice|engine:loglik-per-token|tie:first|v:1",
    )
