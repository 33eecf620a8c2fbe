"""Continued pretraining: next-token loss on every token of packed text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.model.adapter import FULL, Tuning
from xinglin.model.render import Template
from xinglin.train.batches import Row, Rows, encode_passages, pack
from xinglin.train.fit import Schedule, begin, fit, keep
from xinglin.train.heldout import hold_out
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.recorder import Progress
from xinglin.types import Passage


def pretrain(
    base: Path | str,
    passages: Sequence[Passage],
    folder: Path,
    *,
    schedule: Schedule,
    tuning: Tuning = FULL,
    progress: Progress | None = None,
) -> Rows:
    """Train the model at `base` on text and save it into `folder`; returns the packed rows it was trained on."""
    train, kept = hold_out(passages, share=schedule.heldout, seed=schedule.seed)
    model, tokenizer = begin(base, tuning, schedule.seed)
    rows = _rows(train, Template(tokenizer), schedule.length)
    heldout: Sequence[Row] = _rows(kept, Template(tokenizer), schedule.length).rows if kept else ()
    fit(model, rows.rows, objective=NEXT_TOKEN, schedule=schedule, folder=folder, progress=progress, heldout=heldout)
    keep(model, tokenizer, folder, stage="pretrain", base=base)
    return rows


def _rows(passages: Sequence[Passage], template: Template, length: int) -> Rows:
    return pack([[piece] for piece in encode_passages(passages, template, length=length)], length=length)
