"""Conversations of the open browser tabs, in memory only: they survive a reload, and nothing is written to disk."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from xinglin.types import Message, Reply, Role

KEPT_TURNS = 20
"""How many past turns the model is shown."""


@dataclass(slots=True)
class Turn:
    """One message on the page. `time` is a Unix time; `state` says how an answer ended; `checked` is whether the
    answering model shows only what the knowledge base supports."""

    role: Role
    text: str = ""
    time: float = field(default_factory=time.time)
    reply: Reply | None = None
    state: Literal["running", "done", "stopped", "failed"] = "done"
    checked: bool = True


@dataclass(slots=True)
class Thread:
    """The conversation of one tab, and the task that is answering in it."""

    turns: list[Turn] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    started: float = field(default_factory=time.time)

    @property
    def running(self) -> bool:
        """Whether an answer is being made."""
        return self.task is not None and not self.task.done()

    def stop(self) -> None:
        """Stop the running answer, if any; what was said so far stays."""
        if self.task is not None:
            self.task.cancel()

    def messages(self) -> tuple[Message, ...]:
        """The latest turns for a model; answers that failed are left out."""
        kept = [turn for turn in self.turns if turn.text and turn.state != "failed"]
        return tuple(Message(turn.role, turn.text) for turn in kept[-KEPT_TURNS:])


class Threads:
    """Threads by tab id (a random id that only the tab itself knows); the oldest ones are forgotten."""

    def __init__(self, *, most: int = 200) -> None:
        self._most = most
        self._threads: OrderedDict[str, Thread] = OrderedDict()

    def of(self, tab: str) -> Thread:
        """The thread of a tab, a new one at its first visit."""
        thread = self._threads.setdefault(tab, Thread())
        self._threads.move_to_end(tab)
        while len(self._threads) > self._most:
            self._threads.popitem(last=False)[1].stop()
        return thread

    def clear(self, tab: str) -> Thread:
        """A new thread in place of the tab's old one."""
        if tab in self._threads:
            self._threads.pop(tab).stop()
        return self.of(tab)
