"""One SFT run for bench/train/speed.py: SYSTEM MODEL DATA SETTINGS.json OUT → OUT/model and, last line, its numbers.

`xinglin` is the stage as recipes run it; `bare` a plain loop over the same packed rows (SDPA with a dense mask, all
logits); `trl-padded` and `trl-packed` are SFTTrainer and run in an environment of their own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1"}


def read(data: Path) -> list[list[dict[str, str]]]:
    """The conversations."""
    return [json.loads(line)["messages"] for line in data.read_text(encoding="utf-8").splitlines()]


def xinglin(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of training."""
    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.batches import encode_samples, pack
    from xinglin.train.fit import Schedule, fit
    from xinglin.train.likelihood import NEXT_TOKEN

    opened, tokenizer = load.open_pair(str(model))
    encoded, _ = encode_samples(samples(data), Template(tokenizer), length=settings["length"])
    rows = pack([[one] for one in encoded], length=settings["length"])
    schedule = Schedule(epochs=1, batch=settings["rows"], rate=settings["rate"], seed=7, decay=0.0, warmup=0.0)
    started = time.perf_counter()
    fit(opened, rows.rows, objective=NEXT_TOKEN, schedule=schedule, folder=out)
    seconds = time.perf_counter() - started
    load.save(opened, tokenizer, out / "model", stage="sft", base=str(model))
    return seconds


def samples(data: Path) -> list[Any]:
    """The conversations as samples."""
    from xinglin.types import Message, Origin, Sample

    origin = Origin(source="bench", item="", licence="", kind="dialogue")
    return [
        Sample(str(at), tuple(Message(one["role"], one["content"]) for one in messages), origin)  # type: ignore[arg-type]
        for at, messages in enumerate(read(data))
    ]


def bare(model: Path, data: Path, settings: dict[str, Any], out: Path) -> float:
    """Seconds of a plain loop over the same packed rows."""
    import torch
    from torch.nn import functional
    from transformers import get_cosine_schedule_with_warmup

    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.batches import encode_samples, pack

    opened, tokenizer = load.open_pair(str(model))
    encoded, _ = encode_samples(samples(data), Template(tokenizer), length=settings["length"])
    rows = pack([[one] for one in encoded], length=settings["length"]).rows
    torch.manual_seed(7)
    order = torch.randperm(len(rows)).tolist()
    optimizer = torch.optim.AdamW(opened.parameters(), lr=settings["rate"], weight_decay=0.0, fused=True)
    steps = -(-len(rows) // settings["rows"])
    plan = get_cosine_schedule_with_warmup(optimizer, 0, steps)
    opened.train()
    started = time.perf_counter()
    for step in range(steps):
        chosen = [rows[at] for at in order[step * settings["rows"] : (step + 1) * settings["rows"]]]
        longest = max(len(row.ids) for row in chosen)
        ids = torch.zeros(len(chosen), longest, dtype=torch.long)
        positions, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for at, row in enumerate(chosen):
            size = len(row.ids)
            ids[at, :size], labels[at, :size] = torch.tensor(row.ids), torch.tensor(row.labels)
            positions[at, :size] = torch.cat([torch.arange(end + 1 - start) for start, end in row.spans()])
        logits = opened(input_ids=ids, position_ids=positions, use_cache=False).logits
        loss = functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(opened.parameters(), 1.0)
        optimizer.step()
        plan.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - started
    load.save(opened, tokenizer, out / "model", stage="sft", base=str(model))
    return seconds


def trl(model: Path, data: Path, settings: dict[str, Any], out: Path, *, packing: bool) -> float:
    """Seconds of TRL's SFTTrainer with the loss on the assistant's tokens."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports] - of the peers
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports] - of the peers

    tokenizer = AutoTokenizer.from_pretrained(model)
    opened = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
    config = SFTConfig(
        output_dir=str(out / "trainer"), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
        save_strategy="no", disable_tqdm=True, max_length=settings["length"], num_train_epochs=1, seed=7,
        per_device_train_batch_size=settings["rows"] if packing else settings["samples"],
        learning_rate=settings["rate"], lr_scheduler_type="cosine", warmup_steps=0, weight_decay=0.0,
        optim="adamw_torch_fused", assistant_only_loss=True, packing=packing, logging_steps=1000,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=opened,
        args=config,
        train_dataset=Dataset.from_list([{"messages": messages} for messages in read(data)]),
        processing_class=tokenizer,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    opened.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    return seconds


SYSTEMS: dict[str, Callable[..., float]] = {
    "xinglin": xinglin,
    "bare": bare,
    "trl-padded": lambda *args: trl(*args, packing=False),
    "trl-packed": lambda *args: trl(*args, packing=True),
}


def main() -> None:
    """Run one system."""
    system, model, data, settings, out = sys.argv[1:]
    import torch

    chosen = json.loads(settings)
    torch.set_num_threads(chosen["threads"])
    before = time.process_time()
    seconds = SYSTEMS[system](Path(model), Path(data), chosen, Path(out))
    cpu = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mib": peak}))


if __name__ == "__main__":
    main()
