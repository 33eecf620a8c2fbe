"""Packed SFT against TRL (padded and packed), ms-swift, MedicalGPT and a bare loop, in turns, on real conversations.

    bench/train/peers.sh PEERS                                  # environments of the peers, 3 GB
    python bench/train/speed.py DATA --peers PEERS [--rounds 5] # writes bench/results/train_sft.md and .json

All systems train the same 8.1 M Qwen3 (6 x 320, a byte-level BPE of 4,000) for one epoch on the same conversations
(Toyhom, BenTsao and DISC dialogues of DATA, the folder of the shared data), with ChatML, the loss on the assistant's
tokens, full fine-tuning, fp32, AdamW with a cosine, the same threads, and about the same samples per optimiser step.
A run is timed from the first step to the last, without loading and saving. Useful tokens are those of the conversations
as Xinglin renders them, counted once: tokens per second is conversations per second rescaled. ms-swift and MedicalGPT
render ChatML on their own; what they make of it is in the table. The held-out loss is measured by one program.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
ORDER = ("xinglin", "bare", "trl-padded", "trl-packed", "ms-swift", "medicalgpt")
Talk = list[dict[str, str]]


def talks(data: Path) -> Iterator[Talk]:
    """Real conversations of three sources."""
    with (data / "qa_toyhom_internal_medicine/neike_5000-6000.utf8.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield [{"role": "user", "content": row["ask"]}, {"role": "assistant", "content": row["answer"]}]
    with (data / "sft_bentsao/llama_data.json").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            asked = row["instruction"] + row["input"]
            yield [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    with (data / "dialog_disc/test_examples.jsonl").open(encoding="utf-8") as file:
        for line in file:
            turns = json.loads(line)["conversation"]
            yield [one for turn in turns for one in _exchange(turn)]


def _exchange(turn: dict[str, str]) -> Talk:
    if "role" in turn:
        return [{"role": turn["role"], "content": turn["content"]}]
    return [{"role": "user", "content": turn["human"]}, {"role": "assistant", "content": turn["assistant"]}]


def prepare(data: Path, work: Path, *, count: int, length: int) -> dict[str, Any]:
    """Make the model and the files; returns what there is to know about them."""
    import torch
    from one import samples

    from xinglin.model import load, tiny
    from xinglin.model.render import Template
    from xinglin.train.batches import encode_samples, pack

    every = [talk for talk in talks(data) if all(one["content"].strip() for one in talk)]
    torch.manual_seed(7)
    size = tiny.Size(pieces=4000, hidden=320, feed_forward=960, layers=6)
    model, tokenizer = tiny.make([one["content"] for talk in every for one in talk], size=size, seed=7)
    load.save(model, tokenizer, work / "model", stage="base", base="tiny")
    random.Random(7).shuffle(every)
    for name, part in (("train", every[:count]), ("heldout", every[count : count + 200])):
        lines = [json.dumps({"messages": talk}, ensure_ascii=False) for talk in part]
        path = work / name / f"{name}.jsonl"
        path.parent.mkdir()
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sharegpt = work / "sharegpt" / "train.jsonl"
    sharegpt.parent.mkdir()
    names = {"user": "human", "assistant": "gpt"}
    lines = [
        json.dumps(
            {"conversations": [{"from": names[one["role"]], "value": one["content"]} for one in talk]},
            ensure_ascii=False,
        )
        for talk in every[:count]
    ]
    sharegpt.write_text("\n".join(lines) + "\n", encoding="utf-8")
    encoded, dropped = encode_samples(samples(work / "train/train.jsonl"), Template(tokenizer), length=length)
    rows = pack([[one] for one in encoded], length=length)
    lengths = sorted(len(one.ids) for one in encoded)
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "conversations": len(encoded),
        "too long": dropped,
        "tokens": rows.tokens,
        "targets": rows.targets,
        "rows": len(rows.rows),
        "fill": rows.tokens / (len(rows.rows) * length),
        "quantiles": [lengths[int(share * (len(lengths) - 1))] for share in (0.05, 0.5, 0.95, 1)],
    }


def command(system: str, work: Path, out: Path, settings: dict[str, Any], peers: Path) -> list[str]:
    """The command line of a run."""
    model = str(work / "model")
    if system in ("xinglin", "bare", "trl-padded", "trl-packed"):
        python = str(peers / "trl/bin/python") if system.startswith("trl") else sys.executable
        train = str(work / "train/train.jsonl")
        return [python, str(HERE / "one.py"), system, model, train, json.dumps(settings), str(out)]
    common = {
        "num_train_epochs": 1, "per_device_train_batch_size": settings["samples"], "gradient_accumulation_steps": 1,
        "learning_rate": settings["rate"], "torch_dtype": "float32", "report_to": "none", "save_strategy": "no",
        "eval_strategy": "no", "gradient_checkpointing": "false", "warmup_steps": 0, "weight_decay": 0,
        "optim": "adamw_torch_fused", "lr_scheduler_type": "cosine", "seed": 7, "output_dir": str(out / "model"),
    }  # fmt: skip
    if system == "ms-swift":
        own = {
            "model": model, "model_type": "qwen3", "template": "chatml", "tuner_type": "full",
            "dataset": str(work / "train/train.jsonl"), "max_length": settings["length"], "split_dataset_ratio": 0,
            "use_hf": "true", "add_version": "false", "save_only_model": "true",
        }  # fmt: skip
        start = [str(peers / "swift/bin/swift"), "sft"]
        own |= {"save_strategy": "epoch"}
    else:
        own = {
            "model_name_or_path": model, "train_file_dir": str(work / "sharegpt"), "template_name": "chatml",
            "model_max_length": settings["length"], "use_peft": "False", "do_train": "True", "use_cpu": "True",
            "preprocessing_num_workers": 1, "bf16": "False", "max_train_samples": -1,
            "validation_split_percentage": 1, "cache_dir": str(out / "cache"), "device_map": "cpu",
        }  # fmt: skip
        script = str(peers / "medicalgpt/training/supervised_finetuning.py")
        start = [str(peers / "trl/bin/python"), script]
    return [*start, *(part for name, value in (common | own).items() for part in (f"--{name}", str(value)))]


def run(system: str, work: Path, out: Path, settings: dict[str, Any], peers: Path) -> dict[str, Any]:
    """One run in a process of its own: seconds of training, CPU seconds of the process, the log."""
    out.mkdir(parents=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": str(settings["threads"]), "MKL_NUM_THREADS": str(settings["threads"]),
        "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(
        command(system, work, out, settings, peers), capture_output=True, text=True, check=False, env=environment
    )
    text = done.stdout + done.stderr
    (out / "log.txt").write_text(text, encoding="utf-8")
    if done.returncode:
        return {"error": text.strip().splitlines()[-1][:300] if text.strip() else str(done.returncode)}
    if system in ("ms-swift", "medicalgpt"):
        found = re.findall(r"'?\"?train_runtime'?\"?\s*[:=]+\s*'?\"?(?:(\d+):)?(?:(\d+):)?([\d.]+)", text)
        hours, minutes, seconds = found[-1]
        parts = [float(part) for part in (hours, minutes, seconds) if part]
        return {"seconds": sum(part * 60 ** (len(parts) - 1 - at) for at, part in enumerate(parts))}
    return json.loads(done.stdout.strip().splitlines()[-1])


def heldout_loss(folder: Path, work: Path, length: int) -> float | None:
    """Negative log-likelihood per target token on held-out conversations."""
    from one import samples

    from xinglin.model import load
    from xinglin.model.attention import packed
    from xinglin.model.render import Template
    from xinglin.train.batches import encode_samples, pack
    from xinglin.train.best import Best
    from xinglin.train.likelihood import NEXT_TOKEN

    found = next((path.parent for path in sorted(folder.rglob("model.safetensors"))), None)
    if found is None:
        return None
    model = load.open_model(str(found))
    tokenizer = load.open_tokenizer(str(work / "model"))
    encoded, _ = encode_samples(samples(work / "heldout/heldout.jsonl"), Template(tokenizer), length=length)
    rows = pack([[one] for one in encoded], length=length).rows
    with packed(model):
        return sum(Best(rows, NEXT_TOKEN, folder, patience=0).measure(model))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--systems", nargs="*", default=list(ORDER))
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    settings = {"length": 512, "rows": 6, "samples": 24, "rate": 1e-3, "threads": chosen.threads}
    results: dict[str, list[dict[str, Any]]] = {system: [] for system in chosen.systems}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        about = prepare(chosen.data, work, count=chosen.count, length=settings["length"])
        for number in range(chosen.rounds):
            for system in chosen.systems if number % 2 == 0 else reversed(chosen.systems):
                out = work / f"{system}-{number}"
                done = run(system, work, out, settings, chosen.peers)
                if number == 0 and "error" not in done:
                    done["loss"] = heldout_loss(out, work, settings["length"])
                done["load"] = os.getloadavg()[0]
                results[system].append(done)
                print(number, system, done, flush=True)
    RESULTS.mkdir(exist_ok=True)
    record = {"settings": settings, "data": about, "runs": results}
    (RESULTS / "train_sft.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "train_sft.md").write_text(table(record), encoding="utf-8")


def table(record: dict[str, Any]) -> str:
    """The results as Markdown."""
    about, settings = record["data"], record["settings"]
    low, middle, high, longest = about["quantiles"]
    lines = [
        "# Packed SFT, tokens per second",
        "",
        "`python bench/train/speed.py DATA --peers PEERS`",
        "",
        f"{about['parameters']:,} parameters, fp32, {settings['threads']} threads; {about['conversations']} real "
        f"conversations, {about['tokens']:,} tokens ({about['targets']:,} targets), lengths p5/p50/p95/max "
        f"{low}/{middle}/{high}/{longest}; {about['rows']} packed rows of {settings['length']}, "
        f"{about['fill']:.0%} full.",
        "",
        "| system | median s | range | useful tokens/s | xinglin is faster by | held-out loss |",
        "|---|---|---|---|---|---|",
    ]
    medians = {
        system: statistics.median(one["seconds"] for one in runs)
        for system, runs in record["runs"].items()
        if all("seconds" in one for one in runs)
    }
    for system, runs in record["runs"].items():
        if system not in medians:
            lines.append(
                f"| {system} | – | – | – | – | failed: {next(one['error'] for one in runs if 'error' in one)} |"
            )
            continue
        seconds = [one["seconds"] for one in runs]
        loss = runs[0].get("loss")
        ratio = medians[system] / medians["xinglin"] if "xinglin" in medians else float("nan")
        lines.append(
            f"| {system} | {medians[system]:.1f} | {min(seconds):.1f}–{max(seconds):.1f} | "
            f"{about['tokens'] / medians[system]:,.0f} | {ratio:.2f} | {'–' if loss is None else f'{loss:.3f}'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
