"""Time that a stage needs on this machine, before it starts: its operations over what the machine does in a second.

A processor is asked (a matrix product of the model's own shapes); of an accelerator the data sheet is taken. Neither
reaches that in training, and the shares below say how much of it is left.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from xinglin.model.adapter import LAST_LAYERS, Tuning
from xinglin.train.best import MEASUREMENTS
from xinglin.train.estimate import inner_size
from xinglin.train.fit import Schedule
from xinglin.train.utilisation import operations, peak

ON_PROCESSORS = 1 / 1.5
"""Of the speed of matrix products, on two cores 1 / 1.44 (bench/results/train_floor.md)."""
ON_CARDS = 0.35
"""Of the peak of an accelerator: a careful assumption, nothing was measured; `mfu` in speed.jsonl is the true value."""
_TOKENS, _SECONDS = 512, 0.2


def duration(
    config: Any, tuning: Tuning, schedule: Schedule, *, segments: Sequence[int], targets: int, reference: bool = False
) -> float | None:
    """Seconds of training on samples of these lengths, or None for an accelerator whose peak is not known.

    With a `reference` all samples go forward once more. Of several cards or nodes each is taken to be as fast as this
    one; processes that share a node's processors are no faster than one.
    """
    rate = speed(config)
    if rate is None:
        return None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    forward, backward = _passes(model, tuning, segments, targets)
    step = forward * (2 if schedule.recompute else 1) + backward
    steps = schedule.epochs * sum(segments) / (schedule.batch * schedule.length)
    measured = schedule.heldout * (1 + min(MEASUREMENTS, steps))
    work = schedule.epochs * (1 - schedule.heldout) * step + (measured + reference) * forward
    machines = schedule.launch.world if torch.cuda.is_available() else schedule.launch.nodes
    return work / rate / machines


def _passes(model: Any, tuning: Tuning, segments: Sequence[int], targets: int) -> tuple[float, float]:
    """Operations of a forward and of a backward pass over all samples; the model is frozen as `tuning` says."""
    forward = operations(model, segments, targets=targets) / 3
    if tuning.method == "freeze":
        inside = operations(model, segments, targets=0) / 3
        trained = min(1.0, LAST_LAYERS / model.config.num_hidden_layers)
        return forward, 2 * trained * inside + forward - inside
    if tuning.method != "full":
        model.requires_grad_(False)
        model.get_output_embeddings().requires_grad_(tuning.method == "embeddings" or tuning.embeddings)
    return forward, operations(model, segments, targets=targets) - forward


def speed(config: Any) -> float | None:
    """Floating point operations per second that training reaches here with a model of this shape."""
    if torch.cuda.is_available():
        most = peak(torch.cuda.get_device_name())
        return most and ON_CARDS * most
    left, right = torch.randn(_TOKENS, config.hidden_size), torch.randn(config.hidden_size, inner_size(config))
    torch.mm(left, right)  # the first product loads its kernel
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < _SECONDS:
        torch.mm(left, right)
        count += 1
    return ON_PROCESSORS * count * 2.0 * _TOKENS * right.numel() / spent
