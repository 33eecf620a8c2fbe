"""Import: files of any format into one stream of records, with counts of what was read, kept and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from xinglin.errors import DataError
from xinglin.files import adapter, atomic, write_records
from xinglin.formats.containers import Container, open_rows
from xinglin.formats.known import by_name, detect
from xinglin.formats.nouns import noun_of, record_of
from xinglin.formats.row import Bad, Format, Record, Row, Source

AHEAD = 64
"""Rows of a file that are looked at to find its format."""
_OFTEN = 1000


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file: its container, encoding ("" for binary) and format; rows read, records kept, dropped."""

    file: str
    container: str
    encoding: str
    format: str
    rows: int = 0
    kept: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Import:
    """Files being imported. Iterate over `records` to the end; `done` then says what became of each file.

    `drop` gets every row that could not be read, `moved` the number of records so far; `first` is the first such row.
    """

    paths: Sequence[Path]
    format: str = "auto"
    licence: str = "unknown"
    max_dropped: float = 0.01
    drop: Callable[[Bad], None] = lambda bad: None
    moved: Callable[[int], None] = lambda count: None
    done: list[Imported] = field(default_factory=list)
    first: Bad | None = None

    def records(self) -> Iterator[Record]:
        """Every record of every file, in order. Past `max_dropped` (a share of all) it ends in a DataError."""
        chosen = None if self.format == "auto" else by_name(self.format)
        joined: list[tuple[Container, Format]] = []
        for path in self.paths:
            opened, found = _open(path, chosen)
            # Questions and answers of cMedQA2 are files that mean nothing alone.
            if found.name == "cmedqa2":
                joined.append((opened, found))
            else:
                yield from self._file(opened, found)
        if joined:
            yield from self._file(_join([opened for opened, _ in joined]), joined[0][1])
        self._check()

    def _file(self, opened: Container, found: Format) -> Iterator[Record]:
        """The records of one file, counted."""
        rows = kept = dropped = 0
        name = opened.path.name

        def counted() -> Iterator[Row | Bad]:
            nonlocal rows
            for row in opened.rows:
                rows += 1
                yield row

        before = sum(one.kept for one in self.done)
        for record in found.read(counted(), Source(name, self.licence)):
            if isinstance(record, Bad):
                dropped += 1
                self.first = self.first or record
                self.drop(record)
                continue
            kept += 1
            if kept % _OFTEN == 0:
                self.moved(before + kept)
            yield record
        self.moved(before + kept)
        self.done.append(Imported(name, opened.kind, opened.encoding, found.name, rows, kept, dropped))

    def _check(self) -> None:
        kept, dropped = sum(one.kept for one in self.done), sum(one.dropped for one in self.done)
        if dropped > self.max_dropped * (kept + dropped):
            assert self.first is not None
            raise DataError(
                f"{dropped:,} of {kept + dropped:,} rows could not be read, {self.max_dropped:.1%} may be; "
                f"first: {self.first.reason}",
                where=self.first.where,
                fix="see *dropped.jsonl for lines and reasons; mend them, or raise `max_dropped` (--max-dropped)",
            )
        if not kept:
            raise DataError("no record in these files", where=", ".join(map(str, self.paths)), fix="check the files")


def _open(path: Path, chosen: Format | None) -> tuple[Container, Format]:
    """An opened file and its format; its rows are still to be read from the first on."""
    opened = open_rows(path)
    ahead = list(islice(opened.rows, AHEAD))
    seen = [row for row in ahead if isinstance(row, Row)]
    found = chosen or _own(seen) or detect(seen, where=str(path))
    return replace(opened, rows=chain(ahead, opened.rows)), found


def _own(rows: Sequence[Row]) -> Format | None:
    """Our own records, which are taken as they are; one of an unknown licence has that of its file."""
    noun = noun_of(rows[0].value) if rows and isinstance(rows[0].value, Mapping) else None
    return Format("xinglin", noun, lambda _: True, _taken) if noun else None


def _taken(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    for row in rows:
        record = row if isinstance(row, Bad) else record_of(row.value, row.where)
        if isinstance(record, Bad) or record.origin.licence != "unknown":
            yield record
        else:
            yield replace(record, origin=replace(record.origin, licence=source.licence))


def _join(parts: list[Container]) -> Container:
    """Files that are read as one, those with questions first."""

    def has_answers(part: Container) -> tuple[bool, Container]:
        first = list(islice(part.rows, 1))
        answers = bool(first) and isinstance(first[0], Row) and "ans_id" in first[0].value
        return answers, replace(part, rows=chain(first, part.rows))

    ordered = [part for _, part in sorted(map(has_answers, parts), key=lambda pair: pair[0])]
    name = " + ".join(part.path.name for part in ordered)
    return replace(ordered[0], path=ordered[0].path.with_name(name), rows=chain(*(part.rows for part in ordered)))


def import_files(job: Import, out: Path) -> list[Imported]:
    """Import into a JSON Lines file of records, which appears whole or not at all.

    What could not be read is in `OUT.dropped.jsonl` (place, reason), also when it was too much and nothing is written.
    """
    failure: DataError | None = None
    dropped = beside(out, "dropped")
    with atomic(dropped) as file:
        job.drop = lambda bad: _write(file, bad)
        try:
            write_records(out, job.records())
        except DataError as error:
            failure = error
    if not any(one.dropped for one in job.done):
        dropped.unlink()
    if failure:
        raise failure
    return job.done


def _write(file: Any, bad: Bad) -> None:
    file.write(adapter(Bad).dump_json(bad).decode() + "\n")


def beside(out: Path, what: str) -> Path:
    """The file beside an output that holds what was dropped or rejected: `OUT.dropped.jsonl`."""
    return out.with_name(f"{out.name}.{what}.jsonl")


def lines_of(records: Iterable[Record]) -> Iterator[str]:
    """Records as lines of JSON, as `write_records` writes them."""
    for record in records:
        yield adapter(type(record)).dump_json(record, exclude_defaults=True).decode()
