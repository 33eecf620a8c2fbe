"""Ask a model every question of a task: journaled per batch, resumed after a kill, finished atomically.

In the folder: `<task>.task.json` (whose predictions these are), `<task>.journal.jsonl` while the task runs, and
`<task>.jsonl` once it is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from xinglin.errors import FULL_DISK, DataError, ModelError, full_disk
from xinglin.evaluate.task import Task
from xinglin.evaluate.tasks.indications import abstains
from xinglin.files import adapter, digest_json, read_json, read_records, write_json, write_records
from xinglin.metrics.choice import accuracy
from xinglin.metrics.paired import average
from xinglin.types import ChatModel, Metric, Prediction, Question, Report, ScoringModel

Progress = Callable[[int, int], None]
"""Called with (questions done, questions in all)."""


def evaluate(
    model: ChatModel, task: Task, *, folder: Path, batch: int = 64, progress: Progress | None = None
) -> list[Prediction]:
    """Predictions of a model for every question, in the task's order.

    Run again after a kill it goes on with the batches that the journal lacks; a batch is redone whole, so that an
    interrupted run ends with the same file as an uninterrupted one. A finished folder is only read.
    A `choose` task with a model that has no `score` is a ModelError; a folder with the predictions of another
    model or task is a DataError.
    """
    _check_model(model, task)
    _claim(folder, model, task)
    final, journal = folder / f"{task.name}.jsonl", folder / f"{task.name}.journal.jsonl"
    if final.exists():
        journal.unlink(missing_ok=True)  # a kill can come between the last write and this
        found = {prediction.question: prediction for prediction in read_records(final, Prediction)}
        return [found[question.id] for question in task.questions]
    done = _read_journal(journal)
    for questions in _batches(task.questions, batch):
        if progress:
            progress(sum(question.id in done for question in task.questions), len(task.questions))
        if not all(question.id in done for question in questions):
            made = _predict(model, task, questions)
            _append(journal, made)
            done.update((prediction.question, prediction) for prediction in made)
    if progress:
        progress(len(task.questions), len(task.questions))
    predictions = [done[question.id] for question in task.questions]
    write_records(final, predictions)
    journal.unlink(missing_ok=True)
    return predictions


def summarise(model_name: str, task: Task, predictions: Sequence[Prediction]) -> Report:
    """The report of one model on one task: its own metric first, then the shares of empty and declined replies."""
    scores = [prediction.score for prediction in predictions]
    measure = accuracy if all(score in (0.0, 1.0) for score in scores) else average
    metrics: list[Metric] = [measure(scores, task.name, task.signature)]
    if task.kind == "generate":
        empty = [float(not prediction.reply.strip()) for prediction in predictions]
        declined = [float(abstains(prediction.reply)) for prediction in predictions]
        metrics += [accuracy(empty, "empty", "xl-empty|v:1"), accuracy(declined, "abstained", "xl-abstained|v:1")]
    settings = {"kind": task.kind, "signature": task.signature, "sampling": asdict(task.sampling)}
    return Report(model_name, task.name, tuple(metrics), settings)


def _check_model(model: ChatModel, task: Task) -> None:
    if task.kind == "choose" and not callable(getattr(model, "score", None)):
        raise ModelError(
            f"the task {task.name} needs log-likelihoods, and {model.name} gives none",
            where=model.name,
            fix="evaluate a local model folder on this task, or leave the task out for this model",
        )


def _claim(folder: Path, model: ChatModel, task: Task) -> None:
    """Note whose predictions the folder holds, or refuse when they are another model's or task's."""
    path = folder / f"{task.name}.task.json"
    questions = [asdict(question) for question in task.questions]
    owner = {
        "model": model.name,
        "task": task.name,
        "signature": task.signature,
        "count": len(questions),
        "questions": digest_json(questions),
    }
    if not path.exists():
        write_json(path, owner)
    elif (found := read_json(path)) != owner:
        keys = [key for key in owner if not isinstance(found, dict) or found.get(key) != owner[key]]
        raise DataError(
            f"the folder holds predictions with another {', '.join(keys)}",
            where=str(path),
            fix="use an empty folder for each model, or delete this one",
        )


def _batches(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    assert size >= 1, "a batch holds at least one question"
    return (questions[start : start + size] for start in range(0, len(questions), size))


def _predict(model: ChatModel, task: Task, questions: Sequence[Question]) -> list[Prediction]:
    prompts = [question.messages for question in questions]
    if task.kind == "choose":
        texts = _choose(cast(ScoringModel, model), questions)
    else:
        texts = [reply.text for reply in model.answer(prompts, task.sampling)]
    return [
        Prediction(question.id, text, task.score(question, text))
        for question, text in zip(questions, texts, strict=True)
    ]


def _choose(model: ScoringModel, questions: Sequence[Question]) -> list[str]:
    scores = model.score([question.messages for question in questions], [question.choices for question in questions])
    chosen = []
    for question, row in zip(questions, scores, strict=True):
        if len(row) != len(question.choices) or any(value != value for value in row):
            raise ModelError(
                f"the model gave no usable log-likelihoods for the question {question.id}",
                where=model.name,
                fix="check the weights: NaN means that training diverged (lower the learning rate)",
            )
        chosen.append(question.choices[max(range(len(row)), key=lambda at: row[at])])
    return chosen


def _read_journal(path: Path) -> dict[str, Prediction]:
    """Predictions by question; a last line cut off by a kill is removed from the file."""
    if not path.exists():
        return {}
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    return {prediction.question: prediction for prediction in read_records(path, Prediction)}


def _append(path: Path, predictions: Sequence[Prediction]) -> None:
    dump = adapter(Prediction).dump_json
    lines = b"".join(dump(prediction) + b"\n" for prediction in predictions)
    try:
        with path.open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(path)) from error
        raise
