"""The estimate of a stage's time: its operations, counted elsewhere, over a known speed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, Qwen3Config

from xinglin.model.adapter import Tuning
from xinglin.train import duration as clock
from xinglin.train.fit import Schedule
from xinglin.train.launch import Launch
from xinglin.train.utilisation import operations

CONFIG = Qwen3Config(vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=3,
                     num_attention_heads=4, num_key_value_heads=2, head_dim=32)  # fmt: skip
PLAN = Schedule(epochs=2, batch=4, rate=1e-3, seed=1)
FULL, LORA = Tuning("full"), Tuning("lora")


@pytest.fixture
def took(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(clock, "speed", lambda _: 1e9)

    def seconds(tuning: Tuning = FULL, schedule: Schedule = PLAN, **more: Any) -> float:
        found = clock.duration(CONFIG, tuning, schedule, segments=[40, 60], targets=50, **more)
        assert found is not None
        return found

    return seconds


def test_an_epoch_takes_its_operations(took: Any) -> None:
    model = AutoModelForCausalLM.from_config(CONFIG)
    once = operations(model, [40, 60], targets=50) / 1e9
    assert took() == pytest.approx(2 * once)
    assert took(reference=True) == pytest.approx((2 + 1 / 3) * once)
    assert took(schedule=replace(PLAN, recompute=True)) == pytest.approx(2 * 4 / 3 * once)
    model.requires_grad_(False)
    assert took(LORA) == pytest.approx(2 * operations(model, [40, 60], targets=50) / 1e9)
    assert took(LORA) < 0.75 * took()
    # Beside frozen weights a forward pass is more than a third of the work.
    assert took(LORA, replace(PLAN, recompute=True)) == pytest.approx(took(LORA) + 2 / 3 * once)
    assert took(LORA, reference=True) == pytest.approx(took(LORA) + 1 / 3 * once)


def test_what_is_frozen_below_the_last_layers_goes_forward_only(took: Any) -> None:
    model = AutoModelForCausalLM.from_config(CONFIG)
    inside, head = operations(model, [40, 60], targets=0) / 3e9, 2 * 50 * 64 * 300 / 1e9
    assert took(Tuning("freeze")) == pytest.approx(2 * (inside + head + 2 * 2 / 3 * inside + head))
    assert took(LORA) < took(Tuning("embeddings")) < took()
    assert took(Tuning("lora", embeddings=True)) == pytest.approx(took(Tuning("embeddings")))


def test_held_out_data_is_measured_and_not_trained_on(took: Any) -> None:
    once = operations(AutoModelForCausalLM.from_config(CONFIG), [40, 60], targets=50) / 1e9
    small = replace(PLAN, heldout=0.2, batch=1, length=10)
    # Before training and ten times in it, forward only.
    assert took(schedule=small) == pytest.approx((2 * 0.8 + 0.2 * 11 / 3) * once)


def test_processes_share_a_nodes_processors_and_have_a_card_each(took: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = replace(PLAN, launch=Launch(processes=4, nodes=2))
    for cards, machines in ((False, 2), (True, 8)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cards=cards: cards)
        assert took(schedule=shared) == pytest.approx(took() / machines)


def test_a_processor_is_asked_and_a_card_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        found = clock.speed(CONFIG)
        assert found is not None
        assert 1e8 < found < 1e14
        assert clock.speed(GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4)) is not None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100-SXM4-80GB")
    assert clock.speed(CONFIG) == pytest.approx(clock.ON_CARDS * 312e12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some card")
    assert clock.speed(CONFIG) is None
    assert clock.duration(CONFIG, FULL, PLAN, segments=[9], targets=3) is None
