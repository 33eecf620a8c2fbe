"""Model FLOPs utilisation: operations against what torch counts, peaks by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config, Qwen3MoeConfig

from xinglin.model.adapter import Tuning, adapt
from xinglin.train.utilisation import operations, peak

SHAPE: dict[str, Any] = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
                         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}  # fmt: skip


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen3Config])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_operations_are_those_that_torch_counts(kind: Any, method: Any) -> None:
    torch.manual_seed(0)
    model = adapt(
        AutoModelForCausalLM.from_config(kind(**SHAPE), attn_implementation="eager"), Tuning(method, rank=4), where="x"
    )
    ids = torch.randint(0, 300, (1, 96))
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    # Eager attention computes the half above the diagonal, too, and the sum's gradient passes through everything.
    heads = 4 * 32 * 96 * 96 * 3
    mine = operations(model, [96], targets=96) + 6.0 * heads
    assert mine == pytest.approx(counted.get_total_flops(), rel=0.03)


def test_the_output_layer_counts_for_targets_and_attention_for_each_sample() -> None:
    model = AutoModelForCausalLM.from_config(Qwen3Config(**SHAPE))
    whole, few = (operations(model, [64], targets=count) for count in (64, 10))
    assert whole - few == 6 * 54 * 300 * 64
    assert operations(model, [64], targets=64) > operations(model, [32, 32], targets=64)


def test_experts_count_that_are_chosen_and_linear_layers_of_other_kinds_too() -> None:
    some = Qwen3MoeConfig(**SHAPE, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2)
    more = Qwen3MoeConfig(**SHAPE, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=3)
    fewer, three = (operations(AutoModelForCausalLM.from_config(one), [64], targets=0) for one in (some, more))
    assert three - fewer == 6 * 64 * 3 * 3 * 32 * 64, "three matrices of an expert in three layers"
    old = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=300, n_embd=64, n_layer=3, n_head=4))
    assert operations(old, [64], targets=0) == 6 * 64 * 3 * 12 * 64 * 64 + 6 * 3 * 64 * 64 * 64


def test_peaks_go_by_the_name_of_the_card() -> None:
    assert peak("NVIDIA H200") == 989e12
    assert peak("NVIDIA H100 PCIe") == 756e12
    assert peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak("NVIDIA GeForce RTX 4090") == 165e12
    assert peak("Some card") is None
