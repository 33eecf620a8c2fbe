"""All formats that are known, and which of them a file has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xinglin.errors import DataError
from xinglin.formats import (
    conversations,
    corpora,
    dialogues,
    documents,
    extraction,
    indications,
    preferences,
    questions,
    turns,
)
from xinglin.formats.nouns import noun_of
from xinglin.formats.row import Format, Row

FORMATS: tuple[Format, ...] = (
    *preferences.FORMATS,
    *corpora.FORMATS,
    *indications.FORMATS,
    *questions.FORMATS,
    *conversations.FORMATS,
    *extraction.FORMATS,
    *dialogues.FORMATS,
    *turns.FORMATS,
    *documents.FORMATS,
)
"""Every format, the special before the general: the first that fits is taken."""


def by_name(name: str) -> Format:
    """The format of this name; a DataError lists the names that are known."""
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise DataError(f"no format {name}", where="format", fix=f"known: auto, {_names()}")
    return found


def detect(rows: Sequence[Row], *, where: str = "") -> Format:
    """The format that the first rows of a file have.

    None fits: a DataError that lists the keys that were seen and the formats that are known.
    """
    for one in FORMATS:
        if one.fits(rows):
            return one
    if not any(row.value.strip() if isinstance(row.value, str) else row.value for row in rows):
        raise DataError("no rows in the file", where=where, fix="give a file with one record a row or line")
    raise DataError(f"unknown format: {_seen(rows)}", where=where, fix=f"name one (`format`, --format): {_names()}")


def _names() -> str:
    return ", ".join(one.name for one in FORMATS)


def _seen(rows: Sequence[Row]) -> str:
    """What rows look like, for someone who has to find out what they are."""
    objects = [row.value for row in rows if isinstance(row.value, Mapping)]
    if any(noun_of(value) for value in objects):
        return "these are records of xinglin already; they need no import"
    if objects:
        keys = list(dict.fromkeys(str(key) for value in objects for key in value))
        more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
        return f"objects with the keys {', '.join(key[:40] for key in keys[:20])}{more}"
    texts = [row.value for row in rows if isinstance(row.value, str) and row.value.strip()]
    if not texts:
        return f"rows that are {type(rows[0].value).__name__}"
    columns = texts[0].count("\t") + 1
    return (
        f"lines of {columns} columns between TABs, without a header"
        if columns > 1
        else "lines of text of no known kind"
    )
