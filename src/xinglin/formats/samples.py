"""How a row becomes a Sample and back: what every dialogue format shares.

A Sample's `extra` keeps the row's other columns under their own names. What is needed beyond the messages to write the
row again exactly as it was (a variant of a key, where two joined texts meet, what stood beside a turn) is kept under
AS_READ, with the format's name: only that format looks at it, and a sample without it is written in the plain form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinglin.errors import DataError
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.types import Kind, Maker, Message, Origin, Role, Sample, make_id

AS_READ = "as_read"
"""The member of `extra` that says how a row was written."""

Fields = Mapping[str, Any]


class Unfit(ValueError):
    """A row that is not what its format says; the text is the reason."""


@dataclass(slots=True)
class Parsed:
    """What a format found in one row."""

    messages: tuple[Message, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    group: str = ""
    kind: Kind = "dialogue"
    maker: Maker | None = None


def build(parsed: Parsed, source: Source, item: str) -> Sample:
    """The Sample of a parsed row; its id is a hash of its messages."""
    origin = Origin(source.name, item, source.licence, parsed.kind, group=parsed.group, maker=parsed.maker)
    return Sample(_identity(parsed.messages), parsed.messages, origin, parsed.tags, parsed.extra)


def _identity(messages: tuple[Message, ...]) -> str:
    return make_id("sample", [(message.role, message.content) for message in messages])


def edited(sample: Sample) -> bool:
    """Whether a sample's texts were changed after it was read (its id is that of the old ones)."""
    return _identity(sample.messages) != sample.id


def by_row(
    parse: Callable[[Any], Parsed],
) -> Callable[[Iterable[Row | Bad], Source], Iterator[Record | Bad]]:
    """The `read` of a format in which each row is one sample."""

    def read(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
        for number, row in enumerate(rows, 1):
            if isinstance(row, Bad):
                yield row
                continue
            try:
                yield build(parse(row.value), source, str(number))
            except Unfit as reason:
                yield Bad(row.where, str(reason))

    return read


def by_record(name: str, render: Callable[[Sample], Any]) -> Callable[[Iterable[Record]], Iterator[Any]]:
    """The `write` of a format in which each sample is one row."""

    def write(records: Iterable[Record]) -> Iterator[Any]:
        for record in records:
            yield render(as_sample(record, name))

    return write


def as_sample(record: Record, name: str) -> Sample:
    """The record, if it is a Sample; a DataError otherwise."""
    if isinstance(record, Sample):
        return record
    raise DataError(
        f"the format {name} holds conversations, this is a {type(record).__name__}",
        where=record.id,
        fix="xinglin data export --list shows which format holds what",
    )


def refuse(sample: Sample, name: str, problem: str) -> DataError:
    """The error for a sample that a format cannot hold."""
    return DataError(
        f"the format {name} cannot hold this sample: {problem}",
        where=sample.id,
        fix="export to messages or sharegpt, which hold every conversation",
    )


def mapping(value: Any) -> Fields:
    """The row as a mapping, or Unfit."""
    if isinstance(value, Mapping):
        return value
    raise Unfit(f"not an object but a {type(value).__name__}")


def text(row: Fields, key: str) -> str:
    """A text member of a row, or Unfit."""
    value = row.get(key)
    if isinstance(value, str):
        return value
    raise Unfit(f"{key} is missing" if value is None else f"{key} is not a text but a {type(value).__name__}")


def said(*turns: tuple[Role, str]) -> tuple[Message, ...]:
    """Messages from (role, text) pairs; Unfit when nothing is said in any of them."""
    if not any(content.strip() for _, content in turns):
        raise Unfit("nothing is said: every text is empty")
    return tuple(Message(role, content) for role, content in turns)


def exchange(question: str, answer: str) -> tuple[tuple[Role, str], tuple[Role, str]]:
    """A question of the user and the answer."""
    return ("user", question), ("assistant", answer)


def rest(row: Fields, used: Iterable[str]) -> dict[str, Any]:
    """The columns of a row that are not `used`."""
    left = dict(row)
    for key in used:
        left.pop(key, None)
    return left


def form(sample: Sample, name: str) -> Mapping[str, Any]:
    """How the row was written, when it was read from this format; empty otherwise."""
    kept = sample.extra.get(AS_READ)
    return kept if isinstance(kept, Mapping) and kept.get("format") == name else {}


def keep(extra: dict[str, Any], name: str, **how: Any) -> dict[str, Any]:
    """`extra` with what is to be kept of how the row was written; what is None or empty is not kept."""
    kept = {key: value for key, value in how.items() if value not in (None, (), [], {})}
    return {**extra, AS_READ: {"format": name, **kept}} if kept else extra


def columns(sample: Sample) -> dict[str, Any]:
    """The sample's unknown columns, to be written beside what the format knows."""
    return {key: value for key, value in sample.extra.items() if key != AS_READ}


def roles(sample: Sample) -> list[Role]:
    """The roles of the messages in order."""
    return [message.role for message in sample.messages]


def pairs(sample: Sample, name: str) -> tuple[str, list[tuple[str, str]]]:
    """(system text, question and answer pairs) of a sample; a DataError where user and assistant do not alternate."""
    system, turns = split_system(sample)
    if len(turns) % 2 or any(turn.role != ("user", "assistant")[at % 2] for at, turn in enumerate(turns)):
        raise refuse(sample, name, f"user and assistant must alternate, here: {', '.join(roles(sample))}")
    return system, [(turns[at].content, turns[at + 1].content) for at in range(0, len(turns), 2)]


def split_system(sample: Sample) -> tuple[str, tuple[Message, ...]]:
    """The text of a leading system message ("" without one) and the other messages."""
    first = sample.messages[0] if sample.messages else None
    if first and first.role == "system":
        return first.content, sample.messages[1:]
    return "", sample.messages


def join(*parts: str) -> tuple[str, list[int]]:
    """Texts joined by line feeds, and their lengths."""
    return "\n".join(parts), [len(part) for part in parts]


def cut(content: str, lengths: Sequence[int]) -> list[str] | None:
    """What `join` joined; None when the text no longer has these parts (it was edited since)."""
    found, at = [], 0
    for length in lengths:
        found.append(content[at : at + length])
        at += length
        if at < len(content) and content[at] != "\n":
            return None
        at += 1
    return found if at == len(content) + 1 else None


def mappings(rows: Sequence[Row], test: Callable[[Fields], bool]) -> bool:
    """Whether the rows are objects of which nearly all pass the test: a few broken rows do not hide a format."""
    return most(rows, lambda value: isinstance(value, Mapping) and test(value))


def most(rows: Sequence[Row], test: Callable[[Any], bool]) -> bool:
    """Whether nearly all rows pass the test."""
    return bool(rows) and sum(bool(test(row.value)) for row in rows) >= 0.8 * len(rows)


def row_format(
    name: str,
    test: Callable[[Fields], bool],
    parse: Callable[[Any], Parsed],
    render: Callable[[Sample], Any],
) -> Format:
    """A format in which each object is one conversation."""
    return Format(name, Sample, lambda rows: mappings(rows, test), by_row(parse), by_record(name, render))
