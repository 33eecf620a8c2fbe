"""Liger's kernels are asked for where they can run, and its losses never are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from xinglin.train import fit


@pytest.mark.parametrize(("card", "package"), [(True, True), (True, False), (False, True)])
def test_fused_kernels_need_a_card_and_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, *, card: bool, package: bool
) -> None:
    monkeypatch.setattr(fit, "is_liger_kernel_available", lambda: package)
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: card)
        chosen = fit.kernels()
    assert bool(chosen) == (card and package)
    read = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **chosen)
    assert read.use_liger_kernel == (card and package)
    if read.liger_kernel_config:
        on = {name for name, value in read.liger_kernel_config.items() if value}
        assert on == {"rope", "rms_norm", "swiglu", "geglu"}
        assert {"cross_entropy", "fused_linear_cross_entropy"} <= read.liger_kernel_config.keys(), (
            "they are on if unsaid"
        )
