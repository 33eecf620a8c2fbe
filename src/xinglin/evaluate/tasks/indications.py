"""The 94-drug indication benchmark of QiZhenGPT (evaluation.md section 7, systems.md section 4.5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from xinglin.evaluate.task import Task, check_questions
from xinglin.metrics.choice import accuracy
from xinglin.metrics.paired import average
from xinglin.metrics.spans import criteria, hits, listed, overlaps
from xinglin.text import NOT_IN_KNOWLEDGE_BASE
from xinglin.types import Metric, Prediction, Question, Sampling

INDICATIONS = "indications"
_HIT = "hit:containment|window:negation|nested:count|norm:nfkc"

PUBLISHED: tuple[tuple[str, float, float, float], ...] = (
    ("ChatGLM", 39.36, 23.16, 14.74),
    ("ChatGPT", 47.87, 30.85, 15.96),
    ("QiZhen LLaMA-7B-3500", 77.66, 55.32, 40.00),
    ("QiZhen LLaMA-7B-6000", 90.43, 73.40, 65.96),
    ("QiZhen CaMA-13B-3600", 82.29, 60.62, 47.92),
    ("QiZhen CaMA-13B-6000", 90.43, 80.85, 72.34),
    ("QiZhen CaMA-13B-12400", 91.49, 82.98, 72.34),
)
"""Rows published by QiZhenGPT (per cent): graded by hand, with denominators 94, 95 and 96. The protocol differs."""


@dataclass(frozen=True, slots=True)
class IndicationTable:
    """One model on the drugs: criteria 1, 2, 3 over `every` drug, and over those the knowledge base `held`.

    Of the drugs that it lacks: `absent` in number, of which `absent_right` were answered with at least one hit,
    `absent_wrong` answered without, `absent_abstained` not answered. `abstained` counts over all drugs.
    `precision` is over the answered drugs: the mean share of listed items that overlap a label (a lower bound:
    an item phrased otherwise counts as wrong).
    """

    model: str
    every: tuple[Metric, Metric, Metric]
    held: tuple[Metric, Metric, Metric]
    precision: Metric
    answered: int
    abstained: int
    absent: int
    absent_right: int
    absent_wrong: int
    absent_abstained: int


def indication_task(questions: Sequence[Question], *, max_tokens: int = 256) -> Task:
    """Name the indications of a drug; a reply scores the share of the expert labels that it states."""
    return Task(
        name=INDICATIONS,
        questions=check_questions(questions, INDICATIONS),
        kind="generate",
        score=lambda question, reply: _hits(question, reply) / len(question.answers),
        sampling=Sampling(max_tokens=max_tokens),
        signature=f"xl-indications|{_HIT}|decode:greedy|max:{max_tokens}|v:1",
    )


def abstains(reply: str) -> bool:
    """Whether a reply gives no answer: it is empty, or says that the knowledge base holds nothing."""
    return not reply.strip() or NOT_IN_KNOWLEDGE_BASE in reply


def indication_table(
    questions: Sequence[Question], predictions: Sequence[Prediction], known: Collection[str], *, model: str = ""
) -> IndicationTable:
    """The criteria table of one model; `known` are the drugs (`Origin.group`) that the knowledge base holds.

    The denominator of `every` is fixed at all questions: no answer, and "not in the knowledge base", is a miss.
    """
    replies = {prediction.question: prediction.reply for prediction in predictions}
    assert set(replies) == {question.id for question in questions}, "predictions of other questions"
    rows = [(question, replies[question.id]) for question in questions]
    held = [row for row in rows if row[0].origin.group in known]
    absent = [row for row in rows if row[0].origin.group not in known]
    answered = [row for row in absent if not abstains(row[1])]
    right = sum(_hits(*row) > 0 for row in answered)
    return IndicationTable(
        model=model,
        every=_criteria(rows, "all"),
        held=_criteria(held, "held"),
        precision=_precision(rows),
        answered=sum(not abstains(reply) for _, reply in rows),
        abstained=sum(abstains(reply) for _, reply in rows),
        absent=len(absent),
        absent_right=right,
        absent_wrong=len(answered) - right,
        absent_abstained=len(absent) - len(answered),
    )


def _hits(question: Question, reply: str) -> int:
    return 0 if abstains(reply) else len(hits(reply, question.answers))


def _criteria(rows: Sequence[tuple[Question, str]], scope: str) -> tuple[Metric, Metric, Metric]:
    marks = [criteria(_hits(question, reply), len(question.answers)) for question, reply in rows]
    signature = f"xl-indications|{_HIT}|n:{scope}|v:1"
    first, second, third = (accuracy([mark[at] for mark in marks], f"C{at + 1}", signature) for at in range(3))
    return first, second, third


def _precision(rows: Sequence[tuple[Question, str]]) -> Metric:
    shares = []
    for question, reply in rows:
        items = [] if abstains(reply) else listed(reply)
        if items:
            shares.append(sum(overlaps(item, question.answers) for item in items) / len(items))
    return average(shares, "precision", "xl-indications|precision:listed-items|agg:mean|v:1")
