"""A number that is not finite ends training at once, and the error names the sample that made it."""

from __future__ import annotations

import math
from typing import Any

import torch

from xinglin.errors import EngineError
from xinglin.model.attention import Batch, beside
from xinglin.train.batches import Row, collate
from xinglin.train.objective import Objective
from xinglin.train.shares import in_shares

_NAMED = 5


def require_finite(what: str, value: float, *, step: int, model: Any, batch: Batch, objective: Objective) -> None:
    """An EngineError that names the samples of `batch` whose own loss is not finite, if `value` is not."""
    if math.isfinite(value):
        return
    rows = _alone(batch["rows"])
    # A model in shares runs only when all processes take part, and the number may be this one's alone.
    every = in_shares(model)
    broken = [name for one in rows for name in one.names if every or _breaks(model, one, objective)]
    raise not_finite(what, value, step=step, names=list(dict.fromkeys(broken)), model=model)


def not_finite(what: str, value: float, *, step: int, names: list[str], model: Any) -> EngineError:
    """The error for a number that is not finite; `names` are the samples that may have made it."""
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return EngineError(
        f"{what} became {value} at step {step}",
        where=f"training ({type(model).__name__})" + (f", samples {shown}" if shown else ""),
        fix="look at these samples, or lower `rate` (the learning rate); the last checkpoint is kept",
    )


def _alone(rows: tuple[Row, ...]) -> list[Row]:
    """Every sample, or group of samples that belong together, as a row of its own."""
    found = []
    for row in rows:
        spans = row.spans()
        at = 0
        for size in row.groups or (1,) * len(spans):
            start, end = spans[at][0], spans[at + size - 1][1] + 1
            ends = tuple(last - start for _, last in spans[at : at + size])
            groups = (size,) if row.groups else ()
            found.append(Row(row.ids[start:end], row.labels[start:end], ends, row.names[at : at + size], groups))
            at += size
    return found


@torch.no_grad()
def _breaks(model: Any, row: Row, objective: Objective) -> bool:
    return not math.isfinite(objective.loss(model, beside(model, collate([row]))).total.item())
