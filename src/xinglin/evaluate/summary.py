"""What a report shows, and the choice of the examples in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinglin.evaluate.compare import Comparison
from xinglin.evaluate.tasks.indications import IndicationTable
from xinglin.types import Metric, Prediction, Question, Report


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of the chain: the name of its parent ("" for the first) and a note: its stage (`sft`), or any text."""

    name: str
    parent: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model answered, and its score between 0 and 1."""

    model: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Example:
    """A question, its gold answers, and every model's answer in chain order."""

    question: str
    gold: tuple[str, ...]
    replies: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A PNG picture of a training stage."""

    title: str
    path: Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts come from: number of facts, licence, and a remark such as "not reviewed by a physician"."""

    name: str
    licence: str
    facts: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a report shows. `models` is in chain order, `notes` are extra limits as (Chinese, English).

    `counts` are (name, number) pairs of the data, such as samples or held-out questions.
    """

    recipe: str
    base: str
    seed: int
    models: tuple[Candidate, ...]
    reports: tuple[Report, ...]
    comparisons: tuple[Comparison, ...]
    indications: tuple[IndicationTable, ...] = ()
    examples: tuple[Example, ...] = ()
    curves: tuple[Curve, ...] = ()
    sources: tuple[Source, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of the reports."""
        return tuple(dict.fromkeys(report.task for report in self.reports))

    def headline(self, model: str, task: str) -> Metric | None:
        """The first metric of a model on a task; None where it was not evaluated."""
        for report in self.reports:
            if report.model == model and report.task == task:
                return report.metrics[0]
        return None

    def against_parent(self, model: str) -> tuple[Comparison, ...]:
        """The comparisons of a model with its parent."""
        parents = {candidate.name: candidate.parent for candidate in self.models}
        return tuple(row for row in self.comparisons if row.child == model and row.parent == parents.get(model))


def asked(summary: Summary) -> str:
    """The number of questions of a task: one number, or the range over the tasks."""
    counts = sorted({report.metrics[0].count for report in summary.reports})
    return "–".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"


def pick_examples(
    questions: Sequence[Question], predictions: Mapping[str, Sequence[Prediction]], *, count: int = 6
) -> tuple[Example, ...]:
    """A few questions with every model's answer, wrong ones included.

    `predictions` are by model, in chain order. Questions are grouped by which models were right, and the groups
    take turns: last model right and first wrong, last wrong and another right, all wrong, the rest. Within a group
    the order of the ids decides (they are hashes), so the choice is not made for its looks.
    """
    if not predictions:
        return ()
    answers = {model: {row.question: row for row in rows} for model, rows in predictions.items()}
    groups: defaultdict[int, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=lambda question: question.id):
        groups[_group([rows[question.id].score for rows in answers.values()])].append(question)
    turns = [(turn, group, question) for group, rows in groups.items() for turn, question in enumerate(rows)]
    picked = [question for _, _, question in sorted(turns, key=lambda row: row[:2])[:count]]
    return tuple(_example(question, answers) for question in picked)


def _group(scores: Sequence[float]) -> int:
    right = [score == 1.0 for score in scores]
    if right[-1]:
        return 3 if right[0] else 0
    return 1 if any(right) else 2


def _example(question: Question, answers: Mapping[str, Mapping[str, Prediction]]) -> Example:
    rows = ((model, found[question.id]) for model, found in answers.items())
    return Example(
        question=question.messages[-1].content,
        gold=question.answers,
        replies=tuple(Answer(model, row.reply, row.score) for model, row in rows),
    )
