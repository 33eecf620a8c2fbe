"""One answer at a time, a short line, and a model that stops when its listener leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from xinglin.chat.scripted import Scripted
from xinglin.errors import ModelError
from xinglin.serve.turns import Busy, Turns
from xinglin.types import Message, Reply, Sampling

QUESTION = (Message("user", "问"),)


class Held(Scripted):
    """Says one sentence, then waits to be released; counts how many answers run at once."""

    def __init__(self) -> None:
        super().__init__("held", {}, default="一。二。三。")
        self.release = threading.Event()
        self.running = 0
        self.most = 0
        self.closed = 0

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for piece in super().stream(messages, sampling):
                yield piece
                self.release.wait(5)
        finally:
            self.running -= 1
            self.closed += 1


class Broken(Scripted):
    """Fails in the middle of its answer."""

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        yield "一。"
        raise ModelError("out of memory")


def test_pieces_arrive_and_the_reply_comes_last() -> None:
    async def run() -> list[str | Reply]:
        model = Scripted("s", {}, default="一。二。")
        return [piece async for piece in Turns().stream(model, QUESTION, Sampling())]

    pieces = asyncio.run(run())
    assert pieces[:2] == ["一。", "二。"]
    assert isinstance(pieces[2], Reply)


def test_answers_never_overlap_and_too_many_are_turned_away() -> None:
    model = Held()

    async def run() -> None:
        turns = Turns(waiting=2)
        tasks = [asyncio.create_task(turns.answer(model, QUESTION, Sampling())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert turns.inside == 3
        assert turns.full
        with pytest.raises(Busy):
            await turns.answer(model, QUESTION, Sampling())
        model.release.set()
        replies = await asyncio.gather(*tasks)
        assert [reply.text for reply in replies] == ["一。二。三。"] * 3
        assert turns.inside == 0

    asyncio.run(run())
    assert model.most == 1


def test_leaving_early_stops_the_model_and_frees_the_line() -> None:
    model = Held()

    async def run() -> None:
        turns = Turns()
        task = asyncio.create_task(turns.answer(model, QUESTION, Sampling()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model.release.set()
        reply = await turns.answer(Scripted("s", {}, default="好。"), QUESTION, Sampling())
        assert reply.text == "好。"
        assert turns.inside == 0

    asyncio.run(run())
    assert (model.closed, model.running) == (1, 0)


def test_someone_who_leaves_while_waiting_never_starts_the_model() -> None:
    model = Held()

    async def run() -> None:
        turns = Turns()
        first = asyncio.create_task(turns.answer(model, QUESTION, Sampling()))
        second = asyncio.create_task(turns.answer(model, QUESTION, Sampling()))
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert turns.inside == 1
        model.release.set()
        await first

    asyncio.run(run())
    assert model.closed == 1


def test_a_failure_of_the_model_reaches_the_listener_and_frees_the_line() -> None:
    async def run() -> None:
        turns = Turns()
        with pytest.raises(ModelError, match="out of memory"):
            await turns.answer(Broken("b", {}), QUESTION, Sampling())
        assert (await turns.answer(Scripted("s", {}, default="好。"), QUESTION, Sampling())).text == "好。"

    asyncio.run(run())
