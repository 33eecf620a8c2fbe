"""Supervised fine-tuning: loss on the assistant's words and its end token only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.errors import DataError
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train.batches import Rows, encode_samples, pack
from xinglin.train.fit import Progress, Schedule, fit
from xinglin.train.likelihood import next_token_loss
from xinglin.types import Sample


def sft(
    base: Path | str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    schedule: Schedule,
    length: int,
    progress: Progress | None = None,
) -> Rows:
    """Fine-tune the model at `base` on conversations and save it into `folder`; returns the packed rows."""
    if not samples:
        raise DataError("there are no samples to train on", where=str(folder.name), fix="check the steps it reads")
    model, tokenizer = load.open_pair(str(base))
    encoded, dropped = encode_samples(samples, Template(tokenizer), length=length)
    rows = pack([[one] for one in encoded], length=length, dropped=dropped)
    pad = load.pad_id(tokenizer)
    fit(model, rows.rows, loss=next_token_loss, schedule=schedule, folder=folder, pad=pad, progress=progress)
    load.save(model, tokenizer, folder / load.FOLDER, stage="sft", base=base)
    return rows
