"""One reward or DPO run for bench/train/pairs.py: SYSTEM MODEL DATA SETTINGS.json OUT → seconds, on the last line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1"}
Pair = dict[str, str]


def read(data: Path) -> list[Pair]:
    """The pairs: prompt, chosen, rejected."""
    return [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]


def preferences(data: Path) -> list[Any]:
    """The pairs as preferences."""
    from xinglin.types import Message, Origin, Preference

    origin = Origin(source="bench", item="", licence="", kind="label")
    return [
        Preference(str(at), (Message("user", one["prompt"]),), one["chosen"], one["rejected"], origin)
        for at, one in enumerate(read(data))
    ]


def _schedule(settings: dict[str, Any]) -> Any:
    from xinglin.train.fit import Schedule

    return Schedule(
        epochs=1,
        batch=settings["rows"],
        rate=settings["rate"],
        seed=7,
        length=settings["length"],
        warmup=0.0,
        decay=0.0,
    )


def xinglin_reward(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of the reward stage, opening and saving included."""
    from xinglin.train.reward import reward

    pairs = preferences(data)
    started = time.perf_counter()
    reward(model, pairs, out, schedule=_schedule(settings))
    return time.perf_counter() - started


def xinglin_dpo(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of the DPO stage, opening, reference and saving included."""
    from xinglin.train.preference import Pull, align

    pairs = preferences(data)
    started = time.perf_counter()
    align(model, pairs, out, pull=Pull("dpo"), schedule=_schedule(settings))
    return time.perf_counter() - started


def _columns(data: Path) -> Any:
    from datasets import Dataset  # pyright: ignore[reportMissingImports] - of the peers

    def said(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    return Dataset.from_list(
        [
            {
                "prompt": said("user", one["prompt"]),
                "chosen": said("assistant", one["chosen"]),
                "rejected": said("assistant", one["rejected"]),
            }
            for one in read(data)
        ]
    )


def _common(settings: dict[str, Any], out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out / "trainer"), "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_length": settings["length"],
        "num_train_epochs": 1, "seed": 7, "per_device_train_batch_size": settings["pairs"],
        "learning_rate": settings["rate"], "lr_scheduler_type": "cosine", "weight_decay": 0.0,
        "optim": "adamw_torch_fused", "logging_steps": 1000,
    }  # fmt: skip


def trl_reward(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of TRL's RewardTrainer, opening and saving included."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer  # pyright: ignore[reportMissingImports] - of the peers

    columns = _columns(data)
    started = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(model)
    opened = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, dtype="float32")
    trainer = RewardTrainer(
        model=opened, args=RewardConfig(**_common(settings, out)), train_dataset=columns, processing_class=tokenizer
    )
    trainer.train()
    opened.save_pretrained(out / "model")
    return time.perf_counter() - started


def trl_dpo(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of TRL's DPOTrainer, opening and saving included; the reference is computed once here, too."""
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportMissingImports] - of the peers

    columns = _columns(data)
    started = time.perf_counter()
    config = DPOConfig(**_common(settings, out), beta=0.1, precompute_ref_log_probs=settings["precompute"])
    trainer = DPOTrainer(
        model=str(model), args=config, train_dataset=columns, processing_class=AutoTokenizer.from_pretrained(model)
    )
    trainer.train()
    trainer.model.save_pretrained(out / "model")
    return time.perf_counter() - started


SYSTEMS: dict[str, Callable[..., float]] = {
    "xinglin reward": xinglin_reward,
    "trl reward": trl_reward,
    "xinglin dpo": xinglin_dpo,
    "trl dpo": lambda model, data, settings, out: trl_dpo(model, data, settings | {"precompute": False}, out),
    "trl dpo, precomputed": lambda model, data, settings, out: trl_dpo(
        model, data, settings | {"precompute": True}, out
    ),
}


def main() -> None:
    """Run one system."""
    system, model, data, settings, out = sys.argv[1:]
    import torch

    chosen = json.loads(settings)
    torch.set_num_threads(chosen["threads"])
    print(json.dumps({"seconds": SYSTEMS[system](Path(model), Path(data), chosen, Path(out))}))


if __name__ == "__main__":
    main()
