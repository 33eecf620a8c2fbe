"""What a step of a recipe works with: where it writes, what it may read, and whom it tells about its progress."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from xinglin import files
from xinglin.errors import DataError
from xinglin.recipe.plan import Plan

Noun = TypeVar("Noun")
Numbers = dict[str, Any]
"""What a step wants to be remembered in its manifest."""
FACTS, PASSAGES, SAMPLES = "facts.jsonl", "passages.jsonl", "samples.jsonl"
RECALL, CHOICE, PAIRS, HELDOUT = "recall.jsonl", "choice.jsonl", "preferences.jsonl", "heldout.jsonl"


@dataclass(frozen=True, slots=True)
class Context:
    """Where a step writes, what it may read, and whom it tells about its progress."""

    folder: Path
    plan: Plan
    name: str
    seed: int
    progress: Callable[[int, int, dict[str, float]], None]

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes files, of those that share a training step."""
        return os.environ.get("RANK", "0") == "0"

    def read(self, step: str, file: str, noun: type[Noun]) -> list[Noun]:
        """The records of a finished step."""
        return files.read_records(self.plan.folder(step) / file, noun)

    def write(self, file: str, records: list[Any]) -> int:
        """Write records of this step; an empty step is a DataError."""
        if not records:
            raise DataError("the step made no record", where=self.name, fix="check its inputs and limits")
        return files.write_records(self.folder / file, records)

    def model(self, step: str) -> Path:
        """The weights of a finished step."""
        return self.plan.folder(step) / "model"


def spread(records: list[Noun], most: int) -> list[Noun]:
    """At most `most` records, evenly spaced, so that every topic and phrasing has its turn."""
    if len(records) <= most:
        return records
    return [records[number * len(records) // most] for number in range(most)]
