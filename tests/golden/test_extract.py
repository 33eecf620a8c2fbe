"""The answer extractor against the labelled table of the reference, and rows of our own where that is absent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin.metrics.calibration import calibration_error, rank_correlation, reliability
from xinglin.metrics.extract import choose
from xinglin.metrics.repetition import repeated_share

TABLE = Path(__file__).parents[2].parent / "shared" / "reference" / "golden" / "mcq_extractor.json"
ORGANS = {"A": "肝", "B": "心", "C": "脾", "D": "肺"}
SCANS = {"A": "头颅CT", "B": "头颅MRI", "C": "脑电图", "D": "腰椎穿刺"}


@pytest.mark.skipif(not TABLE.is_file(), reason="the reference's table is not here")
def test_every_row_of_the_labelled_table_is_read_as_labelled() -> None:
    rows = json.loads(TABLE.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 108
    wrong = [
        row["id"]
        for row in rows
        if (choose(row["raw"], row["options"], several=row["multi"]) or None) != row["expected"]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("answer", "options", "letters"),
    [
        ("本题考查解剖。答案为 C。", ORGANS, "C"),
        ("(a)", ORGANS, "A"),
        ("先排除A，再排除B，所以选D", ORGANS, "D"),
        ("肺", ORGANS, "D"),
        ("不是肺。", ORGANS, ""),
        ("行MRI与CT后诊断明确。", SCANS, ""),
        ("<think>选A</think>正确答案：B", SCANS, "B"),
        ("答案：F", SCANS, ""),
        ("答案是A，更正：答案是C。", SCANS, "C"),
        ("首先选B超检查，其次选C。", SCANS, "C"),
        ("故选B超检查。", SCANS, ""),
        ("答案为B超", {"A": "X线", "B": "CT", "C": "B超"}, "C"),
        ("故选B超，无创且价廉。", {"A": "X线", "B": "CT", "C": "B超"}, "C"),
        ("主要由T细胞介导，选B细胞不对。", SCANS, ""),
        ("答案是B，也可能是D。", SCANS, ""),
        ("答案是B或脑电图。", SCANS, ""),
        ("答案是C或脑电图。", SCANS, "C"),
        ("应选A，或者说最需要的是头颅CT。", SCANS, "A"),
        ("模板已开始思考</think>答案：B", SCANS, "B"),
    ],
)
def test_answers_of_our_own_writing(answer: str, options: dict[str, str], letters: str) -> None:
    assert choose(answer, options) == letters


def test_calibration_and_length_numbers_by_hand() -> None:
    # Bins 0.2-0.3 and 0.8-0.9: |0.25 - 0.5| * 2/4 + |0.85 - 0.5| * 2/4.
    chances, outcomes = [0.2, 0.3, 0.8, 0.9], [True, False, True, False]
    assert calibration_error(chances, outcomes, bins=2) == pytest.approx(0.3)
    assert [(one.stated, one.true, one.count) for one in reliability([0.5, 1.0], [True, True], bins=2)] == [
        (0.75, 1.0, 2)
    ]
    assert rank_correlation([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: covariance 1.5, deviations sqrt(1.5) and sqrt(2).
    assert rank_correlation([5, 5, 9], [1, 2, 3]) == pytest.approx(1.5 / (1.5 * 2) ** 0.5)
    assert rank_correlation([1, 1], [1, 2]) == 0.0


def test_repeated_share_counts_spans_that_came_before() -> None:
    assert repeated_share("多喝水") == 0.0
    assert repeated_share("abcdabcd") == pytest.approx(0.2)
    assert repeated_share("啊" * 10) == pytest.approx(6 / 7)
