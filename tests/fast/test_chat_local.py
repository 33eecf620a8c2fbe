"""A local model as a ChatModel: batches, streams, limits, likelihoods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from xinglin.chat.local import BATCH, Local
from xinglin.errors import DataError
from xinglin.types import Message, Reply, Sample, Sampling

GREEDY = Sampling(max_tokens=32)
DRAWN = Sampling(max_tokens=24, temperature=3.0, seed=3)


@pytest.fixture(scope="module")
def local(taught: Path) -> Local:
    return Local(taught / "model", name="学过的")


@pytest.fixture(scope="module")
def prompts(samples: list[Sample]) -> list[list[Message]]:
    """Questions of the lessons, and others of all lengths, with a system message or an earlier exchange."""
    lessons = [list(sample.messages[:1]) for sample in samples[:12:2]]
    system = Message("system", "你是一名谨慎的医生。")
    talk = [*samples[0].messages, Message("user", "禁忌呢？")]
    strange = [[Message("user", "头痛" * count)] for count in (1, 7, 20)]
    return [*lessons, [system, *lessons[3]], talk, *strange]


def split(stream: Iterator[str | Reply]) -> tuple[list[str], Reply]:
    *pieces, reply = stream
    assert isinstance(reply, Reply)
    return [str(piece) for piece in pieces], reply


def test_the_model_has_learnt_its_lessons(local: Local, samples: list[Sample]) -> None:
    replies = local.answer([sample.messages[:1] for sample in samples[:12]], GREEDY)
    assert [reply.text for reply in replies] == [sample.messages[1].content for sample in samples[:12]]
    assert {reply.finish for reply in replies} == {"stop"}
    assert len({reply.text for reply in replies}) == 4
    assert local.name == "学过的"


def test_a_batch_answers_like_one_by_one(local: Local, prompts: list[list[Message]]) -> None:
    together = local.answer(prompts, GREEDY)
    alone = [local.answer([prompt], GREEDY)[0] for prompt in prompts]
    assert [(reply.text, reply.finish, reply.tokens) for reply in together] == [
        (reply.text, reply.finish, reply.tokens) for reply in alone
    ]
    assert [reply.prompt_tokens for reply in together] == [len(local.template.prompt(prompt)) for prompt in prompts]
    assert local.answer([], GREEDY) == []


def test_replies_keep_the_order_of_more_prompts_than_a_batch_holds(local: Local, prompts: list[list[Message]]) -> None:
    short = Sampling(max_tokens=6)
    many = (prompts * (BATCH // len(prompts) + 2))[: BATCH + 7]
    known = {str(prompt): local.answer([prompt], short)[0].text for prompt in prompts}
    assert [reply.text for reply in local.answer(many, short)] == [known[str(prompt)] for prompt in many]


def test_the_pieces_of_a_stream_make_up_the_answer(local: Local, prompts: list[list[Message]]) -> None:
    for prompt in prompts[3:]:
        pieces, reply = split(local.stream(prompt, GREEDY))
        assert len(pieces) > 1
        assert "".join(pieces) == reply.text
        assert all(pieces)
        whole = local.answer([prompt], GREEDY)[0]
        assert (reply.text, reply.finish, reply.tokens, reply.prompt_tokens, reply.id) == (
            whole.text,
            whole.finish,
            whole.tokens,
            whole.prompt_tokens,
            whole.id,
        )


def test_wild_characters_are_streamed_whole(tiny_folder: Path) -> None:
    # A random model at a high temperature says half characters, blanks and line ends.
    wild = Local(tiny_folder)
    for seed in range(4):
        sampling = Sampling(max_tokens=24, temperature=3.0, seed=seed)
        pieces, reply = split(wild.stream([Message("user", "药")], sampling))
        assert "".join(pieces) == reply.text == wild.answer([[Message("user", "药")]], sampling)[0].text


@pytest.mark.parametrize("limit", [1, 4])
def test_the_limit_of_tokens_is_honoured(limit: int, local: Local, prompts: list[list[Message]]) -> None:
    sampling = Sampling(max_tokens=limit)
    replies = [*local.answer(prompts[:3], sampling), split(local.stream(prompts[0], sampling))[1]]
    assert {(reply.tokens, reply.finish) for reply in replies} == {(limit, "length")}
    full = local.answer(prompts[:1], GREEDY)[0]
    # A character of which the limit left half is left out altogether.
    assert 0 < len(replies[0].text) < len(full.text)
    assert full.text.startswith(replies[0].text)
    exact = local.answer(prompts[:1], Sampling(max_tokens=full.tokens))[0]
    assert (exact.text, exact.finish) == (full.text, "length")
    room = local.answer(prompts[:1], Sampling(max_tokens=full.tokens + 1))[0]
    assert (room.text, room.finish, room.tokens) == (full.text, "stop", full.tokens)


def test_drawn_answers_are_repeatable_and_differ_within_a_batch(local: Local, prompts: list[list[Message]]) -> None:
    same = [prompts[0]] * 12
    first = [reply.text for reply in local.answer(same, DRAWN)]
    assert first == [reply.text for reply in local.answer(same, DRAWN)]
    assert len(set(first)) > 1
    other = Sampling(max_tokens=24, temperature=3.0, seed=4)
    assert first != [reply.text for reply in local.answer(same, other)]
    streams = [split(local.stream(prompts[0], DRAWN))[1].text for _ in range(2)]
    assert streams[0] == streams[1]


def test_a_little_temperature_or_one_candidate_is_greedy(local: Local, prompts: list[list[Message]]) -> None:
    greedy = [reply.text for reply in local.answer(prompts[:6], GREEDY)]
    for sampling in (
        Sampling(max_tokens=32, temperature=5.0, top_k=1),
        Sampling(max_tokens=32, temperature=5.0, top_p=1e-6),
        Sampling(max_tokens=32, temperature=1e-3),
    ):
        assert [reply.text for reply in local.answer(prompts[:6], sampling)] == greedy


def test_a_reader_who_leaves_ends_the_generation(tiny_folder: Path) -> None:
    endless = Local(tiny_folder)
    # No token ends an answer now: unstopped, this would take ten seconds.
    endless.template.stop_ids = [10**6]
    stream: Any = endless.stream([Message("user", "药")], Sampling(max_tokens=5000, temperature=3.0))
    assert next(stream)
    assert _working()
    started = time.monotonic()
    stream.close()
    assert not _working()
    assert time.monotonic() - started < 3


def _working() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("generate")]


def test_a_failure_while_generating_reaches_the_reader(local: Local, prompts: list[list[Message]]) -> None:
    with pytest.raises(ValueError, match="penalty"):
        list(local.stream(prompts[0], Sampling(repetition_penalty=-1.0)))
    assert not _working()


def test_the_likelihood_is_the_mean_over_the_answers_tokens(local: Local, prompts: list[list[Message]]) -> None:
    asked = prompts[:4]
    candidates = [["安络宁的适应症：头痛、失眠。", "头痛", "不知道"], ["孕妇。"], [], ["婴儿、哮喘。", "婴儿、哮喘。"]]
    scores = local.score(asked, candidates)
    assert [len(row) for row in scores] == [3, 1, 0, 2]
    for prompt, answers, row in zip(asked, candidates, scores, strict=True):
        assert row == pytest.approx([_likelihood(local, prompt, answer) for answer in answers], abs=1e-4)
    assert scores[3][0] == scores[3][1]
    assert scores[0][0] == max(scores[0]), "the lesson is the likeliest answer"


def _likelihood(local: Local, prompt: list[Message], answer: str) -> float:
    """One token after the other, each with the whole text before it."""
    ids = local.template.prompt(prompt)
    words = local.tokenizer.encode(answer, add_special_tokens=False)
    total = 0.0
    for word in words:
        with torch.no_grad():
            logits: Any = local.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        total += torch.log_softmax(logits.double(), dim=-1)[word].item()
        ids = [*ids, word]
    return total / len(words)


def test_an_empty_answer_has_no_likelihood(local: Local, prompts: list[list[Message]]) -> None:
    with pytest.raises(DataError, match="empty answer"):
        local.score(prompts[:1], [["头痛。", ""]])
