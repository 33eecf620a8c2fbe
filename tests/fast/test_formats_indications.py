"""The table of drugs and marked indications as Questions."""

from __future__ import annotations

import pytest

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.exams import read_indications
from xinglin.formats.indications import read_rows, write_rows
from xinglin.formats.known import detect
from xinglin.formats.reading import Import
from xinglin.formats.row import Bad, Row, Source
from xinglin.types import Message, Origin, Question, Sample

VALUES = [
    {"药品": "甲乙片", "药品适应症": "<p>用于头痛。</p>", "医学专家标注的适应病症": "头痛|偏头痛", "instruction": "问"},
    {"药品": "丙丁丸", "药品适应症": "", "医学专家标注的适应病症": "咳嗽", "instruction": "问"},
]
ROWS = [Row(f"own.csv:{at}", value) for at, value in enumerate(VALUES, 2)]


def test_each_drug_becomes_a_question_and_the_table_comes_back() -> None:
    assert detect(ROWS).name == "indications"
    found = [one for one in read_rows(ROWS, Source("own.csv")) if isinstance(one, Question)]
    assert [one.messages[0].content for one in found] == ["甲乙片的适应病症", "丙丁丸的适应病症"]
    assert [one.answers for one in found] == [("头痛", "偏头痛"), ("咳嗽",)]
    assert list(write_rows(found)) == VALUES


def test_a_row_without_drug_or_labels_is_bad_and_another_record_is_refused() -> None:
    broken: list[Row | Bad] = [
        Row("a:1", {"药品": "甲"}),
        Row("a:2", {**VALUES[0], "药品": " "}),
        Bad("a:3", "malformed"),
    ]
    assert [type(one) for one in read_rows(broken, Source("a"))] == [Bad, Bad, Bad]
    sample = Sample("sample-1", (Message("user", "问"),), Origin("a", "1", "CC0-1.0", "dialogue"))
    with pytest.raises(DataError, match="indications"):
        list(write_rows([sample]))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_the_real_table_gives_the_questions_of_the_benchmark() -> None:
    path = next((DATA / "drugeval_qizhen").glob("*.csv"))
    job = Import([path], licence="GPL-3.0")
    assert [one.id for one in job.records()] == [one.id for one in read_indications(path)]
    assert (job.done[0].format, job.done[0].kept) == ("indications", 94)
