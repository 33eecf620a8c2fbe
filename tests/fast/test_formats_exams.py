"""The drug-indication exam: one question per drug, the experts' labels as gold answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.exams import read_indications
from xinglin.types import Message

REAL = DATA / "drugeval_qizhen" / "药品适应症评测数据集.csv"
real = pytest.mark.skipif(not REAL.exists(), reason=f"no real data: {REAL}")

TABLE = """\
药品,药品适应症,医学专家标注的适应病症,instruction
安宁素片,<p>用于示例病。</p>,示例病|<p>样例症</p>| 示例病 |,安宁素片的适应病症
康平素片,,另一种病,康平素片的适应病症
"""


def write(path: Path, text: str = TABLE, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_row_becomes_a_question_with_the_labels_as_answers(tmp_path: Path, encoding: str) -> None:
    first, second = read_indications(write(tmp_path / "eval.csv", encoding=encoding))
    assert first.messages == (Message("user", "安宁素片的适应病症"),)
    assert first.answers == ("示例病", "样例症")
    assert (first.task, first.choices) == ("indications", ())
    origin = second.origin
    assert (origin.source, origin.item, origin.licence, origin.group) == ("eval.csv", "2", "GPL-3.0", "康平素片")
    assert origin.kind == "label"


@pytest.mark.parametrize(
    ("before", "after", "line", "problem"),
    [
        ("医学专家标注的适应病症", "标注", 1, "no column 医学专家标注的适应病症"),
        ("另一种病", " | ", 3, "row 2 has no 医学专家标注的适应病症"),
        ("\n安宁素片,", "\n<p></p>,", 2, "row 1 has no 药品"),
    ],
)
def test_a_row_that_would_change_the_number_of_questions_is_refused(
    tmp_path: Path, before: str, after: str, line: int, problem: str
) -> None:
    path = write(tmp_path / "eval.csv", TABLE.replace(before, after, 1))
    with pytest.raises(DataError) as caught:
        read_indications(path)
    assert caught.value.where == f"{path}:{line}"
    assert problem in caught.value.problem


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        read_indications(write(tmp_path / "eval.csv", TABLE.split("\n")[0] + "\n"))


@real
def test_the_real_exam_has_94_drugs_and_442_labels() -> None:
    questions = read_indications(REAL)
    assert len(questions) == 94
    assert len({question.id for question in questions}) == 94
    counts = [len(question.answers) for question in questions]
    assert 438 <= sum(counts) <= 442  # 442 in the file; a label twice in one cell counts once
    assert (min(counts), max(counts)) == (1, 62)
    assert sum(count == 1 for count in counts) == 24
    for question in questions:
        assert question.messages[0].content == f"{question.origin.group}的适应病症"
        assert not [answer for answer in question.answers if "<" in answer or "|" in answer or not answer]
