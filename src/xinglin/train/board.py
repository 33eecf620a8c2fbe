"""metrics.jsonl → event files of TensorBoard, whenever there is something new; training itself knows nothing of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinglin.errors import DataError, EngineError
from xinglin.train.recorder import METRICS

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
        self._done: dict[Path, int] = {}
        if not any(self._files()):
            raise DataError(
                f"no {METRICS} here: nothing has been trained",
                where=", ".join(map(str, folders)),
                fix="name the folder of a training step, of a recipe, or of all runs",
            )

    def _files(self) -> list[Path]:
        return sorted(path for folder in self.folders for path in folder.rglob(METRICS))

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.found.values():
            writer.close()

    def update(self) -> int:
        """Write the steps that were not there before; returns how many. A half-written line waits for its end."""
        new = 0
        for path in self._files():
            *whole, _ = path.read_text(encoding="utf-8").split("\n")
            done = self._done.get(path, 0)
            if len(whole) < done:
                done = 0  # the step was begun afresh
            if path not in self.found:
                folder = self.target / path.parent.parent.name / path.parent.name
                self.found[path] = self._writer(logdir=str(folder))
            for line in whole[done:]:
                numbers = json.loads(line)
                for name, value in numbers.items():
                    if name != "step":
                        self.found[path].add_scalar(name, value, int(numbers["step"]))
            self.found[path].flush()
            new += len(whole) - done
            self._done[path] = len(whole)
        return new

    @staticmethod
    def wait() -> None:
        """Until the next look."""
        time.sleep(SECONDS)
