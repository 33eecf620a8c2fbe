"""Records of our own writing for the tests of cleaning, splitting, mixing and noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from xinglin.cli.data_curate import app
from xinglin.files import write_records
from xinglin.types import Message, Origin, Sample, make_id


def sample(
    question: str = "孩子咳嗽两天了要紧吗？",
    answer: str = "先观察体温和精神，必要时就医。",
    *,
    source: str = "own.jsonl",
    licence: str = "CC-BY-4.0",
    group: str = "",
    tags: Sequence[str] = (),
) -> Sample:
    messages = (Message("user", question), Message("assistant", answer))
    origin = Origin(source, "1", licence, "dialogue", group=group)
    return Sample(make_id("sample", question, answer), messages, origin, tuple(tags))


def many(count: int, name: str = "甲", **about: Any) -> list[Sample]:
    return [
        sample(f"{name}问题第{at}个，请医生看看？", f"这是第{at}个回答，请按时复诊。", **about) for at in range(count)
    ]


def write(path: Path, records: Sequence[object]) -> Path:
    write_records(path, records)
    return path


def run(*arguments: object) -> None:
    """`xinglin data …` in this process; a mistake is raised."""
    command = typer.main.get_command(app)
    with command.make_context("data", [str(one) for one in arguments]) as context:
        command.invoke(context)
