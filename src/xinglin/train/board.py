"""metrics.jsonl → event files of TensorBoard, whenever there is something new; training itself knows nothing of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from xinglin.errors import DataError, EngineError
from xinglin.train.curves import METRICS

SECONDS = 2.0
"""Time between two looks."""


class Board:
    """Follows every metrics file below some folders and writes what is new into `target`/<recipe>/<step>."""

    def __init__(self, folders: Sequence[Path], target: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise EngineError(
                "writing event files needs tensorboardX",
                where="--tensorboard",
                fix="pip install 'xinglin[tensorboard]'; every step has curve.html and curve.png without it",
            ) from None
        self._writer: Any = SummaryWriter
        self.folders = folders
        self.target = target
        self.found: dict[Path, Any] = {}
        self._done: dict[Path, list[str]] = {}
        if not any(self._files()):
            raise DataError(
                f"no {METRICS} here: nothing has been trained",
                where=", ".join(map(str, folders)),
                fix="name the folder of a training step, of a recipe, or of all runs",
            )

    def _files(self) -> list[Path]:
        return sorted({path for folder in self.folders for path in folder.resolve().rglob(METRICS)})

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.found.values():
            writer.close()

    def update(self) -> int:
        """Write the steps that were not there before; returns how many. A half-written line waits for its end."""
        new = 0
        for path in self._files():
            try:
                *whole, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
            except FileNotFoundError:
                continue  # removed between two looks: its step begins afresh
            before = self._done.get(path, [])
            done = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, whole, strict=False)))
            if path not in self.found or done < len(before):
                self._begin(path, after=done)
            for line in whole[done:]:
                numbers = _numbers(line)
                for name, value in numbers.items():
                    if name != "step":
                        self.found[path].add_scalar(name, value, int(numbers["step"]))
            self.found[path].flush()
            new += len(whole) - done
            self._done[path] = whole
        return new

    def _begin(self, path: Path, *, after: int) -> None:
        """A new event file, in which what older ones say of the steps behind `after` lines no longer counts."""
        if path in self.found:
            self.found[path].close()
        kept = [_numbers(line) for line in self._done.get(path, [])[:after]]
        step = max((int(numbers["step"]) + 1 for numbers in kept if numbers), default=0)
        folder = self.target / path.parent.parent.name / path.parent.name
        # Files of one second would have one name.
        suffix = f".{time.monotonic_ns()}"
        self.found[path] = self._writer(logdir=str(folder), purge_step=step, filename_suffix=suffix)

    @staticmethod
    def wait() -> None:
        """Until the next look."""
        time.sleep(SECONDS)


def _numbers(line: str) -> dict[str, float]:
    """The numbers of a line of metrics, the step among them; none of a line that a crash has spoilt."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("step"), int):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}
