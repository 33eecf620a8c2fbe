"""A bare model made presentable: the safety rules speak first, and its sentences are marked as unverified."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from xinglin.serve.assistant import Assistant
from xinglin.serve.draft import Draft, last_question
from xinglin.serve.triage import triage
from xinglin.text import sentences
from xinglin.types import ChatModel, Decision, Message, Reply, Sampling, Sentence


class Cautious:
    """A ChatModel around another one: emergency advice first, a crisis or a refused wish answered without it."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self._model.name

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """One reply per prompt, in order."""
        decisions = [triage(last_question(prompt)) for prompt in prompts]
        asked = [prompt for prompt, decision in zip(prompts, decisions, strict=True) if decision.action == "allow"]
        spoken = iter(self._model.answer(asked, sampling) if asked else [])
        return [
            _combine(decision, next(spoken)) if decision.action == "allow" else self._instead(decision, prompt)
            for prompt, decision in zip(prompts, decisions, strict=True)
        ]

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        """The advice, if any, then the model's own words, then the Reply."""
        started = time.perf_counter()
        decision = triage(last_question(messages))
        if decision.action != "allow":
            reply = self._instead(decision, messages)
            yield reply.text
            yield reply
            return
        if decision.advice:
            yield f"{decision.advice}\n"
        for piece in self._model.stream(messages, sampling):
            if isinstance(piece, Reply):
                yield replace(_combine(decision, piece), seconds=time.perf_counter() - started)
            else:
                yield piece

    def _instead(self, decision: Decision, messages: Sequence[Message]) -> Reply:
        draft = Draft(decision)
        for line in decision.advice.splitlines():
            draft.notice(line)
        return draft.reply(self.name, messages)


def careful(model: ChatModel) -> ChatModel:
    """The model itself when it decides about safety on its own, otherwise wrapped."""
    return model if isinstance(model, Assistant | Cautious) else Cautious(model)


def _combine(decision: Decision, spoken: Reply) -> Reply:
    """The advice in front of the model's words, every sentence marked with who said it."""
    draft = Draft(decision)
    for line in decision.advice.splitlines():
        draft.notice(line)
    shift = len(draft.text) + 1 if draft.text else 0
    said = [
        Sentence(spoken.text[start:end], start + shift, end + shift, "model", (), "unverified")
        for start, end in sentences(spoken.text)
    ]
    text = f"{draft.text}\n{spoken.text}" if draft.text else spoken.text
    return replace(spoken, text=text, sentences=(*draft.sentences, *said), decision=decision)
