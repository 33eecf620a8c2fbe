"""Tables as rows: CSV and TSV with or without a header, Parquet, and the cells of a sheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from statistics import mean
from typing import Any

from xinglin.errors import DataError
from xinglin.formats.encoding import HEAD, Text
from xinglin.formats.row import Bad, Row

LONGEST_CELL = 16 << 20
"""Characters of the longest cell: an open quote swallows what follows up to here, then it is reported."""
_NAME = re.compile(r"[^\W\d][\w .\-()（）/%]{0,39}")
_WORD = re.compile(r"[A-Za-z][\w .\-]{0,39}")
_CHINESE = (
    "问题",
    "问",
    "答",
    "提问",
    "回答",
    "标题",
    "科室",
    "指令",
    "输入",
    "输出",
    "药品",
    "文本",
    "内容",
    "标签",
    "答案",
)
_ENGLISH = (
    *("query", "question", "answer", "label", "instruction", "input", "output", "text", "prompt", "response"),
    *("ask", "title", "department", "content", "conversations", "messages"),
)
KNOWN = frozenset({*_CHINESE, *_ENGLISH})
"""Names that make a first row a header."""
Cells = Sequence[str]


def is_header(first: Cells, following: Sequence[Cells]) -> bool:
    """Whether the first row of a table names its columns."""
    names = [cell.strip() for cell in first if cell.strip()]
    if len(first) < 2 or not names or not all(map(_NAME.fullmatch, names)):
        return False
    if any(name.lower() in KNOWN for name in names) or all(map(_WORD.fullmatch, names)):
        return True
    if _names_codes(first, following):
        return True
    even = len(first) > 2 and following and all(len(row) == len(first) for row in following)
    return bool(even) and mean(len(cell) for row in following for cell in row) > 4 * mean(map(len, names))


def _names_codes(first: Cells, following: Sequence[Cells]) -> bool:
    """Whether a Chinese word stands above a column of codes or numbers."""
    for at, name in enumerate(first):
        cells = [row[at] for row in following if at < len(row) and row[at].strip()]
        codes = sum(cell.isascii() and any(map(str.isdigit, cell)) for cell in cells)
        if cells and not name.isascii() and codes >= 0.8 * max(len(cells), 3):
            return True
    return False


def delimiter_kind(head: str) -> str:
    """ "csv" or "tsv" for a text that starts as a table does; "" for another. TABs without a header are lines."""
    whole = head[: head.rindex("\n") + 1] if len(head) >= HEAD and "\n" in head else head
    for kind, delimiter in (("tsv", "\t"), ("csv", ",")):
        if delimiter not in whole.partition("\n")[0]:
            continue
        rows = _first_rows(whole, delimiter)
        if rows and is_header(rows[0], rows[1:]):
            return kind
        if kind == "csv" and len(rows) > 1 and len(rows[0]) > 2 and len({len(row) for row in rows}) == 1:
            return kind
    return ""


def _first_rows(head: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    try:
        rows.extend(row for row in islice(reader, 20) if any(cell.strip() for cell in row))
    except csv.Error:
        return rows
    return rows


def read_table(text: Text, delimiter: str) -> Iterator[Row | Bad]:
    """The rows of a CSV or TSV file: a mapping from header to cell, or a list of cells where there is no header.

    What stands beyond the header or in columns without a name is joined under the key ""; missing cells are empty. A
    row with a broken quote is Bad. `where` is the line on which the row starts.
    """
    with text.open() as file:
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        cells = _numbered(reader, str(text.path))
        yield from keyed(cells)


def _numbered(reader: Any, name: str) -> Iterator[tuple[str, list[str]] | Bad]:
    start = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Bad(f"{name}:{start}", f"malformed CSV: {error}")
        else:
            yield f"{name}:{start}", row
        start = reader.line_num + 1


def keyed(rows: Iterable[tuple[str, list[str]] | Bad]) -> Iterator[Row | Bad]:
    """Rows of cells as mappings, by the header in the first row; as lists where the first row is no header."""
    source = iter(rows)
    ahead = list(islice(source, 20))
    filled = [row[1] for row in ahead if not isinstance(row, Bad) and any(cell.strip() for cell in row[1])]
    headed = bool(filled) and is_header(filled[0], filled[1:])
    names: list[str] = []
    for row in chain(ahead, source):
        if isinstance(row, Bad):
            yield row
            continue
        where, cells = row
        if not any(cell.strip() for cell in cells):
            continue
        if not headed:
            yield Row(where, cells)
        elif not names:
            names = _unique([cell.strip().removeprefix("\ufeff") for cell in cells])
        else:
            yield Row(where, _by_name(names, cells))


def _unique(names: list[str]) -> list[str]:
    """Header names, a repeated one with its number of occurrence."""
    return [
        f"{name}_{names[: at + 1].count(name)}" if name and name in names[:at] else name
        for at, name in enumerate(names)
    ]


def _by_name(names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) == len(names) and all(names):
        return dict(zip(names, cells, strict=True))
    row = {name: cells[at] if at < len(cells) else "" for at, name in enumerate(names) if name}
    nameless = [cell for at, cell in enumerate(cells) if at >= len(names) or not names[at]]
    return {**({"": ",".join(cell for cell in nameless if cell.strip())} if nameless else {}), **row}


def read_parquet(path: Path) -> Iterator[Row | Bad]:
    """The rows of a Parquet file, a batch at a time; dates and decimals become text."""
    import pyarrow as arrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(f"{path}:{number}", plain(value))
    except (arrow.ArrowException, OSError) as error:
        raise DataError(
            f"unreadable Parquet: {str(error).splitlines()[0]}", where=f"{path}:{number + 1}", fix="get the file again"
        ) from None


def plain(value: Any) -> Any:
    """A value in JSON's own types: what JSON has no type for becomes text."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    written: Callable[[], str] | None = getattr(value, "isoformat", None)
    return written() if written and not isinstance(value, Decimal) else str(value)
