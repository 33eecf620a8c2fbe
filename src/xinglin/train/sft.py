"""Supervised fine-tuning: loss on the assistant's words and its end token only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.errors import DataError
from xinglin.model.adapter import FULL, Tuning
from xinglin.model.render import Template
from xinglin.train.batches import Row, Rows, encode_samples, pack
from xinglin.train.fit import Schedule, begin, fit, keep
from xinglin.train.heldout import hold_out
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.noise import noisy
from xinglin.train.recorder import Progress
from xinglin.types import Sample


def sft(
    base: Path | str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    schedule: Schedule,
    tuning: Tuning = FULL,
    neftune: float = 0.0,
    progress: Progress | None = None,
) -> Rows:
    """Fine-tune the model at `base` on conversations and save it into `folder`; returns the packed rows.

    `neftune` is the strength of the noise on the embeddings, 0 for none (5 to 15 in its paper).
    """
    if not samples:
        raise DataError("there are no samples to train on", where=str(folder.name), fix="check the steps it reads")
    train, kept = hold_out(samples, share=schedule.heldout, seed=schedule.seed)
    model, tokenizer = begin(base, tuning, schedule.seed)
    rows = _rows(train, Template(tokenizer), schedule.length)
    heldout: Sequence[Row] = _rows(kept, Template(tokenizer), schedule.length).rows if kept else ()
    objective = noisy(NEXT_TOKEN, neftune) if neftune else NEXT_TOKEN
    fit(model, rows.rows, objective=objective, schedule=schedule, folder=folder, progress=progress, heldout=heldout)
    keep(model, tokenizer, folder, stage="sft", base=base)
    return rows


def _rows(samples: Sequence[Sample], template: Template, length: int) -> Rows:
    encoded, dropped = encode_samples(samples, template, length=length)
    return pack([[one] for one in encoded], length=length, dropped=dropped)
