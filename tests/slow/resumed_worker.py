"""One of two processes that fine-tune and may die after a step: MODEL SAMPLES OUT CASE.json STOP (by torchrun)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from xinglin import files
from xinglin.model.adapter import Tuning
from xinglin.train import together
from xinglin.train.fit import Schedule
from xinglin.train.launch import Launch
from xinglin.train.sft import sft
from xinglin.types import Sample


def schedule(case: dict[str, Any], launch: Launch) -> Schedule:
    """Some steps with held-out rows and a checkpoint after each."""
    return Schedule(3, 4, case["rate"], seed=7, length=72, micro=1, heldout=0.2, minutes=0, launch=launch)


def tuning(case: dict[str, Any]) -> Tuning:
    """The whole model, or a small adapter without dropout."""
    return Tuning(case["tune"], rank=4, alpha=8, dropout=0.0)


def main(model: str, samples: str, out: str, told: str, stop: str) -> None:
    """Fine-tune, telling every finished step; the process that writes dies when step `stop` is finished."""

    def progress(done: int, total: int, numbers: dict[str, float]) -> None:
        print(done, flush=True)
        if done == int(stop):
            os._exit(1)

    case = files.read_json(Path(told))
    planned = schedule(case, Launch(2, 1, case["strategy"], case["offload"]))
    records = files.read_records(Path(samples), Sample)
    sft(model, records, Path(out), schedule=planned, tuning=tuning(case), progress=progress)
    together.leave()
    together.end(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
