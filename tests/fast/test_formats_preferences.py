"""Preferences in every public shape. All rows are our own writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from format_rows import come_back, one, real, reason, write
from hypothesis import given
from hypothesis import strategies as st

from real_data import DATA
from xinglin.errors import DataError
from xinglin.formats.known import FORMATS
from xinglin.types import Message, Origin, Preference, Question, Ranking, Sample

Q, GOOD, POOR = "孩子低烧要不要吃退烧药？", "精神好可以先多喝水、观察体温。", "随便吃。"
Q2, A2 = "体温多少算高烧？", "一般指三十九度以上。"
PAIR = {"chosen": GOOD, "rejected": POOR}


def turns(*texts: str, keys: tuple[str, str] = ("role", "content"), start: int = 0) -> list[dict[str, str]]:
    names = ("user", "assistant") if keys[0] == "role" else ("human", "gpt")
    return [{keys[0]: names[(at + start) % 2], keys[1]: text} for at, text in enumerate(texts)]


def hh(*texts: str) -> str:
    return "".join(f"\n\n{('Human', 'Assistant')[at % 2]}: {text}" for at, text in enumerate(texts))


FROM = ("from", "value")
ANSWERS = {"chosen": turns(GOOD, start=1), "rejected": turns(POOR, start=1)}
GOLDEN: list[tuple[str, dict[str, Any], list[str]]] = [
    ("response-pair", {"question": Q, "response_chosen": GOOD, "response_rejected": POOR}, [Q]),
    (
        "response-pair",
        {"system": "", "history": [[Q2, A2]], "question": Q, "response_chosen": GOOD, "response_rejected": POOR},
        [Q2, A2, Q],
    ),
    ("sharegpt-pair", {"conversations": turns(Q, keys=FROM), **PAIR}, [Q]),
    ("sharegpt-pair", {"conversations": turns(Q2, A2, Q, keys=FROM), **PAIR, "id": 3}, [Q2, A2, Q]),
    (
        "sharegpt-pair",
        {
            "conversations": [{"from": "system", "value": "你是医生。"}, *turns(Q, keys=FROM)],
            "chosen": {"from": "gpt", "value": GOOD},
            "rejected": {"from": "gpt", "value": POOR},
        },
        ["你是医生。", Q],
    ),
    ("sharegpt-pair", {"conversations": turns(Q, keys=FROM), "system": "你是医生。", **PAIR}, ["你是医生。", Q]),
    ("messages-pair", {"messages": turns(Q2, A2, Q), **ANSWERS}, [Q2, A2, Q]),
    ("alpaca-pair", {"instruction": Q, "input": "", **PAIR}, [Q]),
    ("alpaca-pair", {"instruction": Q, **PAIR}, [Q]),
    ("alpaca-pair", {"instruction": Q, "input": "三岁", **PAIR}, [f"{Q}\n三岁"]),
    (
        "alpaca-pair",
        {"instruction": Q, "input": "", "chosen": turns(GOOD, keys=FROM, start=1)[0], "rejected": POOR},
        [Q],
    ),
    (
        "alpaca-pair",
        {"instruction": Q, "input": "", "system": "简短。", "history": [[Q2, A2]], **PAIR},
        ["简短。", Q2, A2, Q],
    ),
    ("alpaca-pair", {"instruction": Q, "input": None, "history": [], "来源": "自编", **PAIR}, [Q]),
    ("question-pair", {"system": "简短。", "question": Q, **PAIR}, ["简短。", Q]),
    ("prompt-pair", {"prompt": Q, **PAIR, "margin": 2}, [Q]),
    ("prompt-turns-pair", {"prompt": turns(Q2, A2, Q), **ANSWERS}, [Q2, A2, Q]),
    ("whole-pair", {"chosen": turns(Q, GOOD), "rejected": turns(Q, POOR)}, [Q]),
    (
        "whole-pair",
        {"prompt": Q, "chosen": turns(Q, GOOD), "rejected": turns(Q, POOR), "score_chosen": 8.5},
        [Q],
    ),
    ("hh", {"chosen": hh(Q2, A2, Q, GOOD), "rejected": hh(Q2, A2, Q, POOR)}, [Q2, A2, Q]),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(GOLDEN)]


@pytest.mark.parametrize(("name", "row", "said"), GOLDEN, ids=IDS)
def test_a_pair_becomes_a_preference_and_comes_back(name: str, row: dict[str, Any], said: list[str]) -> None:
    pair = one(name, Preference, row)
    assert [message.content for message in pair.prompt] == said
    assert pair.prompt[-1].role == "user"
    assert (pair.chosen, pair.rejected, pair.margin) == (GOOD, POOR, 1.0)
    come_back(name, [row])


def test_other_columns_are_kept_under_their_own_names() -> None:
    assert one("prompt-pair", Preference, GOLDEN[14][1]).extra == {"margin": 2}
    assert one("alpaca-pair", Preference, GOLDEN[7][1]).extra == {}


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        ("prompt-pair", {"prompt": Q, "chosen": GOOD, "rejected": f" {GOOD}"}, "are the same"),
        ("prompt-pair", {"prompt": Q, "chosen": GOOD, "rejected": " "}, "rejected is empty"),
        ("prompt-pair", {"prompt": Q, "chosen": "", "rejected": POOR}, "chosen is empty"),
        ("prompt-pair", {"prompt": Q, "chosen": None, "rejected": POOR}, "chosen is empty"),
        ("prompt-pair", {"prompt": " ", **PAIR}, "prompt is empty"),
        ("prompt-pair", {"prompt": 3, **PAIR}, "prompt is not a text"),
        ("alpaca-pair", {"instruction": Q, "history": [[Q]], **PAIR}, "history is not a list"),
        ("sharegpt-pair", {"conversations": [], **PAIR}, "conversations is empty"),
        (
            "sharegpt-pair",
            {"conversations": [{"from": "谁", "value": Q}], **PAIR},
            "conversations: turn 1 is spoken by '谁'",
        ),
        ("messages-pair", {"messages": turns(Q), **PAIR, "chosen": turns(Q, GOOD)}, "one turn of the assistant"),
        ("whole-pair", {"chosen": turns(Q, GOOD), "rejected": turns(Q2, POOR)}, "do not share"),
        ("whole-pair", {"chosen": turns(Q, A2, Q2), "rejected": turns(Q, A2, Q)}, "end with an answer"),
        ("hh", {"chosen": "Q: 甲", "rejected": hh(Q, POOR)}, "no conversation of Human"),
        ("hh", {"chosen": hh(Q, GOOD), "rejected": hh(Q, GOOD)}, "are the same"),
        ("hh", [1], "not an object"),
    ],
)
def test_a_row_that_prefers_nothing_is_bad_and_says_why(name: str, row: Any, problem: str) -> None:
    assert problem in reason(name, row)


PAIRS = [form for form in FORMATS if form.noun is Preference]


@pytest.mark.parametrize("form", PAIRS, ids=lambda form: form.name)
def test_every_format_of_pairs_writes_a_preference_of_any_other(form: Any) -> None:
    pair = one("prompt-pair", Preference, {"prompt": Q, **PAIR})
    again = one(form.name, Preference, write(form.name, pair)[0])
    assert (again.prompt, again.chosen, again.rejected, again.id) == (pair.prompt, GOOD, POOR, pair.id)


def test_an_edited_pair_is_written_as_it_is_now() -> None:
    pair = one("alpaca-pair", Preference, {"instruction": Q, "input": "三岁", **PAIR})
    edited = replace(pair, prompt=(Message("user", Q2),), chosen=A2)
    assert write("alpaca-pair", edited) == [{"instruction": Q2, "input": "", "chosen": A2, "rejected": POOR}]


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("prompt-pair", (Message("user", Q), Message("assistant", A2))),
        ("prompt-pair", (Message("assistant", A2), Message("user", Q), Message("user", Q2))),
        ("hh", (Message("system", "简短。"), Message("user", Q))),
        ("hh", (Message("user", f"{Q}\n\nHuman: {Q2}"),)),
        ("adopted", (Message("user", Q), Message("assistant", A2), Message("user", Q2))),
        ("graded", (Message("user", Q),)),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, prompt: tuple[Message, ...]) -> None:
    pair = Preference("preference-1", prompt, GOOD, POOR, Origin("a", "1", "", "record"))
    with pytest.raises(DataError):
        write(name, pair)


def test_an_answer_that_holds_the_marks_of_hh_is_refused() -> None:
    pair = one("prompt-pair", Preference, {"prompt": Q, "chosen": f"好。\n\nAssistant: {GOOD}", "rejected": POOR})
    with pytest.raises(DataError, match="holds its marks"):
        write("hh", pair)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1).filter(str.strip)


@given(texts=st.lists(TEXT, min_size=3, max_size=5), form=st.sampled_from(PAIRS))
def test_any_preference_comes_back_or_is_refused(texts: list[str], form: Any) -> None:
    *asked, chosen, rejected = texts
    roles = ("user", "assistant", "user")[: len(asked)]
    prompt = tuple(Message(role, text) for role, text in zip(roles, asked, strict=True))
    pair = Preference("p", prompt, chosen, f"{rejected}{chosen}甲", Origin("own.json", "1", "CC0-1.0", "record"))
    try:
        row = write(form.name, pair)[0]
    except DataError:
        return
    again = one(form.name, Preference, row)
    assert (again.prompt, again.chosen, again.rejected) == (pair.prompt, pair.chosen, pair.rejected)


RANKED = {"instruction": Q, "input": "", "output": [GOOD, A2, POOR]}


@pytest.mark.parametrize("row", [RANKED, {**RANKED, "input": "三岁", "system": "简短。", "编号": 1}])
def test_ranked_outputs_become_a_ranking_and_come_back(row: dict[str, Any]) -> None:
    ranking = one("ranked", Ranking, row)
    assert (ranking.answers, ranking.order, ranking.by) == ((GOOD, A2, POOR), (0, 1, 2), "given")
    come_back("ranked", [row])


def test_a_ranking_is_written_from_best_to_worst() -> None:
    ranking = one("ranked", Ranking, RANKED)
    assert write("ranked", replace(ranking, order=(2, 0, 1)))[0]["output"] == [POOR, GOOD, A2]
    with pytest.raises(DataError, match="order"):
        write("ranked", replace(ranking, order=(0, 1)))


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ([GOOD], "one answer"),
        ([GOOD, GOOD, POOR], "are the same"),
        ([GOOD, ""], "not a list of texts"),
        ("", "not a list"),
    ],
)
def test_outputs_that_rank_nothing_are_bad(output: Any, problem: str) -> None:
    assert problem in reason("ranked", {"instruction": Q, "input": "", "output": output})


def adopted(first: Any, second: Any) -> dict[str, Any]:
    both = {"answer_1": POOR, "answer_2": GOOD, "adopted_1": first, "adopted_2": second}
    return {"question": Q, **both, "specialty_1": "儿科", "specialty_2": "内科"}


@pytest.mark.parametrize(
    ("first", "second", "chosen"), [("false", "true", GOOD), ("true", "false", POOR), (1, 0, POOR)]
)
def test_the_adopted_answer_of_two_is_chosen(first: Any, second: Any, chosen: str) -> None:
    row = adopted(first, second)
    assert one("adopted", Preference, row).chosen == chosen
    come_back("adopted", [row], found=False)


def test_two_answers_both_adopted_or_neither_are_no_preference() -> None:
    assert reason("adopted", adopted("true", "true")) == "both answers are adopted"
    assert reason("adopted", adopted("false", "")) == "no answer is adopted"


KTO: list[tuple[str, dict[str, Any], str]] = [
    ("kto", {"instruction": Q, "input": "", "output": GOOD, "kto_tag": True}, "kto:good"),
    ("kto", {"instruction": Q, "input": "三岁", "output": POOR, "kto_tag": "false", "department": "儿科"}, "kto:bad"),
    ("kto-messages", {"messages": turns(Q, POOR), "kto_tag": False}, "kto:bad"),
    ("kto-sharegpt", {"conversations": turns(Q, GOOD, keys=FROM), "kto_tag": True}, "kto:good"),
    ("kto-completion", {"prompt": Q, "completion": GOOD, "label": True}, "kto:good"),
    ("kto-completion", {"prompt": turns(Q2, A2, Q), "completion": turns(POOR, start=1), "label": False}, "kto:bad"),
]


@pytest.mark.parametrize(("name", "row", "tag"), KTO, ids=[f"{name}-{at}" for at, (name, _, _) in enumerate(KTO)])
def test_a_judged_answer_becomes_a_sample_with_a_tag_and_comes_back(name: str, row: dict[str, Any], tag: str) -> None:
    sample = one(name, Sample, row)
    assert sample.tags[-1] == tag
    assert sample.messages[-1].content == (GOOD if tag == "kto:good" else POOR)
    come_back(name, [row])


def test_a_judgement_that_says_neither_is_bad_and_an_untagged_sample_refused() -> None:
    assert "neither true nor false" in reason("kto", {"instruction": Q, "input": "", "output": GOOD, "kto_tag": "也许"})
    sample = one("kto", Sample, KTO[1][1])
    assert write("kto", replace(sample, tags=("kto:good",)))[0]["kto_tag"] is True
    with pytest.raises(DataError, match="needs one of the tags"):
        write("kto", replace(sample, tags=()))
    with pytest.raises(DataError, match="end with an answer"):
        write("kto-completion", replace(sample, messages=sample.messages[:1]))


def test_a_question_is_no_preference() -> None:
    question = one("verifiable", Question, {"question": Q, "answer": GOOD})
    with pytest.raises(DataError, match="of the kind Preference, this is a Question"):
        write("prompt-pair", question)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("file", "name", "count", "longer"),
    [("reward_medical_100", "response-pair", 100, 62), ("dpo_zh_500", "sharegpt-pair", 500, None)],
)
def test_real_pairs_are_read_whole_and_come_back(file: str, name: str, count: int, longer: int | None) -> None:
    found, good, bad = real(DATA / f"pref_medicalgpt/{file}.jsonl")
    pairs = [pair for pair in good if isinstance(pair, Preference)]
    assert (found, len(pairs), bad) == (name, count, [])
    # The reference measured how often the chosen answer is the longer one.
    assert longer is None or sum(len(pair.chosen) > len(pair.rejected) for pair in pairs) == longer
