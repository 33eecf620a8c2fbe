"""Rows through a format and back: shared by the tests of questions, preferences and extraction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from xinglin.files import adapter
from xinglin.formats.containers import open_rows
from xinglin.formats.known import by_name, detect
from xinglin.formats.row import Bad, Record, Row, Source

SOURCE = Source("own.json", "CC0-1.0")
Noun = TypeVar("Noun")


def rows_of(values: Sequence[Any]) -> list[Row]:
    return [Row(f"own.json:{number}", value) for number, value in enumerate(values, 1)]


def read(name: str, *values: Any) -> list[Record | Bad]:
    return list(by_name(name).read(rows_of(values), SOURCE))


def reason(name: str, value: Any) -> str:
    """Why the one row is Bad."""
    found = read(name, value)
    assert len(found) == 1
    assert isinstance(found[0], Bad), found
    assert found[0].where.startswith("own.json:1")
    return found[0].reason


def one(name: str, noun: type[Noun], value: Any) -> Noun:
    """The one record of a row."""
    (found,) = read(name, value)
    assert isinstance(found, noun), found
    return found


def write(name: str, *records: Record) -> list[Any]:
    writer = by_name(name).write
    assert writer is not None
    return list(writer(records))


def come_back(name: str, values: Sequence[Any], *, found: bool = True) -> None:
    """The content tells the format; rows come back as they were, also from records that were stored in between."""
    rows = rows_of(values)
    if found:
        assert detect(rows).name == name
    records = [record for record in by_name(name).read(rows, SOURCE) if not isinstance(record, Bad)]
    assert records
    stored = list(map(_stored, records))
    assert stored == records
    written = write(name, *stored)
    assert written == list(values)
    assert read(name, *written) == records


def _stored(record: Record) -> Record:
    known = adapter(type(record))
    again = known.validate_json(known.dump_json(record))
    assert isinstance(again, type(record))
    return again


def real(path: Path) -> tuple[str, list[Record], list[Bad]]:
    """The format of a real file, its records and what is Bad; every good row comes back as it was."""
    rows = list(open_rows(path).rows)
    form = detect([row for row in rows[:64] if isinstance(row, Row)])
    every = list(form.read(rows, Source(path.name)))
    bad = [record for record in every if isinstance(record, Bad)]
    good = [record for record in every if not isinstance(record, Bad)]
    dropped = {record.where for record in bad}
    assert write(form.name, *good) == [row.value for row in rows if isinstance(row, Row) and row.where not in dropped]
    return form.name, good, bad
