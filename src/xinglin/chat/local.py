"""A model in Hugging Face format as a ChatModel: greedy or sampled answers in batches, streaming, likelihoods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from xinglin.model import load
from xinglin.model.loops import Loops
from xinglin.model.render import Template
from xinglin.model.score import score_answers
from xinglin.types import Message, Reply, Sampling, make_id

BATCH = 100


class _Stopped(StoppingCriteria):
    """Ends generation when the reader of a stream has gone away."""

    def __init__(self) -> None:
        self.event = Event()

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((input_ids.shape[0],), self.event.is_set(), device=input_ids.device)


class _Tokens(BaseStreamer):
    """Hands every generated token to the reader of a stream; None says that there are no more."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[int | None] = SimpleQueue()
        self.prompt = True

    def put(self, value: Any) -> None:
        # The first call brings the prompt.
        if not self.prompt:
            self.queue.put(int(value))
        self.prompt = False

    def end(self) -> None:
        self.queue.put(None)

    def __iter__(self) -> Iterator[int]:
        while (token := self.queue.get()) is not None:
            yield token


class _Text:
    """The text of generated tokens as it grows, without blanks at its ends.

    A token is decoded together with the piece before it: alone it may lack a blank, and decoding all of them again
    each time would take longer than generating.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.decode = decode
        self.ids: list[int] = []
        self.piece = slice(0, 0)
        self.text = ""
        self.sent = 0

    def add(self, token: int) -> str:
        """What can be shown of the text after this token and could not be before; may be empty."""
        self.ids.append(token)
        before, now = self.decode(self.ids[self.piece]), self.decode(self.ids[self.piece.start :])
        # A character may need several tokens: half of one decodes to U+FFFD, which the next replaces.
        if len(now) <= len(before) or now.endswith("\ufffd"):
            return ""
        self.piece = slice(self.piece.stop, len(self.ids))
        self.text = (self.text + now[len(before) :]).lstrip()
        return self.show(self.text.rstrip())

    def show(self, text: str) -> str:
        """What is new in a text that begins with what has been shown."""
        new, self.sent = text[self.sent :], max(self.sent, len(text))
        return new


class Local:
    """The reference engine: transformers. Safe to use from one thread at a time."""

    def __init__(self, path: Path | str, *, name: str = "") -> None:
        self._name = name or Path(str(path)).name
        model, self.tokenizer = load.open_pair(str(path))
        self.template, self.model = Template(self.tokenizer), model.eval()
        self._pad = load.pad_id(self.tokenizer)

    @property
    def name(self) -> str:
        return self._name

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """One reply per prompt; equal prompts in a batch of sampled answers get different ones."""
        encoded = [self.template.prompt(prompt) for prompt in prompts]
        # Prompts of one length share a batch with little padding; the order of the replies is restored below.
        order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index]), index))
        replies: dict[int, Reply] = {}
        torch.manual_seed(sampling.seed)
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            made = self._generate([encoded[index] for index in chosen], sampling)
            replies.update(zip(chosen, made, strict=True))
        return [replies[index] for index in range(len(prompts))]

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        """Pieces of the answer as they are generated, the finished reply last; the pieces make up its text."""
        started = time.monotonic()
        ids = self.template.prompt(messages)
        tokens, stopped, loops = _Tokens(), _Stopped(), Loops(len(ids))
        torch.manual_seed(sampling.seed)
        options = self._options(sampling) | {
            "streamer": tokens,
            "stopping_criteria": StoppingCriteriaList([stopped, loops]),
        }

        def generate() -> None:
            try:
                self.model.generate(**self._inputs([ids]), **options)  # type: ignore[operator]
            finally:
                tokens.end()

        text = _Text(self._decode)
        with ThreadPoolExecutor(1, thread_name_prefix="generate") as pool:
            work = pool.submit(generate)
            try:
                for token in tokens:
                    if piece := text.add(token):
                        yield piece
            finally:
                stopped.event.set()
            work.result()
        reply = self._reply(text.ids, prompt=ids, seconds=time.monotonic() - started, looped=bool(loops.cut))
        if rest := text.show(reply.text):
            yield rest
        yield reply

    def score(self, prompts: Sequence[Sequence[Message]], answers: Sequence[Sequence[str]]) -> list[list[float]]:
        """Mean log-likelihood per token of each candidate answer."""
        return score_answers(self.model, self.template, prompts, answers)

    def _options(self, sampling: Sampling) -> dict[str, Any]:
        options: dict[str, Any] = {
            "max_new_tokens": sampling.max_tokens,
            "do_sample": sampling.temperature > 0,
            "repetition_penalty": sampling.repetition_penalty,
            "eos_token_id": self.template.stop_ids,
            "pad_token_id": self._pad,
            "use_cache": True,
        }
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        return options

    def _inputs(self, prompts: list[list[int]]) -> dict[str, torch.Tensor]:
        """Left-padded prompts: `input_ids` and `attention_mask`, both [B, L]."""
        length = max(len(ids) for ids in prompts)
        ids_BL = torch.full((len(prompts), length), self._pad)
        mask_BL = torch.zeros_like(ids_BL)
        for row, ids in enumerate(prompts):
            ids_BL[row, length - len(ids) :] = torch.tensor(ids)
            mask_BL[row, length - len(ids) :] = 1
        device = self.model.device
        return {"input_ids": ids_BL.to(device), "attention_mask": mask_BL.to(device)}

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], sampling: Sampling) -> list[Reply]:
        started = time.monotonic()
        inputs = self._inputs(prompts)
        loops = Loops(inputs["input_ids"].shape[1])
        options = self._options(sampling) | {"stopping_criteria": StoppingCriteriaList([loops])}
        made_BL = self.model.generate(**inputs, **options)  # type: ignore[operator]
        seconds = (time.monotonic() - started) / len(prompts)
        rows = made_BL[:, loops.prompt :].tolist()
        return [
            self._reply(row[: loops.cut.get(at)], prompt=prompts[at], seconds=seconds, looped=at in loops.cut)
            for at, row in enumerate(rows)
        ]

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _reply(self, made: list[int], *, prompt: list[int], seconds: float, looped: bool) -> Reply:
        """The reply that generated ids make; the first stop token ends it and is not counted."""
        tokens = next((at for at, token in enumerate(made) if token in self.template.stop_ids), len(made))
        text = self._decode(made[:tokens]).strip()
        if tokens == len(made):
            # The limit may have cut the last character in two.
            text = text.rstrip("\ufffd").rstrip()
        return Reply(
            id=make_id("reply", self.name, prompt, text),
            text=text,
            finish="stop" if tokens < len(made) else "loop" if looped else "length",
            tokens=tokens,
            prompt_tokens=len(prompt),
            seconds=seconds,
        )
