"""Answers drawn from the policy as it is, with the log-probabilities of their tokens.

Shapes: T tokens of a packed row, N answer tokens in it, V vocabulary, B prompts, L padded length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xinglin.model import load
from xinglin.model.attention import Batch, lay_out, packed
from xinglin.model.render import Template
from xinglin.model.score import target_logits
from xinglin.train.launch import world
from xinglin.train.reject import prompt_of
from xinglin.train.together import share
from xinglin.types import Message, Sample, Sampling

PROMPTS = 64
"""Answers drawn in one batch."""
TOKENS = 8192
"""Tokens of a packed row without gradients."""
_UNCUT = {"top_p": 1.0, "top_k": 0, "min_p": None, "typical_p": 1.0}
_UNCHANGED = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""The policy's own distribution, whatever its generation_config.json asks for: else the log-probabilities are wrong."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One drawn answer: token ids of the prompt and of the answer, the stop token among them if it was reached."""

    sample: Sample
    start: tuple[int, ...]
    answer: tuple[int, ...]
    finished: bool
    text: str

    def conversation(self) -> list[Message]:
        """The prompt and the answer as messages."""
        return [*prompt_of(self.sample), Message("assistant", self.text)]


def roll(
    model: Any, template: Template, samples: Sequence[Sample], *, sampling: Sampling, each: int = 1
) -> list[Rollout]:
    """Draw `each` answers to the prompt of every sample; those of one sample stand next to each other."""
    asked = [sample for sample in samples for _ in range(each)]
    starts = [template.prompt(prompt_of(sample)) for sample in samples for _ in range(each)]
    # Prompts of one length share a batch with little padding.
    order = sorted(range(len(asked)), key=lambda at: (len(starts[at]), at))

    def draw(first: int) -> list[list[int]]:
        # Each batch has a seed of its own: it does not matter which process draws it, and after which others.
        torch.manual_seed((sampling.seed * 1_009 + first) % 2**63)
        return _generate(model, template, [starts[at] for at in order[first : first + PROMPTS]], sampling)

    was = model.training
    model.eval()
    drawn = [answer for batch in share(range(0, len(order), PROMPTS), draw) for answer in batch]
    model.train(was)
    by_place = dict(zip(order, drawn, strict=True))
    return [_rollout(asked[at], starts[at], by_place[at], template) for at in range(len(asked))]


@torch.inference_mode()
def _generate(model: Any, template: Template, starts: list[list[int]], sampling: Sampling) -> list[list[int]]:
    pad = load.pad_id(template.tokenizer)
    longest = max(map(len, starts))
    ids_BL = torch.full((len(starts), longest), pad)
    mask_BL = torch.zeros_like(ids_BL)
    for row, ids in enumerate(starts):
        ids_BL[row, longest - len(ids) :] = torch.tensor(ids)
        mask_BL[row, longest - len(ids) :] = 1
    device = next(model.parameters()).device
    chosen: dict[str, Any] = {"do_sample": sampling.temperature > 0} | _UNCHANGED
    if sampling.temperature > 0:
        chosen |= {"temperature": sampling.temperature} | _UNCUT
    made_BL = model.generate(
        input_ids=ids_BL.to(device), attention_mask=mask_BL.to(device), max_new_tokens=sampling.max_tokens,
        eos_token_id=template.stop_ids, pad_token_id=pad, use_cache=True, **chosen,
    )  # fmt: skip
    return made_BL[:, longest:].tolist()


def _rollout(sample: Sample, start: list[int], made: list[int], template: Template) -> Rollout:
    end = next((at for at, token in enumerate(made) if token in template.stop_ids), None)
    answer = made if end is None else made[: end + 1]
    words = answer if end is None else answer[:-1]
    text = str(template.tokenizer.decode(words, skip_special_tokens=True)).strip()
    return Rollout(sample, tuple(start), tuple(answer), end is not None, text)


def lay_rollouts(rollouts: Sequence[Rollout], *, device: torch.device | None = None) -> tuple[Batch, torch.Tensor]:
    """Rollouts as one packed row, and whether each token [T] is an answer's."""
    batch = lay_out([[*one.start, *one.answer] for one in rollouts], device=device)
    inside = [on for one in rollouts for on in [False] * len(one.start) + [True] * len(one.answer)]
    return batch, torch.tensor(inside, device=device)


def logprobs_and_entropy(
    model: Any, rollouts: Sequence[Rollout], *, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and entropy (nats) [N] of every answer token, with gradients. Called within `packed(model)`."""
    batch, answers_T = lay_rollouts(rollouts, device=next(model.parameters()).device)
    logits_NV = target_logits(model, batch, answers_T).float() / temperature
    logprobs_NV = torch.log_softmax(logits_NV, dim=-1)
    tokens_N = batch["input_ids"][0, answers_T]
    entropy_N = -(logprobs_NV.exp() * logprobs_NV).sum(dim=-1)
    return logprobs_NV.gather(1, tokens_N[:, None]).squeeze(1), entropy_N


@torch.no_grad()
def answer_logprobs(model: Any, rollouts: Sequence[Rollout], *, temperature: float = 1.0) -> list[torch.Tensor]:
    """The log-probabilities of every rollout's answer tokens, one tensor each, without gradients."""

    def compute(portion: Sequence[Rollout]) -> torch.Tensor:
        return logprobs_and_entropy(model, portion, temperature=temperature)[0]

    with packed(model):
        return per_answer(rollouts, compute)


def per_answer(rollouts: Sequence[Rollout], compute: Callable[[Sequence[Rollout]], torch.Tensor]) -> list[torch.Tensor]:
    """What `compute` gives for the answer tokens [N] of some rollouts, one tensor for every rollout."""
    parts = [rollouts[place] for place in portions(rollouts, most=fair(rollouts, TOKENS))]
    # From process to process numbers go by way of main memory.
    found = share(parts, lambda part: compute(part).cpu())
    return [
        one
        for part, values_N in zip(parts, found, strict=True)
        for one in values_N.to(load.device()).split([len(rollout.answer) for rollout in part])
    ]


def fair(rollouts: Sequence[Rollout], most: int) -> int:
    """Tokens of a portion, at most so many, that leave every process some of these rollouts."""
    return max(1, min(most, -(-sum(len(one.start) + len(one.answer) for one in rollouts) // world())))


def portions(rollouts: Sequence[Rollout], *, most: int = TOKENS) -> Iterator[slice]:
    """The places of rollouts in order, in portions of at most `most` tokens or one rollout."""
    first, size = 0, 0
    for at, one in enumerate(rollouts):
        length = len(one.start) + len(one.answer)
        if at > first and size + length > most:
            yield slice(first, at)
            first, size = at, 0
        size += length
    if first < len(rollouts):
        yield slice(first, len(rollouts))
