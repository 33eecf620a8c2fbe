"""How well and how fast de-identification works, over files of texts with their entities.

    python bench/privacy.py tests/golden/privacy_open.jsonl --speed ../shared/data/…/neike_5000-6000.utf8.csv

Each line of a file: {"text": …, "entities": [{"type", "start", "end", "text"}]}. Scores: strict (type and span equal),
lenient (same type, NAME and DOCTOR being one, and some overlap), leak rate (share of entity characters left in the
text), spurious rate (share of entity-free texts in which something is found, whatever it is). Intervals are Wilson's,
95 %. Writes bench/results/privacy.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinglin.safety.entity import Entity
from xinglin.safety.privacy import find

RESULT = Path(__file__).parent / "results" / "privacy.md"
CONSULTATIONS = 10_000


@dataclass(frozen=True)
class Case:
    """A text and the entities that it has."""

    text: str
    gold: tuple[Entity, ...]


@dataclass
class Scores:
    """Counts of one file, by type of the gold entity where a Counter."""

    gold: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    strict: Counter[str] = field(default_factory=Counter)
    lenient: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    free: int = 0
    spurious: int = 0


def read_cases(path: Path) -> list[Case]:
    """The cases of a file; an entity whose text is not at its offsets is an error of the file."""
    cases = []
    for line in path.read_text("utf-8").splitlines():
        value = json.loads(line)
        gold = tuple(Entity(one["type"], one["start"], one["end"], one["text"]) for one in value["entities"])
        assert all(value["text"][one.start : one.end] == one.text for one in gold), value["text"]
        cases.append(Case(value["text"], gold))
    return cases


def score(cases: Iterable[Case]) -> Scores:
    """Run the detector over the cases and count."""
    scores = Scores()
    for case in cases:
        found = find(case.text)
        masked = {at for one in found for at in range(one.start, one.end)}
        for gold in case.gold:
            scores.gold[gold.type] += 1
            scores.strict[gold.type] += any(
                (one.type, one.start, one.end) == (gold.type, gold.start, gold.end) for one in found
            )
            scores.lenient[gold.type] += any(_same(one, gold) for one in found)
            scores.characters[gold.type] += gold.end - gold.start
            scores.leaked[gold.type] += sum(at not in masked for at in range(gold.start, gold.end))
        for one in found:
            scores.found[one.type] += 1
            scores.right[one.type] += any(_same(one, gold) for gold in case.gold)
        if not case.gold:
            scores.free += 1
            scores.spurious += bool(found)
    return scores


def _same(one: Entity, other: Entity) -> bool:
    kind = one.type == other.type or {one.type, other.type} == {"NAME", "DOCTOR"}
    return kind and one.start < other.end and other.start < one.end


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    z, share = 1.959964, hits / total
    middle, spread = (
        share + z * z / (2 * total),
        z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)),
    )
    return (middle - spread) / (1 + z * z / total), (middle + spread) / (1 + z * z / total)


def _share(hits: int, total: int) -> str:
    if not total:
        return "–"
    low, high = wilson(hits, total)
    return f"{hits / total:.3f} [{low:.3f}, {high:.3f}]"


def render(name: str, cases: Sequence[Case], scores: Scores) -> str:
    """The table of one file."""
    lines = [
        f"## {name}",
        "",
        f"{len(cases)} texts, {scores.free} of them without an entity. Spurious: "
        f"{_share(scores.spurious, scores.free)} of these.",
        "",
        "| type | gold | recall, strict | recall, lenient | precision, lenient | leaked characters |",
        "|---|---|---|---|---|---|",
    ]
    kinds = sorted(scores.gold.keys() | scores.found.keys())
    rows = [(kind, [kind]) for kind in kinds] + [("NAME + DOCTOR", ["NAME", "DOCTOR"]), ("all", kinds)]
    for label, some in rows:
        gold, strict, lenient, found, right, characters, leaked = (
            sum(counts[kind] for kind in some)
            for counts in (
                scores.gold, scores.strict, scores.lenient, scores.found, scores.right,
                scores.characters, scores.leaked,
            )
        )  # fmt: skip
        leak = f"{leaked / characters:.3f}" if characters else "–"
        lines.append(
            f"| {label} | {gold} | {_share(strict, gold)} | {_share(lenient, gold)} | {_share(right, found)} | {leak} |"
        )
    return "\n".join(lines)


def speed(path: Path) -> str:
    """Seconds for ten thousand consultations, carried over from the rows of a Toyhom table; median of three runs."""
    with path.open(encoding="utf-8", newline="") as file:
        texts = ["\n".join(row) for row in list(csv.reader(file))[1:]]
    find(texts[0])  # the lexicons are read once
    runs, touched = [], 0
    for _ in range(3):
        began = time.process_time()
        touched = sum(bool(find(text)) for text in texts)
        runs.append(time.process_time() - began)
    seconds = statistics.median(runs)
    characters = sum(map(len, texts))
    return (
        f"## Speed\n\n{len(texts):,} consultations ({characters:,} characters) of `{path.name}`: "
        f"{seconds:.1f} s of one core (CPU time, median of {', '.join(f'{one:.1f}' for one in runs)}), "
        f"{seconds / len(texts) * CONSULTATIONS:.1f} s for {CONSULTATIONS:,} of this length (extrapolated). "
        f"Something was found in {touched:,} ({touched / len(texts):.2%})."
    )


def main() -> None:
    """Score the files, measure the speed, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--speed", type=Path, help="a Toyhom CSV file")
    parser.add_argument("-o", "--out", type=Path, default=RESULT)
    given = parser.parse_args()
    parts = ["# De-identification", "", f"`python bench/privacy.py {' '.join(str(one) for one in given.files)}`"]
    for path in given.files:
        cases = read_cases(path)
        parts += ["", render(path.name, cases, score(cases))]
    if given.speed:
        parts += ["", speed(given.speed)]
    text = "\n".join(parts) + "\n"
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
