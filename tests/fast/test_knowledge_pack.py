"""Packs: our own YAML entries become facts with their line; mistakes are named with file, line, entry and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from work import calls
from xinglin.errors import DataError
from xinglin.knowledge.pack import read_pack, render_range, render_regimen
from xinglin.knowledge.sources import PACKS
from xinglin.types import Qualifiers

DRUGS = """\
# 自编样例
- 通用名: 安宁素
  商品名: [宁乐]
  别名: []
  类别: 示例类药
  适应症: [示例病, 示例综合征]
  用法用量:
    - {人群: 成人, 途径: 口服, 剂量: 5, 单位: mg, 频次: 每日1次, 每日最大量: 10 mg}
    - {人群: 儿童, 途径: 口服, 剂量: "0.1～0.2", 单位: mg/kg, 频次: 每日2次, 说明: 餐后服用}

- 通用名: 康平片
  适应症: 示例病
"""
DISEASES = "- 名称: 示例病\n  别名: [样例症]\n  典型症状: [头晕, 头晕, 乏力]\n"
TCM = "- 名称: 示例汤\n  类型: 方剂\n  功效: [示例]\n  组成: [甲药, 乙药]\n"


def make_pack(folder: Path, drugs: str = DRUGS) -> Path:
    for name, text in (("drugs/one.yaml", drugs), ("diseases/one.yaml", DISEASES), ("tcm/one.yaml", TCM)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_every_list_item_becomes_a_fact_that_knows_its_file_and_line(tmp_path: Path) -> None:
    found = read_pack(make_pack(tmp_path / "mine"))
    facts = {(fact.head, fact.relation, fact.tail): fact for fact in found.facts}
    assert {tail for head, relation, tail in facts if (head, relation) == ("安宁素", "适应症")} == {
        "示例病",
        "示例综合征",
    }
    origin = facts["康平片", "适应症", "示例病"].origin
    assert (origin.source, origin.item, origin.licence) == ("pack:mine", "drugs/one.yaml:11", "Apache-2.0")
    assert (origin.kind, origin.group) == ("summary", "康平片")
    assert dict(found.counts)["rows"] == 4
    assert dict(found.counts)["duplicate facts merged"] == 1
    assert not found.dropped


def test_a_regimen_is_written_out_in_chinese_and_kept_in_parts(tmp_path: Path) -> None:
    facts = [fact for fact in read_pack(make_pack(tmp_path)).facts if fact.relation == "用法用量"]
    assert [fact.tail for fact in facts] == [
        "成人口服，一次5 mg，每日1次，每日最大量10 mg",
        "儿童口服，一次0.1～0.2 mg/kg，每日2次，餐后服用",
    ]
    assert facts[0].qualifiers == Qualifiers("成人", "口服", "5", "mg", "每日1次", "10 mg", "")


def test_units_in_chinese_take_no_blank_and_rates_are_not_per_dose() -> None:
    tablets = Qualifiers(population="成人", route="口服", dose="1", unit="片", frequency="必要时")
    assert render_regimen(tablets) == "成人口服，一次1片，必要时"
    drip = Qualifiers(population="成人", route="静脉滴注", dose="5", unit="μg/min")
    assert render_regimen(drip) == "成人静脉滴注，5 μg/min"


@pytest.mark.parametrize(
    ("before", "after", "line", "problem", "fix"),
    [
        ("适应症: [示例病, 示例综合征]", "适应证: [示例病]", 6, "安宁素: unknown field 适应证", "did you mean 适应症?"),
        ("频次: 每日1次", "频率: 每日1次", 8, "安宁素, field 用法用量: unknown field 频率", "did you mean 频次?"),
        ("类别: 示例类药", "类别:", 5, "安宁素, field 类别: expected one non-empty value", "write one value"),
        ("类别: 示例类药", "类别: {一: 二}", 5, "安宁素, field 类别", ""),
        ("[宁乐]", "[宁乐, [乐]]", 3, "安宁素, field 商品名", ""),
        ("通用名: 康平片", "通用名: 安宁素", 11, "安宁素: second entry of this name", "drugs/one.yaml:2"),
        ("- 通用名: 康平片\n  适应症", "- 适应症", 11, "entry at line 11: no 通用名", "start with"),
        ("途径: 口服, 剂量: 5", "途径: 口服", 8, "安宁素, field 用法用量: 途径 and 剂量 are needed", ""),
        ("  别名: []", "  商品名: [宁乐]", 4, "安宁素: field 商品名 twice", "keep one"),
        (
            "- 通用名: 康平片\n  适应症: 示例病",
            "- 康平片",
            11,
            "entry at line 11: expected `field: value`",
            "fields: 通用名",
        ),
        (
            DRUGS[DRUGS.index("  用法用量") : DRUGS.index("\n- 通用名: 康平片")],
            "  用法用量: 每日一次\n",
            7,
            "安宁素, field 用法用量: expected a list",
            "write `- {人群",
        ),
        ("[示例病, 示例综合征]", "[示例病, 示例综合征", 8, "malformed YAML", "check indentation"),
        ("\n  适应症: 示例病\n", "\n", 11, "康平片: no field beside its name", "say something of it"),
    ],
)
def test_a_mistake_names_line_entry_field_and_fix(
    tmp_path: Path, before: str, after: str, line: int, problem: str, fix: str
) -> None:
    assert before in DRUGS
    with pytest.raises(DataError) as caught:
        read_pack(make_pack(tmp_path, DRUGS.replace(before, after, 1)))
    where = caught.value.where.rpartition(":")
    assert where[0].endswith("drugs/one.yaml")
    if "YAML" not in problem:  # YAML notices an open bracket only later
        assert int(where[2]) == line
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_an_empty_folder_an_empty_file_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pack here"):
        read_pack(tmp_path / "nothing")
    with pytest.raises(DataError, match="the file is empty"):
        read_pack(make_pack(tmp_path / "a", drugs="# nothing\n"))
    with pytest.raises(DataError, match="expected a list"):
        read_pack(make_pack(tmp_path / "b", drugs="通用名: 安宁素\n"))
    folder = make_pack(tmp_path / "c")
    (folder / "foods").mkdir()
    (folder / "foods" / "one.yaml").write_text("- 名称: 茶\n", encoding="utf-8")
    with pytest.raises(DataError, match="unknown kind of entry"):
        read_pack(folder)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="malformed YAML") as caught:
        read_pack(make_pack(tmp_path, DRUGS.replace("示例类药", "示例\x07药")))
    assert "drugs/one.yaml" in caught.value.where


def test_a_pack_in_gb18030_is_read_too(tmp_path: Path) -> None:
    folder = make_pack(tmp_path / "mine")
    expected = read_pack(folder).facts
    for path in folder.glob("*/*.yaml"):
        path.write_bytes(path.read_text(encoding="utf-8").encode("gb18030"))
    assert read_pack(folder).facts == expected


def test_the_starter_pack_is_whole_and_loads_in_few_steps() -> None:
    found = read_pack(PACKS / "starter")
    # 72 calls a fact, half a second in all (bench/pack_load.py); a pass more over the facts would show.
    assert calls(lambda: read_pack(PACKS / "starter")) < 90 * len(found.facts)
    assert {fact.origin.kind for fact in found.facts} == {"summary"}
    assert len({fact.id for fact in found.facts}) == len(found.facts)


def test_a_reference_range_is_written_out_and_kept_in_parts(tmp_path: Path) -> None:
    folder = make_pack(tmp_path)
    (folder / "tests").mkdir()
    ranges = "    - {人群: 成人, 下限: 3.5, 上限: 5.3, 单位: mmol/L, 说明: 静脉血}\n    - {人群: 儿童, 上限: 5}\n"
    (folder / "tests" / "one.yaml").write_text(f"- 名称: 示例值\n  参考范围:\n{ranges}", encoding="utf-8")
    facts = [fact for fact in read_pack(folder).facts if fact.relation == "参考范围"]
    assert [fact.tail for fact in facts] == ["成人3.5～5.3 mmol/L（静脉血）", "儿童不高于5"]
    assert facts[0].qualifiers == Qualifiers("成人", unit="mmol/L", note="静脉血", low="3.5", high="5.3")
    assert render_range(Qualifiers(low="60", unit="ml/min")) == "不低于60 ml/min"


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [("正常", "expected a list"), ("[{单位: g}]", "下限 or 上限 is needed"), ("[{上线: 5}]", "unknown field 上线")],
)
def test_a_mistake_in_a_reference_range_is_named(tmp_path: Path, ranges: str, problem: str) -> None:
    folder = make_pack(tmp_path)
    (folder / "tests").mkdir()
    (folder / "tests" / "one.yaml").write_text(f"- 名称: 示例值\n  参考范围: {ranges}\n", encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        read_pack(folder)
