"""Containers: the content decides what a file is; what is broken is named, what is dangerous is refused."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pyarrow as arrow
import pytest
from docx import Document
from openpyxl import Workbook
from pyarrow import parquet

from xinglin.errors import DataError
from xinglin.formats import jsons, office
from xinglin.formats.containers import open_rows
from xinglin.formats.row import Bad, Row

ROWS = [{"query": "夜里咳得厉害怎么办？", "n": 1}, {"query": "空腹血糖 6.8 高吗？", "n": 2}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def values(path: Path) -> list[object]:
    return [row.value for row in open_rows(path).rows if isinstance(row, Row)]


def bad(path: Path) -> list[Bad]:
    return [row for row in open_rows(path).rows if isinstance(row, Bad)]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("lines.json", LINES, "json lines"),
        ("lines.txt", LINES.replace("\n", "\r\n"), "json lines"),
        ("array.jsonl", json.dumps(ROWS, ensure_ascii=False), "json array"),
        ("pretty.txt", json.dumps(ROWS, ensure_ascii=False, indent=2), "json array"),
        ("one.csv", json.dumps(ROWS[0], ensure_ascii=False, indent=2), "json"),
        ("blank.json", "\n\n" + LINES + "\n\n", "json lines"),
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030"])
def test_json_is_found_under_any_name_and_in_any_encoding(
    tmp_path: Path, name: str, text: str, kind: str, codec: str
) -> None:
    opened = open_rows(write(tmp_path / name, text.encode(codec)))
    assert (opened.kind, opened.encoding) == (kind, codec)
    assert [row.value for row in opened.rows if isinstance(row, Row)] == (ROWS[:1] if kind == "json" else ROWS)


def test_a_row_knows_its_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "\n" + LINES)
    assert [row.where for row in open_rows(path).rows] == [f"{path}:2", f"{path}:3"]
    path = write(tmp_path / "b.json", json.dumps(ROWS, ensure_ascii=False, indent=1))
    assert [row.where for row in open_rows(path).rows] == [f"{path}:2", f"{path}:6"]


def test_a_malformed_line_is_bad_and_the_others_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", LINES + '{"query": "没有结束\n' + LINES)
    assert len(values(path)) == 4
    assert [one.where for one in bad(path)] == [f"{path}:3"]
    assert "malformed JSON" in bad(path)[0].reason


@pytest.mark.parametrize("broken", ['[{"a": 1}, {"a": ', '[{"a": 1}, {"a" 2}]', '[\n{"a": 1},\n{"a": 1'])
def test_an_array_that_is_cut_off_or_malformed_is_refused_with_its_line(tmp_path: Path, broken: str) -> None:
    with pytest.raises(DataError) as caught:
        values(write(tmp_path / "a.json", broken))
    assert "malformed JSON" in caught.value.problem
    assert caught.value.where.rpartition(":")[2] == str(1 + broken.count("\n", 0, len(broken)))


def test_half_a_surrogate_pair_is_bad_in_lines_and_in_arrays(tmp_path: Path) -> None:
    assert len(bad(write(tmp_path / "a.json", '{"a": "\\ud83d"}\n{"a": "\\ud83d\\ude00"}\n'))) == 1
    assert len(bad(write(tmp_path / "b.json", '[\n {"a": "\\ud83d"},\n {"a": "\\ud83d\\ude00"}\n]'))) == 1


def test_values_are_read_across_the_borders_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"n": n, "text": "多喝温水。" * (n % 7)} for n in range(40)]
    for block in (3, 17, 64):
        monkeypatch.setattr(jsons, "_BLOCK", block)
        assert values(write(tmp_path / "a.json", json.dumps(rows, ensure_ascii=False))) == rows
    assert values(write(tmp_path / "n.json", "[12345678, -2.5e3, true, null]")) == [12345678, -2.5e3, True, None]


def test_one_value_past_the_limit_is_refused_with_the_way_to_convert(tmp_path: Path) -> None:
    path = write(tmp_path / "big.json", '{"data":\n"' + "a" * (66 << 20) + '"}')
    with pytest.raises(DataError) as caught:
        values(path)
    assert "JSON Lines" in caught.value.fix


def test_a_long_line_of_json_lines_is_refused_and_an_array_in_one_line_is_streamed(tmp_path: Path) -> None:
    element = json.dumps({"text": "a" * 1000})
    path = write(tmp_path / "array.json", "[" + ",".join([element] * 70_000) + "]")
    assert path.stat().st_size > 64 << 20
    assert sum(isinstance(row, Row) for row in open_rows(path).rows) == 70_000
    with pytest.raises(DataError, match="past the limit"):
        open_rows(write(path, '{"a": 1}\n{"a": "' + "b" * (65 << 20) + '"}\n'))


def test_text_in_brackets_is_no_json(tmp_path: Path) -> None:
    assert open_rows(write(tmp_path / "a.txt", "[详细]见下文\n第二行\n")).kind == "lines"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("第一行都是汉字，没有问题。\n".encode() + "第二行换了编码的文字。\n".encode("gb18030"), 2),
        ("先用国标编码写一行字。\n".encode("gb18030") + "后来改用别的编码来写字。\n".encode(), 2),
        ("咳嗽\n发热\n头痛\n".encode() + "腹泻\n".encode("gb18030") + "皮疹\n".encode(), 4),
        ("前面都是汉字。\n".encode() + "这一行坏了".encode()[:-1] + b"\n", 2),
    ],
)
def test_a_file_that_mixes_encodings_is_refused_with_the_line(tmp_path: Path, data: bytes, line: int) -> None:
    with pytest.raises(DataError) as caught:
        open_rows(write(tmp_path / "a.txt", data))
    assert "mixes" in caught.value.problem
    assert caught.value.where.endswith(f":{line}")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00abcdefgh", "compressed"),
        ("文字".encode("utf-16"), "UTF-16"),
        (b"text\n\x00more\n", "NUL"),
        (b"ok\n\xff\xff\xff\n", "neither UTF-8 nor GB18030"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "Excel"),
        (b"%PDF-1.4\nnothing here", "PDF"),
        (b"PAR1 and no more", "Parquet"),
        (b"PK\x03\x04 broken", "damaged zip"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        list(open_rows(write(tmp_path / "a.csv", data)).rows)
    assert problem in caught.value.problem
    assert str(tmp_path) in caught.value.where


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_rows(tmp_path / "none.csv")
    with pytest.raises(DataError, match="folder"):
        open_rows(tmp_path)


# --- tables ---------------------------------------------------------------------------------------------------------
def test_a_table_keeps_its_unnamed_index_what_overflows_and_empty_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",Question,Answer\r\n0,头痛查什么？,A\r\n1,短行\r\n2,长行,B,多出来,又一格\r\n")
    assert values(path) == [
        {"": "0", "Question": "头痛查什么？", "Answer": "A"},
        {"": "1", "Question": "短行", "Answer": ""},
        {"": "2,多出来,又一格", "Question": "长行", "Answer": "B"},
    ]


def test_cells_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    text = 'title,answer\n"饭后, 还是饭前？","他说""饭后""。\n第二行"\n后面,一行\n'
    path = write(tmp_path / "a.csv", text)
    assert values(path) == [
        {"title": "饭后, 还是饭前？", "answer": '他说"饭后"。\n第二行'},
        {"title": "后面", "answer": "一行"},
    ]
    assert [row.where for row in open_rows(path).rows] == [f"{path}:2", f"{path}:4"]


def test_a_broken_quote_is_bad_and_the_rows_after_it_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'title,answer\n"坏"了,一\n好,二\n')
    assert values(path) == [{"title": "好", "answer": "二"}]
    assert bad(path)[0].where == f"{path}:2"


def test_tabs_under_the_name_csv_and_repeated_names_are_read(tmp_path: Path) -> None:
    assert values(write(tmp_path / "a.csv", "label\ttext\ttext\n1\t甲\t乙\n")) == [
        {"label": "1", "text": "甲", "text_2": "乙"}
    ]


def test_a_table_without_a_header_gives_lists_and_tabs_without_a_header_give_lines(tmp_path: Path) -> None:
    rows = [
        "心内科,心慌怎么办？,最近总觉得心慌，夜里更明显。,先查心电图。",
        "骨科,脚扭了？,昨天打球扭了脚，肿。,冷敷。",
    ]
    opened = open_rows(write(tmp_path / "a.csv", "\n".join(rows)))
    assert opened.kind == "csv"
    assert [row.value for row in opened.rows if isinstance(row, Row)] == [row.split(",") for row in rows]
    assert open_rows(write(tmp_path / "b.txt", "0\t甲怎么办\t乙怎么办\n1\t丙\t丁\n")).kind == "lines"


def test_a_chinese_word_above_codes_is_a_header(tmp_path: Path) -> None:
    rows = "".join(f"{'甲乙丙丁'[at]}病\tA0{at}.1\n" for at in range(4))
    assert values(write(tmp_path / "a.csv", "名字\t编码\n" + rows))[0] == {"名字": "甲病", "编码": "A00.1"}
    assert open_rows(write(tmp_path / "b.csv", rows)).kind == "lines"


def test_a_column_with_a_known_name_is_a_table_of_one_column(tmp_path: Path) -> None:
    assert values(write(tmp_path / "a.txt", "input\n一，二，三？\n\n四？\n")) == [
        {"input": "一，二，三？"},
        {"input": "四？"},
    ]


def test_every_sheet_of_a_workbook_is_read(tmp_path: Path) -> None:
    book = Workbook()
    first = book.worksheets[0]
    first.append(["question", "answer", "n"])
    first.append(["咳嗽几天了要看医生？", "超过两周要看。", 3.0])
    first.append([None, None, None])
    second = book.create_sheet("第二页")
    second.append(["question", "answer"])
    second.append(["=1+1", "公式"])
    book.save(tmp_path / "a.txt")
    opened = open_rows(tmp_path / "a.txt")
    assert opened.kind == "xlsx"
    rows = list(opened.rows)
    assert isinstance(rows[0], Row)
    assert rows[0].value == {"question": "咳嗽几天了要看医生？", "answer": "超过两周要看。", "n": "3"}
    assert rows[-1].where == f"{tmp_path / 'a.txt'}:第二页!2"


def test_an_old_excel_file_is_read(tmp_path: Path) -> None:
    def label(row: int, column: int, text: str) -> bytes:
        coded = text.encode("gbk")
        return struct.pack("<HHHH3sB", 4, 8 + len(coded), row, column, b"\0\0\0", len(coded)) + coded

    cells = [label(0, 0, "问题"), label(0, 1, "答案"), label(1, 0, "手麻怎么办？"), label(1, 1, "先查颈椎。")]
    start = struct.pack("<HHHH", 9, 4, 2, 16) + struct.pack("<HHH", 0x42, 2, 936)
    path = write(tmp_path / "a.csv", start + b"".join(cells) + struct.pack("<HH", 10, 0))
    assert open_rows(path).kind == "xls"
    assert values(path) == [{"问题": "手麻怎么办？", "答案": "先查颈椎。"}]


def test_parquet_is_read_with_lists_and_dates_as_plain_values(tmp_path: Path) -> None:
    import datetime

    table = arrow.table(
        {
            "conversations": [[{"from": "human", "value": "头晕？"}]],
            "day": [datetime.date(2024, 5, 1)],
            "raw": [b"\xe5\xa4\xb4"],
        }
    )
    parquet.write_table(table, tmp_path / "a.json")
    assert values(tmp_path / "a.json") == [
        {"conversations": [{"from": "human", "value": "头晕？"}], "day": "2024-05-01", "raw": "头"}
    ]


# --- literals and documents -----------------------------------------------------------------------------------------
def test_python_literals_are_parsed_and_never_run(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt",
        "train@[{'goal': {'咳嗽': True}, 'dialog': ['咳', '多久？']}]\ntest@[__import__('os').getcwd()]\n",
    )
    assert open_rows(path).kind == "python literals"
    assert values(path) == [{"split": "train", "goal": {"咳嗽": True}, "dialog": ["咳", "多久？"]}]
    assert [one.where for one in bad(path)] == [f"{path}:2"]


def test_paragraphs_and_tables_of_a_word_file_are_texts_in_order(tmp_path: Path) -> None:
    document = Document()
    document.add_paragraph("第一段。")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "体温", "37.2"
    document.add_paragraph("最后一段。")
    document.save(str(tmp_path / "a.bin"))
    opened = open_rows(tmp_path / "a.bin")
    assert opened.kind == "docx"
    assert [row.value for row in opened.rows if isinstance(row, Row)] == ["第一段。", "体温\t37.2", "最后一段。"]


def pdf(text: str) -> bytes:
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj{one}endobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = f"xref\n0 6\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size 6>>\nstartxref\n{len(body)}\n%%EOF\n"
    return (body + end).encode()


def test_the_text_of_a_pdf_is_read_and_a_scan_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", pdf("Rest and fluids"))
    assert values(path) == ["Rest and fluids"]
    assert next(iter(open_rows(path).rows)).where == f"{path}:page 1"
    with pytest.raises(DataError, match="without text"):
        values(write(path, pdf("")))


def test_a_pdf_with_too_many_pages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "PAGES", 0)
    with pytest.raises(DataError, match="pages"):
        values(write(tmp_path / "a.pdf", pdf("Rest")))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * (40 << 20))
    with pytest.raises(DataError, match="zip bomb"):
        open_rows(tmp_path / "bomb.xlsx")


def test_a_zip_of_very_many_entries_and_one_that_is_no_office_file_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.docx", "w") as archive:
        for number in range(10_001):
            archive.writestr(f"../../{number}", b"")
    with pytest.raises(DataError, match="zip bomb"):
        open_rows(tmp_path / "many.docx")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../etc/passwd", b"x")
    with pytest.raises(DataError, match="neither"):
        open_rows(tmp_path / "a.zip")
    assert not (tmp_path.parent.parent / "etc").exists()


def test_a_damaged_workbook_and_a_damaged_word_file_are_named(tmp_path: Path) -> None:
    for name, inside in (("a.xlsx", "xl/workbook.xml"), ("a.docx", "word/document.xml")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(inside, b"<not-xml")
        with pytest.raises(DataError, match="unreadable"):
            values(tmp_path / name)
