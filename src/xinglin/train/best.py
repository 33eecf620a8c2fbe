"""The weights that did best on held-out rows, and the end of a training that no longer gets better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from xinglin import files
from xinglin.model.attention import beside
from xinglin.model.load import writing
from xinglin.train.batches import Row, collate
from xinglin.train.objective import Objective

MEASUREMENTS = 10
"""Measurements on the held-out rows in a training."""
_ROWS = 4


class Best(TrainerCallback):
    """Measures the objective on held-out rows and keeps the best trainable weights on the disk."""

    def __init__(self, rows: Sequence[Row], objective: Objective, folder: Path, *, patience: int) -> None:
        self.rows = rows
        self.objective = objective
        self.folder = folder
        self.patience = patience
        self.losses: dict[int, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        path = self.folder / "heldout.json"
        known = files.read_json(path) if path.is_file() else {}
        self.losses = {int(step): loss for step, loss in known.items() if int(step) <= state.global_step}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        every = max(1, state.max_steps // MEASUREMENTS)
        if state.global_step % every and state.global_step < state.max_steps:
            return
        loss = self.measure(model)
        better = loss < min(self.losses.values(), default=float("inf"))
        self.losses[state.global_step] = loss
        if state.is_world_process_zero:
            self._write(model, better=better)
        since = [step for step in self.losses if step > min(self.losses, key=lambda step: self.losses[step])]
        if self.patience and len(since) >= self.patience:
            control.should_training_stop = True

    def _write(self, model: Any, *, better: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if better:
            weights = {
                name: part.detach().contiguous() for name, part in model.named_parameters() if part.requires_grad
            }
            with writing(self.folder):
                save_file(weights, self.folder / "best.safetensors")
        files.write_json(self.folder / "heldout.json", self.losses)

    @torch.no_grad()
    def measure(self, model: Any) -> float:
        """The objective per unit over all held-out rows."""
        was = model.training
        model.eval()
        total, units = 0.0, 0
        for first in range(0, len(self.rows), _ROWS):
            batch = collate(self.rows[first : first + _ROWS])
            total += self.objective.loss(model, beside(model, batch)).total.item()
            units += self.objective.count(batch)
        model.train(was)
        return total / units

    def restore(self, model: Any) -> None:
        """Give the model its best weights back."""
        weights = load_file(self.folder / "best.safetensors")
        with torch.no_grad():
            for name, part in model.named_parameters():
                if name in weights:
                    part.copy_(weights[name])
