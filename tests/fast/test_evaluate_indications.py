from __future__ import annotations

import pytest

from xinglin.evaluate.tasks.indications import PUBLISHED, abstains, indication_table, indication_task
from xinglin.text import NOT_IN_KNOWLEDGE_BASE
from xinglin.types import Message, Origin, Prediction, Question, make_id

GOLD = {"甲药": ("发热", "头痛", "牙痛"), "乙药": ("咳嗽",), "丙药": ("腹泻", "腹胀"), "丁药": ("失眠",)}


def questions() -> list[Question]:
    return [
        Question(
            make_id("question", drug),
            (Message("user", f"{drug}的适应病症"),),
            gold,
            "indications",
            Origin("own.csv", str(row), "CC0-1.0", "label", group=drug),
        )
        for row, (drug, gold) in enumerate(GOLD.items(), 2)
    ]


def predictions(*replies: str) -> list[Prediction]:
    task = indication_task(questions())
    return [
        Prediction(asked.id, text, task.score(asked, text)) for asked, text in zip(questions(), replies, strict=True)
    ]


def test_a_reply_scores_the_share_of_the_labels_that_it_states() -> None:
    rows = predictions("用于发热、头痛。", "禁用于咳嗽。", f"{NOT_IN_KNOWLEDGE_BASE}丙药治腹泻的记录。", "")
    assert [row.score for row in rows] == [pytest.approx(2 / 3), 0.0, 0.0, 0.0]


def test_the_denominator_is_every_drug_and_a_second_line_has_the_held_ones() -> None:
    rows = predictions(
        "甲药的适应症：发热、头痛。", "乙药的适应症：咳嗽。", f"{NOT_IN_KNOWLEDGE_BASE}丙药。", "用于腹泻。"
    )
    table = indication_table(questions(), rows, {"甲药", "乙药"}, model="sft")
    assert [(metric.value, metric.count) for metric in table.every] == [(0.5, 4)] * 3
    assert [(metric.value, metric.count) for metric in table.held] == [(1.0, 2)] * 3
    assert (table.absent, table.absent_right, table.absent_wrong, table.absent_abstained) == (2, 0, 1, 1)
    assert (table.answered, table.abstained) == (3, 1)
    assert (table.precision.value, table.precision.count) == (pytest.approx(2 / 3), 3)
    assert table.model == "sft"


def test_a_right_answer_about_an_absent_drug_is_not_counted_as_wrong() -> None:
    rows = predictions("", "", "用于腹泻、发热。", "")
    table = indication_table(questions(), rows, set())
    assert (table.absent, table.absent_right, table.absent_wrong, table.absent_abstained) == (4, 1, 0, 3)
    assert [metric.value for metric in table.every] == [0.25, 0.25, 0.0]
    assert table.held[0].count == 0
    assert table.precision.value == 0.5


def test_predictions_of_other_questions_break_the_invariant() -> None:
    with pytest.raises(AssertionError):
        indication_table(questions(), predictions("", "", "", "")[:3], set())


def test_an_empty_reply_and_the_words_for_nothing_found_are_abstentions() -> None:
    assert abstains(" \n")
    assert abstains(f"抱歉，{NOT_IN_KNOWLEDGE_BASE}这种药。")
    assert not abstains("用于发热。")


def test_the_published_rows_are_as_quoted() -> None:
    assert {name: marks for name, *marks in PUBLISHED}["QiZhen CaMA-13B-12400"] == [91.49, 82.98, 72.34]
