"""Exam items in every shape, verifiable questions, graded retrieval. All rows are our own writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from format_rows import SOURCE, come_back, one, read, real, reason, write
from hypothesis import given
from hypothesis import strategies as st

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.known import by_name
from xinglin.formats.options import Found, letters_of
from xinglin.formats.questions import EXAMS, Exam
from xinglin.formats.samples import Unfit
from xinglin.types import Message, Origin, Question, Ranking, Sample

STEM = "量血压之前应当先做什么？"
FOUR = ("静坐五分钟", "快走一圈", "喝一杯咖啡", "憋住尿")
COLUMNS = dict(zip("ABCD", FOUR, strict=True))
LISTED = {"question": STEM, "options": list(FOUR)}
LINES = r"A 静坐五分钟\nB 快走一圈\nC 喝一杯咖啡\nD 憋住尿\nE 大声说话"
BRACKETS = "(A) 静坐五分钟.\n(B) 快走一圈.\n(C) 喝一杯咖啡."
GOLDEN: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("cmmlu", {"": "0", "Question": STEM, **COLUMNS, "Answer": "A"}, ("A",)),
    ("cmmlu", {"": "1", "Question": STEM, **COLUMNS, "Answer": ""}, ()),
    ("cmmlu", {"Question": STEM, "A": "是", "B": "否", "C": "", "D": "", "Answer": "b"}, ("B",)),
    ("ceval", {"id": "3", "question": STEM, **COLUMNS, "answer": "A", "explanation": "先静坐，\n再量。"}, ("A",)),
    ("ceval", {"id": "3", "question": STEM, **COLUMNS}, ()),
    ("ceval", {"question": STEM, **COLUMNS, "E": "跑步", "answer": "E"}, ("E",)),
    ("ceval", {"question": STEM, **COLUMNS, "E": "", "answer": None}, ()),
    ("exam-题目", {"题目": STEM, **COLUMNS, "答案": "AC", "解析": "略。"}, ("A", "C")),
    ("cmexam", {"Question": STEM, "Options": LINES, "Answer": "ACE", "Explanation": "说明。"}, ("A", "C", "E")),
    ("cmexam", {"Question": STEM, "Options": r"A. 是\nB、否\nC 都不\n对", "Answer": "C"}, ("C",)),
    ("cmexam", {"Question": STEM, "Options": r"B 是\nC 否\nE 都对", "Answer": "E"}, ("C",)),
    ("apollo", {"question": STEM, "options": BRACKETS, "answer": "(C)", "source": "自编"}, ("C",)),
    ("apollo", {"question": STEM, "options": BRACKETS, "answer": "(BC)"}, ("B", "C")),
    ("apollo", {"question": STEM, "options": BRACKETS, "answer": ""}, ()),
    (
        "cmb-exam",
        {"exam_type": "护理", "question": STEM, "answer": "AD", "question_type": "多项", "option": COLUMNS},
        ("A", "D"),
    ),
    ("cmb-exam", {"question": STEM, "option": {**COLUMNS, "E": None}, "answer": "D"}, ("D",)),
    ("mlec-qa", {"qid": "7", "qtype": "A1", "qtext": STEM, "qimage": "", "options": COLUMNS, "answer": "B"}, ("B",)),
    ("options-mapping", {"question": STEM, "options": COLUMNS, "answer": "喝一杯咖啡", "answer_idx": "C"}, ("C",)),
    ("options-mapping", {"question": STEM, "options": {"A": 1, "B": 2.5}, "answer": "A"}, ("A",)),
    ("options-list", {"question": STEM, "options": ["A.静坐", "B.快走", "C.憋尿"], "answer": "A"}, ("A",)),
    ("options-list", {**LISTED, "answer": ["A", "D"]}, ("A", "D")),
    ("options-list", {**LISTED, "answer": " 憋住尿 "}, ("D",)),
    ("choices-list", {"question": STEM, "choices": list(FOUR), "answer": 3}, ("D",)),
    (
        "safetybench",
        {"id": 5, **LISTED, "category": "身体健康", "gold": {"category": "身体健康", "answer": 0}},
        ("A",),
    ),
    ("safetybench", {**LISTED, "gold": {"category": "身体健康"}}, ()),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(GOLDEN)]


@pytest.mark.parametrize(("name", "row", "answers"), GOLDEN, ids=IDS)
def test_an_exam_item_becomes_a_question_and_comes_back(
    name: str, row: dict[str, Any], answers: tuple[str, ...]
) -> None:
    question = one(name, Question, row)
    assert question.answers == answers
    assert question.task == name
    assert question.messages == (Message("user", STEM),)
    assert len(question.choices) >= 2
    assert (question.origin.source, question.origin.item, question.origin.licence) == ("own.json", "1", "CC0-1.0")
    come_back(name, [row])


def test_choices_are_the_texts_without_letters() -> None:
    assert one("cmexam", Question, GOLDEN[8][1]).choices == (*FOUR, "大声说话")
    assert one("apollo", Question, GOLDEN[11][1]).choices == ("静坐五分钟.", "快走一圈.", "喝一杯咖啡.")
    assert one("options-list", Question, GOLDEN[19][1]).choices == ("静坐", "快走", "憋尿")
    assert one("options-list", Question, {"question": STEM, "options": ["DNA", "RNA"]}).choices == ("DNA", "RNA")


def test_options_that_do_not_begin_with_a_are_lettered_by_place() -> None:
    question = one("cmexam", Question, {"Question": STEM, "Options": r"B 是\nC 否\nE 都对", "Answer": "CE"})
    assert question.choices == ("是", "否", "都对")
    assert question.answers == ("B", "C")


def test_an_option_of_several_lines_stays_whole() -> None:
    question = one("cmexam", Question, {"Question": STEM, "Options": r"A 是\nB 先静坐\n再测量\nC 否", "Answer": "B"})
    assert question.choices == ("是", r"先静坐\n再测量", "否")


def test_other_columns_are_kept_under_their_own_names() -> None:
    question = one("ceval", Question, GOLDEN[3][1])
    assert question.extra == {"id": "3", "explanation": "先静坐，\n再量。"}
    assert one("cmmlu", Question, GOLDEN[0][1]).extra == {"": "0"}


def test_the_index_column_of_cmmlu_is_written_first_again() -> None:
    row = {"": "0", "Question": STEM, **COLUMNS, "Answer": "A"}
    assert list(write("cmmlu", one("cmmlu", Question, row))[0]) == list(row)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": STEM, "options": {"A": "是"}, "answer": "A"}, "1 options"),
        ({"question": STEM, "options": {"A": "是", "B": " "}, "answer": "A"}, "1 options"),
        ({"question": STEM, "options": {"A": "是", "乙": "否"}, "answer": "A"}, "'乙'"),
        ({"question": STEM, "options": {"A": "是", "B": ["否"]}, "answer": "A"}, "not a text but a list"),
        ({"question": STEM, "options": COLUMNS, "answer": "F"}, "'F' is none of the options A, B, C, D"),
        ({"question": STEM, "options": COLUMNS, "answer": "nan"}, "'nan' is none of"),
        ({"question": STEM, "options": COLUMNS, "answer": "多喝水"}, "none of the options"),
        ({"question": STEM, "options": COLUMNS, "answer": 4}, "option number 4"),
        ({"question": STEM, "options": COLUMNS, "answer": True}, "the answer is True"),
        ({"question": STEM, "options": COLUMNS, "answer": 1.5}, "the answer is a float"),
        ({"question": "  ", "options": COLUMNS, "answer": "A"}, "the question is empty"),
        ({"options": COLUMNS, "answer": "A"}, "question is missing"),
        ({"question": STEM, "options": "ABCD", "answer": "A"}, "not a mapping"),
        (["A", "B"], "not an object but a list"),
    ],
)
def test_a_broken_item_is_bad_and_says_why(row: Any, problem: str) -> None:
    assert problem in reason("options-mapping", row)


def test_broken_options_of_other_styles_are_bad() -> None:
    assert "lettered A" in reason("cmexam", {"Question": STEM, "Options": r"A 是\nA 否", "Answer": "A"})
    assert "has no letter" in reason("cmexam", {"Question": STEM, "Options": r"是\nB 否", "Answer": "B"})
    assert "Options is missing" in reason("cmexam", {"Question": STEM, "Answer": "B"})
    assert "Options is not a text" in reason("cmexam", {"Question": STEM, "Options": 3, "Answer": "B"})
    assert "not a list of texts" in reason("options-list", {"question": STEM, "options": [1, 2], "answer": "B"})
    assert "more than" in reason("options-list", {"question": STEM, "options": ["是"] * 13, "answer": "B"})
    assert "gold is not" in reason("safetybench", {**LISTED, "gold": 1})
    assert "option number 4" in reason("safetybench", {**LISTED, "gold": {"answer": 4}})


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        *((text, ("B",)) for text in ("B", "b", "(B)", "（Ｂ）", "B.", "答案：B", "B. 快走一圈", "快走一圈", 1, ["B"])),
        *((text, ("A", "C")) for text in ("AC", "A,C", "A、C", "(AC)", "CA", ["A", "C"], "A 和 C")),
        *((text, ()) for text in (None, "", "  ", [])),
    ],
)
def test_an_answer_may_be_written_in_many_ways(answer: Any, letters: tuple[str, ...]) -> None:
    assert letters_of(answer, Found("ABCD", FOUR, ())) == letters


def test_an_answer_that_is_a_text_wins_over_letters_out_of_order() -> None:
    assert letters_of("DNA", Found("ABCDN", ("RNA", "DNA", "酶", "糖", "脂"), ())) == ("B",)
    with pytest.raises(Unfit):
        letters_of("AZ", Found("ABCD", FOUR, ()))


def test_an_edited_question_is_written_as_it_is_now() -> None:
    question = one("options-mapping", Question, {"question": STEM, "options": COLUMNS, "answer": "憋住尿"})
    assert write("options-mapping", replace(question, answers=("A",)))[0]["answer"] == "A"
    fewer = replace(question, choices=question.choices[:2], answers=("B",))
    assert write("options-mapping", fewer)[0] == {
        "question": STEM,
        "options": {"A": FOUR[0], "B": FOUR[1]},
        "answer": "B",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"answers": ("E",)},
        {"answers": ("静坐五分钟",)},
        {"choices": ("是",)},
        {"messages": (Message("system", "答题。"), Message("user", STEM))},
        {"choices": (r"是\nB 否", "否")},
    ],
)
def test_what_a_format_cannot_hold_is_refused(change: dict[str, Any]) -> None:
    question = one("cmexam", Question, {"Question": STEM, "Options": r"A 是\nB 否", "Answer": "A"})
    with pytest.raises(DataError, match="cannot hold"):
        write("cmexam", replace(question, **change))


def test_a_sample_is_no_exam_item() -> None:
    with pytest.raises(DataError, match="of the kind Question, this is a Sample"):
        write("cmmlu", Sample("sample-1", (Message("user", STEM),), Origin("a", "1", "", "record")))


def test_every_set_writes_questions_of_every_other() -> None:
    question = one("cmmlu", Question, {"Question": STEM, **COLUMNS, "Answer": "C"})
    for exam in EXAMS:
        again = one(exam.name, Question, write(exam.name, question)[0])
        assert (again.messages, again.choices, again.answers) == (question.messages, question.choices, ("C",))
        assert again.id == question.id


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)


@given(exam=st.sampled_from(EXAMS), choices=st.lists(TEXTS, min_size=2, max_size=6), data=st.data())
def test_any_question_comes_back_or_is_refused(exam: Exam, choices: list[str], data: st.DataObject) -> None:
    answers = data.draw(st.lists(st.sampled_from("ABCDEF"[: len(choices)]), unique=True).map(sorted))
    origin = Origin("own.json", "1", "CC0-1.0", "record")
    question = Question("q", (Message("user", STEM),), tuple(answers), exam.name, origin, tuple(choices))
    try:
        row = write(exam.name, question)[0]
    except DataError:
        return
    again = one(exam.name, Question, row)
    assert (again.choices, again.answers) == (question.choices, question.answers)


@pytest.mark.parametrize(
    ("name", "row", "answers"),
    [
        ("verifiable", {"question": STEM, "answer": "静坐五分钟"}, ("静坐五分钟",)),
        ("verifiable", {"question": STEM, "answer": 5, "unit": "分钟"}, ("5",)),
        ("verifiable", {"question": STEM, "answer": ["静坐", "坐着休息"]}, ("静坐", "坐着休息")),
        ("verifiable-problem", {"Open-ended Verifiable Question": STEM, "Ground-True Answer": "静坐"}, ("静坐",)),
    ],
)
def test_a_verifiable_question_keeps_its_answers(name: str, row: dict[str, Any], answers: tuple[str, ...]) -> None:
    question = one(name, Question, row)
    assert (question.answers, question.choices) == (answers, ())
    come_back(name, [row])
    edited = replace(question, answers=("静卧",))
    assert next(value for key, value in write(name, edited)[0].items() if "nswer" in key) == "静卧"


def test_a_verifiable_question_without_an_answer_is_bad() -> None:
    for answer in (None, "", [], {}, [""]):
        assert "answer is empty" in reason("verifiable", {"question": STEM, "answer": answer})
    with pytest.raises(DataError, match="without choices"):
        write("verifiable", one("cmmlu", Question, GOLDEN[0][1]))


DOCUMENTS = [
    {"url": "http://a.example/1", "label": "1", "title": "血压计怎么用"},
    {"url": "http://a.example/2", "label": "3", "title": "量血压之前的准备"},
    {"url": "http://a.example/3", "label": "0", "title": "咖啡的历史"},
]


def test_graded_documents_become_a_ranking_and_come_back() -> None:
    row = {"query": "量血压 准备", "documents": DOCUMENTS, "qid": 4}
    ranking = one("graded", Ranking, row)
    assert ranking.answers == ("血压计怎么用", "量血压之前的准备", "咖啡的历史")
    assert (ranking.order, ranking.by, ranking.origin.group) == ((1, 0, 2), "grades", "量血压 准备")
    come_back("graded", [row])


def test_a_ranking_of_other_origin_gets_grades_from_its_order() -> None:
    ranking = Ranking("r", (Message("user", "头痛"),), ("甲", "乙"), (1, 0), "rm", Origin("a", "1", "", "record"))
    row = {"query": "头痛", "documents": [{"label": "0", "title": "甲"}, {"label": "1", "title": "乙"}]}
    assert write("graded", ranking) == [row]
    assert one("graded", Ranking, row).order == (1, 0)
    with pytest.raises(DataError, match="order"):
        write("graded", replace(ranking, order=(0, 0)))


@pytest.mark.parametrize(
    ("documents", "problem"),
    [
        ([DOCUMENTS[0]], "at least two"),
        ([DOCUMENTS[0], {"label": "2"}], "document 2 has no title"),
        ([DOCUMENTS[0], {"title": "血压", "label": "高"}], "document 2 has no grade"),
        ([DOCUMENTS[0], {"title": "血压", "label": 1}], "one grade"),
        ([DOCUMENTS[0], {"title": "血压计 怎么用", "label": 4}], "one title"),
    ],
)
def test_documents_that_rank_nothing_are_bad(documents: list[Any], problem: str) -> None:
    assert problem in reason("graded", {"query": "血压", "documents": documents})


def test_a_bad_row_of_the_container_stays_bad() -> None:
    from xinglin.formats.row import Bad

    bad = Bad("own.json:1", "malformed JSON")
    assert list(by_name("cmmlu").read([bad], SOURCE)) == [bad]
    assert read("cmmlu") == []


REAL = {
    **{f"mcq_ceval_medical/{name}_dev.csv": ("ceval", 5, 0) for name in ("basic_medicine", "physician")},
    "mcq_cmexam_val/val.csv": ("cmexam", 6810, 1),
    "mcq_cmexam_val/val.xlsx": ("cmexam", 6810, 1),
    "mcq_apollo_dev/zh.json": ("apollo", 437, 0),
    "safety_safetybench/health.json": ("safetybench", 294, 0),
    "pref_medicalgpt/sample.jsonl": ("verifiable", 32, 0),
    "rank_cmedir_dev/dev.json": ("graded", 9990, 10),
}
here = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")


@here
@pytest.mark.parametrize("file", REAL)
def test_real_exams_are_read_whole_and_come_back(file: str) -> None:
    name, good, bad = real(DATA / file)
    assert (name, len(good), len(bad)) == REAL[file]


@here
def test_real_cmmlu_has_1991_items_in_ten_subjects() -> None:
    found = [real(path) for path in sorted((DATA / "mcq_cmmlu_medical").glob("*.csv"))]
    assert {name for name, _, _ in found} == {"cmmlu"}
    tests = sum(len(good) for _, good, _ in found)
    assert (len(found), tests, sum(len(bad) for _, _, bad in found)) == (20, 1991, 0)


@here
def test_real_cmexam_has_multiple_answers_and_a_row_without_one() -> None:
    _, good, bad = real(DATA / "mcq_cmexam_val/val.csv")
    questions = [question for question in good if isinstance(question, Question)]
    assert sum(len(question.answers) > 1 for question in questions) == 210
    assert sum(len(question.choices) == 4 for question in questions) == 205
    assert "'nan' is none of the options" in bad[0].reason
