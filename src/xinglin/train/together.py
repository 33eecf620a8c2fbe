"""The work of an online stage, shared by the processes that train together: each does a part, all have the whole.

Every process holds the models and takes the same optimiser steps. What is drawn, scored and computed forward goes
round as lists; gradients are added up. With one process nothing of this happens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TypeVar

import torch
from torch import distributed

from xinglin.train.launch import world

Part = TypeVar("Part")
Result = TypeVar("Result")


def take_device() -> None:
    """Take the accelerator that is this process's own, if there are any, before anything is loaded onto one."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


def join() -> None:
    """Meet the other processes."""
    if world() > 1:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Part from them."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def end(code: int) -> NoReturn:
    """End this process without taking things down: one in ten under ZeRO-3 was aborted by a thread of gloo's then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def wait() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        distributed.barrier()


def agree(value: Result) -> Result:
    """What the first process has found: the same to all, although last bits may differ between them."""
    told = [value]
    if world() > 1:
        distributed.broadcast_object_list(told, 0)
    return told[0]


def share(parts: Sequence[Part], work: Callable[[Part], Result]) -> list[Result]:
    """What `work` makes of every part, in order; each part is the work of one process."""
    if world() == 1:
        return [work(part) for part in parts]
    mine = {at: work(parts[at]) for at in range(distributed.get_rank(), len(parts), world())}
    every: list[dict[int, Result]] = [{} for _ in range(world())]
    distributed.all_gather_object(every, mine)
    found = {at: result for some in every for at, result in some.items()}
    return [found[at] for at in range(len(parts))]


def own(parts: Iterable[Part]) -> list[Part]:
    """The parts that are this process's work."""
    return [part for at, part in enumerate(parts) if world() == 1 or at % world() == distributed.get_rank()]


def add(weights: Iterable[torch.Tensor], numbers: dict[str, float]) -> dict[str, float]:
    """Add up the gradients of all processes in place; returns their numbers added up, too."""
    if world() == 1:
        return numbers
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)  # this process had no part in the step
        distributed.all_reduce(weight.grad)
    every: list[dict[str, float]] = [{} for _ in range(world())]
    distributed.all_gather_object(every, numbers)
    names = dict.fromkeys(name for one in every for name in one)
    return {name: sum(one.get(name, 0.0) for one in every) for name in names}
