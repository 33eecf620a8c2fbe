"""Rejection sampling: the policy answers every prompt several times, and the best rewarded answers are kept, or paired
with the worse ones.

The kept answers are training samples for another round of SFT (ChiMed-GPT's regime; Touvron et al. 2023, Llama 2,
section 3.2.3), and each carries the ids of the sample it was drawn for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xinglin.errors import DataError
from xinglin.types import Maker, Message, Origin, Preference, Sample, make_id

EXAM = ("options", "answer")
"""What the prompt of an exam question carries for the verifier `exam`; its answers are prompts of another round."""
_ROUNDED = 1e-9
"""How far a sum of weighted rewards may be below its true value."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One sampled answer to a sample's prompt, its reward, and whether it ended by itself."""

    sample: Sample
    answer: str
    reward: float
    finished: bool = True


def keep_best(
    draws: Sequence[Draw], *, keep: int, step: str, model: str, top: int = 0, floor: float | None = None
) -> list[Sample]:
    """The `keep` best distinct answers per prompt as samples, best first; ties go to the earlier draw.

    With `top` the best answers of all prompts together, at most so many, whatever their prompt (the corpus-level mode
    of ChiMed-GPT's scripts). Never kept are an empty answer, one that was cut off (it would be learnt with an end), and
    one whose reward is below `floor`: with a verifier's full reward as floor only right answers are learnt (Yuan et al.
    2023, Scaling Relationship on Learning Mathematical Reasoning, section 3.3).
    """
    _check(draws, step)
    if floor is not None and not any(_good(draw, floor) for draw in draws):
        raise DataError(
            f"none of {len(draws)} answers has a reward of {floor} or more: the largest is "
            f"{max(draw.reward for draw in draws):.3f}",
            where=step,
            fix="lower `floor`, draw more `samples`, or start from a better model",
        )
    by_prompt: dict[str, list[Draw]] = {}
    for draw in draws:
        by_prompt.setdefault(prompt_id(draw.sample), []).append(draw)
    kept: list[Draw] = []
    for group in by_prompt.values():
        best: dict[str, Draw] = {}
        for draw in sorted(group, key=lambda one: -one.reward):
            if _good(draw, floor):
                best.setdefault(draw.answer, draw)
        kept += list(best.values())[: None if top else keep]
    if top:
        kept = sorted(kept, key=lambda draw: -draw.reward)[:top]
    return [_sample(draw, step=step, model=model) for draw in kept]


def pair_up(draws: Sequence[Draw], *, most: int, gap: float, step: str, model: str) -> list[Preference]:
    """At most `most` pairs of a prompt's distinct answers whose rewards are `gap` or more apart, best against worst.

    Pairs of the policy's own answers (Liu et al. 2024, Statistical Rejection Sampling, section 3.2; Dong et al. 2024,
    RLHF Workflow) teach what it gets wrong itself. Every answer of a prompt is used about as often as another. The
    margin is the distance of the rewards. An answer that was cut off, or says nothing, is in no pair.
    """
    _check(draws, step)
    by_prompt: dict[str, dict[str, Draw]] = {}
    for draw in draws:
        if _said(draw):
            by_prompt.setdefault(prompt_id(draw.sample), {}).setdefault(draw.answer, draw)
    made = [
        _preference(better, worse, step=step, model=model)
        for group in by_prompt.values()
        for better, worse in _duels([*group.values()], most, gap)
    ]
    if not made:
        raise DataError(
            f"no prompt has two answers whose rewards are {gap:g} apart ({len(draws)} answers were drawn)",
            where=step,
            fix="lower `gap`, or raise `samples`, `most` or `temperature`, so that right and wrong answers occur",
        )
    return made


def _duels(group: Sequence[Draw], most: int, gap: float) -> list[tuple[Draw, Draw]]:
    """Pairs of the better and the worse, taken one by one: the answers used least first, then the widest apart."""
    ranked = sorted(group, key=lambda draw: -draw.reward)
    left = [
        (first, second)
        for first in range(len(ranked))
        for second in range(first + 1, len(ranked))
        if ranked[first].reward - ranked[second].reward >= gap - _ROUNDED
    ]
    used = [0] * len(ranked)
    taken: list[tuple[Draw, Draw]] = []
    while left and len(taken) < most:
        first, second = min(
            left, key=lambda pair: (used[pair[0]] + used[pair[1]], ranked[pair[1]].reward - ranked[pair[0]].reward)
        )
        left.remove((first, second))
        used[first] += 1
        used[second] += 1
        taken.append((ranked[first], ranked[second]))
    return taken


def _preference(better: Draw, worse: Draw, *, step: str, model: str) -> Preference:
    prompt = prompt_of(better.sample)
    identity = make_id("preference", step, [(one.role, one.content) for one in prompt], better.answer, worse.answer)
    margin = round(better.reward - worse.reward, 4)
    return Preference(identity, prompt, better.answer, worse.answer, _origin(better, step=step, model=model), margin)


def _check(draws: Sequence[Draw], step: str) -> None:
    if not draws:
        raise DataError("no answers were sampled", where=step, fix="check `prompts` and `samples` of this step")
    if not any(map(_said, draws)):
        raise DataError(
            f"none of {len(draws)} answers ended by itself with something said, so there is nothing to learn from",
            where=step,
            fix="raise `max_tokens`, or start from a model that has learnt to end its answers (after sft)",
        )


def _said(draw: Draw) -> bool:
    return draw.finished and bool(draw.answer.strip())


def _good(draw: Draw, floor: float | None) -> bool:
    return _said(draw) and (floor is None or draw.reward >= floor - _ROUNDED)


def _sample(draw: Draw, *, step: str, model: str) -> Sample:
    prompt = prompt_of(draw.sample)
    messages = (*prompt, Message("assistant", draw.answer))
    return Sample(
        id=make_id("sample", step, [(message.role, message.content) for message in messages]),
        messages=messages,
        origin=_origin(draw, step=step, model=model),
        tags=draw.sample.tags,
        extra={name: draw.sample.extra[name] for name in EXAM if name in draw.sample.extra}
        | {"reward": round(draw.reward, 4)},
    )


def _origin(draw: Draw, *, step: str, model: str) -> Origin:
    origin = draw.sample.origin
    return Origin(
        source=origin.source,
        item=draw.sample.id,
        licence=origin.licence,
        kind="model",
        group=origin.group,
        parents=(draw.sample.id, *origin.parents),
        maker=Maker(step=step, model=model),
    )


def prompt_id(sample: Sample) -> str:
    """The name of a sample's prompt: nothing says that the ids of a user's file differ."""
    return make_id("prompt", sample.id, [(one.role, one.content) for one in prompt_of(sample)])


def prompt_of(sample: Sample) -> tuple[Message, ...]:
    """The messages of a sample that ask for an answer: all but the assistant's at the end."""
    messages = sample.messages
    while messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return messages
