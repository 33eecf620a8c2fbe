"""Office files and PDF as rows: .xlsx, .xls, .docx, the text of PDF. Archives are measured before they are opened."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from xinglin.errors import DataError
from xinglin.formats.row import Bad, Row
from xinglin.formats.tables import keyed, plain

ENTRIES, UNPACKED, RATIO = 10_000, 512 << 20, 200
"""Limits of a zip file: entries, bytes unpacked, and how many times larger it gets."""
_SMALL = 16 << 20
"""Bytes up to which the ratio does not matter: small sheets of one value compress 1000 times."""
SHEET, PAGES = 128 << 20, 5_000
"""Bytes of the largest .xls file (it is read whole), and pages of the longest PDF."""


def check_zip(path: Path) -> frozenset[str]:
    """The names in a zip file; a bomb, a damaged or an encrypted one is a DataError. Nothing is unpacked to disk."""
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
    except (BadZipFile, OSError, ValueError, struct.error) as error:
        raise DataError(f"a damaged zip file: {error}", where=str(path), fix="get the file again") from None
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(path.stat().st_size, 1)
    if len(entries) > ENTRIES or unpacked > UNPACKED or (unpacked > _SMALL and unpacked > RATIO * packed):
        raise DataError(
            f"a zip bomb? {len(entries):,} entries, {packed:,} bytes that unpack to {unpacked:,}",
            where=str(path),
            fix=f"limits: {ENTRIES:,} entries, {UNPACKED >> 20} MB, {RATIO} times; split the file or convert it to CSV",
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise DataError("an encrypted file", where=str(path), fix="save it without a password")
    return frozenset(entry.filename for entry in entries)


def read_xlsx(path: Path) -> Iterator[Row | Bad]:
    """The rows of every sheet, read in a stream; `where` is file:sheet!row. Formulas give their last value."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        # An open file: the name may say something else than the content.
        with path.open("rb") as file:
            for sheet in load_workbook(file, read_only=True, data_only=True).worksheets:
                rows = enumerate(sheet.iter_rows(values_only=True), 1)
                yield from keyed((f"{path}:{sheet.title}!{number}", _cells(row)) for number, row in rows)
    except (InvalidFileException, BadZipFile, KeyError, ValueError, TypeError, SyntaxError, OSError) as error:
        raise _damaged("Excel", path, error) from None


def _damaged(kind: str, path: Path, error: Exception) -> DataError:
    return DataError(
        f"unreadable {kind} file: {error or type(error).__name__}", where=str(path), fix="open it and save it again"
    )


def _cells(row: Sequence[Any]) -> list[str]:
    """The cells of a row as text, without the empty ones at its end."""
    cells = [_cell(value) for value in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(plain(value))


def read_xls(path: Path) -> Iterator[Row | Bad]:
    """The rows of every sheet of an Excel file before 2007; dates stay numbers."""
    import xlrd
    from xlrd.biffh import XLRDError
    from xlrd.compdoc import CompDocError

    if path.stat().st_size > SHEET:
        raise DataError(f"an .xls file of more than {SHEET >> 20} MB", where=str(path), fix="save it as CSV or .xlsx")
    try:
        book = xlrd.open_workbook(str(path), logfile=io.StringIO())
    except (XLRDError, CompDocError, struct.error, AssertionError, LookupError, ValueError, TypeError) as error:
        raise _damaged("Excel (or it is no .xls workbook)", path, error) from None
    for sheet in book.sheets():
        yield from keyed((f"{path}:{sheet.name}!{at + 1}", _cells(sheet.row_values(at))) for at in range(sheet.nrows))


def read_docx(path: Path) -> Iterator[Row | Bad]:
    """The paragraphs of a document as texts, in order; a table gives one text a row, TAB between its cells."""
    from docx import Document
    from docx.opc.exceptions import OpcError
    from docx.table import Table

    try:
        blocks = Document(str(path)).iter_inner_content()
        number = 0
        for block in blocks:
            lines = (
                ["\t".join(cell.text for cell in row.cells) for row in block.rows]
                if isinstance(block, Table)
                else [block.text]
            )
            for line in lines:
                number += 1
                yield Row(f"{path}:paragraph {number}", line)
    except (OpcError, KeyError, ValueError, SyntaxError, BadZipFile) as error:
        raise _damaged("Word", path, error) from None


def read_pdf(path: Path) -> Iterator[Row | Bad]:
    """The text of each page. A PDF without any text is a scan: a DataError says so, as nothing here reads pictures."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        pages = len(reader.pages)
    except (PyPdfError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise _damaged("PDF", path, error) from None
    if pages > PAGES:
        raise DataError(f"a PDF of {pages:,} pages", where=str(path), fix=f"split it: at most {PAGES:,} pages")
    seen = False
    for number in range(pages):
        where = f"{path}:page {number + 1}"
        try:
            text = reader.pages[number].extract_text()
        except (PyPdfError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            yield Bad(where, f"unreadable page: {type(error).__name__}: {error}")
            continue
        if text.strip():
            seen = True
            yield Row(where, text)
    if not seen:
        raise DataError(
            "a PDF without text: scanned pages are pictures",
            where=str(path),
            fix="run it through OCR, then give the text",
        )
