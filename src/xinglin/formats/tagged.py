"""Named entities as lines of a character and its tag (BIO, BIOES, BMES), a blank line after each text.

The tag may have its letter in front (`B-SIGNS`, `B_disease`) or behind (`SIGNS-B`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xinglin.formats.entities import Entity, entities_of, entity_question
from xinglin.formats.labelled import Place, as_read, cannot, only
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import Unfit, keep
from xinglin.types import Question

_LINE = re.compile(r"(.+?)([ \t])(O|[BIMES][-_]\S+|\S+[-_][BIMES])", re.DOTALL)
_FRONT = re.compile(r"([BIMES])([-_])(.+)")
_BEHIND = re.compile(r"(.+)([-_])([BIMES])")
_LONGEST = 32
"""Characters of the longest token: longer ones make a line of text, not of a tag."""


def read_tagged(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A Question for every block of lines. A line without a tag makes its block Bad."""
    block: list[str] = []
    where = ""
    number = 0
    for row in rows:
        if isinstance(row, Bad):
            yield row
            continue
        line = str(row.value).rstrip("\r\n")
        if line.strip():
            where = where if block else row.where
            block.append(line)
        elif block:
            number += 1
            yield _question(block, where, Place(source, number))
            block = []
    if block:
        yield _question(block, where, Place(source, number + 1))


def _question(block: list[str], where: str, place: Place) -> Record | Bad:
    try:
        tokens, tags, how = _parsed(block)
    except Unfit as reason:
        return Bad(where, str(reason))
    found = _entities(tokens, tags)
    body = "".join(tokens)
    if list(_tags(tokens, found, how)) != tags:
        how["tags"] = tags
    return entity_question(body, found, keep({}, "bio", **how)).question(place.origin())


def _parsed(block: list[str]) -> tuple[list[str], list[str], dict[str, Any]]:
    """Tokens and tags of a block, and how they are written where it is not as `字 B_type`."""
    matches = [_LINE.fullmatch(line) for line in block]
    tokens, tags, how = [], [], {}
    for line, match in zip(block, matches, strict=True):
        if not match or len(match[1]) > _LONGEST:
            raise Unfit(f"no token and tag: {line[:40]!r}")
        tokens.append(match[1])
        tags.append(match[3])
        if match[2] != " ":
            how["between"] = match[2]
    if "".join(tokens).strip() == "":
        raise Unfit("the text is blank")
    if any(len(token) != 1 for token in tokens):
        how["lengths"] = [len(token) for token in tokens]
    first = next((tag for tag in tags if tag != "O"), "B_")
    if not _FRONT.fullmatch(first) and first != "B_":
        how["behind"] = True
    mark = _split(first)[2]
    if mark == "-":
        how["mark"] = mark
    return tokens, tags, how


def _split(tag: str) -> tuple[str, str, str]:
    """(letter, type, mark) of a tag; ("O", "", "") outside."""
    front, behind = _FRONT.fullmatch(tag), _BEHIND.fullmatch(tag)
    if front:
        return front[1], front[3], front[2]
    return (behind[3], behind[1], behind[2]) if behind else ("O", "", "")


def _entities(tokens: Sequence[str], tags: Sequence[str]) -> list[Entity]:
    """The entities that tags describe. What goes on without a beginning begins there."""
    found: list[Entity] = []
    at = 0
    opened = False
    for token, tag in zip(tokens, tags, strict=True):
        letter, kind, _ = _split(tag)
        if letter in ("I", "M", "E") and opened and found[-1].type == kind:
            found[-1] = Entity(kind, found[-1].start, at + len(token))
        elif letter != "O":
            found.append(Entity(kind, at, at + len(token)))
        opened = letter in ("B", "I", "M")
        at += len(token)
    return found


def _tags(tokens: Sequence[str], entities: Sequence[Entity], how: Mapping[str, Any]) -> Iterator[str]:
    """The BIO tags of tokens, written as `how` says."""
    mark = how.get("mark", "_")
    starts = {entity.start: entity for entity in entities}
    inside: Entity | None = None
    at = 0
    for token in tokens:
        inside = starts.get(at, inside if inside and at < inside.end else None)
        letter = "B" if at in starts else "I"
        if not inside:
            yield "O"
        else:
            yield f"{inside.type}{mark}{letter}" if how.get("behind") else f"{letter}{mark}{inside.type}"
        at += len(token)


def write_tagged(records: Iterable[Record]) -> Iterator[str]:
    """The lines of each Question and a blank line. Entities that overlap or divide a token are a DataError."""
    for record in records:
        question = only(record, Question, "bio")
        body, entities = entities_of(question, "bio")
        if "\n" in body or "\r" in body:
            raise cannot(question, "bio", "its text has line breaks")
        how = as_read(question, "bio")
        tokens = _tokens(body, how.get("lengths", ()))
        tags = how.get("tags", ())
        if len(tags) != len(tokens) or _entities(tokens, tags) != entities:
            tags = list(_tags(tokens, entities, how))
        if _entities(tokens, tags) != entities:
            raise cannot(question, "bio", "its entities overlap, or do not stand in the order of the text")
        between = how.get("between", " ")
        yield from (f"{token}{between}{tag}" for token, tag in zip(tokens, tags, strict=True))
        yield ""


def _tokens(body: str, lengths: Sequence[int]) -> list[str]:
    """The tokens of a text: characters, or pieces of the lengths that were read."""
    if sum(lengths) != len(body):
        return list(body)
    pieces, at = [], 0
    for length in lengths:
        pieces.append(body[at : at + length])
        at += length
    return pieces


def _fits_tagged(rows: Sequence[Row]) -> bool:
    lines = [row.value for row in rows if not isinstance(row.value, str) or row.value.strip()]
    good = [line for line in lines if isinstance(line, str) and _is_tagged(line)]
    return bool(lines) and len(good) >= 0.95 * len(lines)


def _is_tagged(line: str) -> bool:
    match = _LINE.fullmatch(line)
    return match is not None and len(match[1]) <= _LONGEST


FORMATS: tuple[Format, ...] = (Format("bio", Question, _fits_tagged, read_tagged, write_tagged),)
"""Named entities as tagged characters."""
