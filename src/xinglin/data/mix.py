"""Mixing: records of several sources by weight, with caps and replay of a base, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinglin.data.intake import apart, line, write_report
from xinglin.data.licence import UNKNOWN, USES, strictest
from xinglin.errors import DataError
from xinglin.files import atomic, write_records
from xinglin.formats.nouns import read_nouns
from xinglin.formats.reading import beside
from xinglin.formats.row import Bad, Record

Reader = Callable[[], Iterable[Record | Bad]]


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One source of a mix: `read` gives its records from the start each time; `weight` 0 takes all that `cap` allows.

    `cap` is the most records that are taken of it (0: no limit), `uses` what a registry lets it be used for."""

    name: str
    read: Reader
    weight: float = 0.0
    cap: int = 0
    uses: frozenset[str] = frozenset(USES)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to mix: at most `most` new records (0: no limit); `replay` of the whole come from `base`."""

    seed: int = 0
    most: int = 0
    base: Ingredient | None = None
    replay: float = 0.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of one source: records that it has, lines that are none, records taken, and its licences."""

    name: str
    available: int
    dropped: int
    taken: int
    licences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mixed:
    """A mix: what was taken of each source, in all, and the strictest licence with the uses that all allow."""

    records: int
    sources: tuple[Taken, ...]
    licence: str
    uses: tuple[str, ...]
    seed: int
    limited: str = ""


@dataclass(slots=True)
class _Held:
    """A source after the first pass."""

    one: Ingredient
    available: int = 0
    dropped: int = 0
    licences: set[str] = field(default_factory=set)


def from_file(path: Path, *, weight: float = 0.0, cap: int = 0) -> Ingredient:
    """A file of records, as xinglin writes them, as an ingredient."""
    return Ingredient(str(path), lambda: read_nouns(path), weight, cap)


def quotas(available: Sequence[int], weights: Sequence[float], most: int = 0) -> list[int]:
    """Records to take of each source.

    With weights the proportions are kept exactly (to one record): the source that has the least for its weight limits
    the whole. Without weights all is taken, or, past `most`, of each in proportion to what it has.
    """
    assert len(available) == len(weights)
    if not any(weights):
        total = sum(available)
        if not most or total <= most:
            return list(available)
        return _parts(most, [float(count) for count in available], available)
    whole = sum(weights)
    limit = min(count * whole / weight for count, weight in zip(available, weights, strict=True) if weight)
    total = int(limit + 1e-9)
    return _parts(min(total, most) if most else total, weights, available)


def _parts(total: int, weights: Sequence[float], available: Sequence[int]) -> list[int]:
    """`total` in whole numbers by weight: the largest remainders get what rounding leaves."""
    whole = sum(weights) or 1.0
    exact = [total * weight / whole for weight in weights]
    found = [min(int(value + 1e-9), count) for value, count in zip(exact, available, strict=True)]
    order = sorted(range(len(exact)), key=lambda at: (found[at] - exact[at], at))
    for at in order:
        if sum(found) < total and found[at] < available[at]:
            found[at] += 1
    return found


def mix(ingredients: Sequence[Ingredient], out: Path, plan: Plan, *, max_dropped: float = 0.01) -> Mixed:
    """Write a mix to `out` and what was taken to OUT.report.json. Reads every source twice, in bounded memory.

    The records of a source keep their order; the sources are interleaved. Raises DataError for a source without records
    or with more than `max_dropped` lines that are none.
    """
    bad: list[Bad] = []
    try:
        held = [_survey(one, max_dropped, bad) for one in ingredients]
        base = _survey(plan.base, max_dropped, bad) if plan.base is not None and plan.replay > 0 else None
    finally:
        beside(out, "dropped").unlink(missing_ok=True)
        if bad:
            write_records(beside(out, "dropped"), bad)
    counts = [min(each.available, each.one.cap or each.available) for each in held]
    weights = [each.one.weight for each in held]
    if any(weights) and not all(weights):
        bare = next(each.one.name for each in held if not each.one.weight)
        raise DataError("one source has no weight", where=bare, fix="give all sources a weight (NAME=WEIGHT) or none")
    takes = quotas(counts, weights, plan.most)
    limited = _limit(held, counts, takes)
    if base is not None:
        wanted = round(plan.replay / (1 - plan.replay) * sum(takes))
        held.append(base)
        takes.append(min(wanted, base.available, base.one.cap or base.available))
        if takes[-1] < wanted:
            limited = f"{base.one.name}: {takes[-1]:,} of {wanted:,} records to replay"
    with atomic(out) as file:
        for record in _interleave(held, takes, plan.seed):
            file.write(line(record))
    done = _report(held, takes, plan.seed, limited)
    write_report(out, "mix", done)
    return done


def mix_files(paths: Sequence[Path], out: Path, plan: Plan) -> Mixed:
    """Mix whole files without weights."""
    apart(paths, out)
    return mix([from_file(path) for path in paths], out, plan)


def _survey(one: Ingredient, max_dropped: float, bad: list[Bad]) -> _Held:
    held = _Held(one)
    for record in one.read():
        if isinstance(record, Bad):
            held.dropped += 1
            bad.append(record)
        else:
            held.available += 1
            held.licences.add(record.origin.licence)
    if held.dropped > max_dropped * (held.available + held.dropped):
        raise DataError(
            f"{held.dropped:,} of {held.available + held.dropped:,} rows are no records",
            where=one.name,
            fix="read the file with `xinglin data import` first: it says what is wrong with which line",
        )
    if not held.available:
        raise DataError("no record in this source", where=one.name, fix="check the file")
    return held


def _limit(held: Sequence[_Held], counts: Sequence[int], takes: Sequence[int]) -> str:
    """Which source ran out, where weights left records of others behind."""
    behind = any(take < count for take, count in zip(takes, counts, strict=True))
    short = [each.one.name for each, count, take in zip(held, counts, takes, strict=True) if take == count]
    return short[0] if behind and short and any(each.one.weight for each in held) else ""


def _interleave(held: Sequence[_Held], takes: Sequence[int], seed: int) -> Iterator[Record]:
    """The chosen records of every source, in their order, the sources taking turns by chance."""
    streams = [
        _chosen(each, take, random.Random(f"{seed} {at}"))  # noqa: S311 - not for secrets
        for at, (each, take) in enumerate(zip(held, takes, strict=True))
    ]
    left = list(takes)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    for _ in range(sum(left)):
        at = chance.choices(range(len(left)), weights=left)[0]
        left[at] -= 1
        yield next(streams[at])


def _chosen(held: _Held, take: int, chance: random.Random) -> Iterator[Record]:
    """`take` of the source's records, each as likely as another."""
    seen = 0
    needed = take
    for record in held.one.read():
        if isinstance(record, Bad) or not needed:
            continue
        # Selection sampling (Knuth, algorithm S): one pass, no list of places.
        if chance.random() * (held.available - seen) < needed:
            needed -= 1
            yield record
        seen += 1


def _report(held: Sequence[_Held], takes: Sequence[int], seed: int, limited: str) -> Mixed:
    sources = tuple(
        Taken(each.one.name, each.available, each.dropped, take, tuple(sorted(each.licences)))
        for each, take in zip(held, takes, strict=True)
    )
    names = {licence for each, take in zip(held, takes, strict=True) if take for licence in each.licences}
    licence, uses = strictest(names or {UNKNOWN})
    for each, take in zip(held, takes, strict=True):
        uses &= each.one.uses if take else uses
    return Mixed(sum(takes), sources, licence, tuple(sorted(uses)), seed, limited)
