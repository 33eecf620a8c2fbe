"""Read a table of diseases in the layout of the public 39health crawl (one row per disease)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xinglin.errors import DataError
from xinglin.files import read_document, read_table
from xinglin.knowledge.tally import Imported, Tally

LICENCE = "unknown (39.net crawl), internal"
RELATIONS = {
    "alias": "别名",
    "department": "科室",
    "checklist": "检查",
    "symptom": "典型症状",
    "complication": "并发症",
    "treatment": "治疗",
    "drug": "常用药物",
}
"""The columns that become facts; part, age, infection, insurance, period, rate and money do not."""

_LISTS = frozenset({"alias", "treatment"})
_COMMA = re.compile(r"[,，、;；]|(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff（(])")
_CUT = re.compile(r"\.{3}|…")
_PLACEHOLDER = re.compile(r"(?:目前)?暂无(?:相关资料)?|无|不详|未知|应该如何用药？用什么药？|>+")
_GARBLED = re.compile("[\x00-\x1f\ue000-\uf8ff\ufffd]")


def read_diseases(path: Path) -> Imported:
    """Facts of kind "record" from a disease table (UTF-8 or GB18030); rows of one disease are merged.

    Rows that overflow into unnamed columns have their cells in the wrong places: they go to `dropped`.
    Names and items cut with "..." , placeholders and lone characters are counted and left out.
    """
    document = read_document(path)
    if not document.text.strip():
        raise DataError("the file is empty", where=str(path), fix=f"give a table with name,{','.join(RELATIONS)}")
    tally = Tally(f"{path.parent.name}/{path.name}", licence=LICENCE, kind="record")
    rows: list[tuple[int, str, dict[str, str]]] = []
    for line, cells in read_table(path):
        if "name" not in cells or not cells.keys() & RELATIONS.keys():
            raise DataError(
                f"not a disease table: columns {', '.join(name for name in cells if name)}",
                where=f"{path}:1",
                fix=f"needed: name and at least one of {', '.join(RELATIONS)}",
            )
        tally.count("rows")
        name = " ".join(cells["name"].split())
        if cells[""]:
            tally.drop(f"{path}:{line}", f"cells beyond the named columns: {cells['']}")
        elif not name:
            tally.drop(f"{path}:{line}", "no name")
        elif _CUT.search(name):
            tally.count("rows whose name is cut (...)")
        else:
            rows.append((line, name, cells))
    _add_rows(rows, tally)
    return tally.imported(document.encoding)


def _add_rows(rows: list[tuple[int, str, dict[str, str]]], tally: Tally) -> None:
    heads = {name for _, name, _ in rows}
    tally.count("rows merged into an earlier one", len(rows) - len(heads))
    for line, name, cells in rows:
        for column, relation in RELATIONS.items():
            for tail in _items(cells.get(column, ""), column):
                reason = _reason(tail, heads)
                if reason:
                    tally.count(reason)
                elif column == "alias" and tail == name:
                    tally.count("names equal to the disease's name")
                else:
                    tally.add(name, relation, tail, item=str(line))


def _items(cell: str, column: str) -> Iterator[str]:
    """The items of a cell.

    Aliases and treatments are separated by commas, 、 or blanks. The other columns are separated by blanks
    only: there a comma is part of an item (肝、胆、脾CT检查).
    """
    cell = cell.replace("[详细]", "").strip()
    for piece in _split(cell) if column in _LISTS else cell.split():
        item = piece.strip(" \u3000。.，、；;") if not _CUT.search(piece) else piece.strip()
        if item:
            yield item.removesuffix("等") if len(item) > 3 else item


def _split(cell: str) -> list[str]:
    """Split at the separators outside parentheses; where the parentheses do not pair, at every separator."""
    pieces: list[str] = []
    start = depth = 0
    separators = {match.start(): match.end() for match in _COMMA.finditer(cell)}
    for at, character in enumerate(cell):
        depth += (character in "(（") - (character in ")）")
        if at in separators and depth <= 0:
            pieces.append(cell[start:at])
            start = separators[at]
    pieces.append(cell[start:])
    return pieces if depth == 0 else _COMMA.split(cell)


def _reason(item: str, heads: set[str]) -> str:
    """Why an item is no fact, or nothing."""
    if _CUT.search(item):
        return "items cut (...)"
    if _PLACEHOLDER.fullmatch(item):
        return "placeholder values (暂无相关资料)"
    if _GARBLED.search(item):
        return "garbled items"
    if len(item) == 1 and item not in heads:
        return "items of one character"
    return ""
