"""What the steps do with the policy's own answers: pairs, rejection sampling, PPO, GRPO, RLOO, distillation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from xinglin import files
from xinglin.recipe import curate, gate, training
from xinglin.recipe.context import FACTS, HELDOUT, PAIRS, SAMPLES, Context, Numbers, spread
from xinglin.recipe.stages import curves, schedule, tuning
from xinglin.types import Fact, Message, Question, Sample, Sampling

DRAWS = "draws.jsonl"
TRAINED = "trained.json"
_HELDOUT = 0.1
"""Share of the prompts that is not trained on and on which the reward is measured before and after."""
_PORTION = 64
"""Prompts whose answers are drawn, scored and kept together."""
_MEASURED = 400
"""At most so many of them are asked: on more, measuring would take longer than it tells."""
_STEPS = 4
"""Optimiser steps of a pass over an iteration's answers."""


def contrast(step: training.Contrast, at: Context) -> Numbers:
    """Sample answers, and pair the better with the worse of each prompt."""
    from xinglin.train.heldout import hold_out
    from xinglin.train.reject import pair_up

    asked = spread(prompts(at, step.prompts), step.most)
    draws = _draws(step, at, asked, _scorer(step, at))
    made = pair_up(draws, most=step.pairs, gap=step.gap, step=at.name, model=step.model)
    train, kept = hold_out(made, share=step.heldout, seed=at.seed)
    at.write(PAIRS, train)
    files.write_records(at.folder / HELDOUT, kept)
    paired = len({(one.origin.item, one.prompt) for one in made})
    counts = {"prompts": len(asked), "paired": paired, "train": len(train), "heldout": len(kept)}
    return _told(draws) | counts


def reject(step: training.Reject, at: Context) -> Numbers:
    """Sample answers, keep the best by reward, train on them; then measure start and result on other prompts."""
    from xinglin.train.heldout import hold_out
    from xinglin.train.measure import compare
    from xinglin.train.online import Loop
    from xinglin.train.reject import keep_best
    from xinglin.train.sft import sft as stage

    scorer = _scorer(step, at)
    train, kept = hold_out(prompts(at, step.prompts), share=_HELDOUT, seed=at.seed)
    draws = _draws(step, at, spread(train, step.most), scorer)
    best = keep_best(draws, keep=step.keep, step=at.name, model=step.model, top=step.top, floor=step.floor)
    at.write(SAMPLES, best)
    trained = trained_once(
        at, lambda: stage(
            at.model(step.model), best, at.folder, schedule=schedule(step, at), tuning=tuning(step),
            progress=at.progress,
        ).numbers()
    )  # fmt: skip
    counts = _told(draws) | {
        "kept": len(best),
        "kept_reward": sum(sample.extra["reward"] for sample in best) / len(best),
    }
    loop = Loop(rate=step.rate, seed=at.seed, max_tokens=step.max_tokens)
    asked = spread(kept, _MEASURED)
    return trained | counts | compare(at.model(step.model), at.folder / "model", asked, scorer=scorer, loop=loop)


def trained_once(at: Context, train: Callable[[], Numbers]) -> Numbers:
    """What a training has told; it is not repeated where only measuring its result was killed."""
    path = at.folder / files.LOGS / TRAINED
    kept = files.read_json(path) if path.is_file() else {}
    if kept and kept["files"] == files.digest_folder(at.folder / "model"):
        return dict(kept["numbers"])
    numbers = train()
    curves(at)
    if at.writes:
        files.write_json(path, {"numbers": [*numbers.items()], "files": files.digest_folder(at.folder / "model")})
    return numbers


def _draws(step: training.Drawn, at: Context, asked: list[Sample], scorer: Any) -> list[Any]:
    """The sampled answers with their rewards, portion by portion; those of a run that was killed are read back."""
    from xinglin.train.reject import Draw

    path, parts = at.folder / DRAWS, at.folder / files.LOGS / "draws"
    if not path.is_file():
        parts.mkdir(parents=True, exist_ok=True)
        portions = [asked[first : first + _PORTION] for first in range(0, len(asked), _PORTION)]
        names = [parts / f"{number}.jsonl" for number in range(len(portions))]
        if missing := [number for number, name in enumerate(names) if not name.is_file()]:
            at.progress(len(names) - len(missing), len(names), {})
            draw = _drawer(step, at, scorer)
            for number in missing:
                drawn = draw(portions[number], number)
                files.write_records(names[number], drawn)
                at.progress(number + 1, len(portions), {"reward": sum(one.reward for one in drawn) / len(drawn)})
        files.write_records(path, [draw for name in names for draw in files.read_records(name, Draw)])
    shutil.rmtree(parts, ignore_errors=True)
    return files.read_records(path, Draw)


def _drawer(step: training.Drawn, at: Context, scorer: Any) -> Callable[[list[Sample], int], list[Any]]:
    """What draws and scores the answers of one portion of the prompts, by its number."""
    from xinglin.model import load
    from xinglin.model.attention import check_context
    from xinglin.model.render import Template
    from xinglin.train.online import seed_of
    from xinglin.train.reject import Draw
    from xinglin.train.rollout import roll

    model, tokenizer = load.open_pair(str(at.model(step.model)))
    template = Template(tokenizer)

    def draw(asked: list[Sample], number: int) -> list[Draw]:
        sampling = Sampling(step.max_tokens, step.temperature, seed=seed_of(at.seed, number))
        drawn = roll(model, template, asked, sampling=sampling, each=step.samples)
        check_context(model, max(len(one.start) + len(one.answer) for one in drawn))
        scored = zip(drawn, scorer(drawn), strict=True)
        return [Draw(one.sample, one.text, score.value, one.finished) for one, score in scored]

    return draw


def _told(draws: list[Any]) -> Numbers:
    """What the manifest says about the answers drawn."""
    return {
        "drawn": len(draws),
        "unfinished": sum(not draw.finished for draw in draws),
        "mean_reward": sum(draw.reward for draw in draws) / len(draws),
    }


def ppo(step: training.Ppo, at: Context) -> Numbers:
    """Train by PPO."""
    from xinglin.train.ppo import Ppo, Start
    from xinglin.train.ppo import ppo as stage

    start = Start(at.model(step.model), tuning(step), at.model(step.reward) if step.reward else "")
    knobs = Ppo(beta=step.beta, target=step.target, baseline=step.baseline)
    return _train(
        step, at, 1, lambda data, scorer, loop: stage(
            start, data, at.folder, scorer=scorer, loop=loop, knobs=knobs, progress=at.progress
        )
    )  # fmt: skip


def grouped(step: training.Grouped, at: Context) -> Numbers:
    """Train by GRPO or RLOO."""
    from xinglin.train.group import Group
    from xinglin.train.group import group as stage
    from xinglin.train.ppo import Start

    start, knobs = Start(at.model(step.model), tuning(step)), Group(step.do, beta=step.beta)
    return _train(
        step, at, step.samples, lambda data, scorer, loop: stage(
            start, data, at.folder, scorer=scorer, loop=loop, knobs=knobs, progress=at.progress
        )
    )  # fmt: skip


def distill(step: training.Distill, at: Context) -> Numbers:
    """Train by a teacher's judgement."""
    from xinglin.train.distill import distill as stage
    from xinglin.train.online import Loop
    from xinglin.train.ppo import Start

    loop = Loop(
        rate=step.rate, seed=at.seed, iterations=step.iterations, prompts=step.batch,
        batch=max(1, step.batch // _STEPS), max_tokens=step.max_tokens,
    )  # fmt: skip
    start = Start(at.model(step.model), tuning(step))
    outcome = stage(
        start, at.model(step.teacher), prompts(at, step.prompts), at.folder, loop=loop, progress=at.progress
    )
    curves(at)
    return {"iterations": outcome.iterations, "first_loss": outcome.first["loss"], "last_loss": outcome.last["loss"]}


def _train(step: training.Online, at: Context, each: int, stage: Callable[..., Any]) -> Numbers:
    """Train on most prompts, then measure start and result on the others."""
    from xinglin.train.heldout import hold_out
    from xinglin.train.measure import compare
    from xinglin.train.online import Loop

    train, kept = hold_out(prompts(at, step.prompts), share=_HELDOUT, seed=at.seed)
    scorer = _scorer(step, at)
    loop = Loop(
        rate=step.rate, seed=at.seed, iterations=step.iterations, prompts=step.batch, each=each,
        batch=max(1, step.batch * each // _STEPS), passes=step.passes, max_tokens=step.max_tokens,
        ceiling=step.ceiling,
    )  # fmt: skip

    def learn() -> Numbers:
        outcome = stage(train, scorer, loop)
        return {"iterations": outcome.iterations, "stopped": outcome.stopped}

    trained = trained_once(at, learn)
    asked = spread(kept, _MEASURED)
    measured = compare(at.model(step.model), at.folder / "model", asked, scorer=scorer, loop=loop)
    return trained | measured


def prompts(at: Context, step: str) -> list[Sample]:
    """The prompts of a step: its samples, or its exam questions as prompts with their options and answer."""
    folder = at.plan.folder(step)
    if (folder / SAMPLES).is_file():
        return at.read(step, SAMPLES, Sample)
    return [exam_prompt(one) for one in at.read(step, curate.FILES["questions"][0], Question)]


def exam_prompt(question: Question) -> Sample:
    """An exam question as a prompt that asks for the option, with what the verifier `exam` needs."""
    options = {chr(ord("A") + at): choice for at, choice in enumerate(question.choices)}
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in options.items())
    *before, last = question.messages
    asked = Message("user", f"{last.content}\n{listed}\n请直接给出正确选项。")
    # Answers are letters by place (formats/questions.py), or in files of our own the texts of the options.
    right = "".join(letter for letter, choice in options.items() if {letter, choice} & {*question.answers})
    extra = {"options": options, "answer": right}
    return Sample(question.id, (*before, asked), question.origin, extra=extra)


def _scorer(step: training.Rewarded, at: Context) -> Any:
    from xinglin.train import rewards

    facts = at.read(step.knowledge, FACTS, Fact) if step.knowledge else []
    makers: dict[str, Callable[[], rewards.Reward]] = {
        "facts": lambda: rewards.from_facts(facts),
        "knowledge": lambda: rewards.from_knowledge(facts),
        "exam": lambda: rewards.exam,
        "form": lambda: rewards.form,
        "safety": lambda: rewards.safety,
    }
    found = {name: makers[name]() for name in step.verify}
    weights: dict[str, float] = dict(step.verify)  # type: ignore[arg-type] - names of verifiers are strings
    if step.reward:
        gate.check_judge(at.plan, step.reward)
        found["model"], weights["model"] = rewards.from_model(at.model(step.reward)), 1.0
    return rewards.Mix(found, weights)
