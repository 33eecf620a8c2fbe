"""Reward model and DPO on preference pairs against TRL, in turns, on real Chinese preferences.

    python bench/train/pairs.py DATA --peers PEERS [--rounds 5]   # writes bench/results/train_pairs.md and .json

The pairs are those of MedicalGPT in DATA (the shared data): 100 medical and 500 general ones, as many as fit. Both
systems train the same model for one epoch with the same template, rate, optimiser, threads and dtype; a step takes
about the same pairs (Xinglin packs them into rows). Timed is the whole stage, opening, reference and saving included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speed import HERE, RESULTS, prepare

ORDER = ("xinglin reward", "trl reward", "xinglin dpo", "trl dpo", "trl dpo, precomputed")


def pairs(data: Path) -> Iterator[dict[str, Any]]:
    """Prompt, chosen and rejected of both files."""
    for path in sorted((data / "pref_medicalgpt").glob("*.json*")):
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
        for row in rows:
            asked = row.get("question") or row.get("conversations", [{}])[-1].get("value", "")
            good, bad = (
                row.get("response_chosen") or row.get("chosen"),
                row.get("response_rejected") or row.get("rejected"),
            )
            good, bad = (one.get("value") if isinstance(one, dict) else one for one in (good, bad))
            if asked and good and bad and str(good).strip() != str(bad).strip():
                yield {"prompt": asked, "chosen": good, "rejected": bad}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=160)
    chosen = parser.parse_args()
    settings = {"length": 512, "rows": 6, "pairs": 8, "rate": 1e-4, "threads": 2}
    runs: dict[str, list[dict[str, Any]]] = {system: [] for system in ORDER}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(chosen.data, work, count=50, length=512)
        from xinglin.model import load
        from xinglin.model.render import Template
        from xinglin.types import Message

        template = Template(load.open_tokenizer(str(work / "model")))
        fitting = []
        for one in pairs(chosen.data):
            lengths = [
                len(template.encode([Message("user", one["prompt"]), Message("assistant", one[name])]).ids)
                for name in ("chosen", "rejected")
            ]
            if sum(lengths) <= settings["length"]:
                fitting.append((one, sum(lengths)))
        kept = fitting[:: max(1, len(fitting) // chosen.count)][: chosen.count]
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one, _ in kept)
        (work / "pairs.jsonl").write_text(lines, encoding="utf-8")
        tokens = sum(size for _, size in kept)
        settings["pairs"] = max(1, round(settings["rows"] * settings["length"] * len(kept) / tokens * 0.95))
        for number in range(chosen.rounds):
            for system in ORDER if number % 2 == 0 else reversed(ORDER):
                python = str(chosen.peers / "trl/bin/python") if system.startswith("trl") else sys.executable
                out = work / f"{system}-{number}".replace(" ", "-").replace(",", "")
                call = [python, str(HERE / "one_pairs.py"), system, str(work / "model"), str(work / "pairs.jsonl")]
                done = subprocess.run(
                    [*call, json.dumps(settings), str(out)], capture_output=True, text=True, check=False
                )
                failed = {"error": done.stderr.strip().splitlines()[-1][:300]} if done.returncode else {}
                runs[system].append(
                    failed or json.loads(done.stdout.strip().splitlines()[-1]) | {"load": os.getloadavg()[0]}
                )
                print(number, system, runs[system][-1], flush=True)
    record = {"settings": settings, "pairs": len(kept), "tokens": tokens, "runs": runs}
    (RESULTS / "train_pairs.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "train_pairs.md").write_text(table(record), encoding="utf-8")


def table(record: dict[str, Any]) -> str:
    """The results as Markdown."""
    settings = record["settings"]
    lines = [
        "# Reward model and DPO, seconds of a stage",
        "",
        "`python bench/train/pairs.py DATA --peers PEERS`",
        "",
        f"{record['pairs']} real pairs, {record['tokens']:,} tokens, rows of {settings['length']}, "
        f"{settings['pairs']} pairs a step for TRL, {settings['rows']} rows for Xinglin, 2 threads.",
        "",
        "| system | median s | range | xinglin is faster by |",
        "|---|---|---|---|",
    ]
    medians = {
        system: statistics.median(one["seconds"] for one in runs)
        for system, runs in record["runs"].items()
        if all("seconds" in one for one in runs)
    }
    for system, runs in record["runs"].items():
        if system not in medians:
            lines.append(f"| {system} | – | failed: {next(one['error'] for one in runs if 'error' in one)} | – |")
            continue
        seconds = [one["seconds"] for one in runs]
        own = "xinglin reward" if "reward" in system else "xinglin dpo"
        ratio = medians[system] / medians[own] if own in medians else float("nan")
        lines.append(f"| {system} | {medians[system]:.1f} | {min(seconds):.1f}–{max(seconds):.1f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
