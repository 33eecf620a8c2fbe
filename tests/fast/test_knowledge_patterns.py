"""Question patterns: the shipped ones are sound, and a mistake in a file is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinglin.errors import DataError
from xinglin.knowledge.patterns import read_patterns
from xinglin.knowledge.sources import import_source

PATTERNS = """\
适应症:
  questions:
    - "{head}的适应症是什么？"
    - "{head}治什么病？"
    - "{head}用于什么？"
    - "请介绍{head}的适应症。"
  heldout: "{head}可以治疗哪些疾病？"
  answer: "{head}的适应症：{tails}。"
  statement: ["{head}用于{tails}。"]
  attributes: [适应症, 治什么]
"""


def test_a_pattern_file_is_read_into_patterns(tmp_path: Path) -> None:
    (tmp_path / "patterns.yaml").write_text(PATTERNS, encoding="utf-8")
    pattern = read_patterns(tmp_path / "patterns.yaml")["适应症"]
    assert pattern.relation == "适应症"
    assert len(pattern.questions) == 4
    assert pattern.heldout == "{head}可以治疗哪些疾病？"
    assert pattern.statements == ("{head}用于{tails}。",)
    assert pattern.attributes == ("适应症", "治什么")


@pytest.mark.parametrize(
    ("before", "after", "line", "problem"),
    [
        ("  answer:", "  answers:", 8, "unknown field answers"),
        ("{head}治什么病？", "治什么病？", 2, "needs {head}"),
        ("{head}治什么病？", "{head}和{head}治什么病？", 2, "needs {head}"),
        ("{head}治什么病？", "{head}治{tails}？", 2, "needs {head}"),
        ("{head}用于{tails}。", "{head}用于。", 9, "needs {head} and {tails}"),
        ("{head}治什么病？", "{head}用于什么？", 2, "the same text twice"),
        ('    - "{head}治什么病？"\n', "", 3, "fewer than 4 questions"),
        ("{head}可以治疗哪些疾病？", "{head}治什么病？", 7, "held-out phrasing is among the questions"),
        ("attributes: [适应症, 治什么]", "attributes: []", 10, "the list is empty"),
        ("  heldout: ", "  # heldout: ", 2, "no heldout"),
        ("attributes: [适应症, 治什么]", 'attributes: ["{head}病"]', 10, "needs no slot"),
        ("attributes: [适应症, 治什么]", "attributes: [{适应症: 甲}]", 10, "expected one non-empty value"),
    ],
)
def test_a_mistake_in_a_pattern_names_its_line(
    tmp_path: Path, before: str, after: str, line: int, problem: str
) -> None:
    assert before in PATTERNS
    path = tmp_path / "patterns.yaml"
    path.write_text(PATTERNS.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_patterns(path)
    assert problem in caught.value.problem
    assert abs(int(caught.value.where.rpartition(":")[2]) - line) <= 1


def test_two_blocks_of_one_relation_are_refused(tmp_path: Path) -> None:
    (tmp_path / "patterns.yaml").write_text(PATTERNS + PATTERNS, encoding="utf-8")
    with pytest.raises(DataError, match="second block"):
        read_patterns(tmp_path / "patterns.yaml")


def test_a_file_that_is_a_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patterns.yaml").write_text("- 适应症\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected `relation:` blocks"):
        read_patterns(tmp_path / "patterns.yaml")


def test_every_relation_of_the_starter_pack_has_a_pattern() -> None:
    relations = {fact.relation for fact in import_source("pack:starter", root=Path()).facts}
    assert relations <= read_patterns().keys()
