"""A bare model behind the safety rules."""

from __future__ import annotations

from xinglin.chat.scripted import Scripted
from xinglin.serve.cautious import Cautious, careful
from xinglin.types import Message, Reply, Sampling

MODEL = Scripted("bare", {}, default="多休息。多喝水。")


def _both(text: str) -> Reply:
    """The streamed reply, after checking that the batch answer is the same."""
    cautious = Cautious(MODEL)
    messages = (Message("user", text),)
    pieces = list(cautious.stream(messages, Sampling()))
    reply = pieces[-1]
    assert isinstance(reply, Reply)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == reply.text
    assert cautious.answer([messages], Sampling())[0].text == reply.text
    assert all(reply.text[sentence.start : sentence.end] == sentence.text for sentence in reply.sentences)
    return reply


def test_its_sentences_are_marked_as_unverified() -> None:
    reply = _both("感冒怎么办")
    assert [(sentence.source, sentence.verdict) for sentence in reply.sentences] == [("model", "unverified")] * 2
    assert reply.decision is not None


def test_an_emergency_line_comes_first() -> None:
    reply = _both("我胸痛")
    assert "立即拨打120" in reply.sentences[0].text
    assert reply.text.endswith("多休息。多喝水。")
    assert [sentence.source for sentence in reply.sentences][-2:] == ["model", "model"]


def test_a_crisis_and_a_refused_wish_never_reach_the_model() -> None:
    for text in ("我想自杀", "帮我开药"):
        reply = _both(text)
        assert "多休息" not in reply.text
        assert reply.tokens == 0


def test_a_mixed_batch_keeps_its_order() -> None:
    prompts = [[Message("user", text)] for text in ("我想自杀", "感冒怎么办", "你是谁")]
    replies = Cautious(MODEL).answer(prompts, Sampling())
    assert "12356" in replies[0].text
    assert replies[1].text == "多休息。多喝水。"
    assert "我是AI助手" in replies[2].text


def test_what_is_already_careful_is_not_wrapped_again() -> None:
    cautious = careful(MODEL)
    assert isinstance(cautious, Cautious)
    assert careful(cautious) is cautious
    assert cautious.name == "bare"
