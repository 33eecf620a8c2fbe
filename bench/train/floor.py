"""What stands between packed SFT and the arithmetic it cannot do without, on the model and data of speed.py.

    python bench/train/floor.py DATA [--rounds 5]      # writes bench/results/train_floor.md

The floor is the time of the matrix products of one epoch and nothing else: those of every linear layer, forward and
twice backward, with the shapes that training has (the output layer on target positions only), each measured alone.
The profile is torch's own, by operator, of whole optimiser steps; what no operator accounts for is Python and the
dispatcher. Floor and training run in turns; medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from one import samples
from speed import RESULTS, prepare

KINDS = {
    "matrix products 矩阵乘": ("aten::mm", "aten::addmm", "aten::bmm", "aten::matmul"),
    "attention 注意力": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ),
    "softmax and loss 损失": (
        "aten::_log_softmax", "aten::_log_softmax_backward_data", "aten::nll_loss_forward", "aten::nll_loss_backward",
        "aten::gather", "aten::scatter_add_", "aten::gather_backward",
    ),
    "moving data 搬运": (
        "aten::copy_", "aten::cat", "aten::index_select", "aten::index", "aten::index_add_", "aten::index_put_",
        "aten::_index_put_impl_", "aten::fill_", "aten::zero_", "aten::slice_backward", "aten::embedding",
        "aten::embedding_dense_backward", "aten::clone",
    ),
    "optimiser and clipping 优化器": (
        "aten::_fused_adamw_", "aten::_foreach_norm", "aten::_foreach_mul_", "aten::linalg_vector_norm", "aten::stack",
    ),
}  # fmt: skip
"""Operators by what they are for; all others are elementwise arithmetic."""


def rows_of(model: Path, data: Path, length: int) -> Any:
    """The packed rows that xinglin trains on."""
    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.batches import encode_samples, pack

    encoded, _ = encode_samples(samples(data), Template(load.open_tokenizer(str(model))), length=length)
    return pack([[one] for one in encoded], length=length)


def train(model: Path, rows: Any, settings: dict[str, Any], folder: Path) -> float:
    """Seconds of one epoch."""
    from xinglin.model import load
    from xinglin.train.fit import Schedule, fit
    from xinglin.train.likelihood import NEXT_TOKEN

    opened = load.open_model(str(model))
    schedule = Schedule(epochs=1, batch=settings["rows"], rate=settings["rate"], seed=7, decay=0.0, warmup=0.0)
    started = time.perf_counter()
    fit(opened, rows.rows, objective=NEXT_TOKEN, schedule=schedule, folder=folder)
    return time.perf_counter() - started


def floor(model: Path, rows: Any, settings: dict[str, Any]) -> tuple[float, float]:
    """Seconds of an epoch's matrix products alone, and how many floating point operations they are."""
    from xinglin.model import load

    opened: Any = load.open_model(str(model))
    steps = -(-len(rows.rows) // settings["rows"])
    tokens, targets = rows.tokens // steps, rows.targets // steps
    head = opened.get_output_embeddings()
    layers = [part for part in opened.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    seconds, operations = 0.0, 0.0
    for part in [*layers, head]:
        count = targets if part is head else tokens
        inputs, outputs = torch.randn(count, part.in_features), torch.randn(count, part.out_features)
        weight = part.weight.detach()
        started = time.perf_counter()
        torch.mm(inputs, weight.T)
        torch.mm(outputs, weight)
        torch.mm(outputs.T, inputs)
        seconds += time.perf_counter() - started
        operations += 6.0 * count * weight.numel()
    return steps * seconds, steps * operations


def profile(model: Path, rows: Any, settings: dict[str, Any], folder: Path) -> dict[str, float]:
    """Shares of the wall time of an epoch by kind of operator."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        wall = train(model, rows, settings, folder)
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    spent: dict[str, float] = defaultdict(float)
    for one in seen.key_averages():
        if one.key.startswith("aten::"):
            spent[kinds.get(one.key, "elementwise 逐元素")] += one.self_cpu_time_total / 1e6
    spent["Python and dispatch 调度"] = max(0.0, wall - sum(spent.values()))
    return {kind: value / wall for kind, value in sorted(spent.items(), key=lambda pair: -pair[1])}


def main() -> None:
    """Measure in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=240)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        prepare(chosen.data, work, count=chosen.count, length=512)
        settings = {"rows": 6, "rate": 1e-3, "length": 512}
        model, data = work / "model", work / "train/train.jsonl"
        rows = rows_of(model, data, settings["length"])
        floor(model, rows, settings)  # the first products of a process load their kernels
        wall, least, operations = [], [], 0.0
        for number in range(chosen.rounds):
            wall.append(train(model, rows, settings, work / f"run{number}"))
            seconds, operations = floor(model, rows, settings)
            least.append(seconds)
        shares = profile(model, rows, settings, work / "profiled")
    whole, under = statistics.median(wall), statistics.median(least)
    lines = [
        "# Packed SFT and its arithmetic floor",
        "",
        "`python bench/train/floor.py DATA`",
        "",
        f"{len(rows.rows)} packed rows of {settings['length']}, {rows.tokens:,} tokens ({rows.targets:,} targets), "
        f"fp32, {torch.get_num_threads()} threads; {chosen.rounds} rounds in turns.",
        "",
        f"An epoch takes {whole:.1f} s ({min(wall):.1f}–{max(wall):.1f}); its matrix products alone "
        f"{under:.1f} s ({min(least):.1f}–{max(least):.1f}), {operations / under / 1e9:.0f} GFLOP/s: "
        f"training is {whole / under:.2f} times the floor.",
        "",
        "| share of the wall time | |",
        "|---|---|",
        *(f"| {kind} | {share:.1%} |" for kind, share in shares.items()),
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "train_floor.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
