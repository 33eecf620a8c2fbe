"""Containers: the rows of any file, whatever its name says. The content decides.

JSON (array, object, lines), CSV, TSV, Excel (.xls, .xlsx), Parquet, text lines, PDF, DOCX and lines of Python literals
(`train@[…`) all give `Row`s, one at a time and in bounded memory; what cannot be read is a `Bad` with its place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from xinglin.errors import DataError
from xinglin.files import read_bytes
from xinglin.formats import office, tables
from xinglin.formats.encoding import LONGEST_LINE, Text, survey, too_long
from xinglin.formats.jsons import read_lines as read_json_lines
from xinglin.formats.jsons import read_values
from xinglin.formats.row import Bad, Row

LONGEST_LITERAL = 16 << 20
"""Characters of the longest line of Python literals: the parser takes many times that in memory."""
_LITERAL = re.compile(r"^\w{1,20}@\[")
_COLUMNS = frozenset({"input", "question", "query", "text", "instruction", "问题", "提问", "文本"})


@dataclass(frozen=True, slots=True)
class Container:
    """An opened file: `kind` such as "csv" or "json lines", `encoding` ("" for binary files), and its rows, once."""

    path: Path
    kind: str
    encoding: str
    rows: Iterator[Row | Bad]


def open_rows(path: Path) -> Container:
    """Find out what a file is by its content, and open its rows.

    A file that is missing, empty, compressed, of a mixed or unknown encoding, or dangerous to open (a zip bomb, a line
    past LONGEST_LINE) is a DataError that says what to do.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        # It says what is wrong with the path, and what is near.
        start = read_bytes(path)[:8]
    if not start:
        raise DataError("the file is empty", where=str(path), fix="get the whole file")
    return _open_binary(path, start) or _open_text(survey(path))


def _open_binary(path: Path, start: bytes) -> Container | None:
    """A file of a binary format; None for text."""
    if start.startswith(b"PAR1"):
        return Container(path, "parquet", "", tables.read_parquet(path))
    if start.startswith(b"PK\x03\x04"):
        return _open_zip(path)
    if start.startswith((b"\xd0\xcf\x11\xe0", b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00")):
        return Container(path, "xls", "", office.read_xls(path))
    if start.startswith(b"%PDF-"):
        return Container(path, "pdf", "", office.read_pdf(path))
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")):
        raise DataError("a compressed file", where=str(path), fix="unpack it first")
    return None


def _open_zip(path: Path) -> Container:
    names = office.check_zip(path)
    if "xl/workbook.xml" in names:
        return Container(path, "xlsx", "", office.read_xlsx(path))
    if "word/document.xml" in names:
        return Container(path, "docx", "", office.read_docx(path))
    raise DataError("a zip file that is neither .xlsx nor .docx", where=str(path), fix="unpack it and name its files")


def _open_text(text: Text) -> Container:
    kind = _text_kind(text)
    if kind not in ("json", "json array") and text.longest > LONGEST_LINE:
        raise too_long(text.path, text.longest)
    match kind:
        case "json lines":
            rows = read_json_lines(text)
        case "json" | "json array":
            rows = read_values(text)
        case "csv" | "tsv":
            rows = tables.read_table(text, "," if kind == "csv" else "\t")
        case "python literals":
            rows = _read_literals(text)
        case "column":
            rows = _read_column(text)
        case _:
            rows = (Row(f"{text.path}:{number}", line) for number, line in text.lines())
    return Container(text.path, kind, text.encoding, rows)


def _text_kind(text: Text) -> str:
    head = text.head.lstrip()
    if head.startswith(("{", "[")):
        kind = _json_kind(head)
        if kind:
            return kind
    if _LITERAL.match(head):
        return "python literals"
    first, _, more = head.partition("\n")
    if first.strip() in _COLUMNS and more.strip():
        return "column"
    return tables.delimiter_kind(text.head) or "lines"


def _json_kind(head: str) -> str:
    """Which kind of JSON a text with a bracket in front is; "" for text that only looks like it, such as `[详细]`."""
    whole = head.split("\n")[:-1] or [head]
    lines = [line for line in whole[:20] if line.strip()]
    parsed = [_parses(line) for line in lines]
    if any(parsed) and (head.startswith("{") or (len(lines) > 1 and sum(parsed) * 2 > len(parsed))):
        return "json lines"
    if re.match(r'\[\s*(?:[{\["\]\d-]|true|false|null|$)', head):
        return "json array"
    if re.match(r'\{\s*(?:["}]|$)', head):
        return "json lines" if len(lines) > 1 and all(line.startswith("{") for line in lines) else "json"
    return ""


def _parses(line: str) -> bool:
    try:
        return isinstance(from_json(line), dict | list)
    except ValueError:
        return False


def _read_literals(text: Text) -> Iterator[Row | Bad]:
    """Rows of lines such as `train@[{…}, …]`, Python literals: each element with its line's name as member `split`."""
    for number, line in text.lines():
        where = f"{text.path}:{number}"
        if not line.strip():
            continue
        split, at, literal = line.partition("@")
        if not at or len(literal) > LONGEST_LITERAL:
            yield Bad(where, "no name@[…] line" if not at else f"a literal of {len(literal):,} characters is too long")
            continue
        try:
            values = ast.literal_eval(literal)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            yield Bad(where, f"malformed Python literal: {type(error).__name__}")
            continue
        for at_, value in enumerate(values if isinstance(values, list) else [values], 1):
            yield Row(f"{where}#{at_}", {"split": split, **value} if isinstance(value, dict) else value)


def _read_column(text: Text) -> Iterator[Row | Bad]:
    """Rows of a table of one column: its name stands in the first line, commas are text."""
    lines = ((number, line.strip()) for number, line in text.lines() if line.strip())
    _, name = next(lines)
    for number, line in lines:
        yield Row(f"{text.path}:{number}", {name.removeprefix("\ufeff"): line})
