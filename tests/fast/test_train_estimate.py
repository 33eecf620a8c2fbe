"""The memory estimate against what autograd keeps, and against numbers counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen3Config

from xinglin.errors import ModelError
from xinglin.model.adapter import Tuning, adapt, trainable
from xinglin.model.attention import lay_out, packed
from xinglin.train.estimate import (
    Drawing,
    Memory,
    architecture,
    cache_bytes,
    estimate_config,
    estimate_online,
    estimate_rejection,
    fits,
    inner_size,
    token_bytes,
)  # fmt: skip
from xinglin.train.fit import Schedule
from xinglin.train.launch import Launch

SMALL: dict[str, Any] = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 4,
                         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip
QWEN_8B: dict[str, Any] = {"vocab_size": 151_936, "hidden_size": 4096, "intermediate_size": 12_288,
                           "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
                           "head_dim": 128, "tie_word_embeddings": False}  # fmt: skip
QLORA = Tuning("qlora")
PLAN = Schedule(epochs=1, batch=8, rate=1e-4, seed=1, length=2048, micro=1, recompute=True)


def kept(config: Any, *, recompute: bool) -> float:
    """Bytes of tensors that autograd keeps for one token, weights not counted."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().train()
    if recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    seen: dict[int, int] = {}

    def pack(one: torch.Tensor) -> torch.Tensor:
        storage = one.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return one

    batch = lay_out([[1] * 64] * 4)
    with packed(model), torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        hidden = model.base_model(
            **{name: batch[name] for name in ("input_ids", "position_ids", "segments")}, use_cache=False
        )
        assert hidden.last_hidden_state.requires_grad
        return sum(seen.values()) / 256


@pytest.mark.parametrize(("kind", "low", "high"), [(Qwen3Config, 0.95, 1.05), (LlamaConfig, 1.0, 1.25)])
def test_activations_are_what_autograd_keeps(kind: Any, low: float, high: float) -> None:
    config = kind(**SMALL)
    ratio = token_bytes(config, recompute=False, element=4.0) / kept(config, recompute=False)
    assert low <= ratio <= high


def test_recomputing_keeps_the_input_of_every_layer() -> None:
    config = Qwen3Config(**SMALL)
    whole, less = (token_bytes(config, recompute=on, element=4.0) for on in (False, True))
    assert less < 0.45 * whole
    assert kept(config, recompute=True) <= 1.05 * less


@pytest.mark.parametrize("method", ["full", "freeze", "embeddings", "lora", "dora"])
def test_trained_parameters_are_counted_as_they_are(method: Any) -> None:
    config = LlamaConfig(**SMALL)
    tuning = Tuning(method, rank=4)
    model = adapt(AutoModelForCausalLM.from_config(config), tuning, where="here")
    made = estimate_config(config, tuning, PLAN)
    assert made.trained == trainable(model)[0]


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(vocab_size=300, n_embd=64, n_layer=3, n_head=4),
        OPTConfig(vocab_size=300, hidden_size=64, word_embed_proj_dim=64, ffn_dim=256, num_attention_heads=4),
        GPTNeoXConfig(vocab_size=300, hidden_size=64, intermediate_size=256, num_attention_heads=4),
    ],
    ids=lambda config: config.model_type,
)
def test_older_architectures_have_an_estimate_too(config: Any) -> None:
    plan = Schedule(epochs=1, batch=2, rate=1e-3, seed=1)
    assert inner_size(config) == 256
    assert cache_bytes(config) == 2 * 2 * config.num_hidden_layers * 64
    assert 0 < estimate_config(config, Tuning("freeze"), plan).total < estimate_config(config, Tuning(), plan).total


def test_an_eight_billion_base_fits_one_24_gb_card_by_qlora_and_not_by_full_tuning() -> None:
    config = Qwen3Config(**QWEN_8B)
    qlora, lora, full = (estimate_config(config, Tuning(method), PLAN) for method in ("qlora", "lora", "full"))
    assert 8.1e9 < full.parameters < 8.3e9
    assert full.optimizer + full.weights == pytest.approx(16 * full.parameters / 2**30)
    assert fits(qlora, 24) == ""
    assert qlora.total < 16
    assert lora.total > qlora.total
    assert "qlora" in fits(full, 24)
    assert fits(Memory(1, 1, 20, 5, 1, 1), 24).startswith("set micro: 1")
    assert fits(Memory(30, 0, 1, 0, 0, 1), 24).startswith("lower max_tokens"), "where nothing is trained"
    assert "micro" not in fits(Memory(1, 1, 20, 5, 1, 1), 24, drawing=True), "a stage that draws has no such knob"


def test_rejection_sampling_needs_its_judge_while_it_trains_and_a_whole_policy_to_draw() -> None:
    config = Qwen3Config(**QWEN_8B)
    drawing = Drawing(critic=False, frozen=1, tokens=576)
    plain, judged = estimate_config(config, Tuning(), PLAN), estimate_rejection(config, Tuning(), PLAN, drawing)
    assert judged.weights - plain.weights == pytest.approx(2 * plain.parameters / 2**30)
    assert judged.total - judged.weights == pytest.approx(plain.total - plain.weights)
    # QLoRA's training is small; the base is drawn from in bf16.
    small = Drawing(critic=False, frozen=0, tokens=576)
    update = replace(PLAN, length=256)
    for drawn in (estimate_rejection(config, QLORA, update, small), estimate_online(config, QLORA, small)):
        assert drawn.weights == pytest.approx(2 * plain.parameters / 2**30)
        assert drawn.activations == pytest.approx(64 * 576 * cache_bytes(config) / 2**30)
        assert (drawn.optimizer, drawn.logits) == (0, 0)
        assert fits(drawn, 24) == ""


def test_sharing_out_divides_what_it_says_it_divides() -> None:
    config = Qwen3Config(**QWEN_8B)

    def made(strategy: Any, *, offload: bool = False) -> Memory:
        plan = Schedule(epochs=1, batch=8, rate=1e-4, seed=1, launch=Launch(8, 1, strategy, offload))
        return estimate_config(config, Tuning(), plan)

    ddp, zero2, zero3, fsdp = (made(one) for one in ("ddp", "zero2", "zero3", "fsdp2"))
    assert (zero2.weights, zero2.optimizer) == pytest.approx((ddp.weights, ddp.optimizer / 8))
    assert zero3 == fsdp
    assert zero3.weights == pytest.approx(ddp.weights / 8)
    assert made("zero3", offload=True).total < zero3.total


@pytest.mark.parametrize(
    ("config", "problem"),
    [("", "no config.json"), ("{", "not valid JSON"), ('{"model_type": "nonsense"}', "cannot be opened")],
)
def test_a_folder_that_is_no_model_is_a_model_error(config: str, problem: str, tmp_path: Path) -> None:
    if config:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ModelError, match=problem):
        architecture(str(tmp_path))
