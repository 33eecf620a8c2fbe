"""Writing a reply sentence by sentence, each with its source, so that nothing in it is without one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from xinglin.types import Decision, Message, Passage, Reply, Sentence, make_id

Source = Literal["knowledge", "model", "system"]
Verdict = Literal["supported", "unverified", "notice"]


class Draft:
    """A reply in the making. Every `say` appends one line and returns the piece to stream."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.text = ""
        self.sentences: list[Sentence] = []
        self.passages: list[Passage] = []
        self._started = time.perf_counter()

    def say(self, text: str, *, source: Source, verdict: Verdict, cites: Sequence[Passage] = ()) -> str:
        """Append one sentence on its own line, its [n] before the closing mark; returns the new text."""
        numbers = "".join(f"[{self._number(passage)}]" for passage in cites)
        body, end = (text[:-1], text[-1]) if text[-1:] in "。！？!?" else (text, "")
        shown = f"{body}{numbers}{end}"
        piece = f"\n{shown}" if self.text else shown
        start = len(self.text) + len(piece) - len(shown)
        self.text += piece
        ids = tuple(passage.id for passage in cites)
        self.sentences.append(Sentence(shown, start, len(self.text), source, ids, verdict))
        return piece

    def notice(self, text: str, *, cites: Sequence[Passage] = ()) -> str:
        """Append a sentence of the system itself."""
        return self.say(text, source="system", verdict="notice", cites=cites)

    def reply(self, name: str, messages: Sequence[Message], *, spoken: Reply | None = None) -> Reply:
        """The finished Reply of the model `name`; `spoken` is what the underlying model said, for its counts."""
        return Reply(
            id=make_id("reply", name, [(message.role, message.content) for message in messages], self.text),
            text=self.text,
            sentences=tuple(self.sentences),
            passages=tuple(self.passages),
            decision=self.decision,
            finish=spoken.finish if spoken else "stop",
            tokens=spoken.tokens if spoken else 0,
            prompt_tokens=spoken.prompt_tokens if spoken else 0,
            seconds=time.perf_counter() - self._started,
        )

    def _number(self, passage: Passage) -> int:
        for number, known in enumerate(self.passages, 1):
            if known.id == passage.id:
                return number
        self.passages.append(passage)
        return len(self.passages)


def last_question(messages: Sequence[Message]) -> str:
    """The text of the last user message, empty when there is none."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")
