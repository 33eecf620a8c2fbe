"""Drug leaflets: fields become facts, what says nothing is counted, what cannot be read is dropped with its line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from real_data import DATA
from xinglin.errors import DataError
from xinglin.knowledge.leaflets import read_leaflets, split_numbered

REAL = DATA / "drugkb_caregpt" / "drug.json"
real = pytest.mark.skipif(not REAL.exists(), reason=f"no real data: {REAL}")

LEAFLETS = [
    "安宁素\n药品类型:示例药物，示例类\n英文名:Anningsu\n别名:宁乐；安宁；安宁素\n"
    "适应证:1.用于示例病。2.用于样例&gt;综合征。\n禁忌证:尚不明确。\n药物相互作用:参见：康平片\n"
    "不良反应:<p>偶见头晕。</p>[详细]\n用法用量:口服，每次0.5g，每天3次。",
    "康平片\n适应证:用于示例病\n 的辅助治疗。\n注意事项:1.孕妇慎用。2.2岁以下儿童不宜应用。3.定期复查。\n"
    "用法用量:每次按体表面积10mg/m\n药动学:口服后吸收",
    "安宁素\n适应证:1.用于示例病。2.用于另一种病。",
]


def write(path: Path, leaflets: object, encoding: str = "utf-8") -> Path:
    path.write_bytes(json.dumps(leaflets, ensure_ascii=False, indent=2).encode(encoding))
    return path


def test_fields_are_renamed_cleaned_and_split(tmp_path: Path) -> None:
    found = read_leaflets(write(tmp_path / "drug.json", LEAFLETS))
    rows = [(fact.head, fact.relation, fact.tail) for fact in found.facts]
    assert rows == [
        ("安宁素", "类别", "示例药物，示例类"),
        ("安宁素", "英文名", "Anningsu"),
        ("安宁素", "别名", "宁乐"),
        ("安宁素", "别名", "安宁"),
        ("安宁素", "适应症", "示例病"),
        ("安宁素", "适应症", "样例>综合征"),
        ("安宁素", "不良反应", "偶见头晕"),
        ("安宁素", "用法用量", "口服，每次0.5g，每天3次"),
        ("康平片", "适应症", "示例病的辅助治疗"),
        ("康平片", "注意事项", "孕妇慎用"),
        ("康平片", "注意事项", "2岁以下儿童不宜应用"),
        ("康平片", "注意事项", "定期复查"),
        ("安宁素", "适应症", "另一种病"),
    ]
    origin = found.facts[-1].origin
    assert (origin.item, origin.licence, origin.kind, origin.group) == ("2", "CC-BY-NC-SA-4.0", "record", "安宁素")


def test_everything_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    counts = dict(read_leaflets(write(tmp_path / "drug.json", LEAFLETS)).counts)
    assert counts == {
        "rows": 3,
        "heads": 2,
        "facts": 13,
        "rows dropped": 0,
        "duplicate facts merged": 1,
        "leaflets merged into an earlier one": 1,
        "names equal to the drug's name": 1,
        "placeholder values (尚不明确)": 1,
        "values cut off": 2,
        "values that point elsewhere (参见)": 1,
    }


@pytest.mark.parametrize("value", ["尚不明确。", "(尚不明确)", "暂无", "无", "无相关资料。", "未知", "不详", "-"])
def test_a_value_that_says_nothing_is_no_fact(tmp_path: Path, value: str) -> None:
    found = read_leaflets(write(tmp_path / "drug.json", [f"安宁素\n禁忌证:{value}\n适应证:示例病。"]))
    assert [fact.relation for fact in found.facts] == ["适应症"]


@pytest.mark.parametrize("value", ["无绝对禁忌证。", "不明原因发热者禁用。", "同时服用抗酸药者慎用。"])
def test_a_value_that_only_looks_empty_stays(tmp_path: Path, value: str) -> None:
    assert len(read_leaflets(write(tmp_path / "drug.json", [f"安宁素\n禁忌证:{value}"])).facts) == 1


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1.甲。2.乙。3.丙。", ["甲。", "乙。", "丙。"]),
        ("1．甲；2、乙", ["甲；", "乙"]),
        ("1.只有一条。", ["只有一条。"]),
        ("1.每次0.5～1.5g。2.每次2.5g，分2次。", ["每次0.5～1.5g。", "每次2.5g，分2次。"]),
        ("口服：1.成人一次5mg。2.儿童减半。", None),
        ("1.成人：1.甲。2.乙。2.儿童：丙。", None),
        ("1.甲。3.丙。", None),
        ("0.5g，每日1次。", None),
        ("无编号。", None),
    ],
)
def test_only_a_gapless_numbering_from_the_start_is_split(text: str, items: list[str] | None) -> None:
    assert split_numbered(text) == (items or [text])


def test_unreadable_leaflets_are_dropped_with_their_line_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "drug.json"
    lines = [
        '"安宁素\\n适应证:示例病。"',
        "17",
        '"坏"的引号"',
        '"只有名字"',
        '"【别名】甲\\n适应证:乙。"',
        '"康平片\\n适应证:丙。"',
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    found = read_leaflets(path)
    assert [fact.head for fact in found.facts] == ["安宁素", "康平片"]
    assert [drop.where for drop in found.dropped] == [f"{path}:{line}" for line in (3, 4, 5, 6)]
    assert [drop.reason.partition(":")[0] for drop in found.dropped] == [
        "not a text",
        "malformed JSON",
        "只有名字",
        "no drug name on the leaflet's first line",
    ]
    assert dict(found.counts)["rows"] == 6


def test_a_file_that_was_cut_off_or_is_empty_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "drug.json", LEAFLETS)
    path.write_text(path.read_text(encoding="utf-8").rstrip().removesuffix("]"), encoding="utf-8")
    with pytest.raises(DataError, match="cut off"):
        read_leaflets(path)
    path.write_text(" \n", encoding="utf-8")
    with pytest.raises(DataError, match="empty"):
        read_leaflets(path)
    path.write_text('{"安宁素": 1}', encoding="utf-8")
    with pytest.raises(DataError, match="not a JSON list"):
        read_leaflets(path)


def test_a_gb18030_copy_gives_the_same_facts(tmp_path: Path) -> None:
    one = read_leaflets(write(tmp_path / "drug.json", LEAFLETS))
    two = read_leaflets(write(tmp_path / "drug.json", LEAFLETS, encoding="gb18030"))
    assert (one.encoding, two.encoding) == ("utf-8", "gb18030")
    assert one.facts == two.facts


@real
def test_the_real_leaflets_give_clean_facts_and_every_row_is_accounted_for() -> None:
    found = read_leaflets(REAL)
    counts = dict(found.counts)
    assert counts["rows"] == 2441
    assert counts["rows dropped"] == len(found.dropped) <= 10
    assert counts["heads"] + counts["leaflets merged into an earlier one"] + len(found.dropped) == 2441
    assert 2400 <= counts["heads"] <= 2411
    assert 25_000 <= counts["facts"] <= 30_000
    assert 200 <= counts["placeholder values (尚不明确)"] <= 300
    tails = [fact.tail for fact in found.facts]
    assert not [tail for tail in tails if "[详细]" in tail or "<p>" in tail or "&gt;" in tail or tail == "尚不明确"]
    assert not [tail for tail in tails if tail != tail.strip(" 。；") or not tail]
    relations = Counter(fact.relation for fact in found.facts)
    assert relations["适应症"] >= 2400
    assert relations["用法用量"] >= 2400
    assert not {"适应证", "禁忌证", "药物相互作用", "药品类型"} & relations.keys()
    assert len({fact.id for fact in found.facts}) == len(found.facts)
