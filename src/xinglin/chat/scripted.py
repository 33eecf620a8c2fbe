"""Models that follow a script: deterministic, without weights, for demonstrations and tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from xinglin.text import fold, sentences
from xinglin.types import Message, Reply, Sampling, make_id


class Scripted:
    """A ChatModel that answers the last user message from a table, and everything else with `default`.

    Questions match after folding (NFKC, case, blanks). One character counts as one token, and
    `sampling.max_tokens` is honoured: what is cut off ends with finish "length".
    """

    def __init__(self, name: str, replies: Mapping[str, str], default: str = "我不知道。") -> None:
        self._name = name
        self._replies = {fold(question): reply for question, reply in replies.items()}
        self._default = default

    @property
    def name(self) -> str:
        """The model's name, as given."""
        return self._name

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """One scripted reply per prompt, in order."""
        return [self._reply(prompt, sampling) for prompt in prompts]

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        """The reply sentence by sentence, then the finished Reply."""
        reply = self._reply(messages, sampling)
        cuts = [0, *(end for _, end in sentences(reply.text)), len(reply.text)]
        yield from (reply.text[start:end] for start, end in pairwise(cuts) if start < end)
        yield reply

    def script(self, messages: Sequence[Message]) -> str:
        """The full scripted text for a conversation."""
        asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
        return self._replies.get(fold(asked), self._default)

    def _reply(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        full = self.script(messages)
        text = full[: sampling.max_tokens]
        return Reply(
            id=make_id("reply", self._name, [message.content for message in messages], text),
            text=text,
            finish="stop" if text == full else "length",
            tokens=len(text),
            prompt_tokens=sum(len(message.content) for message in messages),
        )


class ScriptedScorer(Scripted):
    """A Scripted model that also scores: the likelier an answer, the more characters it shares with the script."""

    def score(self, prompts: Sequence[Sequence[Message]], answers: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt and candidate the logarithm of their character overlap (Dice, smoothed), at most 0."""
        return [
            [_overlap(self.script(prompt), answer) for answer in candidates]
            for prompt, candidates in zip(prompts, answers, strict=True)
        ]


def _overlap(script: str, answer: str) -> float:
    left, right = Counter(fold(script)), Counter(fold(answer))
    shared = (left & right).total()
    return math.log((2 * shared + 1) / (left.total() + right.total() + 1))
