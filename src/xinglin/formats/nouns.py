"""Our own JSON Lines: files of nouns, streamed; the texts inside a record, and a record with other texts.

Which noun a line holds is read off its members, so that every verb that works on records takes a file of any of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xinglin.errors import DataError
from xinglin.files import adapter, stream_lines
from xinglin.formats.row import Bad, Record
from xinglin.types import Message, Passage, Preference, Question, Ranking, Sample

_MEMBERS: tuple[tuple[frozenset[str], type[Record]], ...] = (
    (frozenset({"prompt", "chosen", "rejected"}), Preference),
    (frozenset({"prompt", "answers", "order"}), Ranking),
    (frozenset({"messages", "task"}), Question),
    (frozenset({"messages"}), Sample),
    (frozenset({"text", "facts"}), Passage),
)


def noun_of(value: Mapping[str, Any]) -> type[Record] | None:
    """The noun whose members a JSON object has; None for another object."""
    if not {"id", "origin"} <= value.keys():
        return None
    return next((noun for members, noun in _MEMBERS if members <= value.keys()), None)


def read_nouns(path: Path) -> Iterator[Record | Bad]:
    """Every record of a JSON Lines file as xinglin writes it; a line that is none is Bad. Bounded memory."""
    for number, line in stream_lines(path):
        if line.strip():
            yield _read(line, f"{path}:{number}")


def _read(line: str, where: str) -> Record | Bad:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return Bad(where, f"malformed JSON: {error}")
    return record_of(value, where)


def record_of(value: Any, where: str) -> Record | Bad:
    """The record that a JSON value of our own files is; another value is Bad."""
    if not isinstance(value, dict):
        return Bad(where, f"not a record but a JSON {type(value).__name__}")
    noun = noun_of(value)
    if noun is None:
        return Bad(where, f"not a record of xinglin: members {', '.join(map(str, value))[:200]}")
    try:
        return adapter(noun).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return Bad(where, f"not a {noun.__name__}: {'.'.join(map(str, first['loc']))}: {first['msg']}")


def require(record: Record | Bad) -> Record:
    """The record, or a DataError for a line that is none."""
    if isinstance(record, Bad):
        raise DataError(
            record.reason, where=record.where, fix="each line must be one record in JSON, as xinglin writes"
        )
    return record


def texts_of(record: Record) -> list[tuple[str, str]]:
    """(path, text) of everything people read in a record, such as ("messages[2].content", "…"), in reading order."""
    match record:
        case Sample():
            return _contents("messages", record.messages)
        case Preference():
            return [*_contents("prompt", record.prompt), ("chosen", record.chosen), ("rejected", record.rejected)]
        case Ranking():
            answers = [(f"answers[{at}]", answer) for at, answer in enumerate(record.answers)]
            return [*_contents("prompt", record.prompt), *answers]
        case Question():
            choices = [(f"choices[{at}]", choice) for at, choice in enumerate(record.choices)]
            answers = [(f"answers[{at}]", answer) for at, answer in enumerate(record.answers)]
            return [*_contents("messages", record.messages), *choices, *answers]
        case Passage():
            return [("text", record.text)]


def _contents(field: str, messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(f"{field}[{at}].content", message.content) for at, message in enumerate(messages)]


def map_texts(record: Record, change: Callable[[str, str], str]) -> Record:
    """The record with every text replaced by `change(path, text)`; ids stay, so that what was made from it is found."""

    def spoken(field: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(
            Message(message.role, change(f"{field}[{at}].content", message.content))
            for at, message in enumerate(messages)
        )

    def each(field: str, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(change(f"{field}[{at}]", text) for at, text in enumerate(texts))

    match record:
        case Sample():
            return replace(record, messages=spoken("messages", record.messages))
        case Preference():
            chosen, rejected = change("chosen", record.chosen), change("rejected", record.rejected)
            return replace(record, prompt=spoken("prompt", record.prompt), chosen=chosen, rejected=rejected)
        case Ranking():
            return replace(record, prompt=spoken("prompt", record.prompt), answers=each("answers", record.answers))
        case Question():
            return replace(
                record,
                messages=spoken("messages", record.messages),
                choices=each("choices", record.choices),
                answers=each("answers", record.answers),
            )
        case Passage():
            return replace(record, text=change("text", record.text))
