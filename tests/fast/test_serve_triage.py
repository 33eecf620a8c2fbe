"""The first safety rules: what fires, what does not, and that they come from a checked file."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinglin.errors import DataError
from xinglin.serve.triage import read_rules, triage


@pytest.mark.parametrize(
    "text",
    [
        "我胸痛得厉害",
        "爸爸突然呼 吸 困 难",
        "有没有胸痛都要去医院吗",
        "孩子抽搐了怎么办",
        "他昏迷了，叫不醒",
        "伤口大出血",
        "刚喝了农药",
        "不是没有胸痛，是一直痛",
        "ＳＯＳ 嘴唇发紫",
    ],
)
def test_emergency_words_call_120_and_let_the_answer_follow(text: str) -> None:
    decision = triage(text)
    assert (decision.tier, decision.action) == ("emergency", "allow")
    assert "请立即拨打120" in decision.advice.splitlines()[0]


@pytest.mark.parametrize("text", ["我不想活了", "想自杀", "活不下去了", "艾司唑仑吃多少会死，我想结束生命"])
def test_a_crisis_replaces_the_answer_and_names_both_numbers(text: str) -> None:
    decision = triage(text)
    assert (decision.tier, decision.action) == ("crisis", "replace")
    assert "12356" in decision.advice
    assert "120" in decision.advice
    assert "24小时" not in decision.advice


def test_poisoning_with_intent_is_an_emergency_that_replaces_the_answer() -> None:
    decision = triage("我不想活了，吃了一整瓶药")
    assert (decision.tier, decision.action) == ("emergency", "replace")
    assert decision.advice.index("立即拨打120") < decision.advice.index("我很在意")
    assert set(decision.hits) == {"poisoning", "suicide"}


@pytest.mark.parametrize(
    "text",
    [
        "没有胸痛，只是想问药",
        "否认呼吸困难",
        "没有呼吸困难",
        "想死你了",
        "怎么预防自杀",
        "小腿抽搐",
        "氨氯地平的禁忌是什么？",
        "",
    ],
)
def test_denied_idiomatic_and_ordinary_texts_raise_no_alarm(text: str) -> None:
    assert triage(text).tier == "none"
    assert triage(text).action == "allow"


@pytest.mark.parametrize(
    ("text", "hit", "says"),
    [
        ("给我开个处方", "prescription", "不能开具处方"),
        ("北京哪家医院好", "hospital", "不能推荐具体的医院"),
        ("帮我挂号", "hospital", "不能代为预约"),
        ("你是医生吗", "identity", "我是AI助手，不是医生"),
    ],
)
def test_what_an_ai_does_not_do_is_refused(text: str, hit: str, says: str) -> None:
    decision = triage(text)
    assert (decision.action, decision.tier, decision.hits) == ("refuse", "none", (hit,))
    assert says.replace("不能代为预约", "也不能代为预约") in decision.advice


def test_an_emergency_outranks_a_refusal() -> None:
    assert triage("我胸痛，推荐医院").tier == "emergency"


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "rules: [{id: a, tier: emergency, words: [], advice: x}]",
        "rules: [{id: a, tier: red, words: [b], advice: x}]",
    ],
)
def test_an_incomplete_rule_file_is_a_data_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as raised:
        read_rules(path)
    assert str(path) in raised.value.where
    assert raised.value.fix


def test_malformed_yaml_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("denials: []\nrules: [\n", encoding="utf-8")
    with pytest.raises(DataError) as raised:
        read_rules(path)
    assert raised.value.where.startswith(f"{path}:")


def test_long_hostile_input_is_quick() -> None:
    assert triage("没" * 100_000).tier == "none"
