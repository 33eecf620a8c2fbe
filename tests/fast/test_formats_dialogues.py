"""Dialogue formats: each is recognised, read, and written again without loss. All rows are our own writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from dialogue_rows import A2, GOLDEN, HETMC, Q2, TURNS, A, Q
from hypothesis import given
from hypothesis import strategies as st

from xinglin.errors import DataError
from xinglin.formats import samples
from xinglin.formats.known import by_name, detect
from xinglin.formats.row import Bad, Record, Row, Source
from xinglin.types import Message, Origin, Passage, Sample

SOURCE = Source("own.json", "CC0-1.0")
NAMES = [f"{name}-{number}" for number, (name, _, _) in enumerate(GOLDEN)]


def rows_of(values: Sequence[Any]) -> list[Row]:
    return [Row(f"own.json:{number}", value) for number, value in enumerate(values, 1)]


def read(name: str, values: Sequence[Any]) -> list[Record | Bad]:
    return list(by_name(name).read(rows_of(values), SOURCE))


def read_samples(name: str, values: Sequence[Any]) -> list[Sample]:
    found = read(name, values)
    assert all(isinstance(one, Sample) for one in found), found
    return [one for one in found if isinstance(one, Sample)]


def write(name: str, records: Sequence[Record]) -> list[Any]:
    writer = by_name(name).write
    assert writer is not None
    return list(writer(records))


@pytest.mark.parametrize(("name", "values", "turns"), GOLDEN, ids=NAMES)
def test_the_content_decides_the_format(name: str, values: list[Any], turns: list[tuple[str, str]]) -> None:
    assert detect(rows_of(values)).name == name


@pytest.mark.parametrize(("name", "values", "turns"), GOLDEN, ids=NAMES)
def test_a_row_becomes_the_conversation_it_holds(name: str, values: list[Any], turns: list[tuple[str, str]]) -> None:
    sample = read_samples(name, values)[0]
    said = [(message.role, message.content) for message in sample.messages]
    assert said[: len(turns)] == turns
    assert (sample.origin.source, sample.origin.licence) == ("own.json", "CC0-1.0")
    assert sample.id == samples.build(samples.Parsed(sample.messages), SOURCE, "1").id


@pytest.mark.parametrize(("name", "values", "turns"), GOLDEN, ids=NAMES)
def test_what_is_read_is_written_as_it_was(name: str, values: list[Any], turns: list[tuple[str, str]]) -> None:
    assert write(name, read_samples(name, values)) == values


@pytest.mark.parametrize(("name", "values", "turns"), GOLDEN, ids=NAMES)
def test_what_is_written_is_read_as_the_same_records(
    name: str, values: list[Any], turns: list[tuple[str, str]]
) -> None:
    first = read_samples(name, values)
    assert read_samples(name, write(name, first)) == first


CHARACTERS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
WORDS = CHARACTERS.filter(lambda text: bool(text.strip()))
PAIRS = st.lists(st.lists(CHARACTERS, min_size=2, max_size=2))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"instruction": WORDS, "input": st.text(max_size=5), "output": WORDS},
            optional={"history": PAIRS, "system": CHARACTERS, "标签": WORDS},
        ),
        max_size=4,
    )
)
def test_any_alpaca_rows_come_back_as_they_were(values: list[dict[str, Any]]) -> None:
    first = read_samples("alpaca", values)
    assert write("alpaca", first) == values
    assert read_samples("alpaca", write("alpaca", first)) == first


@given(st.lists(st.tuples(st.sampled_from(["human", "gpt", "user", "observation"]), WORDS), min_size=1, max_size=6))
def test_any_sharegpt_turns_come_back_as_they_were(turns: list[tuple[str, str]]) -> None:
    values = [{"conversations": [{"from": name, "value": text} for name, text in turns]}]
    assert write("sharegpt", read_samples("sharegpt", values)) == values


@given(st.lists(st.tuples(st.sampled_from("PD"), st.sampled_from(["疼", "嗯。", "多久了？"])), min_size=1, max_size=8))
def test_merged_turns_come_apart_where_they_met(turns: list[tuple[str, str]]) -> None:
    values = ["id\t1", *(f"{who}\t{text}\t0" for who, text in turns)]
    first = read_samples("het-mc", values)
    roles = [message.role for message in first[0].messages]
    assert all(one != other for one, other in pairwise(roles))
    assert write("het-mc", first) == values


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("alpaca", ["no object"], "not an object"),
        ("alpaca", {"instruction": Q}, "output is missing"),
        ("alpaca", {"instruction": Q, "output": 5}, "output is not a text"),
        ("alpaca", {"instruction": Q, "output": [A, A2]}, "2 answers"),
        ("alpaca", {"instruction": Q, "output": A, "input": 5}, "input is not a text"),
        ("alpaca", {"instruction": Q, "output": A, "history": [[Q]]}, "history"),
        ("alpaca", {"instruction": " ", "input": "", "output": ""}, "nothing is said"),
        ("marked", {"instruction": f"前言 <user>: {Q} <bot>: {A} <user>: {Q2}", "output": A}, "before the first"),
        ("marked", {"instruction": f"<user>: {Q}", "input": "多余", "output": A}, "input beside"),
        ("sharegpt", {"conversations": []}, "empty"),
        ("sharegpt", {"conversations": "no list"}, "not a list"),
        ("sharegpt", {"conversations": [{"from": "alien", "value": Q}]}, "spoken by 'alien'"),
        ("sharegpt", {"conversations": [{"from": "human", "value": None}]}, "no text"),
        ("sharegpt", {"conversations": [{"value": Q}]}, "no from"),
        ("chatmed", {"query": Q, "response": None}, "response is missing"),
        ("taiyi", {"conversation": [{"human": Q}]}, "human and assistant"),
        ("cmb-clin", {"description": Q, "QA_pairs": [{"question": Q}]}, "question and solution"),
        ("toyhom", ["骨科", "题"], "four columns"),
        ("cmedqa2", {"ans_id": "1", "question_id": "9", "content": A}, "question 9 is in no question file"),
        ("cmedqa-rank", "1\t只有两格", "between TABs"),
        ("two-answers", {"question": Q, "answer_1": A}, "answer_2 is missing"),
        ("side-by-side", {"问题": "", "甲": A, "乙": A2}, "empty"),
        ("het-mc", "P\t没有开头\t0", "first line"),
        ("remedi", "<|context|> 不完整 <|response|>", "lacks one of"),
        ("dxy", {"goal": {}, "dialog": "no list"}, "list of texts"),
        ("qa-blocks", "只有一行", "1 lines"),
        ("roles", {"role": "alien", "content": Q}, "alien"),
    ],
)
def test_a_row_that_is_not_what_it_should_be_is_bad_with_its_place(name: str, value: Any, reason: str) -> None:
    found = read(name, [value])
    assert len(found) == 1
    assert isinstance(found[0], Bad)
    assert reason in found[0].reason
    assert found[0].where == "own.json:1"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in GOLDEN}))
def test_what_was_bad_before_stays_bad_or_leaves_the_rest_readable(name: str) -> None:
    values = next(values for known, values, _ in GOLDEN if known == name)
    broken = Bad("own.json:9", "malformed")
    found = list(by_name(name).read([*rows_of(values), broken], SOURCE))
    assert sum(isinstance(one, Sample) for one in found) == len(read_samples(name, values))


def test_a_department_becomes_a_tag_and_stays_a_column() -> None:
    sample = read_samples("disc-cmd", [{"department": "骨科", "raw_case": "", "question": Q, "raw_anwser": A}])[0]
    assert sample.tags == ("department:骨科",)
    assert sample.extra["department"] == "骨科"
    assert read_samples("het-mc", HETMC)[0].tags == ("department:骨科",)


def test_answers_to_one_question_share_its_group() -> None:
    for name in ("cmedqa2", "two-answers", "side-by-side"):
        values = next(values for known, values, _ in GOLDEN if known == name)
        first, second = read_samples(name, values)[:2]
        assert first.origin.group == second.origin.group != ""
        assert first.messages[0] == second.messages[0]


def test_an_edited_text_is_written_as_it_is_now() -> None:
    """What was kept of the old form must not bring the old text back."""
    for name, values, _ in GOLDEN:
        sample = read_samples(name, values)[0]
        changed = tuple(Message(message.role, "[姓名]改") for message in sample.messages)
        edited = replace(sample, messages=changed, extra={samples.AS_READ: sample.extra.get(samples.AS_READ)})
        if name == "two-answers":
            continue
        written = str(write(name, [edited]))
        assert "[姓名]改" in written
        assert not any(message.content in written for message in sample.messages), name


def plain(*turns: tuple[str, str]) -> Sample:
    return read_samples("messages", [{"messages": [{"role": role, "content": text} for role, text in turns]}])[0]


@pytest.mark.parametrize(
    "name",
    [
        "alpaca",
        "marked",
        "chatmed",
        "taiyi",
        "toyhom",
        "cmedqa2",
        "cmedqa-rank",
        "side-by-side",
        "remedi",
        "dxy",
        "qa-blocks",
    ],
)
def test_a_format_refuses_a_conversation_that_it_cannot_hold(name: str) -> None:
    with pytest.raises(DataError) as caught:
        write(name, [plain(("user", Q), ("user", Q2))])
    assert caught.value.where.startswith("sample-")


@pytest.mark.parametrize(
    "name", ["alpaca", "sharegpt", "messages", "disc", "chatmed", "toyhom", "wenda", "taiyi", "het-mc"]
)
def test_a_conversation_of_another_format_is_written_in_plain_form_and_read_back(name: str) -> None:
    sample = plain(*TURNS[:2])
    back = read_samples(name, write(name, [sample]))[0]
    assert (back.messages, back.id) == (sample.messages, sample.id)


def test_a_line_format_refuses_line_breaks_and_no_format_takes_a_document() -> None:
    with pytest.raises(DataError, match="line breaks"):
        write("qa-blocks", [plain(("user", "两\n行"), ("assistant", A))])
    document = Passage("passage-1", "文", (), Origin("a", "1", "CC0-1.0", "document"))
    with pytest.raises(DataError, match="Passage"):
        write("alpaca", [document])


def test_the_wrapper_of_a_prompt_is_no_part_of_the_question() -> None:
    sample = read_samples("chatmed", [{"query": f"<s>问：\n{Q}\n答：\n", "response": A}])[0]
    assert sample.messages[0].content == Q


def test_an_unknown_shape_fails_loudly_with_the_keys_and_the_formats() -> None:
    with pytest.raises(DataError) as caught:
        detect(rows_of([{"foo": 1, "bar": 2}]), where="x.json")
    assert "foo, bar" in caught.value.problem
    assert "alpaca" in caught.value.fix
    with pytest.raises(DataError, match="3 columns"):
        detect(rows_of(["甲\t乙\t丙"] * 3))
    with pytest.raises(DataError, match="no rows"):
        detect([])
    with pytest.raises(DataError, match="list"):
        detect(rows_of([[1, 2]]))
    with pytest.raises(DataError, match="no format"):
        by_name("alpacca")


def test_records_of_our_own_are_named_as_such() -> None:
    own = {"id": "sample-1", "messages": [], "origin": {}}
    with pytest.raises(DataError, match="records of xinglin already"):
        detect(rows_of([own]))
