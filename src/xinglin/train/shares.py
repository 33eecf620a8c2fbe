"""Models of which every process holds a share (FSDP2, ZeRO-3): their weights, put together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from xinglin.train.launch import first


def in_shares(model: torch.nn.Module) -> bool:
    """Whether this process holds a share of the model only."""
    return any(isinstance(part, DTensor) or hasattr(part, "ds_id") for part in model.parameters())


def trainable(model: torch.nn.Module, optimizer: Any) -> dict[str, torch.Tensor]:
    """The weights that are trained, whole, by name. Of a model in shares all have to ask, and the first gets them."""
    parts = {name: part for name, part in model.named_parameters() if part.requires_grad}
    if not in_shares(model):
        return {name: part.detach().contiguous() for name, part in parts.items()}
    found: dict[str, torch.Tensor] = {}
    with _at_rest(optimizer):
        for name, part in parts.items():
            with _gathered(part):
                whole = part.full_tensor() if isinstance(part, DTensor) else part
                if first():
                    found[name] = whole.detach().to("cpu", copy=True).contiguous()
    return found


@contextmanager
def _at_rest(optimizer: Any) -> Iterator[None]:
    """Without weights that ZeRO-3 is fetching ahead: it would not let go of them."""
    wrapped = getattr(optimizer, "optimizer", None)
    stages = [getattr(wrapped, f"checkpoint_event_{name}", lambda: None) for name in ("prologue", "epilogue")]
    stages[0]()
    yield
    stages[1]()


def _gathered(part: Any) -> AbstractContextManager[Any]:
    if not hasattr(part, "ds_id"):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(part)
