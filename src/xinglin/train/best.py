"""The weights that did best on held-out rows, and the end of a training that no longer gets better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from xinglin import files
from xinglin.metrics.paired import bootstrap, sign_flip
from xinglin.model.attention import beside
from xinglin.model.load import writing
from xinglin.train import together
from xinglin.train.batches import Row, collate
from xinglin.train.launch import first
from xinglin.train.objective import Objective
from xinglin.train.shares import trainable

MEASUREMENTS = 10
"""Measurements on the held-out rows in a training."""
KEPT = "heldout.json"
WEIGHTS = "best.safetensors"


class Best(TrainerCallback):
    """Measures the objective on held-out rows and keeps the best trainable weights on the disk."""

    def __init__(self, rows: Sequence[Row], objective: Objective, folder: Path, *, patience: int) -> None:
        self.rows = rows
        self.objective = objective
        self.folder = folder
        self.patience = patience
        self.losses: dict[int, list[float]] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **given: Any) -> None:
        path = self.folder / KEPT
        known = files.read_json(path) if path.is_file() else {}
        self.losses = {int(step): losses for step, losses in known.items() if int(step) <= state.global_step}
        if not state.global_step:
            self._measure_at(0, model, given["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **given: Any) -> None:
        every = max(1, state.max_steps // MEASUREMENTS)
        if state.global_step % every and state.global_step < state.max_steps:
            return
        self._measure_at(state.global_step, model, given["optimizer"])
        since = [step for step in self.losses if step > self.best]
        if self.patience and len(since) >= self.patience:
            control.should_training_stop = True

    @property
    def best(self) -> int:
        """The step after which the loss was lowest; 0 if training has never lowered it."""
        return min(self.losses, key=lambda step: sum(self.losses[step]))

    def _measure_at(self, step: int, model: Any, optimizer: Any) -> None:
        self.losses[step] = together.agree(self.measure(model))
        # Of a model in shares all processes put the weights together, and the first one writes them.
        weights = trainable(model, optimizer) if self.best == step else {}
        if not first():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if weights:
            with writing(self.folder):
                save_file(weights, self.folder / WEIGHTS)
        files.write_json(self.folder / KEPT, self.losses)

    @torch.no_grad()
    def measure(self, model: Any) -> list[float]:
        """The objective on every held-out row, per unit of all rows: their sum is the loss."""
        was = model.training
        model.eval()
        totals: list[float] = []
        units = 0
        for row in self.rows:
            batch = beside(model, collate([row]))
            totals.append(self.objective.loss(model, batch).total.item())
            units += self.objective.count(batch)
        model.train(was)
        return [total / units for total in totals]

    def result(self, *, seed: int) -> dict[str, float]:
        """Held-out loss before and after, with the difference per row (95 % interval, sign-flip p)."""
        before, after = self.losses[0], self.losses[self.best]
        differences = [(new - old) * len(before) for old, new in zip(before, after, strict=True)]
        low, high = bootstrap(differences, seed=seed)
        return {
            "heldout_rows": len(before),
            "heldout_before": sum(before),
            "heldout_after": sum(after),
            "heldout_low": low,
            "heldout_high": high,
            "heldout_p": sign_flip(differences, seed=seed),
            "best_step": self.best,
        }


def restore(model: Any, folder: Path) -> None:
    """Give a model the best weights of the training in `folder`, if it had held-out rows."""
    if not (folder / WEIGHTS).is_file():
        return
    weights = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, part in model.named_parameters():
            if name in weights:
                part.copy_(weights[name])
