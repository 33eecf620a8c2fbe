"""A policy before and after an online stage, on prompts that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from xinglin.metrics.paired import bootstrap, sign_flip
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train import together
from xinglin.train.online import Loop, Scorer
from xinglin.train.rollout import Rollout, answer_logprobs, roll
from xinglin.types import Sample, Sampling

ANSWERS = 4
"""Answers drawn to every held-out prompt."""


def compare(before: Path, after: Path, samples: Sequence[Sample], *, scorer: Scorer, loop: Loop) -> dict[str, float]:
    """Mean reward of both policies, their difference with interval and p, and the KL between them.

    `ANSWERS` answers are drawn to every prompt. The unit of means and test is the group of prompts (a dialogue,
    document or entity; else the prompt): one entity asked for in several ways is no independent evidence.
    `heldout_kl` is the mean over answers of the log-ratio (nats per answer), on answers of the policy after.
    """
    together.wait()  # until the first process has saved what was trained
    sampling = Sampling(loop.max_tokens, loop.temperature, seed=loop.seed)
    models = [load.open_pair(str(path)) for path in (before, after)]
    drawn = [roll(model, Template(tokenizer), samples, sampling=sampling, each=ANSWERS) for model, tokenizer in models]
    means = [_means(answers, scorer) for answers in drawn]
    theirs, mine = (answer_logprobs(model, drawn[1]) for model, _ in models)
    differences = [new - old for old, new in zip(*means, strict=True)]
    low, high = bootstrap(differences, seed=loop.seed)
    return {
        "heldout": len(samples),
        "groups": len(differences),
        "reward_before": fmean(means[0]),
        "reward_after": fmean(means[1]),
        "difference": fmean(differences),
        "low": low,
        "high": high,
        "p": sign_flip(differences, seed=loop.seed),
        "heldout_kl": sum((a - b).sum().item() for a, b in zip(mine, theirs, strict=True)) / len(drawn[1]),
    }


def _means(answers: Sequence[Rollout], scorer: Scorer) -> list[float]:
    """The mean reward of every group's answers, in the order of the groups' first answers."""
    groups: dict[str, list[float]] = {}
    for answer, score in zip(answers, scorer(answers), strict=True):
        groups.setdefault(answer.sample.origin.group or answer.sample.id, []).append(score.value)
    return [fmean(rewards) for rewards in groups.values()]
