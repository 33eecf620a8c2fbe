from __future__ import annotations

from collections.abc import Sequence

import pytest

from xinglin.errors import DataError
from xinglin.evaluate.compare import Comparison, Pair, compare, verdict_words
from xinglin.metrics.paired import mcnemar, sign_flip
from xinglin.types import Prediction


def rows(scores: Sequence[float]) -> list[Prediction]:
    return [Prediction(f"question-{number:03d}", "", score) for number, score in enumerate(scores)]


def pair(before: Sequence[float], after: Sequence[float], *, child: str = "sft") -> Pair:
    return Pair("pt", child, "recall", rows(before), rows(after))


def test_scores_of_zero_and_one_are_compared_by_mcnemar() -> None:
    (row,) = compare([pair([1] * 5 + [0] * 20, [0] * 2 + [1] * 23)])
    assert (row.gained, row.lost, row.count, row.test) == (20, 2, 25, "McNemar")
    assert row.difference == pytest.approx(18 / 25)
    assert row.p == row.holm_p == mcnemar(2, 20)
    assert row.low < row.difference < row.high
    assert row.verdict == "better"
    assert verdict_words(row) == "better (Holm p < 0.05)"
    assert verdict_words(row, language="zh") == "更好（Holm p < 0.05）"


def test_fractions_are_compared_by_sign_flips() -> None:
    before, after = [0.5] * 12, [0.25] * 12
    (row,) = compare([pair(before, after)])
    assert (row.test, row.verdict) == ("sign-flip", "worse")
    assert row.p == sign_flip([-0.25] * 12)
    assert (verdict_words(row), verdict_words(row, language="zh")) == ("worse", "更差")


def test_predictions_are_matched_by_question_and_not_by_place() -> None:
    before, after = rows([1, 0, 0, 1]), rows([1, 0, 0, 1])
    (row,) = compare([Pair("pt", "sft", "recall", before, after[::-1])])
    assert (row.difference, row.gained, row.lost, row.p) == (0, 0, 0, 1.0)


def test_holm_adjusts_over_the_whole_table() -> None:
    close = pair([0] * 40, [1] * 6 + [0] * 34)
    alone = compare([close])[0]
    table = compare([close, *(pair([0] * 40, [0] * 40, child=f"m{number}") for number in range(3))])
    assert alone.p == table[0].p == 0.03125
    assert (alone.verdict, table[0].verdict) == ("better", "no difference shown")
    assert table[0].holm_p == pytest.approx(4 * 0.03125)


def test_no_difference_comes_with_what_could_have_been_found() -> None:
    (row,) = compare([pair([1, 0] * 40, [1, 0] * 38 + [0, 1] * 2)])
    assert row.verdict == "no difference shown"
    assert verdict_words(row) == f"no difference shown (detectable: {100 * row.detectable:.1f} points)"
    assert 0.05 < row.detectable < 0.1


def test_different_questions_are_refused() -> None:
    with pytest.raises(DataError, match="same questions") as error:
        compare([pair([1, 0], [1, 0, 1])])
    assert error.value.where == "recall"
    with pytest.raises(DataError, match="same questions"):
        compare([pair([], [])])


def test_one_question_can_show_no_difference() -> None:
    row: Comparison = compare([pair([0], [1])])[0]
    assert row.detectable == 1.0
    assert row.verdict == "no difference shown"
