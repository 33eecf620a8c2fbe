"""Curves of a training run: metrics.jsonl → PNG and an interactive page, raw and smoothed, every axis labelled.

Labels in the PNG are English: a bare machine has no Chinese font. The page is one file without outside requests.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path

from xinglin import files

METRICS = "metrics.jsonl"
SMOOTHING = 0.9
"""Weight of the running mean's past, as in TensorBoard."""
_COLUMNS = 4
_PAGE = Path(__file__).with_name("curves.html")

LABELS = {
    "loss": ("loss", "损失"),
    "reward": ("reward", "奖励"),
    "accuracy": ("pair accuracy (share)", "成对正确率"),
    "margin": ("reward margin", "奖励差"),
    "chosen": ("log p per token, chosen", "优选回答逐词对数概率"),
    "kl": ("KL to the reference (nats)", "参考策略距离"),
    "coefficient": ("KL coefficient", "KL 系数"),
    "entropy": ("entropy (nats per token)", "熵"),
    "clipped": ("clipped share", "被截断比例"),
    "explained": ("explained variance of the values", "价值的解释方差"),
    "length": ("answer length (tokens)", "回答长度"),
    "finished": ("answers that end (share)", "正常结束比例"),
    "repetition": ("repetition (share)", "复读比例"),
    "norm": ("gradient norm", "梯度范数"),
    "rate": ("learning rate", "学习率"),
}
"""What the columns of a metrics file are called in English and Chinese; others go by their own name."""


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


def _drawn(metrics: Path) -> dict[str, list[float]]:
    """The columns that have a value in every step, known ones first."""
    columns = read_metrics(metrics)
    whole = {name for name, values in columns.items() if len(values) == len(columns["step"]) and name != "step"}
    order = [*(name for name in LABELS if name in whole), *sorted(whole - set(LABELS))]
    return {"step": columns["step"]} | {name: columns[name] for name in order}


def draw(metrics: Path, image: Path, *, stage: str) -> None:
    """Draw every column of a metrics file over the optimiser steps into one PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    columns = _drawn(metrics)
    steps = columns.pop("step")
    across = min(_COLUMNS, len(columns))
    down = math.ceil(len(columns) / across)
    figure = Figure(figsize=(4.2 * across, 3.0 * down), dpi=110, layout="constrained")
    for at, (name, values) in enumerate(columns.items(), 1):
        label = LABELS.get(name, (name, name))[0]
        axes = figure.add_subplot(down, across, at)
        axes.plot(steps, values, color="#9db8b0", linewidth=0.8, label="raw")
        if name != "rate":
            axes.plot(steps, smooth(values), color="#0f766e", linewidth=1.8, label="smoothed")
            axes.legend(frameon=False, fontsize=8)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(label)
        axes.set_title(f"{stage}: {label}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(image, metadata={"Software": None})


def write_page(metrics: Path, page: Path, *, stage: str, about: str) -> None:
    """Write the interactive page of a metrics file; `about` is a line under its title."""
    columns = _drawn(metrics)
    labels = {name: " ".join(dict.fromkeys(reversed(LABELS.get(name, (name,))))) for name in columns}
    # "</" would end the script element early.
    data = json.dumps({"columns": columns, "labels": labels}, ensure_ascii=False).replace("</", "<\\/")
    text = _PAGE.read_text(encoding="utf-8")
    title = html.escape(f"{stage} · 训练曲线 training curves")
    for mark, value in (("@TITLE@", title), ("@SUBTITLE@", html.escape(about)), ("@SMOOTHING@", str(SMOOTHING))):
        text = text.replace(mark, value)
    files.write_text(page, text.replace("@DATA@", data))
