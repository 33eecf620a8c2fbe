"""Named entities as JSON: CCKS-2019, CMeEE, cMedQANER, CMID.

A text with its entities is a Question of the task `ner`: the message is the text, each answer is "type\\tmention" as it
stands in the text, and `spans` are its character offsets, the end exclusive, whatever the file counts. A mention that
does not stand at its offset is looked for near by; how many were moved is in the check MENTIONS of the origin, and what
the file said is kept for writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from xinglin.formats.labelled import (
    Asked,
    Place,
    as_read,
    asked_by_user,
    cannot,
    labelled_format,
    said_by_user,
    unknown,
)
from xinglin.formats.row import Format
from xinglin.formats.samples import Fields, Unfit, keep, mapping, rest, text
from xinglin.types import Check, Question

NER = "ner"
"""The task of texts with entities."""
MENTIONS = "mentions stand at their offsets"
"""The check of an origin: passed unless a mention was moved or written otherwise; the score counts those."""
NEAR = 40
"""Characters by which an offset may be wrong; further off, another occurrence is as likely as the right one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data set writes entities: the columns of text and entities, and the keys of an entity ("" : has none)."""

    name: str
    text: str
    entities: str
    type: str
    start: str
    end: str = ""
    mention: str = ""
    inclusive: bool = False
    """Whether `end` is the last character of the mention, and not the one after it."""
    texts: bool = False
    """Whether offsets are written as texts."""
    needs: tuple[str, ...] = ()
    """Other columns that rows of it have."""

    def fits(self, row: Fields) -> bool:
        """Whether a row is of this set; an empty list of entities says nothing against it."""
        listed = row.get(self.entities)
        keys = {self.type, self.start, self.end or self.mention}
        if not isinstance(listed, list) or not {self.text, *self.needs} <= row.keys():
            return False
        return all(isinstance(one, Mapping) and keys <= one.keys() for one in listed[:3])


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity of a text; `end` is exclusive."""

    type: str
    start: int
    end: int


def locate(body: str, mention: str, start: int) -> int | None:
    """Where a mention stands that should be at `start`: there; else at the nearest place not more than NEAR away;
    else, in either way, with letters of the other case. None where it is nowhere near."""
    lowered = body.lower(), mention.lower()
    ways = [(body, mention)] if len(lowered[0]) != len(body) else [(body, mention), lowered]
    for whole, piece in ways:
        if whole.startswith(piece, max(start, 0)) and start >= 0:
            return start
    for whole, piece in ways:
        places = _places(whole, piece, start)
        if places:
            return min(places, key=lambda at: abs(at - start))
    return None


def _places(body: str, mention: str, start: int) -> list[int]:
    last = start + NEAR + len(mention)
    at = body.find(mention, max(start - NEAR, 0), max(last, 0))
    found = []
    while at >= 0:
        found.append(at)
        at = body.find(mention, at + 1, last)
    return found


def entity_of(layout: Layout, body: str, given: Any, number: int) -> Entity:
    """The entity that a file describes; Unfit where it is broken or stands nowhere near its offset."""
    if not isinstance(given, Mapping) or not isinstance(given.get(layout.type), str):
        raise Unfit(f"entity {number} has no {layout.type}")
    kind = given[layout.type]
    if not kind or "\t" in kind:
        raise Unfit(f"the type of entity {number} is {kind!r}")
    start = _offset(given, layout.start, number)
    if layout.mention in given or not layout.end:
        return _mentioned(layout, body, given, Entity(kind, start, 0))
    end = _offset(given, layout.end, number) + layout.inclusive
    if not 0 <= start < end <= len(body):
        raise Unfit(f"entity {number} from {start} to {end} is not inside the text of {len(body)} characters")
    return Entity(kind, start, end)


def _mentioned(layout: Layout, body: str, given: Fields, entity: Entity) -> Entity:
    mention = given.get(layout.mention)
    if not isinstance(mention, str) or not mention:
        raise Unfit(f"an entity has no {layout.mention}")
    place = locate(body, mention, entity.start)
    if place is None:
        raise Unfit(f"the mention {mention[:40]!r} does not stand near offset {entity.start}")
    return replace(entity, start=place, end=place + len(mention))


def _offset(given: Fields, key: str, number: int) -> int:
    value = given.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise Unfit(f"the {key} of entity {number} is no offset: {str(value)[:40]!r}")


def described(layout: Layout, body: str, entity: Entity) -> dict[str, Any]:
    """An entity as the data set writes it."""
    row: dict[str, Any] = {}
    shown = str if layout.texts else int
    row[layout.start] = shown(entity.start)
    if layout.end:
        row[layout.end] = shown(entity.end - layout.inclusive)
    row[layout.type] = entity.type
    if layout.mention:
        row[layout.mention] = body[entity.start : entity.end]
    return row


def parse_entities(layout: Layout, value: Any, place: Place) -> Question:
    """The Question of a row."""
    row = mapping(value)
    body = text(row, layout.text)
    listed = row.get(layout.entities)
    if not isinstance(listed, list):
        raise Unfit(f"{layout.entities} is not a list")
    found = [entity_of(layout, body, given, number) for number, given in enumerate(listed, 1)]
    known = (layout.type, layout.start, layout.end, layout.mention)
    beside = [rest(given, known) for given in listed]
    differing = []
    for at, (given, entity) in enumerate(zip(listed, found, strict=True)):
        written = described(layout, body, entity)
        if written != {key: given[key] for key in known if key in given}:
            differing.append([at, {key: given[key] for key in known if key in given}])
    how = {"beside": beside if any(beside) else None, "given": differing}
    extra = keep(rest(row, (layout.text, layout.entities)), layout.name, **how)
    origin = place.origin()
    moved = sum(_moved(layout, body, given) for _, given in differing)
    if moved:
        origin = replace(origin, checks=(Check(MENTIONS, False, float(moved)),))
    return entity_question(body, found, extra).question(origin)


def _moved(layout: Layout, body: str, given: Fields) -> bool:
    """Whether a mention stands elsewhere, or in other letters, than the file says."""
    mention = given.get(layout.mention)
    return isinstance(mention, str) and not body.startswith(mention, _offset(given, layout.start, 0))


def entity_question(body: str, found: Iterable[Entity], extra: dict[str, Any]) -> Asked:
    """What is asked of a text with entities."""
    entities = tuple(found)
    answers = tuple(f"{one.type}\t{body[one.start : one.end]}" for one in entities)
    spans = tuple((one.start, one.end) for one in entities)
    return Asked(NER, said_by_user(body), answers, extra, spans=spans)


def entities_of(question: Question, name: str) -> tuple[str, list[Entity]]:
    """The text and the entities of a Question; a DataError where answers and offsets disagree with the text."""
    body = asked_by_user(question, name)
    if len(question.answers) != len(question.spans):
        raise cannot(question, name, f"it has {len(question.answers)} answers and {len(question.spans)} spans")
    entities = []
    for answer, (start, end) in zip(question.answers, question.spans, strict=True):
        kind, tab, mention = answer.partition("\t")
        if not tab or not 0 <= start < end or body[start:end] != mention:
            raise cannot(question, name, f"the answer {answer[:40]!r} does not stand at {start} to {end}")
        entities.append(Entity(kind, start, end))
    return body, entities


def render_entities(layout: Layout, question: Question) -> dict[str, Any]:
    """The row of a Question, written as it was read where nothing has changed since."""
    body, entities = entities_of(question, layout.name)
    how = as_read(question, layout.name)
    given = dict(how.get("given", ()))
    beside = how.get("beside", ())
    listed = []
    for at, entity in enumerate(entities):
        written = given[at] if at in given and _says(layout, body, given[at], entity) else None
        more = beside[at] if len(beside) == len(entities) else {}
        listed.append({**(written or described(layout, body, entity)), **more})
    return {layout.text: body, layout.entities: listed, **unknown(question)}


def _says(layout: Layout, body: str, given: Fields, entity: Entity) -> bool:
    try:
        return entity_of(layout, body, given, 0) == entity
    except Unfit:
        return False


LAYOUTS: tuple[Layout, ...] = (
    Layout("cmid-entities", "originalText", "entities", "label_type", "start_pos", "end_pos", needs=("label_4class",)),
    Layout("ccks", "originalText", "entities", "label_type", "start_pos", "end_pos"),
    Layout("cmeee", "text", "entities", "type", "start_idx", "end_idx", "entity", inclusive=True),
    Layout("cmedqaner", "text", "mention_data", "type", "offset", mention="mention", texts=True),
)
"""Data sets of entities."""


def _entities_format(layout: Layout) -> Format:
    return labelled_format(
        layout.name, Question, layout.fits, partial(parse_entities, layout), partial(render_entities, layout)
    )


FORMATS: tuple[Format, ...] = tuple(map(_entities_format, LAYOUTS))
"""Named entities as JSON."""
