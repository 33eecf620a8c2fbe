"""How long the starter pack takes to become facts, beside PyYAML alone reading the same files.

python bench/pack_load.py     # writes bench/results/pack_load.md

Both in turn, RUNS times each; medians of CPU seconds of one core.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import yaml

from xinglin.knowledge.pack import read_pack
from xinglin.knowledge.sources import PACKS

RESULT = Path(__file__).parent / "results" / "pack_load.md"
STARTER = PACKS / "starter"
RUNS = 9


def parse() -> None:
    """Read every file of the pack as YAML with libyaml and its plain loader, and make nothing of it."""
    for path in sorted(STARTER.glob("*/*.yaml")):
        yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Measure and write the table."""
    ways: dict[str, Callable[[], object]] = {"xinglin": lambda: read_pack(STARTER), "PyYAML alone": parse}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(RUNS):
        for way, work in ways.items():
            spent[way].append(seconds(work))
    facts = len(read_pack(STARTER).facts)
    own = median(spent["xinglin"])
    lines = [
        f"The starter pack, {facts:,} facts; one core, medians of {RUNS} alternating runs; "
        f"Python {platform.python_version()}, {platform.machine()}.",
        "",
        "| way | CPU s | range | times xinglin |",
        "|---|---:|---|---:|",
    ]
    for way, found in spent.items():
        lines.append(f"| {way} | {median(found):.2f} | {min(found):.2f}–{max(found):.2f} | {median(found) / own:.2f} |")
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
