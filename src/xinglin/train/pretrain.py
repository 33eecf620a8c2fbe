"""Continued pretraining: next-token loss on every token of packed text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train.batches import Rows, encode_passages, pack
from xinglin.train.fit import Progress, Schedule, fit
from xinglin.train.likelihood import next_token_loss
from xinglin.types import Passage


def pretrain(
    base: Path | str,
    passages: Sequence[Passage],
    folder: Path,
    *,
    schedule: Schedule,
    length: int,
    progress: Progress | None = None,
) -> Rows:
    """Train the model at `base` on text and save it into `folder`; returns the packed rows it was trained on."""
    model, tokenizer = load.open_pair(str(base))
    pieces = encode_passages(passages, Template(tokenizer), length=length)
    rows = pack([[piece] for piece in pieces], length=length)
    pad = load.pad_id(tokenizer)
    fit(model, rows.rows, loss=next_token_loss, schedule=schedule, folder=folder, pad=pad, progress=progress)
    load.save(model, tokenizer, folder / load.FOLDER, stage="pretrain", base=base)
    return rows
