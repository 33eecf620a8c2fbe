"""The disease table: cells become facts; cut items, placeholders and overflowing rows do not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from real_data import DATA
from xinglin.errors import DataError
from xinglin.knowledge.diseases import read_diseases

REAL = DATA / "kg_39health_disease" / "disease.csv"
real = pytest.mark.skipif(not REAL.exists(), reason=f"no real data: {REAL}")

ROWS = [
    "name,alias,part,department,checklist,symptom,complication,treatment,drug,rate,money,,",
    '示例病,"样例症,示范(甲、乙)病，von Muster病",头,内科  示例内科,血常规 肝、胆、脾CT [详细],头晕 乏力 头晕 [详细],'
    "暂无相关资料,药物治疗、手术治疗（甲、乙）。 [详细],安宁素片 康平很长的名... [详细],90%,很贵,,",
    " 示例病,另一名,头,内科,血常规,发热,并发示例,支持治疗 康复治疗...,应该如何用药？用什么药？,,,,",
    "3个月,,乱,内科,15元）,甲,乙,丙,丁,,,溢出的病名,",
    " 名字被截断的病...,,,内科,,,,,,,,,",
    ",无名,,内科,,,,,,,,,",
    "短,疖,,外科,,痛,短,,,,,,",
]
TABLE = "\n".join(ROWS) + "\n"


def write(path: Path, text: str = TABLE, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_cells_become_facts_with_the_line_they_stand_on(tmp_path: Path) -> None:
    found = read_diseases(write(tmp_path / "disease.csv"))
    rows = [(fact.relation, fact.tail, fact.origin.item) for fact in found.facts if fact.head == "示例病"]
    assert rows == [
        ("别名", "样例症", "2"),
        ("别名", "示范(甲、乙)病", "2"),
        ("别名", "von Muster病", "2"),
        ("科室", "内科", "2"),
        ("科室", "示例内科", "2"),
        ("检查", "血常规", "2"),
        ("检查", "肝、胆、脾CT", "2"),
        ("典型症状", "头晕", "2"),
        ("典型症状", "乏力", "2"),
        ("治疗", "药物治疗", "2"),
        ("治疗", "手术治疗（甲、乙）", "2"),
        ("常用药物", "安宁素片", "2"),
        ("别名", "另一名", "3"),
        ("典型症状", "发热", "3"),
        ("并发症", "并发示例", "3"),
        ("治疗", "支持治疗", "3"),
    ]
    origin = found.facts[0].origin
    assert (origin.licence, origin.kind, origin.group) == ("unknown (39.net crawl), internal", "record", "示例病")


def test_what_is_left_out_is_counted_and_unreadable_rows_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "disease.csv")
    found = read_diseases(path)
    assert [(drop.where, drop.reason) for drop in found.dropped] == [
        (f"{path}:4", "cells beyond the named columns: 溢出的病名"),
        (f"{path}:6", "no name"),
    ]
    counts = dict(found.counts)
    assert counts["rows"] == 6
    assert counts["rows dropped"] == 2
    assert counts["rows whose name is cut (...)"] == 1
    assert counts["rows merged into an earlier one"] == 1
    assert counts["items cut (...)"] == 2
    assert counts["placeholder values (暂无相关资料)"] == 2
    assert counts["duplicate facts merged"] == 3
    assert counts["items of one character"] == 2


def test_rates_and_costs_never_become_facts(tmp_path: Path) -> None:
    text = " ".join(fact.tail for fact in read_diseases(write(tmp_path / "disease.csv")).facts)
    assert "90%" not in text
    assert "很贵" not in text


def test_a_gb18030_copy_gives_the_same_facts(tmp_path: Path) -> None:
    one = read_diseases(write(tmp_path / "disease.csv"))
    two = read_diseases(write(tmp_path / "disease.csv", encoding="gb18030"))
    assert (one.encoding, two.encoding) == ("utf-8", "gb18030")
    assert one.facts == two.facts


def test_a_foreign_an_open_and_an_empty_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a disease table: columns term, code"):
        read_diseases(write(tmp_path / "a.csv", "term,code\n甲,1\n"))
    with pytest.raises(DataError, match="empty"):
        read_diseases(write(tmp_path / "b.csv", "\n"))
    with pytest.raises(DataError, match="malformed CSV") as caught:
        read_diseases(write(tmp_path / "c.csv", 'name,symptom\n甲,乙\n丙,"丁\n'))
    assert caught.value.where.startswith(f"{tmp_path / 'c.csv'}:")


@real
def test_the_real_table_gives_clean_facts_and_every_row_is_accounted_for() -> None:
    found = read_diseases(REAL)
    counts = dict(found.counts)
    assert counts["rows"] == 14_336
    assert len(found.dropped) == 11
    assert {drop.where.rpartition(":")[2] for drop in found.dropped} >= {"7888", "8363", "13785"}
    read = counts["heads"] + counts["rows merged into an earlier one"] + counts["rows whose name is cut (...)"]
    assert 0 <= 14_336 - 11 - read <= 5  # a row may hold nothing but left-out cells
    assert 140_000 <= counts["facts"] <= 180_000
    for fact in found.facts:
        assert "[详细]" not in fact.tail
        assert "..." not in fact.tail
        assert "<p>" not in fact.tail
        assert "收费标准" not in fact.tail
        assert fact.tail == fact.tail.strip()
    relations = Counter(fact.relation for fact in found.facts)
    assert relations.keys() == {"别名", "科室", "检查", "典型症状", "并发症", "治疗", "常用药物"}
