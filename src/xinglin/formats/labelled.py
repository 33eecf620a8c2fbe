"""How a row becomes a Question, Preference or Ranking and back: what exams, preferences and extraction share.

`extra` is kept as samples.py says: unknown columns under their own names, the way the row was written under AS_READ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from xinglin.errors import DataError
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import AS_READ, Fields, Unfit, mappings
from xinglin.types import Message, Origin, Preference, Question, Ranking, Sample, make_id

Noun = TypeVar("Noun", Question, Preference, Ranking, Sample)
Holder = Question | Preference | Ranking | Sample
"""Records with an `extra`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: its file, and its number in it."""

    source: Source
    number: int

    def origin(self, group: str = "") -> Origin:
        """The origin of what is read from the row."""
        return Origin(self.source.name, str(self.number), self.source.licence, "record", group=group)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a format found in one row of questions."""

    task: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...]
    extra: dict[str, Any]
    choices: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()

    def question(self, origin: Origin) -> Question:
        """The Question; its id is a hash of what is asked and answered."""
        asked = [(message.role, message.content) for message in self.messages]
        identity = make_id("question", asked, self.choices, self.answers, self.spans)
        return Question(
            identity, self.messages, self.answers, self.task, origin, self.choices, self.spans, extra=self.extra
        )


def read_each(
    parse: Callable[[Any, Place], Record],
) -> Callable[[Iterable[Row | Bad], Source], Iterator[Record | Bad]]:
    """The `read` of a format in which each row is one record; a row that is Unfit is Bad."""

    def read(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
        for number, row in enumerate(rows, 1):
            if isinstance(row, Bad):
                yield row
                continue
            try:
                yield parse(row.value, Place(source, number))
            except Unfit as reason:
                yield Bad(row.where, str(reason))

    return read


def write_each(
    name: str, noun: type[Noun], render: Callable[[Noun], Any]
) -> Callable[[Iterable[Record]], Iterator[Any]]:
    """The `write` of a format in which each record of `noun` is one row."""

    def write(records: Iterable[Record]) -> Iterator[Any]:
        for record in records:
            yield render(only(record, noun, name))

    return write


def labelled_format(
    name: str,
    noun: type[Noun],
    test: Callable[[Fields], bool],
    parse: Callable[[Any, Place], Noun],
    render: Callable[[Noun], Any],
) -> Format:
    """A format in which each object is one record of `noun`."""
    return Format(name, noun, lambda rows: mappings(rows, test), read_each(parse), write_each(name, noun, render))


def only(record: Record, noun: type[Noun], name: str) -> Noun:
    """The record, if it is of the noun that the format `name` holds; a DataError otherwise."""
    if isinstance(record, noun):
        return record
    raise DataError(
        f"the format {name} holds records of the kind {noun.__name__}, this is a {type(record).__name__}",
        where=record.id,
        fix="xinglin data export --list shows which format holds what",
    )


def cannot(record: Holder, name: str, problem: str) -> DataError:
    """The error for a record that the format `name` cannot hold."""
    return DataError(
        f"the format {name} cannot hold this {type(record).__name__}: {problem}",
        where=record.id,
        fix="xinglin data export --list shows the other formats",
    )


def as_read(record: Holder, name: str) -> Mapping[str, Any]:
    """How the row was written, when it was read from this format; empty otherwise."""
    kept = record.extra.get(AS_READ)
    return kept if isinstance(kept, Mapping) and kept.get("format") == name else {}


def unknown(record: Holder) -> dict[str, Any]:
    """The record's unknown columns, to be written beside what the format knows."""
    return {key: value for key, value in record.extra.items() if key != AS_READ}


def asked_by_user(record: Question | Ranking, name: str) -> str:
    """The text of the only message, the user's; a DataError for a longer prompt."""
    messages = record.messages if isinstance(record, Question) else record.prompt
    if [message.role for message in messages] == ["user"]:
        return messages[0].content
    raise cannot(record, name, f"it holds one message of the user, this has {len(messages)} messages")


def said_by_user(content: str) -> tuple[Message, ...]:
    """One message of the user; Unfit without text."""
    if not content.strip():
        raise Unfit("the question is empty")
    return (Message("user", content),)
