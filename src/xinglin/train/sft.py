"""Supervised fine-tuning: loss on the assistant's words and its end token only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.errors import DataError
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train.batches import Rows, encode_samples, pack
from xinglin.train.fit import Schedule, fit, keep
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.recorder import Progress
from xinglin.types import Sample


def sft(
    base: Path | str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    schedule: Schedule,
    progress: Progress | None = None,
) -> Rows:
    """Fine-tune the model at `base` on conversations and save it into `folder`; returns the packed rows."""
    if not samples:
        raise DataError("there are no samples to train on", where=str(folder.name), fix="check the steps it reads")
    model, tokenizer = load.open_pair(str(base))
    encoded, dropped = encode_samples(samples, Template(tokenizer), length=schedule.length)
    rows = pack([[one] for one in encoded], length=schedule.length, dropped=dropped)
    fit(model, rows.rows, objective=NEXT_TOKEN, schedule=schedule, folder=folder, progress=progress)
    keep(model, tokenizer, folder, stage="sft", base=base)
    return rows
