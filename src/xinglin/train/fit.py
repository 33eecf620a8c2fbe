"""One training loop for every stage: transformers' Trainer over packed rows, a loss function per stage."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from xinglin import files
from xinglin.errors import EngineError
from xinglin.train.batches import Row, collate

Batch = dict[str, torch.Tensor]
Loss = Callable[[PreTrainedModel, Batch], tuple[torch.Tensor, dict[str, float]]]
"""(model, batch) → the loss to minimise (a scalar) and numbers worth logging."""
Progress = Callable[[int, int, dict[str, float]], None]
"""(finished optimiser steps, all steps, last logged numbers) → shown to the user."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: `batch` counts packed rows per optimiser step; warm-up is a share of all steps."""

    epochs: float
    batch: int
    rate: float
    seed: int
    warmup: float = 0.05
    decay: float = 0.01
    clip: float = 1.0


class _Packed(Dataset[Row]):
    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class _Trainer(Trainer):
    def __init__(self, *args: Any, loss: Loss, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stage_loss = loss
        self.numbers: dict[str, float] = {}

    def compute_loss(self, model: Any, inputs: Batch, *_: Any, **__: Any) -> torch.Tensor:
        loss, self.numbers = self.stage_loss(model, inputs)
        _require_finite("the loss", loss.item(), step=self.state.global_step + 1, model=model)
        return loss


def _require_finite(what: str, value: float, *, step: int, model: Any) -> None:
    if not math.isfinite(value):
        raise EngineError(
            f"{what} became {value} at step {step}",
            where=f"training ({type(model).__name__})",
            fix="lower `rate` (the learning rate) or check the data of this step for broken samples",
        )


class _Log(TrainerCallback):
    """Writes one JSON line per optimiser step and tells the progress display."""

    def __init__(self, file: IO[str], trainer: _Trainer, progress: Progress | None) -> None:
        self.file = file
        self.trainer = trainer
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        # With a bad gradient the weights are lost, even if no later loss shows it because this was the last step.
        norm = float(logs.get("grad_norm", 0.0))
        _require_finite("the gradient", norm, step=state.global_step, model=self.trainer.model)
        numbers = {"step": state.global_step, "loss": logs["loss"], "rate": logs.get("learning_rate", 0.0)}
        numbers |= self.trainer.numbers
        self.file.write(json.dumps(numbers) + "\n")
        if self.progress:
            self.progress(state.global_step, state.max_steps, numbers)


def settle(seed: int) -> None:
    """Make training repeatable on this machine: fixed seed, deterministic kernels, quiet libraries."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def fit(
    model: PreTrainedModel,
    rows: Sequence[Row],
    *,
    loss: Loss,
    schedule: Schedule,
    folder: Path,
    pad: int,
    progress: Progress | None = None,
) -> None:
    """Train `model` in place. Writes `metrics.jsonl` (one line per optimiser step) into `folder`."""
    settle(schedule.seed)
    arguments = TrainingArguments(
        output_dir=str(folder / files.LOGS / "trainer"),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.batch,
        learning_rate=schedule.rate,
        lr_scheduler_type="cosine",
        warmup_steps=schedule.warmup,
        weight_decay=schedule.decay,
        max_grad_norm=schedule.clip,
        optim="adamw_torch_fused",
        seed=schedule.seed,
        data_seed=schedule.seed,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        # Batches are made of our own rows on the fly; the default would spread them over devices by itself.
        average_tokens_across_devices=False,
    )
    trainer = _Trainer(
        model=model, args=arguments, train_dataset=_Packed(rows), data_collator=partial(collate, pad=pad), loss=loss
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8", buffering=1) as file:
        trainer.add_callback(_Log(file, trainer, progress))
        model.train()
        trainer.train()
    model.eval()
