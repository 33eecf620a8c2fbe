"""Near-duplicates among 100,000 real short Chinese records with planted copies: xinglin, datasketch, data-juicer.

    python -m venv peers && peers/bin/pip install datasketch py-data-juicer aiohttp
    python bench/dedup.py DATA --peers peers/bin/python [--rounds 5]     # writes bench/results/dedup.md
    python bench/dedup.py DATA --growth                                  # writes bench/results/dedup_growth.md and .png

Records are questions and answers of Toyhom, BenTsao, PromptCBLUE and ChineseBLUE (DATA: the folder of the shared data)
without exact duplicates, and where those are too few, clauses of them put together anew. Three in ten of the 100,000
are copies made here: with other marks, 3 % or 10 % of the characters changed, or wrapped in a greeting and thanks. All
engines get the same texts in memory, character 3-grams, threshold 0.5 and one thread; measured is from there to the
list of records that stay, wall and CPU time. Every engine runs in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
COUNT, PLANTED, THRESHOLD = 100_000, 0.3, 0.5
ENGINES = ("xinglin", "datasketch", "data-juicer")
KINDS = ("marks", "3 %", "10 %", "wrap")


@dataclass(frozen=True)
class Planted:
    """A copy: the places of the original and of the copy, and how it was made."""

    base: int
    copy: int
    kind: str


def real_texts(data: Path) -> Iterator[str]:
    """Short texts of the three sources."""
    with (data / "qa_toyhom_internal_medicine/neike_5000-6000.utf8.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield from (row["ask"], row["answer"])
    for name, fields in (
        ("sft_bentsao/llama_data.json", ("instruction", "output")),
        ("cblue_promptcblue_toy/train.json", ("input", "target")),
        ("cblue_promptcblue_toy/dev.json", ("input", "target")),
    ):
        with (data / name).open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield from (str(row[field]) for field in fields)
    for name in ("cMedQQ_train.txt", "cMedTC_train.txt"):
        with (data / "cls_chineseblue" / name).open(encoding="utf-8") as file:
            for line in file:
                yield from line.rstrip("\n").split("\t")[1:]


def change(text: str, share: float, chance: random.Random) -> str:
    """The text with a share of its characters replaced, left out or doubled."""
    letters = list(text)
    for _ in range(max(1, round(len(letters) * share))):
        at = chance.randrange(len(letters))
        letters[at] = chance.choice(("", letters[at] * 2, "的", "了", "是", "在", "有", "不"))
    return "".join(letters)


def plant(text: str, kind: str, chance: random.Random) -> str:
    """A copy of a text."""
    if kind == "marks":
        return text.replace("，", ",").replace("。", ".") + "！"
    if kind == "wrap":
        return f"医生您好，{text}谢谢医生"
    return change(text, 0.03 if kind == "3 %" else 0.1, chance)


def corpus(data: Path, count: int) -> tuple[list[str], list[Planted]]:
    """`count` texts in random order and the planted pairs among them."""
    chance = random.Random(5)
    texts = [text for text in dict.fromkeys(map(str.strip, real_texts(data))) if len(text) >= 12]
    chance.shuffle(texts)
    wanted = round(count * (1 - PLANTED))
    clauses = [part for text in texts for part in re.split("[，。；！？,;!?]", text) if len(part) >= 5]
    while len(texts) < wanted:  # too few real ones: clauses of different records, put together
        texts.append("，".join(chance.choices(clauses, k=chance.randint(4, 7))))
    texts = texts[:wanted]
    copies = [(chance.randrange(wanted), KINDS[number % len(KINDS)]) for number in range(count - wanted)]
    texts += [plant(texts[base], kind, chance) for base, kind in copies]
    order = list(range(count))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    planted = [Planted(place[base], place[wanted + at], kind) for at, (base, kind) in enumerate(copies)]
    return [texts[old] for old in order], planted


def nearest(places: list[int], texts: list[str], kept: set[int]) -> Iterator[float]:
    """The highest exact similarity of each of some texts with any that was kept, by looking at all of them."""
    from xinglin.text import squeeze

    sets = [grams(squeeze(text)) for text in texts]
    holders: dict[str, list[int]] = {}
    for at in kept:
        for gram in sets[at]:
            holders.setdefault(gram, []).append(at)
    for place in places:
        shared = Counter(at for gram in sets[place] for at in holders.get(gram, ()))
        yield max((n / (len(sets[place]) + len(sets[at]) - n) for at, n in shared.items()), default=0.0)


def grams(plain: str) -> set[str]:
    """The character 3-grams of a squeezed text."""
    return {plain[at : at + 3] for at in range(max(len(plain) - 2, 1))}


def by_xinglin(texts: list[str]) -> list[int]:
    """The records that stay, by `data.dedup`."""
    from xinglin.data.dedup import find
    from xinglin.types import Origin, Passage

    origin = Origin("bench", "", "unknown", "document")
    found = find((Passage(str(at), text, (), origin) for at, text in enumerate(texts)), threshold=THRESHOLD)
    gone = {removal.at for removal in found.removals}
    return [at for at in range(len(texts)) if at not in gone]


def by_datasketch(texts: list[str]) -> list[int]:
    """The records that stay: each is looked up among those that stayed before it (MinHashLSH, 128 permutations)."""
    from datasketch import MinHash, MinHashLSH  # pyright: ignore[reportMissingImports]

    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    kept = []
    for at, text in enumerate(texts):
        plain = "".join(letter for letter in text if letter.isalnum())
        sketch = MinHash(num_perm=128)
        sketch.update_batch([plain[start : start + 3].encode() for start in range(max(len(plain) - 2, 1))])
        if not index.query(sketch):
            index.insert(at, sketch)
            kept.append(at)
    return kept


def by_juicer(texts: list[str]) -> list[int]:
    """The records that stay, by data-juicer's document_minhash_deduplicator."""
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import (  # pyright: ignore[reportMissingImports]
        DocumentMinhashDeduplicator,
    )
    from datasets import Dataset  # pyright: ignore[reportMissingImports]

    made: Any = DocumentMinhashDeduplicator(
        tokenization="character",
        window_size=3,
        lowercase=True,
        ignore_pattern=r"[\W_]+",
        num_permutations=128,
        jaccard_threshold=THRESHOLD,
    )
    dataset = Dataset.from_dict({"text": texts, "at": list(range(len(texts)))})
    hashed = dataset.map(made.compute_hash, num_proc=None)
    left, _ = made.process(hashed)
    return list(left["at"])


BY: dict[str, Callable[[list[str]], list[int]]] = dict(
    zip(ENGINES, (by_xinglin, by_datasketch, by_juicer), strict=True)
)


def engine(name: str, source: Path, out: Path) -> None:
    """Run one engine in this process and write what stays, times and memory."""
    texts = json.loads(source.read_text(encoding="utf-8"))
    BY[name](texts[:200])  # imports and first calls
    wall, cpu = time.perf_counter(), time.process_time()
    kept = BY[name](texts)
    times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out.write_text(json.dumps({"kept": kept, "peak": peak} | times), encoding="utf-8")


def run(name: str, python: str, source: Path) -> dict[str, Any]:
    """One engine in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
        subprocess.run(
            [python, __file__, "--engine", name, "--source", str(source), "--out", str(out)],
            check=True,
            env=os.environ | one | {"TQDM_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return json.loads(out.read_text(encoding="utf-8"))


def compare(data: Path, peers: str, rounds: int) -> str:
    """The table of all engines."""
    from xinglin.data import near
    from xinglin.text import squeeze

    texts, planted = corpus(data, COUNT)
    pairs = near.find(*near.encode(map(squeeze, texts)), threshold=THRESHOLD)
    similar = set(zip(pairs.left_K.tolist(), pairs.right_K.tolist(), strict=True))
    neighbours = {*pairs.left_K.tolist(), *pairs.right_K.tolist()}
    reach = {pair for pair in planted if (min(pair.base, pair.copy), max(pair.base, pair.copy)) in similar}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "texts.json"
        source.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
        for number in range(rounds):
            for name in ENGINES:
                runs[name].append(run(name, sys.executable if name == "xinglin" else peers, source))
                print(number, name, {key: runs[name][-1][key] for key in ("wall", "cpu", "peak")}, flush=True)
    lines = [
        f"{COUNT:,} texts, mean {statistics.mean(map(len, texts)):.0f} characters, {len(planted):,} planted copies; "
        f"{rounds} alternating rounds, medians, one thread.",
        "",
        "| engine | wall s | CPU s | peak MB | recall, all copies | "
        + " | ".join(KINDS)
        + " | removed without a similar record |",
        "|" + "---|" * (6 + len(KINDS)),
    ]
    ours = runs["xinglin"]
    for name in ENGINES:
        kept = set(runs[name][-1]["kept"])
        caught = {pair for pair in planted if not {pair.base, pair.copy} <= kept}
        by_kind = [_share(caught, [pair for pair in planted if pair.kind == kind]) for kind in KINDS]
        doubtful = [at for at in range(COUNT) if at not in kept and at not in neighbours]
        excess = sum(best < THRESHOLD for best in nearest(doubtful, texts, kept))
        wall, cpu = (statistics.median(one[key] for one in runs[name]) for key in ("wall", "cpu"))
        ratios = [
            wall / statistics.median(one["wall"] for one in ours),
            cpu / statistics.median(one["cpu"] for one in ours),
        ]
        times = f"{wall:.1f} ({ratios[0]:.1f}x) | {cpu:.1f} ({ratios[1]:.1f}x)"
        shares = " | ".join([_share(caught, planted), *by_kind])
        lines.append(f"| {name} | {times} | {max(one['peak'] for one in runs[name]):.0f} | {shares} | {excess} |")
    lines += [
        "",
        f"Of the planted copies {len(reach) / len(planted):.1%} have a true similarity of {THRESHOLD} or more.",
        "",
    ]
    return "\n".join(lines)


def _share(caught: set[Planted], pairs: list[Planted]) -> str:
    return f"{sum(pair in caught for pair in pairs) / len(pairs):.3f}"


def growth(data: Path) -> str:
    """Time and memory of xinglin for more and more records."""
    rows = []
    for count in (62_500, 125_000, 250_000, 500_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "texts.json"
            source.write_text(json.dumps(corpus(data, count)[0], ensure_ascii=False), encoding="utf-8")
            made = run("xinglin", sys.executable, source)
        rows.append((count, made["wall"], made["cpu"], made["peak"], len(made["kept"])))
        print(rows[-1], flush=True)
    _draw(rows)
    lines = ["| records | wall s | CPU s | µs CPU a record | peak MB (texts included) | kept |", "|" + "---|" * 6]
    lines += [f"| {n:,} | {w:.1f} | {c:.1f} | {1e6 * c / n:.0f} | {p:.0f} | {k:,} |" for n, w, c, p, k in rows]
    return "\n".join([*lines, ""])


def _draw(rows: list[tuple[int, float, float, float, int]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([row[0] for row in rows], [row[1] for row in rows], "o-")
    left.set(xlabel="records", ylabel="wall seconds, one thread", title="Time", ylim=(0, None), xlim=(0, None))
    right.plot([row[0] for row in rows], [row[3] for row in rows], "o-", color="tab:green")
    right.set(xlabel="records", ylabel="peak MB", title="Memory", ylim=(0, None), xlim=(0, None))
    figure.savefig(RESULTS / "dedup_growth.png", dpi=110)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--peers", default=sys.executable, help="a Python that has datasketch and data-juicer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", action="store_true")
    for name in ("--engine", "--source", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.engine:
        engine(asked.engine, Path(asked.source), Path(asked.out))
        return
    RESULTS.mkdir(exist_ok=True)
    name, text = ("dedup_growth.md", growth(asked.data)) if asked.growth else (
        "dedup.md", compare(asked.data, asked.peers, asked.rounds)
    )  # fmt: skip
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
