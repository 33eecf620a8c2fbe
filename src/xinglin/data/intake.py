"""Files of records into a file of records: what cannot be read or is turned away, and the output, whole or absent."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import IO, Any, cast

from xinglin.errors import DataError
from xinglin.files import adapter, atomic, write_json
from xinglin.formats.nouns import read_nouns
from xinglin.formats.reading import beside
from xinglin.formats.row import Bad, Record

_OFTEN = 1000


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that was turned away: its id, source and place there, the rule that did it, and its reason."""

    id: str
    rule: str
    reason: str
    source: str = ""
    item: str = ""


@dataclass(slots=True)
class Intake:
    """Records of files as they are read. `max_dropped` is the share of unreadable lines past which reading fails.

    `moved` gets the number of records so far; `reject` is called by whoever turns a record away.
    """

    paths: Sequence[Path]
    max_dropped: float = 0.01
    moved: Callable[[int], None] = lambda count: None
    read: int = 0
    dropped: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    drop: Callable[[Bad], object] = lambda bad: None
    note: Callable[[Rejection], object] = lambda rejection: None

    def records(self) -> Iterator[Record]:
        """The records, in order; too many unreadable lines end in a DataError, and so do files without a record."""
        for path in self.paths:
            for record in read_nouns(path):
                if isinstance(record, Bad):
                    self.dropped += 1
                    self.drop(record)
                    continue
                self.read += 1
                if self.read % _OFTEN == 0:
                    self.moved(self.read)
                yield record
        self.moved(self.read)
        self._check()

    def _check(self) -> None:
        where = ", ".join(map(str, self.paths))
        if self.dropped > self.max_dropped * (self.read + self.dropped):
            raise DataError(
                f"{self.dropped:,} of {self.read + self.dropped:,} lines are no records, {self.max_dropped:.1%} may be",
                where=where,
                fix="see OUT.dropped.jsonl; files of other formats are read with `xinglin data import`",
            )
        if not self.read:
            raise DataError("no record in these files", where=where, fix="check the files")

    def reject(self, record: Record, rule: str, reason: str) -> None:
        """Turn a record away."""
        self.rejected[rule] += 1
        self.note(Rejection(record.id, rule, reason, record.origin.source, record.origin.item))


def line(noun: object) -> str:
    """A noun as a line of JSON Lines, members at their defaults left out."""
    return adapter(type(noun)).dump_json(noun, exclude_defaults=True).decode() + "\n"


def apart(paths: Iterable[Path], out: Path) -> None:
    """Refuse an output that is one of the inputs."""
    if out.resolve() in {path.resolve() for path in paths}:
        raise DataError("the output is one of the inputs", where=str(out), fix="name another file with -o")


@contextlib.contextmanager
def taking(job: Intake, out: Path) -> Iterator[IO[str]]:
    """The output file of a job, written whole at the end, with OUT.dropped.jsonl and OUT.rejected.jsonl beside it.

    Of a job that fails in a DataError only those two are left, so that one can see why.
    """
    apart(job.paths, out)
    dropped, rejected = beside(out, "dropped"), beside(out, "rejected")
    failure: DataError | None = None
    try:
        with atomic(out) as file:
            with atomic(dropped) as bad, atomic(rejected) as away:
                job.drop = lambda one: bad.write(line(one))
                job.note = lambda one: away.write(line(one))
                try:
                    yield file
                except DataError as error:
                    failure = error
            if failure:
                raise failure
    finally:
        if not job.dropped:
            dropped.unlink(missing_ok=True)
        if not job.rejected:
            rejected.unlink(missing_ok=True)


def pass_through(job: Intake, out: Path, change: Callable[[Iterator[Record]], Iterable[Record]]) -> None:
    """Write what `change` makes of the records of a job; `job` then holds the counts."""
    with taking(job, out) as file:
        for record in change(job.records()):
            file.write(line(record))
            job.kept += 1


def write_report(out: Path, step: str, done: object) -> None:
    """OUT.report.json: what a step did, for the data card; `done` is a dataclass."""
    assert is_dataclass(done)
    write_json(out.with_name(f"{out.name}.report.json"), {"step": step} | asdict(cast(Any, done)))
