"""What a corpus consists of: departments and other tags, lengths by role, turns, sources, licences. Bounded memory."""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xinglin.formats.row import Record
from xinglin.types import Message, Passage, Preference, Question, Ranking, Sample

MOST = 20
"""Categories that a plot shows; the others are one bar."""


_LABELS = 40
"""Different gold answers that questions may have for these to be classes (intents, departments)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of whole numbers: how many, their mean, 5th, 50th and 95th percentile (nearest rank), largest."""

    count: int
    mean: float
    p5: int
    p50: int
    p95: int
    most: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts over records. `tags` has a distribution for every kind of tag (`department:内科` is one of department, a
    tag without a colon one of "tag"); `lengths` are characters by role, `turns` messages of a conversation."""

    records: int
    nouns: dict[str, int]
    tags: dict[str, dict[str, int]]
    untagged: int
    sources: dict[str, int]
    licences: dict[str, int]
    kinds: dict[str, int]
    lengths: dict[str, Spread]
    turns: Spread | None
    histograms: dict[str, dict[int, int]]

    @property
    def departments(self) -> dict[str, int]:
        """Records by department, the largest first."""
        return self.tags.get("department", {})


def spread(counts: Mapping[int, int]) -> Spread:
    """The distribution of numbers that are given with how often each stands; at least one must."""
    total = sum(counts.values())
    assert total > 0
    ordered = sorted(counts.items())
    mean = sum(value * count for value, count in ordered) / total
    p5, p50, p95 = (_rank(ordered, share * total) for share in (0.05, 0.5, 0.95))
    return Spread(total, round(mean, 2), p5, p50, p95, ordered[-1][0])


def _rank(ordered: list[tuple[int, int]], rank: float) -> int:
    seen = 0
    for value, count in ordered:
        seen += count
        if seen >= rank:
            return value
    return ordered[-1][0]


def _said(record: Record) -> Iterator[tuple[str, str]]:
    """(role, text) of everything in a record."""

    def turns(messages: Iterable[Message]) -> Iterator[tuple[str, str]]:
        return ((message.role, message.content) for message in messages)

    match record:
        case Sample():
            yield from turns(record.messages)
        case Preference():
            yield from turns(record.prompt)
            yield from (("chosen", record.chosen), ("rejected", record.rejected))
        case Ranking():
            yield from turns(record.prompt)
            yield from (("answer", answer) for answer in record.answers)
        case Question():
            yield from turns(record.messages)
            yield from (("gold", answer) for answer in record.answers)
        case Passage():
            yield "document", record.text


def statistics(records: Iterable[Record]) -> Statistics:
    """Read records once and count."""
    total = untagged = 0
    names = ("nouns", "sources", "licences", "kinds")
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: dict[str, Counter[int]] = defaultdict(Counter)
    turns: Counter[int] = Counter()
    for record in records:
        total += 1
        origin = record.origin
        for name, value in zip(names, (type(record).__name__, origin.source, origin.licence, origin.kind), strict=True):
            counts[name][value] += 1
        own = _tags(record)
        untagged += not own
        for kind, value in own:
            tags[kind][value] += 1
        for role, text in _said(record):
            lengths[role][len(text)] += 1
        if isinstance(record, Sample):
            turns[len(record.messages)] += 1
    if len(tags.get("label", ())) > _LABELS:
        del tags["label"]  # answers, and no classes
    return Statistics(
        records=total,
        tags={kind: dict(counter.most_common()) for kind, counter in sorted(tags.items())},
        untagged=untagged,
        lengths={role: spread(counter) for role, counter in lengths.items()},
        turns=spread(turns) if turns else None,
        histograms={**{role: dict(sorted(one.items())) for role, one in lengths.items()}, "turns": dict(turns)},
        **{name: dict(counter.most_common()) for name, counter in counts.items()},
    )


def _tags(record: Record) -> set[tuple[str, str]]:
    if isinstance(record, Question):
        one = record.answers[0] if len(record.answers) == 1 and not record.choices else ""
        return {("task", record.task), *([("label", one)] if one else [])}
    if not isinstance(record, Sample):
        return set()
    pairs = (tag.partition(":") for tag in record.tags)
    return {(kind, value) if colon and value else ("tag", kind) for kind, colon, value in pairs}


def numbered(counts: Mapping[str, int], most: int = MOST) -> list[tuple[str, int]]:
    """(label, count) of the largest categories for a plot: a bare machine has no Chinese font, so names that are not
    plain Latin are numbered as in the text output."""
    shown = list(counts.items())[:most]
    labels = [(name[:24] if name.isascii() else f"no. {at}", count) for at, (name, count) in enumerate(shown, 1)]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    return [*labels, ("others", rest)] if rest else labels


def plot(stats: Statistics, out: Path) -> None:
    """Write a PNG: departments (or the first other kind of tag), lengths by role, turns, sources and licences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    kind = "department" if stats.departments else next(iter(stats.tags), "tag")
    bars = (
        (axes[0][0], f"{kind} (numbers: see text output)", stats.tags.get(kind, {})),
        (axes[1][1], "source", stats.sources),
    )
    for axis, title, counts in bars:
        rows = numbered(counts) or [("none", 0)]
        axis.barh([label for label, _ in rows][::-1], [count for _, count in rows][::-1], color="#2f7d6b")
        axis.set_title(title)
        axis.set_xlabel("records")
    for role, one in stats.histograms.items():
        if role != "turns" and one:
            limit = max(stats.lengths[role].p95 * 2, 10)
            axes[0][1].hist(
                [min(value, limit) for value in one],
                weights=list(one.values()),
                bins=40,
                histtype="step",
                label=role,
            )
    axes[0][1].set_title("length (the last bar: longer)")
    axes[0][1].set_xlabel("characters")
    if stats.lengths:
        axes[0][1].legend()
    turns = {value: count for value, count in sorted(stats.histograms["turns"].items()) if value <= 40}
    axes[1][0].bar(list(turns), list(turns.values()), color="#b5732c")
    axes[1][0].set_title("messages of a conversation (up to 40)")
    axes[1][0].set_xlabel("messages")
    figure.suptitle(f"{stats.records:,} records; licences: {_latin(stats.licences)}")
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110)
    _write(out, held.getvalue())


def _latin(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {count:,}" for label, count in numbered(counts, most=4))


def _write(out: Path, data: bytes) -> None:
    """A picture appears whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(name, 0o644)
    os.replace(name, out)
