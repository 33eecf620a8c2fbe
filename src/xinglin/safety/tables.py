"""Tables in a text: a line of headings, and below it lines with as many cells (tabs, bars or commas)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xinglin.safety.entity import Span, Type
from xinglin.safety.keyed import EXAM_KEYS, INSURANCE_KEYS, RECORD_KEYS

_HEADINGS: tuple[tuple[Type, re.Pattern[str]], ...] = (
    (
        "DOCTOR",
        re.compile(
            r"(?:主治|经治|主管|主诊|接诊|管床|责任|手术|报告|检查|审核|开单)?(?:医师|医生|大夫|"
            r"护士)(?:姓名)?|主刀|(?i:doctor)"
        ),
    ),
    (
        "NAME",
        re.compile(
            r"(?:患者|患儿|病人|家属|联系人|受检者|户主)?姓名|患者|联系人|家属|收件人|户名|(?i:(?:patient[_ ]?)?name)"
        ),
    ),
    ("ID_CARD", re.compile(r"(?:公民)?身份证(?:件)?号?码?|证件号码?|(?i:id[_ ]?card(?:[_ ]?no)?)")),
    ("PHONE", re.compile(r"(?:联系)?(?:电话|手机)(?:号码?)?|联系方式|(?i:phone|mobile|tel)")),
    ("MRN", re.compile(RECORD_KEYS + "|(?i:mrn|id)号")),
    ("EXAM_NO", re.compile(EXAM_KEYS)),
    ("INSURANCE_NO", re.compile(INSURANCE_KEYS)),
    ("BED", re.compile(r"病?床位?号?|(?i:bed)")),
    ("BANK_CARD", re.compile(r"(?:银行)?(?:卡号|账号)")),
    ("ADDRESS", re.compile(r"(?:家庭|现|联系|户籍)?(?:住址|地址)|(?i:address)")),
    ("ORG", re.compile(r"(?:工作)?单位(?:名称)")),
)
_SHAPES: dict[Type, re.Pattern[str]] = {
    "NAME": re.compile(r"[\u4e00-\u9fff]{2,4}|[\u4e00-\u9fff]{2,7}·[\u4e00-\u9fff·]{2,9}|[A-Za-z][A-Za-z .\-]{2,30}"),
    "DOCTOR": re.compile(r"[\u4e00-\u9fff]{2,4}|[\u4e00-\u9fff]{2,7}·[\u4e00-\u9fff·]{2,9}|[A-Za-z][A-Za-z .\-]{2,30}"),
    "BED": re.compile(r"[A-Za-z+加]?\d{1,4}(?:-\d{1,3})?号?床?"),
    "ADDRESS": re.compile(r".{2,60}"),
    "ORG": re.compile(r".{2,60}"),
}
_NUMBER = re.compile(r"[A-Za-z0-9\- ]{4,30}")
_BLANK = re.compile(r"(?:无|未知|不详|保密|-+|/|N/?A|姓名|患者|医生)$")


def find_cells(text: str) -> Iterator[Span]:
    """Every cell of a normalised text whose heading says what it holds."""
    if "\n" not in text:
        return
    heads: dict[int, Type] = {}
    width, mark, at = 0, "", 0
    for line in text.split("\n"):
        found = _headings(line)
        if found is not None:
            mark, heads, width = found
        elif heads:
            cells = list(_cells(line, mark))
            if len(cells) == width:
                yield from (
                    Span(heads[n], at + s, at + e, 8)
                    for n, (s, e) in enumerate(cells)
                    if n in heads and _fits(heads[n], line[s:e])
                )
            elif not re.fullmatch(r"[\s|:\-]*", line):
                heads = {}
        at += len(line) + 1


def _fits(kind: Type, cell: str) -> bool:
    return not _BLANK.match(cell) and _SHAPES.get(kind, _NUMBER).fullmatch(cell) is not None


def _headings(line: str) -> tuple[str, dict[int, Type], int] | None:
    """The mark between cells, the kinds by column and the number of columns of a line of headings."""
    for mark in ("\t", "|", ","):
        if mark not in line or len(line) > 2000:
            continue
        cells = list(_cells(line, mark))
        heads: dict[int, Type] = {}
        for column, (start, end) in enumerate(cells):
            kinds: list[Type] = [kind for kind, pattern in _HEADINGS if pattern.fullmatch(line[start:end])]
            if kinds:
                heads[column] = kinds[0]
        if len(cells) > 1 and len(heads) > (mark == ","):
            return mark, heads, len(cells)
    return None


def _cells(line: str, mark: str) -> Iterator[tuple[int, int]]:
    """The offsets of the cells of a line, without the blanks around them; a bar at either end opens no cell."""
    at = 0
    parts = line.split(mark)
    for number, cell in enumerate(parts):
        if cell.strip() or mark != "|" or 0 < number < len(parts) - 1:
            start = at + len(cell) - len(cell.lstrip())
            yield start, start + len(cell.strip())
        at += len(cell) + 1
