from __future__ import annotations

from xinglin.chat.scripted import Scripted, ScriptedScorer
from xinglin.types import Message, Reply, Sampling

MODEL = Scripted("示范", {"甲药治什么？": "甲药用于发热。\n\n也用于头痛。"}, "我不知道。")


def asked(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def test_a_scripted_question_matches_after_folding() -> None:
    known, unknown = MODEL.answer([asked(" 甲药治什么? "), asked("乙药治什么？")], Sampling())
    assert known.text == "甲药用于发热。\n\n也用于头痛。"
    assert (unknown.text, unknown.finish) == ("我不知道。", "stop")
    assert known.id == MODEL.answer([asked(" 甲药治什么? ")], Sampling())[0].id
    assert known.id != unknown.id


def test_the_last_user_message_decides() -> None:
    talk = (*asked("乙药治什么？"), Message("assistant", "我不知道。"), *asked("甲药治什么？"))
    assert MODEL.answer([talk], Sampling())[0].text.startswith("甲药")
    assert MODEL.script(()) == "我不知道。"


def test_the_pieces_of_a_stream_make_up_the_reply_that_ends_it() -> None:
    *pieces, reply = MODEL.stream(asked("甲药治什么？"), Sampling())
    assert isinstance(reply, Reply)
    assert "".join(str(piece) for piece in pieces) == reply.text
    assert len(pieces) > 1


def test_the_limit_of_tokens_is_honoured() -> None:
    reply = MODEL.answer([asked("甲药治什么？")], Sampling(max_tokens=4))[0]
    assert (reply.text, reply.finish, reply.tokens) == ("甲药用于", "length", 4)


def test_a_scorer_prefers_the_scripted_answer() -> None:
    scorer = ScriptedScorer("评分", {"甲药治什么？": "甲药用于发热。"})
    row = scorer.score([asked("甲药治什么？")], [["甲药用于发热。", "甲药用于头痛。", "乙"]])[0]
    assert row[0] == max(row) == 0.0
    assert sorted(row, reverse=True) == row
