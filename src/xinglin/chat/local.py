"""A model in Hugging Face format as a ChatModel: greedy or sampled answers in batches, streaming, likelihoods."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.score import score_answers
from xinglin.types import Message, Reply, Sampling, make_id

BATCH = 100


class _Stopped(StoppingCriteria):
    """Ends generation when the reader of a stream has gone away."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return torch.full((input_ids.shape[0],), self.event.is_set(), device=input_ids.device)


class Local:
    """The reference engine: transformers. Safe to use from one thread at a time."""

    def __init__(self, path: Path | str, *, name: str = "") -> None:
        self._name = name or Path(str(path)).name
        self.tokenizer = load.open_tokenizer(str(path))
        self.template = Template(self.tokenizer)
        self.model = load.open_model(str(path)).eval()
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
        """Pieces of the answer as they are generated, the finished reply last."""
        started = time.monotonic()
        ids = self.template.prompt(messages)
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        stopped = _Stopped()
        torch.manual_seed(sampling.seed)
        options = self._options(sampling) | {"streamer": streamer, "stopping_criteria": StoppingCriteriaList([stopped])}
        worker = threading.Thread(
            target=cast(Any, self.model).generate, kwargs=self._inputs([ids]) | options, name="generate", daemon=True
        )
        worker.start()
        pieces: list[str] = []
        try:
            for piece in streamer:
                if piece:
                    pieces.append(piece)
                    yield piece
        finally:
            stopped.event.set()
            worker.join()
        text = "".join(pieces)
        tokens = len(self.tokenizer.encode(text, add_special_tokens=False))
        finish = "length" if tokens >= sampling.max_tokens else "stop"
        yield self._reply(text, prompt=ids, tokens=tokens, finish=finish, seconds=time.monotonic() - started)

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
        made_BL = self.model.generate(**inputs, **self._options(sampling))  # type: ignore[operator]
        seconds = (time.monotonic() - started) / len(prompts)
        replies = []
        for ids, row in zip(prompts, made_BL[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            stops = [at for at, token in enumerate(row) if token in self.template.stop_ids]
            tokens = stops[0] if stops else len(row)
            text = str(self.tokenizer.decode(row[:tokens], skip_special_tokens=True))
            finish = "stop" if stops else "length"
            replies.append(self._reply(text, prompt=ids, tokens=tokens, finish=finish, seconds=seconds))
        return replies

    def _reply(self, text: str, *, prompt: list[int], tokens: int, finish: Any, seconds: float) -> Reply:
        text = text.strip()
        return Reply(
            id=make_id("reply", self.name, prompt, text),
            text=text,
            finish=finish,
            tokens=tokens,
            prompt_tokens=len(prompt),
            seconds=seconds,
        )
