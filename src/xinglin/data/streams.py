"""Curated files: records in, records out, with what was turned away beside them. Two passes in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinglin.data.dedup import Deduplicated, Part, find
from xinglin.data.overlap import Hit, Overlap, items_of, overlap
from xinglin.errors import DataError
from xinglin.files import write_records
from xinglin.formats.nouns import read_nouns, require
from xinglin.formats.row import Record


@dataclass(frozen=True, slots=True)
class Member:
    """A record of a group of duplicates and how similar it is to the one that stays (1 for that one itself)."""

    id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Group:
    """Duplicates of one another: `members` begin with the record that stays."""

    kept: str
    members: tuple[Member, ...]


def records_of(paths: Iterable[Path]) -> Iterator[Record]:
    """The records of files as xinglin writes them; a line that is none is a DataError."""
    for path in paths:
        for record in read_nouns(path):
            yield require(record)


def beside(out: Path, what: str) -> Path:
    """The file beside an output that says what became of the rest: `OUT.removed.jsonl`."""
    return out.with_name(f"{out.name}.{what}.jsonl")


def dedup_files(
    paths: Sequence[Path],
    out: Path,
    *,
    threshold: float,
    part: Part = "all",
    progress: Callable[[int], None] | None = None,
) -> Deduplicated:
    """Write the records that stay, `OUT.removed.jsonl` and `OUT.groups.jsonl`; `out` comes last and whole."""
    found = find(records_of(paths), threshold=threshold, part=part, progress=progress)
    if not found.records:
        raise DataError("no record in these files", where=", ".join(map(str, paths)), fix="check the files")
    write_records(beside(out, "removed"), found.removals)
    write_records(beside(out, "groups"), _groups(found))
    gone = {removal.at for removal in found.removals}
    write_records(out, (record for at, record in enumerate(records_of(paths)) if at not in gone))
    return found


def _groups(found: Deduplicated) -> Iterator[Group]:
    members: dict[int, list[Member]] = {}
    names: dict[int, str] = {}
    for removal in found.removals:
        names[removal.kept_at] = removal.kept
        members.setdefault(removal.kept_at, []).append(Member(removal.id, removal.similarity))
    for at in sorted(members):
        yield Group(names[at], (Member(names[at], 1.0), *members[at]))


def overlap_files(
    train: Sequence[Path], against: Sequence[Path], *, progress: Callable[[int], None] | None = None
) -> Overlap:
    """The evaluation items of the files `against` that stand in the training files; a set is called by its file."""
    items = [item for path in against for item in items_of(path.stem, records_of([path]))]
    if not items:
        raise DataError("no evaluation item", where=", ".join(map(str, against)), fix="check the files after --against")
    return overlap(lambda: records_of(train), items, progress=progress)


def without(train: Sequence[Path], hits: Iterable[Hit], out: Path) -> int:
    """Write the training records without those that hold evaluation items; returns how many stayed."""
    gone = {hit.train_at for hit in hits}
    return write_records(out, (record for at, record in enumerate(records_of(train)) if at not in gone))
