"""Curves of a training run: metrics.jsonl → PNG, raw and smoothed, every axis labelled.

Labels are English: a bare machine has no Chinese font.
"""

from __future__ import annotations

import json
from pathlib import Path

SMOOTHING = 0.9
"""Weight of the running mean's past, as in TensorBoard."""

_LABELS = {
    "loss": "loss",
    "accuracy": "pair accuracy (share)",
    "margin": "reward margin",
    "rate": "learning rate",
}


def read_metrics(path: Path) -> dict[str, list[float]]:
    """Columns of a metrics file by name, `step` among them."""
    columns: dict[str, list[float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        for name, value in json.loads(line).items():
            columns.setdefault(name, []).append(float(value))
    return columns


def smooth(values: list[float]) -> list[float]:
    """Exponential running mean, corrected for its start (Kingma and Ba 2015, section 3)."""
    smoothed, mean = [], 0.0
    for count, value in enumerate(values, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        smoothed.append(mean / (1 - SMOOTHING**count))
    return smoothed


def draw(metrics: Path, image: Path, *, stage: str) -> None:
    """Draw every column of a metrics file over the optimiser steps into one PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    columns = read_metrics(metrics)
    names = [name for name in _LABELS if name in columns]
    figure = Figure(figsize=(4.2 * len(names), 3.0), dpi=110, layout="constrained")
    for at, name in enumerate(names, 1):
        axes = figure.add_subplot(1, len(names), at)
        steps, values = columns["step"], columns[name]
        axes.plot(steps, values, color="#9db8b0", linewidth=0.8, label="raw")
        if name != "rate":
            axes.plot(steps, smooth(values), color="#0f766e", linewidth=1.8, label="smoothed")
            axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(_LABELS[name])
        axes.set_title(f"{stage}: {_LABELS[name]}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(image, metadata={"Software": None})
