"""How fast records are imported and cleaned: 100,000 real short records in JSON Lines, one core.

python bench/clean.py DATA     # DATA: the shared data; writes bench/results/clean.md

Three ways, in turn, RUNS times each; medians of CPU time and wall time. Each run is a process of its own, so that its
peak memory is its own.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from xinglin.data.clean import Cleaner, clean_files
from xinglin.data.filters import FILTERS, parts
from xinglin.data.intake import Intake, line
from xinglin.data.rules import RULES
from xinglin.formats.nouns import read_nouns, require, texts_of
from xinglin.formats.reading import Import, import_files
from xinglin.types import Sample

HERE = Path(__file__).parent
RESULT = HERE / "results" / "clean.md"
COUNT = 100_000
LONGEST = 1000
"""Characters: a short record has no more."""
RUNS = 5
FILES = (
    "qa_toyhom_internal_medicine/*.utf8.csv",
    "sft_bentsao/llama_data.json",
    "sft_medicalgpt/medical_sft_1K_format.jsonl",
    "dialog_disc/*_samples.json",
    "cblue_promptcblue_toy/train.json",
    "tcm_huangdi/*.json",
    "tcm_shennong_examples/*.xls",
    "pretrain_text/liver_cancer.json",
)


def real(data: Path) -> list[dict[str, str]]:
    """Real single-turn records as Alpaca rows, from the first on again where there are fewer than COUNT."""
    paths = [path for pattern in FILES for path in sorted(data.glob(pattern))]
    rows = [
        {"instruction": one.messages[0].content, "input": "", "output": one.messages[1].content}
        for one in Import(paths, max_dropped=1).records()
        if isinstance(one, Sample)
        and [message.role for message in one.messages] == ["user", "assistant"]
        and sum(len(message.content) for message in one.messages) <= LONGEST
    ]
    print(f"{len(rows):,} real records, taken again up to {COUNT:,}")
    return list(islice(cycle(rows), COUNT))


def import_only(folder: Path) -> None:
    """`xinglin data import`."""
    import_files(Import([folder / "raw.jsonl"]), folder / "records.jsonl")


def clean_only(folder: Path) -> None:
    """`xinglin data clean` of what the import wrote."""
    clean_files(Intake([folder / "records.jsonl"]), folder / "clean.jsonl", Cleaner())


def both(folder: Path) -> None:
    """Import and clean in one pass, as a recipe's author would in Python."""
    with (folder / "both.jsonl").open("w", encoding="utf-8") as file:
        for record in Cleaner().clean(Import([folder / "raw.jsonl"]).records()):
            file.write(line(record))


WAYS: dict[str, Callable[[Path], None]] = {
    "import": import_only,
    "clean": clean_only,
    "import and clean in one pass": both,
}


def measure(way: str, folder: Path) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak MB of one way in a process of its own."""
    command = [sys.executable, __file__, "--run", way, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    cpu, wall, memory = map(float, found.stdout.split())
    return cpu, wall, memory


def run(way: str, folder: Path) -> None:
    """Do it here and print the numbers."""
    cpu, wall = time.process_time(), time.perf_counter()
    WAYS[way](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.process_time() - cpu, time.perf_counter() - wall, peak)


def timed(job: Callable[[], object]) -> float:
    """CPU microseconds a record."""
    start = time.process_time()
    job()
    return (time.process_time() - start) / COUNT * 1e6


def profile(folder: Path) -> list[str]:
    """Where the time of cleaning goes, by part, rule and filter."""
    records = []
    reading = timed(lambda: records.extend(map(require, read_nouns(folder / "records.jsonl"))))
    texts = [text for record in records for _, text in texts_of(record)]
    rows = [("read records (json, validation)", reading)]
    for rule in RULES:
        looked: list[str] = []
        look = timed(lambda may=rule.may, into=looked: into.extend(text for text in texts if may(text)))
        change = timed(lambda change=rule.change, into=looked: [change(text) for text in into])
        rows.append((f"rule {rule.name}: look {look:.1f}, change {change:.1f}", look + change))
    prepared = [parts(record) for record in records]
    for one in FILTERS:
        rows.append((f"filter {one.name}", timed(lambda why=one.why: [why(each, 2) for each in prepared])))
    rows.append(("write records", timed(lambda: [line(record) for record in records])))
    for kind in ("rule", "filter"):
        rows.append((f"**all {kind}s**", sum(cost for name, cost in rows if name.startswith(f"{kind} "))))
    return [f"| {name} | {cost:.1f} |" for name, cost in rows]


def report(folder: Path) -> str:
    """All measurements as Markdown."""
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(RUNS):
        for way in WAYS:
            found[way].append(measure(way, folder))
    lines = []
    for way, runs in found.items():
        cpu, wall, memory = (median(run[at] for run in runs) for at in range(3))
        lines.append(f"| {way} | {cpu:.2f} | {wall:.2f} | {COUNT / cpu:,.0f} | {COUNT / wall:,.0f} | {memory:.0f} |")
    done = json.loads((folder / "clean.jsonl.report.json").read_text("utf-8"))
    rules = Counter(done["rules"]) + Counter(done["rejected"])
    return "\n".join(
        [
            f"{COUNT:,} real short records (at most {LONGEST} characters), JSON Lines, one core, medians of {RUNS} "
            f"alternating runs; Python {platform.python_version()}, {platform.machine()}.",
            "",
            "| way | CPU s | wall s | records/s of CPU | records/s of wall | peak MB |",
            "|---|---:|---:|---:|---:|---:|",
            *lines,
            "",
            f"Kept {done['kept']:,}, changed {done['changed']:,}; by rule: "
            + ", ".join(f"{name} {count:,}" for name, count in rules.most_common())
            + ".",
            "",
            "Where the time goes (CPU microseconds a record, one run):",
            "",
            "| part | µs |",
            "|---|---:|",
            *profile(folder),
            "",
            "20,000 records/s are 50 µs a record. The import takes about half of that before cleaning begins (JSON, "
            "the format, ids by SHA-256); what is not in the table is Python's own work between the parts (calls, "
            "records made anew, a second round over texts that changed).",
            "",
        ]
    )


def main() -> None:
    """Make the data, measure, keep the table."""
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], Path(sys.argv[3]))
        return
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "shared" / "data"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "raw.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in real(data))
        text = report(folder)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
