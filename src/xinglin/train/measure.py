"""A policy before and after an online stage, on prompts that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

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
    drawn = [_draw(path, samples, sampling) for path in (before, after)]
    means = [_means(answers, scorer) for answers in drawn]
    theirs, mine = (_logprobs(path, drawn[1]) for path in (before, after))
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


def _draw(path: Path, samples: Sequence[Sample], sampling: Sampling) -> list[Rollout]:
    """Answers of one policy. It is opened for this alone: two would not fit where one was trained as an adapter."""
    model, tokenizer = load.open_pair(str(path))
    return roll(model, Template(tokenizer), samples, sampling=sampling, each=ANSWERS)


def _logprobs(path: Path, answers: Sequence[Rollout]) -> list[torch.Tensor]:
    return answer_logprobs(load.open_pair(str(path))[0], answers)


def _means(answers: Sequence[Rollout], scorer: Scorer) -> list[float]:
    """The mean reward of every group's answers, in the order of the groups' first answers."""
    groups: dict[str, list[float]] = {}
    for answer, score in zip(answers, scorer(answers), strict=True):
        groups.setdefault(answer.sample.origin.group or answer.sample.id, []).append(score.value)
    return [fmean(rewards) for rewards in groups.values()]
