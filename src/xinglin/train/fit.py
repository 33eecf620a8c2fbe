"""One training loop for every stage: transformers' Trainer over packed rows, an objective per stage.

A run that was killed goes on from its last checkpoint and ends with the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils.import_utils import is_liger_kernel_available

from xinglin import files
from xinglin.errors import RecipeError
from xinglin.model import load
from xinglin.model.adapter import Tuning, open_for_training
from xinglin.model.attention import Batch, check, check_context, packed
from xinglin.train import zero
from xinglin.train.batches import Row, collate
from xinglin.train.best import Best, restore
from xinglin.train.finite import require_finite
from xinglin.train.launch import ALONE, SHARDED, ZERO, Launch, arguments, check_strategy, first, world
from xinglin.train.objective import Objective
from xinglin.train.recorder import Progress, Recorder
from xinglin.train.resume import Keeper, Pace, check_sharing, last_checkpoint

HELDOUT = "heldout.json"
"""The loss on held-out rows before and after a training that has any."""
WHOLE = "whole"
TRAINER = "trainer"
"""Folder below a step's logs with the checkpoints of a training that has not ended."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    A step takes `batch` packed rows of `length` tokens, `micro` rows per forward pass (0: all at once). `warmup` is a
    share of all steps; `heldout` is the share of the data that is measured on; `patience` counts measurements without
    improvement before training stops early (0: never); `minutes` are the most between two checkpoints; `recompute`
    trades time for memory (activation checkpointing).
    """

    epochs: float
    batch: int
    rate: float
    seed: int
    length: int = 256
    micro: int = 0
    warmup: float = 0.05
    decay: float = 0.01
    clip: float = 1.0
    patience: int = 0
    minutes: float = 10.0
    recompute: bool = False
    heldout: float = 0.0
    launch: Launch = ALONE

    def accumulation(self, processes: int) -> tuple[int, int]:
        """Rows per forward pass and process, and forward passes per optimiser step."""
        micro = self.micro or max(1, self.batch // processes)
        passes, rest = divmod(self.batch, micro * processes)
        if rest or not passes:
            raise RecipeError(
                f"batch ({self.batch} rows) cannot be divided into {processes} processes of {micro} rows",
                fix="make `batch` a multiple of `micro` times the number of processes",
            )
        return micro, passes


class _Packed(Dataset[Row]):
    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


def _collate(rows: Sequence[Row]) -> Batch:
    return collate(rows) | {"rows": tuple(rows)}


class _Trainer(Trainer):
    """Trainer with the objective's own unit: the loss of a step is a mean over all units of all its forward passes."""

    def __init__(self, *args: Any, objective: Objective, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objective = objective
        self.numbers: list[dict[str, float]] = []
        self.rows: list[Row] = []
        # Otherwise the loss would be divided by the number of passes once more.
        self.model_accepts_loss_kwargs = True

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> torch.Tensor:
        self.numbers, self.rows = [], [row for batch in batch_samples for row in batch["rows"]]
        units = torch.tensor([float(sum(self.objective.count(batch) for batch in batch_samples))], device=device)
        return self.accelerator.gather(units).sum()  # type: ignore[union-attr]

    def compute_loss(self, model: Any, inputs: Batch, *_: Any, **options: Any) -> torch.Tensor:
        part = self.objective.loss(model, inputs)
        self.numbers.append(part.numbers)
        loss = part.total / options["num_items_in_batch"] * self.accelerator.num_processes
        require_finite(
            "the loss",
            loss.item(),
            step=self.state.global_step + 1,
            model=self.model,  # not the wrapper: the other processes do not take part
            batch=inputs,
            objective=self.objective,
        )
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        return 0


def settle(seed: int) -> None:
    """Make training repeatable on this machine: fixed seed, deterministic kernels, quiet libraries."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def begin(
    base: Path | str, tuning: Tuning, seed: int, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open the model that a stage starts from; what starts at random (an adapter, a head) comes from the seed."""
    settle(seed)
    return open_for_training(str(base), tuning, **options)


def _arguments(schedule: Schedule, folder: Path, rows: int) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    micro, passes = schedule.accumulation(world())
    steps = schedule.epochs * math.ceil(rows / schedule.batch)
    shared: dict[str, Any] = {"use_cpu": not cuda}
    if world() > 1:
        shared |= arguments(schedule.launch)
        if schedule.launch.strategy in ZERO:
            shared |= zero.meet()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=passes,
        learning_rate=schedule.rate,
        lr_scheduler_type="cosine",
        # Rounded down: the first step of a warm-up has the rate 0, and a training of few steps must not lose it.
        warmup_steps=int(schedule.warmup * steps),
        weight_decay=schedule.decay,
        max_grad_norm=schedule.clip,
        optim="adamw_torch_fused",
        seed=schedule.seed,
        data_seed=schedule.seed,
        logging_steps=1,
        # The Keeper asks for checkpoints by the clock; a strategy of its own would add one at the end.
        save_strategy="no",
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        activation_checkpointing=schedule.recompute,
        bf16=cuda,
        dataloader_pin_memory=cuda,
        average_tokens_across_devices=False,
        **kernels(),
        **shared,
    )


def kernels() -> dict[str, Any]:
    """The arguments of Trainer for Liger's fused norms, rotary embeddings and feed-forwards (Hsu et al. 2024).

    Empty where they cannot run: they need an accelerator and the package. Its losses stay off: objectives compute the
    output layer on target positions only.
    """
    if not (torch.cuda.is_available() and is_liger_kernel_available()):
        return {}
    fused = dict.fromkeys(("rope", "rms_norm", "swiglu", "geglu"), True)
    off = dict.fromkeys(("cross_entropy", "fused_linear_cross_entropy"), False)
    return {"use_liger_kernel": True, "liger_kernel_config": fused | off}


def fit(
    model: PreTrainedModel,
    rows: Sequence[Row],
    *,
    objective: Objective,
    schedule: Schedule,
    folder: Path,
    progress: Progress | None = None,
    heldout: Sequence[Row] = (),
) -> None:
    """Train `model` in place; `metrics.jsonl` in `folder` gets one line per optimiser step.

    With `heldout` rows the weights that did best on them are the result, and `heldout.json` says by how much.
    """
    settle(schedule.seed)
    check(model)
    check_context(model, max(end - start + 1 for row in [*rows, *heldout] for start, end in row.spans()))
    work = folder / files.LOGS / TRAINER
    trainer = _Trainer(
        model=model,
        args=_arguments(schedule, work, len(rows)),
        train_dataset=_Packed(rows),
        data_collator=_collate,
        objective=objective,
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    check_strategy(trainer.accelerator.distributed_type.name, schedule.launch if world() > 1 else ALONE)
    if first():
        last_checkpoint(work)  # what is broken goes before the others look
    trainer.accelerator.wait_for_everyone()
    done = last_checkpoint(work)
    if done:
        check_sharing(done, schedule.launch)
    best = Best(heldout, objective, work, patience=schedule.patience) if heldout else None
    keeper = Keeper(work, Pace(schedule.minutes * 60), schedule.launch)
    with packed(model), Recorder(folder, trainer, progress, after=done.step if done else 0) as recorder:
        for callback in (recorder, best, keeper):
            if callback:
                trainer.add_callback(callback)
        model.train()
        trainer.train(resume_from_checkpoint=str(done.path) if done else None)
    if schedule.launch.strategy in SHARDED and world() > 1:
        trainer.save_model(str(work / WHOLE))
    elif best:
        restore(model, work)
    zero.part()
    if best and first():
        files.write_json(folder / HELDOUT, best.result(seed=schedule.seed))
    model.eval()


def keep(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, stage: str, base: Path | str
) -> None:
    """Save the trained model into `folder`/model; the checkpoints of its training are no longer needed then."""
    if not first():
        return
    work = folder / files.LOGS / TRAINER
    if (work / WHOLE).is_dir():  # every process holds a share only; together they have written this
        model = load.open_model(str(work / WHOLE), kind=type(model))
        restore(model, work)
    # What a run that was killed while saving has left would count into the digest.
    shutil.rmtree(folder / load.FOLDER, ignore_errors=True)
    load.save(model, tokenizer, folder / load.FOLDER, stage=stage, base=base)
    shutil.rmtree(work, ignore_errors=True)
