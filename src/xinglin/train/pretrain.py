"""Continued pretraining: next-token loss on every token of packed text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train.batches import Rows, encode_passages, pack
from xinglin.train.fit import Schedule, fit, keep
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.recorder import Progress
from xinglin.types import Passage


def pretrain(
    base: Path | str,
    passages: Sequence[Passage],
    folder: Path,
    *,
    schedule: Schedule,
    progress: Progress | None = None,
) -> Rows:
    """Train the model at `base` on text and save it into `folder`; returns the packed rows it was trained on."""
    model, tokenizer = load.open_pair(str(base))
    pieces = encode_passages(passages, Template(tokenizer), length=schedule.length)
    rows = pack([[piece] for piece in pieces], length=schedule.length)
    fit(model, rows.rows, objective=NEXT_TOKEN, schedule=schedule, folder=folder, progress=progress)
    keep(model, tokenizer, folder, stage="pretrain", base=base)
    return rows
