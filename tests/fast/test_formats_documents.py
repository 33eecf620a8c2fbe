"""Documents: lines, books with marks, rows with a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from xinglin.errors import DataError
from xinglin.formats.known import by_name, detect
from xinglin.formats.row import Bad, Record, Row, Source
from xinglin.types import Message, Origin, Passage, Sample

SOURCE = Source("own.txt", "CC0-1.0")
BOOK = [
    "<篇名>家常调养",
    "",
    "内容：书名：家常调养",
    "作者：本项目",
    "",
    "<目录>卷上",
    "<篇名>姜汤",
    "",
    "内容：生姜三片，水一碗。",
    "煮沸后温服。",
    "",
    "<篇名>葱白汤",
    "",
    "内容：葱白两段，同煮。",
    "",
    "<目录>卷下",
    "<篇名>敷法",
    "",
    "内容：冷毛巾敷额。",
    "",
]
GOLDEN: list[tuple[str, list[Any], list[str]]] = [
    ("text", ["发热时多喝水。", "　　咳嗽超过两周要看医生。"], ["发热时多喝水。", "　　咳嗽超过两周要看医生。"]),
    ("text-rows", [{"text": "第一行\n第二行"}, {"text": "另一篇。", "title": "题目"}], ["第一行\n第二行", "另一篇。"]),
    ("content-rows", [{"content": "全科看什么病。"}], ["全科看什么病。"]),
    (
        "book",
        BOOK,
        ["书名：家常调养\n作者：本项目", "生姜三片，水一碗。\n煮沸后温服。", "葱白两段，同煮。", "冷毛巾敷额。"],
    ),
]
NAMES = [name for name, _, _ in GOLDEN]


def rows_of(values: Sequence[Any]) -> list[Row]:
    return [Row(f"own.txt:{number}", value) for number, value in enumerate(values, 1)]


def read(name: str, values: Sequence[Any]) -> list[Record | Bad]:
    return list(by_name(name).read(rows_of(values), SOURCE))


def passages(name: str, values: Sequence[Any]) -> list[Passage]:
    return [one for one in read(name, values) if isinstance(one, Passage)]


def write(name: str, records: Sequence[Record]) -> list[Any]:
    writer = by_name(name).write
    assert writer is not None
    return list(writer(records))


@pytest.mark.parametrize(("name", "values", "texts"), GOLDEN, ids=NAMES)
def test_documents_are_recognised_and_read(name: str, values: list[Any], texts: list[str]) -> None:
    assert detect(rows_of(values)).name == name
    found = passages(name, values)
    assert [one.text for one in found] == texts
    assert {one.origin.kind for one in found} == {"document"}
    assert {one.origin.licence for one in found} == {"CC0-1.0"}


@pytest.mark.parametrize(("name", "values", "texts"), GOLDEN, ids=NAMES)
def test_documents_come_back_as_they_were(name: str, values: list[Any], texts: list[str]) -> None:
    found = passages(name, values)
    assert write(name, found) == values
    assert passages(name, write(name, found)) == found


def test_a_section_knows_its_book_its_chapter_and_its_title() -> None:
    found = passages("book", BOOK)
    assert {one.origin.group for one in found} == {"家常调养"}
    assert [one.origin.item for one in found] == ["1 /家常调养", "2 卷上/姜汤", "3 卷上/葱白汤", "4 卷下/敷法"]


def test_both_marks_before_a_text_are_taken_off() -> None:
    assert [one.text for one in passages("book", ["<篇名>甲", "属性：乙丙。\r", "<篇名>空", ""])] == ["乙丙。"]


def test_blank_lines_are_passed_over_and_a_row_without_a_text_is_bad() -> None:
    assert len(read("text", ["甲", "", "  ", "乙"])) == 2
    for name, value in (("text", 5), ("text-rows", {"text": " "}), ("text-rows", {"body": "x"}), ("text-rows", "x")):
        found = read(name, [value])
        assert [type(one) for one in found] == [Bad]
    broken = Bad("own.txt:3", "malformed")
    for name in NAMES:
        assert broken in list(by_name(name).read([broken], SOURCE))


@pytest.mark.parametrize("line", ["0.51 0.02 0.60 0.23", "G60.8\t多发性神经病", "----------"])
def test_numbers_and_tables_without_names_are_no_documents(line: str) -> None:
    with pytest.raises(DataError, match="unknown format"):
        detect(rows_of([line] * 5))


def test_rows_with_other_columns_are_not_taken_for_documents() -> None:
    with pytest.raises(DataError, match="text, relation"):
        detect(rows_of([{"text": "甲", "relation": []}]))


def test_a_line_format_refuses_line_breaks_and_documents_refuse_conversations() -> None:
    two = passages("text-rows", [{"text": "一\n二"}])
    with pytest.raises(DataError, match="several lines"):
        write("text", two)
    sample = Sample("sample-1", (Message("user", "问"),), Origin("a", "1", "CC0-1.0", "dialogue"))
    for name in NAMES:
        with pytest.raises(DataError, match="Sample"):
            write(name, [sample])
    assert write("book", passages("text", ["没有章节的一段。"]))[0] == "<篇名>1"
