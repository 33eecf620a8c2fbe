"""The estimate of a stage's time: its operations, counted elsewhere, over a known speed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

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
    assert took(schedule=replace(PLAN, launch=Launch(processes=4))) == pytest.approx(2 * once / 4)
    model.requires_grad_(False)
    assert took(LORA) == pytest.approx(2 * operations(model, [40, 60], targets=50) / 1e9)
    assert took(LORA) < 0.75 * took()


def test_a_processor_is_asked_and_a_card_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        found = clock.speed(CONFIG)
        assert found is not None
        assert 1e8 < found < 1e14
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100-SXM4-80GB")
    assert clock.speed(CONFIG) == pytest.approx(clock.ON_CARDS * 312e12)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some card")
    assert clock.speed(CONFIG) is None
    assert clock.duration(CONFIG, FULL, PLAN, segments=[9], targets=3) is None
