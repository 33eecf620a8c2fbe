from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from xinglin.chat.scripted import Scripted, ScriptedScorer
from xinglin.errors import CapError, DataError, ModelError
from xinglin.evaluate.run import evaluate, summarise
from xinglin.evaluate.task import Task
from xinglin.evaluate.tasks.facts import choice_task, recall_task
from xinglin.files import read_records
from xinglin.text import NOT_IN_KNOWLEDGE_BASE
from xinglin.types import Message, Origin, Prediction, Question, Reply, Sampling, make_id

ORIGIN = Origin("questions.jsonl", "1", "CC0-1.0", "template")
REPLIES = {f"药{n}治什么？": f"药{n}用于病{n}。" if n % 3 else f"药{n}用于别的病。" for n in range(20)}


def question(number: int, *, choices: tuple[str, ...] = (), answers: tuple[str, ...] = ()) -> Question:
    text = f"药{number}治什么？"
    gold = answers or (f"病{number}。",)
    return Question(make_id("question", number), (Message("user", text),), gold, "facts", ORIGIN, choices)


def facts() -> Task:
    return recall_task([question(number) for number in range(20)])


class Killed(Exception):
    """What the counting model raises in the place of `kill -9`."""


class Counting(Scripted):
    """A scripted model that counts its questions and dies after `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__("sft", REPLIES)
        self.seen: list[int] = []
        self.limit = limit

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        if sum(self.seen) >= self.limit:
            raise Killed
        self.seen.append(len(prompts))
        return super().answer(prompts, sampling)


def test_every_question_is_asked_once_and_scored(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    predictions = evaluate(Counting(), facts(), folder=tmp_path, batch=8, progress=lambda *at: steps.append(at))
    assert [row.score for row in predictions] == [float(number % 3 > 0) for number in range(20)]
    assert steps == [(0, 20), (8, 20), (16, 20), (20, 20)]
    assert read_records(tmp_path / "recall.jsonl", Prediction) == predictions
    assert not (tmp_path / "recall.journal.jsonl").exists()


@pytest.mark.parametrize("limit", [0, 8, 16])
@pytest.mark.parametrize("torn", [b"", b'{"question":"question-1', "丨".encode()[:2]])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, limit: int, torn: bytes) -> None:
    evaluate(Counting(), facts(), folder=tmp_path / "whole", batch=8)
    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        evaluate(Counting(limit), facts(), folder=folder, batch=8)
    with (folder / "recall.journal.jsonl").open("ab") as journal:
        journal.write(torn)
    model = Counting()
    evaluate(model, facts(), folder=folder, batch=8)
    assert sum(model.seen) == 20 - limit, "no finished batch is asked again"
    assert (folder / "recall.jsonl").read_bytes() == (tmp_path / "whole" / "recall.jsonl").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["recall.jsonl", "recall.task.json"]


def test_a_finished_task_is_only_read(tmp_path: Path) -> None:
    first = evaluate(Counting(), facts(), folder=tmp_path)
    assert evaluate(Counting(limit=0), facts(), folder=tmp_path) == first


def test_a_journal_that_outlived_its_task_is_removed(tmp_path: Path) -> None:
    evaluate(Counting(), facts(), folder=tmp_path)
    (tmp_path / "recall.journal.jsonl").write_bytes((tmp_path / "recall.jsonl").read_bytes())
    evaluate(Counting(limit=0), facts(), folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recall.jsonl", "recall.task.json"]


def test_a_batch_that_was_cut_in_two_is_asked_again_whole(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        evaluate(Counting(8), facts(), folder=tmp_path, batch=8)
    journal = tmp_path / "recall.journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    model = Counting()
    evaluate(model, facts(), folder=tmp_path, batch=8)
    assert model.seen == [8, 8, 4]


def test_a_full_disk_stops_with_finished_work_kept(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, hard))
    try:
        with pytest.raises(CapError) as error:
            evaluate(Counting(), facts(), folder=tmp_path, batch=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.where.endswith("recall.journal.jsonl")
    model = Counting()
    assert len(evaluate(model, facts(), folder=tmp_path, batch=8)) == 20
    assert model.seen == [8, 4], "the first batch was on the disk"


def test_a_malformed_line_inside_the_journal_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        evaluate(Counting(8), facts(), folder=tmp_path, batch=8)
    with (tmp_path / "recall.journal.jsonl").open("ab") as journal:
        journal.write(b"{broken}\n")
    with pytest.raises(DataError) as error:
        evaluate(Counting(), facts(), folder=tmp_path, batch=8)
    assert error.value.where.endswith("recall.journal.jsonl:9")


def test_a_folder_of_another_model_or_task_is_refused(tmp_path: Path) -> None:
    evaluate(Counting(), facts(), folder=tmp_path)
    with pytest.raises(DataError, match="another model"):
        evaluate(Scripted("dpo", REPLIES), facts(), folder=tmp_path)
    with pytest.raises(DataError, match="another count, questions"):
        evaluate(Counting(), recall_task([question(1)]), folder=tmp_path)
    with pytest.raises(DataError, match="another signature"):
        evaluate(Counting(), recall_task([question(number) for number in range(20)], max_tokens=5), folder=tmp_path)


def choices(number: int) -> tuple[str, ...]:
    return tuple(f"药{number}用于病{other}。" for other in (number + 1, number, number + 2))


def test_choosing_takes_the_likeliest_candidate(tmp_path: Path) -> None:
    task = choice_task(
        [question(number, choices=choices(number), answers=(choices(number)[1],)) for number in range(20)]
    )
    predictions = evaluate(ScriptedScorer("sft", REPLIES), task, folder=tmp_path)
    assert [row.score for row in predictions if row.reply in REPLIES.values()] == [1.0] * 13
    assert all(row.reply in choices(number) for number, row in enumerate(predictions))


def test_choosing_needs_a_model_with_likelihoods(tmp_path: Path) -> None:
    task = choice_task([question(1, choices=choices(1), answers=(choices(1)[1],))])
    with pytest.raises(ModelError, match="needs log-likelihoods") as error:
        evaluate(Scripted("api", {}), task, folder=tmp_path)
    assert error.value.fix
    assert not list(tmp_path.iterdir())


class Diverged(ScriptedScorer):
    """A model whose training diverged: every likelihood is NaN."""

    def score(self, prompts: Sequence[Sequence[Message]], answers: Sequence[Sequence[str]]) -> list[list[float]]:
        return [[float("nan")] * len(row) for row in answers]


def test_likelihoods_that_are_no_numbers_are_a_model_error(tmp_path: Path) -> None:
    task = choice_task([question(1, choices=choices(1), answers=(choices(1)[1],))])
    with pytest.raises(ModelError, match="no usable log-likelihoods"):
        evaluate(Diverged("sft", {}), task, folder=tmp_path)


def test_questions_that_cannot_be_asked_or_scored_are_data_errors() -> None:
    with pytest.raises(DataError, match="no questions"):
        recall_task([])
    with pytest.raises(DataError, match="more than once") as error:
        recall_task([question(1), question(1)])
    assert error.value.where == "questions.jsonl:1"
    with pytest.raises(DataError, match="no gold answer"):
        recall_task([question(1, answers=(" ",))])
    for wrong in ((), ("甲",), ("甲", "甲"), ("甲", "乙")):
        with pytest.raises(DataError, match="two or more different"):
            choice_task([question(1, choices=wrong, answers=("丙",) if len(wrong) == 2 else ("甲",))])


def test_a_report_counts_empty_and_declined_replies() -> None:
    task = recall_task([question(number) for number in range(4)])
    replies = ["药0用于病0。", "", f"{NOT_IN_KNOWLEDGE_BASE}这种药。", "别的"]
    rows = [
        Prediction(asked.id, reply, task.score(asked, reply))
        for asked, reply in zip(task.questions, replies, strict=True)
    ]
    report = summarise("sft", task, rows)
    assert [(metric.name, metric.value) for metric in report.metrics] == [
        ("recall", 0.25),
        ("empty", 0.25),
        ("abstained", 0.5),
    ]
    assert report.metrics[0].signature == task.signature
    assert json.loads(json.dumps(report.settings))["sampling"]["max_tokens"] == 128
