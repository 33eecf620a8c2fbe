"""What a training run writes down: `metrics.jsonl` for its curves, and its speed for whoever watches.

`metrics.jsonl` is the same in every run of the same training; what depends on the machine (tokens per second, memory)
goes to the logs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from transformers import TrainerCallback

from xinglin import files
from xinglin.train.curves import METRICS
from xinglin.train.finite import not_finite
from xinglin.train.launch import first
from xinglin.train.utilisation import operations, peak

Progress = Callable[[int, int, dict[str, float]], None]
"""(finished optimiser steps, all steps, last logged numbers) → shown to the user."""


class Recorder(TrainerCallback):
    """Writes one JSON line per optimiser step and tells the progress display."""

    def __init__(self, folder: Path, trainer: Any, progress: Progress | None, *, after: int) -> None:
        self.folder = folder
        self.trainer = trainer
        self.progress = progress
        self.after = after
        self.tokens = 0
        self.operations = 0.0
        self.started = time.monotonic()

    def __enter__(self) -> Recorder:
        self.file, self.speed = (self._open(path) for path in (self.folder / METRICS, self._speed_path()))
        self.started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.speed.close()

    def _speed_path(self) -> Path:
        return self.folder / files.LOGS / "speed.jsonl"

    def _open(self, path: Path) -> IO[str]:
        """The file with the lines of the steps before the checkpoint that training goes on from."""
        if not first():
            return Path(os.devnull).open("w", encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() and self.after else []
        # A killed run may have left half a line, but only after its last checkpoint.
        files.write_text(path, "".join(f"{line}\n" for line in lines[: self.after]))
        return path.open("a", encoding="utf-8", buffering=1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        # With a bad gradient the weights are lost, even if no later loss shows it because this was the last step.
        norm = float(logs.get("grad_norm", 0.0))
        if norm != norm or norm in (float("inf"), float("-inf")):
            names = [name for row in self.trainer.rows for name in row.names]
            raise not_finite("the gradient", norm, step=state.global_step, names=names, model=self.trainer.model)
        numbers = {
            "step": state.global_step,
            "loss": logs["loss"],
            "rate": logs.get("learning_rate", 0.0),
            "norm": norm,
        }
        numbers |= _means(self.trainer.numbers)
        speed = self._speed()
        if state.is_world_process_zero:
            self.file.write(json.dumps(numbers) + "\n")
            self.speed.write(json.dumps({"step": state.global_step} | speed) + "\n")
            if self.progress:
                self.progress(state.global_step, state.max_steps, numbers | speed)

    def _speed(self) -> dict[str, float]:
        """Tokens per second of this process since it started; on an accelerator its memory and MFU, too."""
        rows = self.trainer.rows
        self.tokens += sum(len(row.ids) for row in rows)
        seconds = time.monotonic() - self.started
        speed = {"tokens_per_second": round(self.tokens / seconds, 1)}
        if torch.cuda.is_available():
            speed["gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            if most := peak(torch.cuda.get_device_name()):
                segments = [end - start + 1 for row in rows for start, end in row.spans()]
                targets = sum(label >= 0 for row in rows for label in row.labels)
                self.operations += operations(self.trainer.model, segments, targets=targets)
                speed["mfu"] = round(self.operations / seconds / most, 4)
        return speed


def _means(numbers: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in numbers for name in one)
    return {
        name: sum(one[name] for one in numbers if name in one) / sum(name in one for one in numbers) for name in names
    }
