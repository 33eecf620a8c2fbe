"""One model, many visitors: answers are made one at a time in a worker thread, the others wait in a short line."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Sequence

from xinglin.errors import EngineError
from xinglin.types import ChatModel, Message, Reply, Sampling

_END = object()


class Busy(EngineError):
    """Too many questions are already waiting."""


class _Answer:
    """One run of `ChatModel.stream` in a thread; its items arrive in a queue of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.items: asyncio.Queue[object] = asyncio.Queue()
        self.stop = threading.Event()

    def run(self, model: ChatModel, messages: Sequence[Message], sampling: Sampling) -> None:
        """Iterate the model until it ends or `stop` is set (looked at after each piece)."""
        pieces = model.stream(messages, sampling)
        try:
            for piece in pieces:
                self._put(piece)
                if self.stop.is_set():
                    break
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            self._put(_END)

    def _put(self, item: object) -> None:
        # The loop is closed when the process shuts down in the middle of an answer: nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.items.put_nowait, item)


class Turns:
    """A line in front of the models of one process: `waiting` is how many questions may wait behind the running one."""

    def __init__(self, *, waiting: int = 8) -> None:
        self.waiting = waiting
        self._inside = 0
        self._lock = asyncio.Lock()

    @property
    def inside(self) -> int:
        """Questions being answered or waiting at this moment."""
        return self._inside

    @property
    def full(self) -> bool:
        """Whether one more question would be turned away."""
        return self._inside > self.waiting

    async def stream(
        self, model: ChatModel, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[str | Reply, None]:
        """The pieces of an answer as the model makes them, then the Reply; closing this generator stops the model.

        A turn ends when the worker thread has ended, not when the listener leaves: two answers never overlap.
        """
        await self._enter()
        answer = _Answer(asyncio.get_running_loop())
        worker = answer.loop.run_in_executor(None, answer.run, model, messages, sampling)
        worker.add_done_callback(self._leave)
        try:
            while (item := await answer.items.get()) is not _END:
                assert isinstance(item, str | Reply)
                yield item
            await asyncio.wait({worker})
            worker.result()
        finally:
            answer.stop.set()

    async def answer(self, model: ChatModel, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """The finished Reply to one conversation; leaving early (cancellation) stops the model."""
        reply: Reply | None = None
        async with contextlib.aclosing(self.stream(model, messages, sampling)) as pieces:
            async for piece in pieces:
                reply = piece if isinstance(piece, Reply) else None
        if reply is None:
            raise EngineError(f"model {model.name} ended its answer without a Reply")
        return reply

    async def _enter(self) -> None:
        if self.full:
            raise Busy(
                f"{self._inside} questions are already being answered or waiting",
                fix="try again in a moment (目前提问较多，请稍后再试)",
            )
        self._inside += 1
        try:
            await self._lock.acquire()
        except asyncio.CancelledError:
            self._inside -= 1
            raise

    def _leave(self, worker: asyncio.Future[None]) -> None:
        self._inside -= 1
        self._lock.release()
        if not worker.cancelled():
            worker.exception()  # marks it as seen; a listener that is still there raises it itself
