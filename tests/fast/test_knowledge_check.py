"""A check of a pack finds what is well-formed and wrong, and nothing in a sound pack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin.cli import invoke
from xinglin.errors import GateError
from xinglin.knowledge.check import Finding, check, read_outside
from xinglin.knowledge.inventory import count
from xinglin.knowledge.pack import read_pack
from xinglin.knowledge.sources import PACKS

DRUGS = """\
- 通用名: 安宁素
  英文名: anningsu
  ATC编码: N05BA99
  管理类别: [处方药]
  类别: 示例类药
  适应症: [示例病]
  用法用量:
    - {人群: 成人, 途径: 口服, 剂量: "5～10", 单位: mg, 频次: 每日2～3次, 每日最大量: 30 mg}
  禁忌: [对本品过敏]
  不良反应: [口干]
  注意事项: [不饮酒]
  妊娠哺乳: [妊娠期不用]
"""
DISEASES = """\
- 名称: 示例病
  别名: [样例症]
  ICD-10编码: F99.9
  科室: [示例科]
  典型症状: [头晕]
  检查: [问诊]
  治疗: [休息]
  常用药物: [安宁素, 外来药]
  何时就医: [晕倒立即就医]
"""
TESTS = """\
- 名称: 示例值
  类型: 检验
  检查用途: [看示例]
  参考范围:
    - {人群: 成人, 下限: 3, 上限: 5, 单位: mmol/L}
  偏高意义: [示例病]
  偏低意义: [别的病]
"""
OUTSIDE = "[外来药]\n"


def make(folder: Path, **changes: str) -> Path:
    texts = {"drugs": DRUGS, "diseases": DISEASES, "tests": TESTS} | changes
    for name, text in texts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "one.yaml").write_text(text, encoding="utf-8")
    (folder / "outside.yaml").write_text(OUTSIDE, encoding="utf-8")
    return folder


def findings(folder: Path) -> list[Finding]:
    return check(read_pack(folder).facts, outside=read_outside(folder))


def test_a_sound_pack_has_no_findings(tmp_path: Path) -> None:
    assert findings(make(tmp_path)) == []


@pytest.mark.parametrize(
    ("folder", "before", "after", "kind", "said"),
    [
        ("drugs", "N05BA99", "N5BA99", "code", "ATC编码 N5BA99"),
        ("diseases", "F99.9", "F999", "code", "ICD-10编码 F999"),
        ("drugs", "[处方药]", "[处方]", "code", "管理类别 处方 is none of"),
        ("drugs", "单位: mg", "单位: mgs", "unit", "剂量 5～10 mgs"),
        ("drugs", '"5～10"', "适量", "unit", "剂量 适量"),
        ("drugs", "每日最大量: 30 mg", "每日最大量: 三十毫克", "unit", "每日最大量 三十毫克"),
        ("drugs", "每日最大量: 30 mg", "每日最大量: 5 mg", "contradiction", "is more than 每日最大量 5 mg"),
        ("drugs", "禁忌: [对本品过敏]", "禁忌: [示例病]", "contradiction", "示例病 stands in 适应症 and in 禁忌"),
        (
            "drugs",
            "禁忌: [对本品过敏]",
            "禁忌: [样例症]",
            "contradiction",
            "常用药物 安宁素, and 安宁素 has 禁忌 样例症",
        ),
        ("drugs", "注意事项: [不饮酒]", "注意事项: [口干]", "duplicate", "口干 stands in 不良反应 and in 注意事项"),
        ("drugs", "  不良反应: [口干]\n", "", "missing", "no 不良反应"),
        ("diseases", "外来药]", "外来要]", "reference", "常用药物 外来要 is no entry"),
        ("diseases", "安宁素, 外来药", "安宁素, 外来药, 示例病", "reference", "示例病 is an entry of diseases"),
        ("diseases", "安宁素, 外来药", "安宁素", "reference", "is mentioned nowhere"),
        ("diseases", "[样例症]", "[安宁素]", "name", "别名 安宁素 is the name of another entry"),
        ("diseases", "[样例症]", "[示例病]", "name", "is the entry's own name"),
        ("tests", "上限: 5", "上限: 2", "contradiction", "the lower limit is not below"),
        ("tests", "上限: 5", "上限: 五", "unit", "the limits are no numbers"),
        ("tests", "偏低意义: [别的病]", "偏低意义: [示例病]", "contradiction", "stands in 偏高意义 and in 偏低意义"),
        ("tests", "名称: 示例值", "名称: 安宁素", "name", "stands in drugs、tests"),
    ],
)
def test_a_mistake_is_found_with_its_place(
    tmp_path: Path, folder: str, before: str, after: str, kind: str, said: str
) -> None:
    text = {"drugs": DRUGS, "diseases": DISEASES, "tests": TESTS}[folder]
    assert before in text
    found = findings(make(tmp_path, **{folder: text.replace(before, after, 1)}))
    assert [one for one in found if one.kind == kind and said in one.problem], found
    assert all(one.where.endswith((".yaml:1", "outside.yaml")) for one in found)


def test_two_entries_that_share_a_name_or_a_code_are_found(tmp_path: Path) -> None:
    twin = DRUGS.replace("安宁素", "康宁素").replace("英文名: anningsu", "英文名: anningsu\n  别名: [样例症]")
    said = [one.problem for one in findings(make(tmp_path, drugs=DRUGS + twin))]
    assert "N05BA99 is the code of 安宁素 too" in said
    assert "英文名 anningsu belongs to 安宁素 too" in said
    assert any("样例症 belongs to" in one for one in said)


def test_the_command_prints_findings_and_ends_with_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, drugs=DRUGS.replace("单位: mg", "单位: mgs"))
    with pytest.raises(GateError) as caught:
        invoke(["knowledge", "check", str(folder)])
    assert caught.value.code == 1
    assert "drugs/one.yaml:1" in capsys.readouterr().out
    with pytest.raises(GateError):
        invoke(["knowledge", "check", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "unit"


def test_an_inventory_counts_questions_and_not_items(tmp_path: Path) -> None:
    more = DRUGS.replace(
        "  禁忌:", "    - {人群: 儿童, 途径: 口服, 剂量: 1, 单位: mg, 频次: 每日1次}\n  禁忌:"
    ).replace("[口干]", "[口干, 头晕, 恶心]")
    facts = read_pack(make(tmp_path, drugs=more)).facts
    found = count(fact for fact in facts if fact.head == "安宁素")
    assert found.facts == 13
    assert found.questions == 11
    assert found.statements == 9
    assert found.entries == {"drugs": 1}
    assert found.relations["不良反应"] == 3


def test_the_starter_pack_holds_what_it_promises_and_passes_its_check() -> None:
    facts = read_pack(PACKS / "starter").facts
    assert check(facts, outside=read_outside(PACKS / "starter")) == []
    found = count(facts)
    least = {"drugs": 200, "diseases": 150, "tcm": 60, "tests": 40, "care": 30}
    assert {name: found.entries[name] >= number for name, number in least.items()} == dict.fromkeys(least, True)
    assert found.statements >= 5000
    assert len(found.departments) >= 15
