"""The evaluate step: every model on every task, each compared with its parent, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xinglin import files
from xinglin.errors import RecipeError
from xinglin.evaluate.compare import Pair, compare
from xinglin.evaluate.report import write_report
from xinglin.evaluate.run import evaluate, summarise
from xinglin.evaluate.summary import Candidate, Curve, Source, Summary, pick_examples
from xinglin.evaluate.task import Task
from xinglin.evaluate.tasks.facts import choice_task, recall_task
from xinglin.evaluate.tasks.general import general_task
from xinglin.evaluate.tasks.indications import IndicationTable, indication_table, indication_task
from xinglin.formats.exams import read_indications
from xinglin.recipe import manifest, schema
from xinglin.recipe.context import CHOICE, FACTS, RECALL, SAMPLES, Context, spread
from xinglin.recipe.plan import Plan
from xinglin.types import ChatModel, Fact, Prediction, Question, Sample

ASSISTANT = "assistant"
SUMMARY = "summary.json"
PHRASINGS = (
    "留出的是问法而不是事实：每条事实都教过模型，评测用的是训练中没有出现过的问法。",
    "Held out are phrasings, not facts: every fact was taught, and is asked for in words never seen in training.",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one model answered, by task."""

    name: str
    predictions: dict[str, list[Prediction]]


def measure(step: schema.Evaluate, at: Context) -> dict[str, Any]:
    """Evaluate the chain; returns the headline numbers for the manifest."""
    tasks = _tasks(step, at)
    facts = at.read(step.knowledge, FACTS, Fact) if step.knowledge else []
    measured = [_answer(name, tasks, at, place=place, of=len(step.models)) for place, name in enumerate(step.models)]
    if "indications" in tasks and facts:
        measured.append(_assist(step, tasks["indications"], facts, at))
    summary = _summary(step, at, tasks, measured, facts=facts)
    write_report(at.folder, summary)
    with files.atomic(at.folder / SUMMARY) as file:
        # Curves are in the report; their paths would make this file differ between run folders.
        file.write(files.adapter(Summary).dump_json(replace(summary, curves=())).decode())
    return {f"{report.model}.{report.task}": round(report.metrics[0].value, 4) for report in summary.reports}


def results(made: Plan) -> list[Summary]:
    """The summaries of a plan's finished evaluations."""
    steps = [step for step in made.steps if isinstance(step.step, schema.Evaluate)]
    return [read_summary(step.folder) for step in steps if (step.folder / manifest.NAME).is_file()]


def read_summary(folder: Path) -> Summary:
    """The summary an evaluate step wrote."""
    return files.adapter(Summary).validate_json((folder / SUMMARY).read_text(encoding="utf-8"))


def _tasks(step: schema.Evaluate, at: Context) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for name in step.tasks:
        if name == "indications":
            if not step.indications or not step.knowledge:
                raise RecipeError(
                    "the task `indications` needs the keys `indications` (the benchmark's file) and `knowledge`",
                    where=f"step {at.name!r}",
                    fix="add them, or leave the task out",
                )
            questions = read_indications(at.plan.root / step.indications)
            tasks[name] = indication_task(questions, max_tokens=step.max_tokens)
        elif name == "general":
            tasks[name] = general_task()
        elif name == "recall":
            questions = spread(at.read(step.questions, RECALL, Question), step.most)
            tasks[name] = recall_task(questions, max_tokens=step.max_tokens)
        else:
            tasks[name] = choice_task(spread(at.read(step.questions, CHOICE, Question), step.most))
    return tasks


def _answer(name: str, tasks: Mapping[str, Task], at: Context, *, place: int, of: int) -> Measured:
    from xinglin.chat.local import Local

    model = Local(at.model(name), name=name)
    return _run(model, tasks, at, place=place, of=of)


def _run(model: ChatModel, tasks: Mapping[str, Task], at: Context, *, place: int, of: int) -> Measured:
    total = sum(len(task.questions) for task in tasks.values())
    predictions, before = {}, 0
    for task in tasks.values():
        done = before + place * total
        predictions[task.name] = evaluate(
            model,
            task,
            folder=at.folder / "predictions" / model.name,
            progress=lambda count, _, done=done: at.progress(done + count, of * total, {}),
        )
        before += len(task.questions)
    return Measured(model.name, predictions)


def _assist(step: schema.Evaluate, task: Task, facts: list[Fact], at: Context) -> Measured:
    """The assistant over the knowledge base and the last model, on the tasks that need no likelihoods."""
    from xinglin.chat.local import Local
    from xinglin.knowledge.store import Knowledge
    from xinglin.serve.assistant import Assistant

    model = Local(at.model(step.models[-1]), name=step.models[-1])
    return _run(Assistant(Knowledge(facts), model=model, name=ASSISTANT), {task.name: task}, at, place=0, of=1)


def _parent(name: str, models: list[str], at: Context) -> str:
    """The nearest ancestor of a model that is evaluated too; the assistant's is the last model."""
    if name == ASSISTANT:
        return models[-1]
    parent = at.plan.parent(name)
    while parent and parent not in models:
        parent = at.plan.parent(parent)
    return parent


def _summary(
    step: schema.Evaluate,
    at: Context,
    tasks: Mapping[str, Task],
    measured: list[Measured],
    *,
    facts: list[Fact],
) -> Summary:
    parents = {one.name: _parent(one.name, step.models, at) for one in measured}
    pairs = _pairs(step, measured, parents)
    reports = [
        summarise(one.name, tasks[task], predictions)
        for one in measured
        for task, predictions in one.predictions.items()
    ]
    example = next((task for task in ("recall", "indications") if task in tasks), "")
    answers = {one.name: one.predictions[example] for one in measured if example in one.predictions}
    return Summary(
        recipe=at.plan.recipe.name,
        base=at.plan.recipe.base,
        seed=at.seed,
        models=tuple(_candidates(measured, parents, at)),
        reports=tuple(reports),
        comparisons=tuple(compare(pairs, seed=at.seed)) if pairs else (),
        indications=_tables(tasks, measured, facts),
        examples=pick_examples(tasks[example].questions, answers) if example else (),
        curves=tuple(_curves(at)),
        sources=_sources(facts),
        counts=tuple(_counts(step, at, facts)),
        notes=(PHRASINGS, *_waivers(at)),
    )


def _pairs(step: schema.Evaluate, measured: list[Measured], parents: Mapping[str, str]) -> list[Pair]:
    """Every model with its parent, and the models after `against` with that one, on the tasks both have."""
    by_name = {one.name: one.predictions for one in measured}
    after = step.models[step.models.index(step.against) + 1 :] if step.against else []
    wanted = [(parent, name) for name, parent in parents.items() if parent]
    wanted += [(step.against, name) for name in after if step.against and parents[name] != step.against]
    return [
        Pair(parent, name, task, by_name[parent][task], by_name[name][task])
        for parent, name in wanted
        for task in by_name[name]
        if task in by_name[parent]
    ]


def _counts(step: schema.Evaluate, at: Context, facts: list[Fact]) -> list[tuple[str, int]]:
    """Sizes of the data behind the numbers."""
    samples = at.read(step.questions, SAMPLES, Sample)
    taught = {parent for sample in samples for parent in sample.origin.parents}
    known = [("facts", len(facts)), ("heads", len({fact.head for fact in facts}))] if facts else []
    asked = len(at.read(step.questions, RECALL, Question))
    return [*known, ("taught", len(taught)), ("samples", len(samples)), ("questions", asked)]


def _waivers(at: Context) -> list[tuple[str, str]]:
    """What the steps behind the models have waived: evaluation items that stand in the training data."""
    behind = at.plan.behind(at.name)
    found = []
    for step in at.plan.steps:
        done = manifest.read_manifest(step.folder) if step.name in behind else None
        for name in step.step.waive if done and isinstance(step.step, schema.Decontaminate) else ():
            count = done.numbers.get(f"contaminated {name}", 0) if done else 0
            found.append(
                (
                    f"训练数据含评测集“{name}”的 {count} 题，已豁免（步骤 {step.name}）：这个评测集上的分数不可信。",
                    f"The training data holds {count} item(s) of the evaluation set {name!r}, waived in step "
                    f"{step.name}: do not trust scores on this set.",
                )
            )
    return found


def _candidates(measured: list[Measured], parents: Mapping[str, str], at: Context) -> list[Candidate]:
    notes = {step.name: step.step.model_dump()["do"] for step in at.plan.steps} | {ASSISTANT: "assistant"}
    return [Candidate(one.name, parents.get(one.name, ""), notes.get(one.name, "")) for one in measured]


def _curves(at: Context) -> list[Curve]:
    """The curves of the steps that made the models, and of no others: a report depends on its inputs only."""
    behind = at.plan.behind(at.name)
    drawn = [(step.name, step.folder / "curve.png") for step in at.plan.steps if step.name in behind]
    return [Curve(name, path) for name, path in drawn if path.is_file()]


def _tables(tasks: Mapping[str, Task], measured: list[Measured], facts: list[Fact]) -> tuple[IndicationTable, ...]:
    if "indications" not in tasks or not facts:
        return ()
    from xinglin.knowledge.store import Knowledge

    knowledge = Knowledge(facts)
    questions = tasks["indications"].questions
    known = {one.origin.group for one in questions if knowledge.lookup(one.origin.group, "适应症")}
    return tuple(indication_table(questions, one.predictions["indications"], known, model=one.name) for one in measured)


def _sources(facts: list[Fact]) -> tuple[Source, ...]:
    counts: dict[tuple[str, str, str], int] = {}
    for fact in facts:
        key = (fact.origin.source, fact.origin.licence, fact.origin.kind)
        counts[key] = counts.get(key, 0) + 1
    note = "自撰摘要，未经医师审核 · own summary, not reviewed by a physician"
    return tuple(
        Source(source, licence, count, note if kind == "summary" else "")
        for (source, licence, kind), count in counts.items()
    )
