"""Relations, labelled texts and PromptCBLUE, and every real file of extraction. All rows are our own writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from format_rows import come_back, one, read, real, reason, rows_of, write

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.known import detect
from xinglin.formats.row import Bad
from xinglin.types import Question

# --- relations, labels, PromptCBLUE ---------------------------------------------------------------------------------
SPO = {
    "text": "咳嗽可用止咳糖浆，宜查血常规。",
    "spo_list": [
        {
            "Combined": False,
            "predicate": "药物治疗",
            "subject": "咳嗽",
            "subject_type": "疾病",
            "object": {"@value": "止咳糖浆"},
            "object_type": {"@value": "药物"},
        },
        {"predicate": "实验室检查", "subject": "咳嗽", "object": {"@value": "血常规", "inWork": "早期"}},
        {"predicate": "同义词", "subject": "咳嗽", "object": "咳"},
    ],
}


def test_relations_become_answers_and_come_back() -> None:
    question = one("cmeie", Question, SPO)
    assert question.answers == ("咳嗽\t药物治疗\t止咳糖浆", "咳嗽\t实验室检查\t血常规", "咳嗽\t同义词\t咳")
    come_back("cmeie", [SPO, {"text": "没有关系。", "spo_list": []}])
    fewer = write("cmeie", replace(question, answers=("甲\t乙\t丙",)))[0]["spo_list"]
    assert fewer == [{"subject": "甲", "predicate": "乙", "object": {"@value": "丙"}}]
    with pytest.raises(DataError, match="not subject, predicate, object"):
        write("cmeie", replace(question, answers=("甲",)))


@pytest.mark.parametrize(
    "spo",
    [None, ["甲"], [{"subject": "甲", "predicate": "乙"}], [{"subject": "甲\t", "predicate": "乙", "object": "丙"}]],
)
def test_a_broken_relation_is_bad(spo: Any) -> None:
    assert reason("cmeie", {"text": "甲", "spo_list": spo})


LABELS = [
    ["0\t手麻怎么办\t手发麻是什么原因", "1\t咳嗽吃什么药\t咳嗽用什么药"],
    ["1\t拔牙多少钱", "2\t牙疼", "1\t洗牙疼吗"],
    ["Age\t 2)年龄&gt;18岁;", "Age\t年龄&lt; 70岁", "Disease\t高血压患者", "Disease\t糖尿病患者"],
]


@pytest.mark.parametrize("lines", LABELS)
def test_labelled_lines_become_questions_and_come_back(lines: list[str]) -> None:
    questions = [record for record in read("chineseblue", *lines) if isinstance(record, Question)]
    assert [question.answers for question in questions] == [(line.split("\t")[0],) for line in lines]
    come_back("chineseblue", lines)


def test_html_entities_are_decoded_and_two_texts_are_two_lines() -> None:
    assert one("chineseblue", Question, LABELS[2][0]).messages[0].content == " 2)年龄>18岁;"
    pair = one("chineseblue", Question, LABELS[0][0])
    assert pair.messages[0].content == "手麻怎么办\n手发麻是什么原因"
    with pytest.raises(DataError, match="without TABs"):
        write("chineseblue", replace(pair, answers=("0", "1")))
    with pytest.raises(DataError, match="without TABs"):
        write("chineseblue", replace(pair, messages=(replace(pair.messages[0], content="甲\t乙"),)))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1", "1 cells"),
        ("1\t甲\t乙\t丙", "4 cells"),
        ("\t甲", "empty cell"),
        ("1\t ", "empty cell"),
        ({"a": 1}, "not a line"),
    ],
)
def test_a_broken_labelled_line_is_bad(line: Any, problem: str) -> None:
    assert problem in reason("chineseblue", line)


@pytest.mark.parametrize(
    "lines",
    [
        ["气虚\t补气方\t中药", "气虚\t四君子\t中药", "血虚\t四物汤\t中药"],
        ["感冒\t1200", "咳嗽\t900"],
        ["A00\t霍乱", "A01\t伤寒", "A02\t沙门菌感染", "A03\t痢疾"],
    ],
)
def test_lists_of_words_and_triples_are_no_labelled_texts(lines: list[str]) -> None:
    with pytest.raises(DataError, match="unknown format"):
        detect(rows_of(lines))


PROMPTED = {
    "input": "判断意图：\n牙疼怎么办\n选项：治疗方案，费用\n答：",
    "target": "治疗方案",
    "answer_choices": ["治疗方案", "费用"],
    "task_type": "cls",
    "task_dataset": "自编",
    "sample_id": "train-1",
}


@pytest.mark.parametrize(
    "row",
    [
        PROMPTED,
        {**PROMPTED, "target": ""},
        {**PROMPTED, "answer_choices": None},
        {**PROMPTED, "answer_choices": []},
        {key: value for key, value in PROMPTED.items() if key != "answer_choices"},
    ],
)
def test_a_prompted_row_becomes_a_question_and_comes_back(row: dict[str, Any]) -> None:
    question = one("promptcblue", Question, row)
    assert question.answers == ((row["target"],) if row["target"] else ())
    assert question.choices == tuple(row.get("answer_choices") or ())
    assert question.extra["sample_id"] == "train-1"
    come_back("promptcblue", [row])


def test_a_broken_prompted_row_is_bad_and_two_targets_are_refused() -> None:
    assert "answer_choices" in reason("promptcblue", {**PROMPTED, "answer_choices": "治疗方案"})
    assert "target is missing" in reason("promptcblue", {**PROMPTED, "target": None})
    with pytest.raises(DataError, match="one target"):
        write("promptcblue", replace(one("promptcblue", Question, PROMPTED), answers=("甲", "乙")))


STRUCTURED = {
    "实体": [{"sample_id": "1", "answer": [{"entity": "咳嗽", "type": "症状"}]}, {"sample_id": "2", "answer": []}],
    "关系": [{"sample_id": "1", "answer": [{"predicate": "检查", "subject": "咳嗽", "object": "胸片"}]}],
    "事件": [{"sample_id": "1", "answer": [{"主体词": "疼痛", "描述词": ["轻微"], "解剖部位": []}, {}]}],
    "标准化": [{"sample_id": "1", "answer": ["急性支气管炎", "{咳嗽"]}],
    "分类": [{"sample_id": "1", "answer": "费用", "备注": "自编"}, {"sample_id": "2", "answer": ""}],
    "报告": [{"sample_id": "1", "answer": {"主诉": "咳嗽", "建议": "多喝水"}}, {"sample_id": "2", "answer": {}}],
}


def test_structured_answers_become_questions_and_come_back() -> None:
    questions = [record for record in read("promptcblue-answers", STRUCTURED) if isinstance(record, Question)]
    assert len(questions) == 9
    assert [question.answers for question in questions[:3]] == [("咳嗽\t症状",), (), ("检查\t咳嗽\t胸片",)]
    assert (questions[0].task, questions[0].origin.group) == ("实体", "1")
    assert questions[7].answers == ("主诉\t咳嗽", "建议\t多喝水")
    come_back("promptcblue-answers", [STRUCTURED])


def test_broken_structured_answers_are_bad() -> None:
    found = read("promptcblue-answers", {"分类": [{"sample_id": "1"}, {"answer": "甲"}, 5]}, ["甲"])
    reasons = [record.reason for record in found if isinstance(record, Bad)]
    assert reasons == [
        "answer is missing",
        "sample_id is missing",
        "not an object but a int",
        "not an object of tasks but a list",
    ]
    assert "answer is a dict" in reason("promptcblue-answers", {"报告": [{"sample_id": "1", "answer": {"甲": []}}]})


def test_questions_of_other_origin_have_no_structured_answer() -> None:
    with pytest.raises(DataError, match="not read from this format"):
        write("promptcblue-answers", one("promptcblue", Question, PROMPTED))
    question = read("promptcblue-answers", STRUCTURED)[0]
    assert isinstance(question, Question)
    with pytest.raises(DataError, match="changed in its form"):
        write("promptcblue-answers", replace(question, answers=("咳嗽",)))


REAL = {
    **{f"cls_chineseblue/cMedIC_{split}.txt": ("chineseblue", count) for split, count in (("dev", 123), ("test", 84))},
    "cls_chineseblue/cMedQQ_train.txt": ("chineseblue", 16071),
    "cls_chineseblue/cMedTC_train.txt": ("chineseblue", 14610),
    **{f"cblue_promptcblue_toy/{name}.json": ("promptcblue", 80) for name in ("train", "dev", "test")},
    **{f"cblue_promptcblue_toy/{name}.json": ("promptcblue-answers", 80) for name in ("dev_structured", "results")},
    "re_cmeie_sample/CMeIE_train.json": ("cmeie", 500),
    "re_cmeie_sample/CMeIE_dev.json": ("cmeie", 108),
    **{f"ner_cmedqaner/{name}.txt": ("bio", count) for name, count in (("train", 1673), ("dev", 175), ("test", 215))},
}
here = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")


@here
@pytest.mark.parametrize("file", REAL)
def test_real_extraction_files_are_read_whole_and_come_back(file: str) -> None:
    name, good, bad = real(DATA / file)
    assert (name, len(good)) == REAL[file]
    assert bad == []
