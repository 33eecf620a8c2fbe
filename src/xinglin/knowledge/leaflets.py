"""Read drug leaflets: a JSON list of strings, the drug's name on the first line, then `字段:值` lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xinglin.errors import DataError
from xinglin.files import Document, read_document
from xinglin.knowledge.tally import Imported, Tally
from xinglin.text import strip_html

LICENCE = "CC-BY-NC-SA-4.0"
_RENAMED = {"适应证": "适应症", "禁忌证": "禁忌", "药物相互作用": "相互作用", "药品类型": "类别"}
_NAMES = frozenset({"别名", "商品名", "英文名"})
_WORDS = _NAMES | {"类别", "剂型"}
# These three are torn columns of a printed page: only a text that reaches its full stop is whole.
_TORN = frozenset({"药动学", "药理作用", "专家点评"})

_FIELD = re.compile(r"([^\s:：，。；、（）()]{2,10}):(.*)", re.DOTALL)
_GAP = re.compile(r"[\s,]*")
_AFTER = re.compile(r"\s*[,\]]")
_MARKER = re.compile(r"(?<![\dA-Za-z.．～~\-–—/×^])(\d{1,2})[.．、](?=(.?))")
_PLACEHOLDER = re.compile(
    r"(?:(?:目前|暂|尚)*(?:不|未)(?:明确|详|知|清楚)|(?:暂)?无(?:相关)?(?:资料|数据|报道)?|未知|未提及|/|-+)"
)
_ELSEWHERE = re.compile(
    r"(?:其他)?(?:请?参见|参阅|参照|详见)[：:]?.{1,30}|同[^时服用样期，。；]{2,12}|与.{2,12}(?:相似|相同|类似)"
)
_GARBLED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ue000-\uf8ff\ufffd]|【")
_OPEN_END = re.compile(r"[A-Za-z0-9\u0370-\u03ff，、：:,;(（~～/×+\-]$")
_USED_FOR = re.compile(r"^(?:本品|本药)?(?:临床|主要|常)*(?:上)?(?:可|适)?用于[：:]?(?=.)")


def read_leaflets(path: Path) -> Imported:
    """Facts of kind "record" from a leaflet file (UTF-8 or GB18030); leaflets of one drug are merged.

    A leaflet that is no text, has no name or no field goes to `dropped` with its line; values that say
    nothing (尚不明确), point elsewhere (参见…), are cut off or garbled are counted and left out.
    """
    document = read_document(path)
    if not document.text.strip():
        raise DataError("the file is empty", where=str(path), fix="give a JSON list of leaflets")
    tally = Tally(f"{path.parent.name}/{path.name}", licence=LICENCE, kind="record")
    names: set[str] = set()
    for index, row in enumerate(_rows(document)):
        tally.count("rows")
        if row.problem:
            tally.drop(f"{path}:{row.line}", row.problem)
            continue
        problem = _leaflet(row.text, tally, item=str(index), names=names)
        if problem:
            tally.drop(f"{path}:{row.line}", problem)
    return tally.imported(document.encoding)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    text: str
    problem: str = ""


def _rows(document: Document) -> Iterator[_Row]:
    """The elements of the list with their lines; after a malformed one reading goes on at the next line."""
    text, decoder = document.text, json.JSONDecoder()
    at = text.find("[") + 1
    if not at or text[: at - 1].strip():
        raise DataError("not a JSON list", where=f"{document.path}:1", fix='leaflets are a list of strings: ["…", …]')
    line, counted = 1, 0
    while True:
        at = _end(_GAP, text, at)
        line, counted = line + text.count("\n", counted, at), at
        if at >= len(text):
            raise DataError(
                "the list has no end, the file was cut off", where=f"{document.path}:{line}", fix="get the whole file"
            )
        if text[at] == "]":
            return
        problem, value, end = "", None, at
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            problem = f"malformed JSON: {error.msg}"
        if not problem and not _AFTER.match(text, end):
            problem = "malformed JSON: expected a comma after the text"
        if problem:
            following = text.find("\n", at)
            end = following if following >= 0 else len(text)
        elif not isinstance(value, str):
            problem = "not a text: a leaflet is one string"
        yield _Row(line, value if isinstance(value, str) else "", problem)
        at = end


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _leaflet(text: str, tally: Tally, *, item: str, names: set[str]) -> str:
    """Take the facts of one leaflet; returns what is wrong with it, or nothing."""
    first, _, body = text.partition("\n")
    head = strip_html(first).strip()
    if not head or head.startswith("【") or _FIELD.fullmatch(head):
        return "no drug name on the leaflet's first line"
    fields = list(_fields(body))
    if not fields:
        return f"{head}: no `字段:值` line"
    if head in names:
        tally.count("leaflets merged into an earlier one")
    names.add(head)
    for field, value in fields:
        relation = _RENAMED.get(field, field)
        for tail in _tails(value, relation, tally):
            if relation in _NAMES and tail == head:
                tally.count("names equal to the drug's name")
            else:
                tally.add(head, relation, tail, item=item)
    return ""


def _fields(body: str) -> Iterator[tuple[str, str]]:
    """Fields and values; a line without a field continues the value before it."""
    field, value = "", ""
    for line in body.split("\n"):
        match = _FIELD.fullmatch(line.strip())
        if match:
            if field:
                yield field, value
            field, value = match.group(1), match.group(2)
        elif line.strip() and field:
            value += line.strip()
    if field:
        yield field, value


def _tails(value: str, relation: str, tally: Tally) -> Iterator[str]:
    value = value.replace("[详细]", "").strip()
    items = re.split(r"[；;、]", value) if relation in ("别名", "商品名") else split_numbered(value)
    for at, item in enumerate(items):
        last = at == len(items) - 1
        reason = _reason(item, relation, last=last)
        if reason:
            tally.count(reason)
            continue
        tail = strip_html(item).strip(" 。；;，").lstrip("：:.、")
        if relation == "适应症":
            tail = _USED_FOR.sub("", tail)
        if tail:
            yield tail


def _reason(item: str, relation: str, *, last: bool) -> str:
    """Why a value is no fact, or nothing."""
    shown = strip_html(item)
    bare = shown.strip("。；;，. ()（）")
    if not bare:
        return "empty values"
    if _PLACEHOLDER.fullmatch(bare):
        return "placeholder values (尚不明确)"
    if _ELSEWHERE.fullmatch(bare):
        return "values that point elsewhere (参见)"
    if _GARBLED.search(item):
        return "garbled values"
    if relation not in _WORDS and last and _cut(shown, relation):
        return "values cut off"
    return ""


def _cut(item: str, relation: str) -> bool:
    closed = item.endswith(("。", "！", "？", "；", ".", ")", "）"))
    return bool(_OPEN_END.search(item)) or (not closed and ("。" in item or relation in _TORN))


def split_numbered(text: str) -> list[str]:
    """The items of 1.…2.…3.… if the numbers start the text and run without a gap; else the text as one item.

    Decimals (0.5 g) and numbers of an inner list are no items: a text with such doubt stays whole.
    """
    starts = [match for match in _MARKER.finditer(text) if _is_marker(text, match)]
    numbers = [int(match.group(1)) for match in starts]
    if not starts or starts[0].start() != 0 or numbers != list(range(1, len(numbers) + 1)):
        return [text]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return [text[match.end() : end].strip() for match, end in zip(starts, ends, strict=True)]


def _is_marker(text: str, match: re.Match[str]) -> bool:
    """Before a digit (2.7岁以下…) only the start of the text or of a sentence makes a number a marker."""
    before = text[: match.start()].rstrip()[-1:]
    return not match.group(2).isdigit() or before in ("", "。", "；", ";")
