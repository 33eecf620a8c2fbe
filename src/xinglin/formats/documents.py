"""Documents: lines of text, books with `<篇名>` markup, rows with a `text` column. All become Passages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xinglin.errors import DataError
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import mappings, most
from xinglin.types import Origin, Passage, make_id

_BODY = re.compile(r"^(?:内容|属性)[：:]")
_SECTION, _CHAPTER = "<篇名>", "<目录>"
_BESIDE = frozenset(("text", "content", "title", "id", "source", "url", "meta", "date", "author", "category"))


def passage(text: str, source: Source, item: str, group: str = "") -> Passage:
    """A document or a piece of one; pieces of one document share `group`."""
    origin = Origin(source.name, item, source.licence, "document", group=group or source.name)
    return Passage(make_id("passage", text), text, (), origin)


def _texts(records: Iterable[Record], name: str) -> Iterator[Passage]:
    for record in records:
        if not isinstance(record, Passage):
            raise DataError(
                f"the format {name} holds documents, this is a {type(record).__name__}",
                where=record.id,
                fix="export conversations to messages or sharegpt",
            )
        yield record


# --- lines ----------------------------------------------------------------------------------------------------------
def read_text(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A document for every text (a line, a page, a paragraph); blank ones are passed over."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
        elif not isinstance(row.value, str):
            yield Bad(row.where, f"not a text but a {type(row.value).__name__}")
        elif row.value.strip():
            yield passage(row.value, source, str(number))


def write_text(records: Iterable[Record]) -> Iterator[Any]:
    """The texts, a line each; a text with line breaks is a DataError."""
    for record in _texts(records, "text"):
        if "\n" in record.text:
            raise DataError(
                "a text of several lines", where=record.id, fix="export to text-rows, which holds line breaks"
            )
        yield record.text


def _fits_text(rows: Sequence[Row]) -> bool:
    """Texts of letters without TABs: neither a matrix nor a table whose columns nobody named."""
    lines = [row for row in rows if not isinstance(row.value, str) or row.value.strip()]
    return most(lines, lambda line: isinstance(line, str) and "\t" not in line.strip() and _wordy(line))


def _wordy(line: str) -> bool:
    return sum(map(str.isalpha, line)) * 3 >= len(line.strip())


# --- books ----------------------------------------------------------------------------------------------------------
def read_book(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A passage for every section, `<篇名>`; `item` is number chapter/section, `group` the book's title.

    The mark before the text of a section (`内容：`, in some books `属性：`) is taken off.
    """
    book, chapter, title, number = "", "", "", 0
    lines: list[str] = []
    for row in rows:
        if isinstance(row, Bad):
            yield row
            continue
        line = str(row.value).rstrip()
        if line.startswith((_SECTION, _CHAPTER)):
            body = _BODY.sub("", "\n".join(lines).strip())
            lines = []
            if body:
                number += 1
                yield passage(body, source, f"{number} {chapter}/{title}", book)
            if line.startswith(_CHAPTER):
                chapter, title = line[len(_CHAPTER) :], ""
            else:
                title = line[len(_SECTION) :]
                book = book or title
        else:
            lines.append(line)
    body = _BODY.sub("", "\n".join(lines).strip())
    if body:
        yield passage(body, source, f"{number + 1} {chapter}/{title}", book)


def write_book(records: Iterable[Record]) -> Iterator[Any]:
    """The lines of a book, chapters and sections marked, the text of each section after `内容：`."""
    chapter: str | None = None
    for record in _texts(records, "book"):
        place = record.origin.item.partition(" ")[2]
        here, slash, title = place.partition("/")
        if slash and here != (chapter or ""):
            chapter = here
            yield f"{_CHAPTER}{here}"
        yield f"{_SECTION}{title if slash else record.origin.item}"
        yield ""
        yield from f"内容：{record.text}".split("\n")
        yield ""


def _fits_book(rows: Sequence[Row]) -> bool:
    return any(isinstance(row.value, str) and row.value.startswith(_SECTION) for row in rows)


# --- rows with a text -----------------------------------------------------------------------------------------------
def read_column(key: str, rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A document for every row, its `title` as group. Passages have no place for other columns."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
            continue
        value = row.value.get(key) if isinstance(row.value, Mapping) else None
        if not isinstance(value, str) or not value.strip():
            yield Bad(row.where, f"{key} is {'empty' if isinstance(value, str) else 'missing or no text'}")
            continue
        title = row.value.get("title")
        yield passage(value, source, str(number), f"title {title}" if isinstance(title, str) and title else "")


def write_column(key: str, records: Iterable[Record]) -> Iterator[Any]:
    """A row for every document."""
    for record in _texts(records, f"{key}-rows"):
        named, _, title = record.origin.group.partition(" ")
        yield {key: record.text, **({"title": title} if named == "title" and title else {})}


def column(key: str) -> Format:
    """The format of rows whose text stands under `key`, with nothing but what describes a document beside it."""

    def fits(rows: Sequence[Row]) -> bool:
        return mappings(rows, lambda row: isinstance(row.get(key), str) and row.keys() <= _BESIDE)

    def read(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
        return read_column(key, rows, source)

    def write(records: Iterable[Record]) -> Iterator[Any]:
        return write_column(key, records)

    return Format(f"{key}-rows", Passage, fits, read, write)


FORMATS: tuple[Format, ...] = (
    Format("book", Passage, _fits_book, read_book, write_book),
    column("text"),
    column("content"),
    Format("text", Passage, _fits_text, read_text, write_text),
)
"""Documents, the most general last."""
