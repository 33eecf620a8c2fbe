"""Model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B): what training does of what the card could do.

A token costs 6 operations per weight that takes part in products (2 forward, 4 backward; a frozen weight 4, it has no
gradient of its own), and attention 12 operations per layer, hidden number and token attended to, halved by causality.
What recomputation adds does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "H800": 989e12, "H20": 148e12, "B200": 2250e12,
    "A100": 312e12, "A800": 312e12, "L40S": 362e12, "L40": 181e12, "L20": 119.5e12, "A40": 150e12, "A10": 125e12,
    "4090": 165e12, "3090": 71e12,
}  # fmt: skip
"""Dense bf16 operations per second of accelerators, from their data sheets, by a part of their name; the first fits."""


def peak(name: str) -> float | None:
    """The peak of an accelerator by the name that torch gives it; None if it is not known."""
    return next((value for part, value in PEAKS.items() if re.search(rf"{part}(?!\d)", name)), None)


def operations(model: nn.Module, segments: Sequence[int], *, targets: int) -> float:
    """Floating point operations of a training step over samples of these lengths; the output layer sees targets."""
    inner: Any = model
    config = inner.config.get_text_config()
    head = inner.get_output_embeddings()
    tokens = sum(segments)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    wide = config.num_attention_heads * size
    total = 12.0 / 2 * config.num_hidden_layers * wide * sum(length * length for length in segments)
    for part in model.modules():
        if size := _products(part, config):
            factor = 6.0 if any(weight.requires_grad for weight in part.parameters(recurse=False)) else 4.0
            total += factor * size * (targets if part is head else tokens)
    return total


def _products(part: nn.Module, config: Any) -> float:
    """Numbers of a module's own weights that a token is multiplied with; of experts, those that are chosen for it."""
    if isinstance(part, nn.Linear):  # in 4 bits the weight's shape is another
        return part.in_features * part.out_features
    if isinstance(part, Conv1D):  # what GPT-2 has for a linear layer
        return part.weight.numel()
    stacks = [weight for name, weight in part.named_parameters(recurse=False) if name.endswith("_proj")]
    chosen = getattr(config, "num_experts_per_tok", None) or 0
    return sum(chosen * weight.numel() / len(weight) for weight in stacks if weight.dim() == 3)
