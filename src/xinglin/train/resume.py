"""Checkpoints of a training that has not ended: made by the clock, trusted by their digests.

A checkpoint counts when `digests.json`, written last, names every file of it with its digest. Trainer reads the
optimiser's and the random numbers' files with `weights_only=True` and never reads `training_args.bin`; DeepSpeed is
made to do the same (`zero`).
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from xinglin import files
from xinglin.errors import DataError, RecipeError
from xinglin.train import together
from xinglin.train.launch import Launch, world

DIGESTS = "digests.json"
SHARING = "sharing.json"
"""Beside the files of a checkpoint: how weights and optimiser were shared out between how many processes."""
SOON = 30.0
"""Seconds to the first checkpoint, and the least between two."""
SHARE = 0.02
"""Of the time that saving may take."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint and the optimiser steps that lie before it."""

    path: Path
    step: int


def last_checkpoint(folder: Path) -> Saved | None:
    """The newest whole checkpoint below `folder`; half-written or changed ones are removed."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and path.name[11:].isdecimal()]
    for path in sorted(found, key=lambda path: -int(path.name.rpartition("-")[2])):
        if _recorded(path / DIGESTS) == _digests(path):
            return Saved(path, int(path.name.rpartition("-")[2]))
        shutil.rmtree(path)
    return None


def note_sharing(path: Path, launch: Launch) -> None:
    """Write down how a checkpoint is shared out."""
    files.write_json(path / SHARING, _sharing(launch))


def check_sharing(saved: Saved, launch: Launch) -> None:
    """A RecipeError if a checkpoint holds its optimiser in shares that this training cannot take up.

    Trainer would go on with a new optimiser and learning rate and say nothing, or DeepSpeed end in an assertion.
    """
    path = saved.path / SHARING
    was, now = files.read_json(path) if path.is_file() else _sharing(Launch()), _sharing(launch)
    if was != now:
        raise RecipeError(
            f"the checkpoint of step {saved.step} was written under {_spell(was)}, and cannot be continued under "
            f"{_spell(now)}",
            where=str(saved.path),
            fix="go on with the `launch` that it was written with, or remove this folder to begin again",
        )


def _sharing(launch: Launch) -> dict[str, Any]:
    """The strategy and its processes; without shares of their own (ddp) any number of processes can go on."""
    if world() == 1 or launch.strategy == "ddp":
        return {"strategy": "ddp"}
    return {"strategy": launch.strategy, "processes": world()}


def _spell(sharing: dict[str, Any]) -> str:
    count = sharing.get("processes")
    return f"{sharing['strategy']} on {count} processes" if count else "ddp or by one process"


def _recorded(path: Path) -> object:
    """What a checkpoint's file of digests says; None where it is missing or spoilt."""
    try:
        return files.read_json(path) if path.is_file() else None
    except DataError:
        return None


def seal(path: Path) -> None:
    """Write down the digests of a whole checkpoint: from then on it counts."""
    files.write_json(path / DIGESTS, _digests(path))


def _digests(path: Path) -> dict[str, str]:
    return {name: digest for name, digest in files.digest_folder(path).items() if name != DIGESTS}


class Pace:
    """When a checkpoint is due: soon if saving is quick, for saving may take a fiftieth of the time; at last `most`.

    `most`, in seconds, is what a kill may cost; 0 asks for a checkpoint after every step.
    """

    def __init__(self, most: float) -> None:
        self.most = most
        self.wait = min(SOON, most)
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() - self.last >= self.wait

    def begin(self) -> None:
        """A checkpoint is being written."""
        self.last = time.monotonic()

    def end(self) -> None:
        """It has been written."""
        now = time.monotonic()
        self.wait = min(self.most, max(SOON, (now - self.last) / SHARE))
        self.last = now


class Keeper(TrainerCallback):
    """Asks for checkpoints at a pace, and seals those that were made."""

    def __init__(self, folder: Path, pace: Pace, launch: Launch) -> None:
        self.folder = folder
        self.pace = pace
        self.launch = launch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        due = self.pace.due() and state.global_step < state.max_steps
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # All processes must write the same checkpoint: the first one's clock counts.
            flag = torch.tensor([float(due)], device=args.device)
            torch.distributed.broadcast(flag, 0)
            due = bool(flag.item())
        if due:
            control.should_save = True
            self.pace.begin()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        together.wait()  # every process writes files of its own into the checkpoint
        if state.is_world_process_zero:
            path = self.folder / f"checkpoint-{state.global_step}"
            note_sharing(path, self.launch)
            seal(path)
        self.pace.end()
