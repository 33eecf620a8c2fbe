"""Entities as JSON and as tagged characters. All rows are our own writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from format_rows import SOURCE, come_back, one, read, real, reason, write
from hypothesis import given
from hypothesis import strategies as st

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.entities import MENTIONS, NEAR, Entity, entity_question, locate
from xinglin.formats.known import by_name
from xinglin.formats.row import Bad
from xinglin.types import Check, Origin, Question

TEXT = "老人咳嗽三天，查血常规后吃了止咳糖浆。"
SPANS = ((2, 4), (8, 11), (14, 18))
ANSWERS = ("症状\t咳嗽", "检查\t血常规", "药物\t止咳糖浆")
NER: list[tuple[str, dict[str, Any]]] = [
    (
        "ccks",
        {
            "originalText": TEXT,
            "entities": [
                {"label_type": "症状", "start_pos": 2, "end_pos": 4, "overlap": 0},
                {"label_type": "检查", "start_pos": 8, "end_pos": 11, "overlap": 0},
                {"label_type": "药物", "start_pos": 14, "end_pos": 18, "overlap": 1},
            ],
        },
    ),
    (
        "cmid-entities",
        {
            "originalText": TEXT,
            "entities": [
                {"label_type": "症状", "start_pos": 2, "end_pos": 4},
                {"label_type": "检查", "start_pos": 8, "end_pos": 11},
                {"label_type": "药物", "start_pos": 14, "end_pos": 18},
            ],
            "seg_result": ["老人", "咳嗽", "三天"],
            "label_4class": ["治疗方案"],
            "label_36class": ["用药"],
        },
    ),
    (
        "cmeee",
        {
            "text": TEXT,
            "entities": [
                {"start_idx": 2, "end_idx": 3, "type": "症状", "entity": "咳嗽"},
                {"start_idx": 8, "end_idx": 10, "type": "检查", "entity": "血常规"},
                {"start_idx": 14, "end_idx": 17, "type": "药物", "entity": "止咳糖浆"},
            ],
            "编号": 8,
        },
    ),
    (
        "cmedqaner",
        {
            "mention_data": [
                {"mention": "咳嗽", "type": "症状", "offset": "2", "guid": "None"},
                {"mention": "血常规", "type": "检查", "offset": "8"},
                {"mention": "止咳糖浆", "type": "药物", "offset": "14", "guid": "自编-1"},
            ],
            "text": TEXT,
        },
    ),
]


@pytest.mark.parametrize(("name", "row"), NER, ids=[name for name, _ in NER])
def test_entities_become_a_question_with_exclusive_ends_and_come_back(name: str, row: dict[str, Any]) -> None:
    question = one(name, Question, row)
    assert (question.messages[0].content, question.answers, question.spans) == (TEXT, ANSWERS, SPANS)
    assert (question.task, question.origin.checks) == ("ner", ())
    come_back(name, [row])


def test_every_set_of_entities_writes_those_of_every_other() -> None:
    question = one("cmeee", Question, NER[2][1])
    for name in ("ccks", "cmeee", "cmedqaner", "bio"):
        again = next(iter(read(name, *write(name, question))))
        assert isinstance(again, Question)
        assert (again.id, again.answers, again.spans) == (question.id, ANSWERS, SPANS)


def test_nested_entities_and_texts_without_any_are_held() -> None:
    nested = [{"start_idx": 14, "end_idx": 17, "type": "药物", "entity": "止咳糖浆"}]
    nested.append({"start_idx": 14, "end_idx": 15, "type": "作用", "entity": "止咳"})
    come_back("cmeee", [{"text": TEXT, "entities": nested}, {"text": "没有实体。", "entities": []}])
    with pytest.raises(DataError, match="overlap"):
        write("bio", one("cmeee", Question, {"text": TEXT, "entities": nested}))


def mention(text: str, offset: Any, body: str = TEXT) -> dict[str, Any]:
    return {"text": body, "mention_data": [{"mention": text, "type": "检查", "offset": offset}]}


@pytest.mark.parametrize(
    ("row", "span", "answer"),
    [
        (mention("血常规", "6"), (8, 11), "检查\t血常规"),
        (mention("血常规", "19"), (8, 11), "检查\t血常规"),
        (mention("CRP", "2", "查了crp和血糖"), (2, 5), "检查\tcrp"),
        (mention("CRP", "0", "查了crp和血糖"), (2, 5), "检查\tcrp"),
        (mention("血糖", "5", "血糖高，测血糖"), (5, 7), "检查\t血糖"),
        (mention("血糖", "4", "血糖高，测血糖"), (5, 7), "检查\t血糖"),
    ],
)
def test_a_misaligned_mention_is_moved_to_the_nearest_place_and_reported(
    row: dict[str, Any], span: tuple[int, int], answer: str
) -> None:
    question = one("cmedqaner", Question, row)
    moved = row["text"][span[0] :].startswith(row["mention_data"][0]["mention"], 0)
    aligned = moved and row["mention_data"][0]["offset"] == str(span[0])
    assert (question.spans, question.answers) == ((span,), (answer,))
    assert question.origin.checks == (() if aligned else (Check(MENTIONS, False, 1.0),))
    come_back("cmedqaner", [row])


def test_a_moved_mention_is_not_written_into_another_text() -> None:
    question = one("cmedqaner", Question, mention("CRP", "0", "查了crp和血糖"))
    body = "查了***和血糖"
    masked = replace(question, messages=(replace(question.messages[0], content=body),), answers=("检查\t***",))
    assert write("cmedqaner", masked) == [mention("***", "2", body)]


def test_mentions_far_away_are_not_looked_for() -> None:
    body = "血糖" + "。" * NEAR + "完"
    assert locate(body, "血糖", NEAR) == 0
    assert locate(body, "血糖", NEAR + 1) is None
    assert locate(body, "胰岛素", 3) is None
    assert locate("İ查CRP", "crp", 2) is None, "lower case of another length moves offsets"


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("cmedqaner", mention("胰岛素", "8"), "does not stand near offset 8"),
        ("cmedqaner", mention("血常规", "八"), "is no offset"),
        ("cmedqaner", mention("血常规", True), "is no offset"),
        ("cmedqaner", mention("", "8"), "has no mention"),
        ("cmedqaner", {"text": TEXT, "mention_data": None}, "not a list"),
        ("cmedqaner", {"text": TEXT, "mention_data": ["血"]}, "entity 1 has no type"),
        ("cmedqaner", {"text": "", "mention_data": []}, "is empty"),
        (
            "ccks",
            {"originalText": TEXT, "entities": [{"label_type": "症状", "start_pos": 2, "end_pos": 90}]},
            "not inside",
        ),
        (
            "ccks",
            {"originalText": TEXT, "entities": [{"label_type": "症状", "start_pos": 4, "end_pos": 4}]},
            "not inside",
        ),
        (
            "ccks",
            {"originalText": TEXT, "entities": [{"label_type": "a\tb", "start_pos": 2, "end_pos": 4}]},
            "the type of",
        ),
        ("ccks", {"entities": []}, "originalText is missing"),
    ],
)
def test_broken_entities_are_bad_and_say_why(name: str, row: dict[str, Any], problem: str) -> None:
    assert problem in reason(name, row)


def test_entities_without_a_mention_or_with_text_offsets_come_back() -> None:
    rows = [{"text": TEXT, "entities": [{"start_idx": 2, "end_idx": 3, "type": "症状"}]}]
    assert one("cmeee", Question, rows[0]).answers == ANSWERS[:1]
    come_back("cmeee", rows)
    come_back("ccks", [{"originalText": TEXT, "entities": [{"label_type": "症状", "start_pos": "2", "end_pos": "4"}]}])
    come_back("cmedqaner", [mention("血常规", 8)])


def test_answers_that_do_not_stand_at_their_spans_are_refused() -> None:
    question = one("ccks", Question, NER[0][1])
    for wrong in ({"spans": SPANS[:2]}, {"answers": ("症状\t发热", *ANSWERS[1:])}, {"answers": ("咳嗽", *ANSWERS[1:])}):
        with pytest.raises(DataError, match="cannot hold"):
            write("ccks", replace(question, **wrong))


# --- tagged characters ----------------------------------------------------------------------------------------------
FRONT = "老 O\n咳 B_症状\n嗽 I_症状\n， O\n\n发 B_症状\n热 I_症状\n"
BIO = [
    FRONT,
    FRONT.replace(" ", "\t").replace("_", "-"),
    "老 O\n咳 症状-B\n嗽 症状-I\n\n发 症状-B\n热 症状-I\n",
    "老 O\n咳 B-症状\n嗽 E-症状\n\n热 S-症状\n发 I-症状\n热 O\n",
    "T O\nCRP B_检查\n  O\n高 O\n\n查 O\n血 B_检查\n血 B_检查\n",
]


@pytest.mark.parametrize("text", BIO)
def test_tagged_lines_become_questions_and_come_back(text: str) -> None:
    lines = [*text.split("\n")]
    assert len(read("bio", *lines)) == 2
    come_back("bio", lines)


def test_a_tag_in_front_and_behind_means_the_same() -> None:
    expected = (("症状\t咳嗽",), ((1, 3),))
    for text in BIO[:4]:
        first = read("bio", *text.split("\n"))[0]
        assert isinstance(first, Question)
        assert (first.answers, first.spans) == expected
    broken = read("bio", *BIO[3].split("\n"))[1]
    assert isinstance(broken, Question)
    assert broken.answers == ("症状\t热", "症状\t发")


def test_a_block_with_a_line_without_a_tag_is_bad() -> None:
    found = read("bio", "咳 B_症状", "没有标签", "", "热 B_症状")
    assert [type(record) for record in found] == [Bad, Question]
    assert isinstance(found[0], Bad)
    assert (found[0].where, found[0].reason) == ("own.json:1", "no token and tag: '没有标签'")
    assert reason("bio", "  O") == "the text is blank"
    assert read("bio", "", "") == []
    bad = Bad("own.txt:9", "broken")
    assert list(by_name("bio").read([bad], SOURCE)) == [bad]


def test_a_text_with_line_breaks_has_no_tagged_lines() -> None:
    with pytest.raises(DataError, match="line breaks"):
        write("bio", entity_question("咳嗽\n发热", [Entity("症状", 0, 2)], {}).question(Origin("a", "1", "", "record")))


@given(data=st.data(), body=st.text("老人咳嗽发热头痛。 CT", min_size=1, max_size=30).filter(str.strip))
def test_any_text_with_entities_comes_back_from_every_set(data: st.DataObject, body: str) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=6)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    entities = [Entity(data.draw(st.sampled_from(["症状", "a-b", "S_x"])), start, end) for start, end in pairs]
    question = entity_question(body, entities, {}).question(Origin("own.json", "1", "CC0-1.0", "record"))
    for name in ("ccks", "cmeee", "cmedqaner", "bio"):
        assert read(name, *write(name, question)) == [question]


here = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")


@here
def test_the_90_misaligned_mentions_of_cmedqaner_are_moved_and_none_is_lost() -> None:
    found = {split: real(DATA / f"ner_cmedqaner/{split}.json") for split in ("train", "dev", "test")}
    assert {split: (name, len(good), len(bad)) for split, (name, good, bad) in found.items()} == {
        "train": ("cmedqaner", 1673, 0),
        "dev": ("cmedqaner", 175, 0),
        "test": ("cmedqaner", 215, 0),
    }
    moved = [sum(check.score or 0 for one_ in good for check in one_.origin.checks) for _, good, _ in found.values()]
    assert moved == [82, 4, 4]
