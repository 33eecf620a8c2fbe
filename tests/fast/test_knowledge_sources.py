"""Sources: the content decides the importer; what is unknown is refused with a list of what is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin.errors import DataError
from xinglin.knowledge.sources import import_source


def test_the_content_and_not_the_name_decides_how_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text("name,symptom\n示例病,头晕 乏力\n", encoding="utf-8")
    (tmp_path / "drugs.csv").write_text(json.dumps(["安宁素\n适应证:示例病。"]), encoding="utf-8")
    assert [fact.tail for fact in import_source("table.json", root=tmp_path).facts] == ["头晕", "乏力"]
    assert [fact.tail for fact in import_source("drugs.csv", root=tmp_path).facts] == ["示例病"]


def test_a_named_pack_and_a_folder_are_packs(tmp_path: Path) -> None:
    shipped = import_source("pack:starter", root=tmp_path)
    assert shipped.facts[0].origin.source == "pack:starter"
    (tmp_path / "own" / "diseases").mkdir(parents=True)
    (tmp_path / "own" / "diseases" / "a.yaml").write_text("- 名称: 示例病\n  科室: [内科]\n", encoding="utf-8")
    own = import_source("own", root=tmp_path)
    assert [fact.tail for fact in own.facts] == ["内科"]
    assert own.facts[0].origin.licence == "unknown (own pack)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ('{"question": "甲", "answer": "乙"}', "unknown shape of JSON: keys question, answer"),
        ("[", "unknown shape of JSON: malformed or empty"),
        ('[{"input": "甲"}]', "unknown shape of JSON: keys input"),
        ("[1, 2]", "unknown shape of JSON: a list of int"),
        ("code,term\nA,甲\n", "unknown shape: the first line reads code, term"),
    ],
)
def test_an_unknown_shape_says_what_was_seen_and_what_is_known(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        import_source("file", root=tmp_path)
    assert problem in caught.value.problem
    assert "pack:NAME" in caught.value.fix


def test_a_missing_file_names_its_neighbours_and_a_missing_pack_the_packs(tmp_path: Path) -> None:
    (tmp_path / "drug.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"did you mean drug\.json"):
        import_source("drugs.json", root=tmp_path)
    with pytest.raises(DataError, match=r"packs: .*starter"):
        import_source("pack:stater", root=tmp_path)
