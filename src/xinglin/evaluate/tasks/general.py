"""A canary of general ability: a small set of our own on common sense, arithmetic and language, by likelihood.

It is no benchmark. Its use is the paired comparison of a model with the model it was trained from (X5).
"""

from __future__ import annotations

from dataclasses import replace

import yaml

from xinglin.evaluate.task import Task
from xinglin.evaluate.tasks.facts import choice_task
from xinglin.files import read_document
from xinglin.knowledge.sources import PACKS
from xinglin.types import Message, Origin, Question, make_id

GENERAL = "general"


def general_task() -> Task:
    """The canary as a choice by likelihood; the choices of a question are in an order that its words decide."""
    path = PACKS / GENERAL / "questions.yaml"
    content = yaml.safe_load(read_document(path).text)
    questions = [
        _question(at, [str(part) for part in row], content["licence"]) for at, row in enumerate(content["questions"], 1)
    ]
    task = choice_task(questions)
    return replace(task, name=GENERAL, signature="xl-general|engine:loglik-per-token|tie:first|v:1")


def _question(at: int, row: list[str], licence: str) -> Question:
    asked, right, *wrong = row
    origin = Origin(source=f"pack:{GENERAL}", item=str(at), licence=licence, kind="label", group=asked)
    choices = tuple(sorted((right, *wrong), key=lambda choice: make_id("choice", asked, choice)))
    return Question(
        make_id("question", GENERAL, asked), (Message("user", asked),), (right,), GENERAL, origin, choices=choices
    )
