"""A policy before and after an online stage, on prompts that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xinglin.metrics.paired import bootstrap, sign_flip
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.train import together
from xinglin.train.online import Loop, Scorer
from xinglin.train.rollout import answer_logprobs, roll
from xinglin.types import Sample, Sampling

ANSWERS = 4
"""Answers drawn to every held-out prompt."""


def compare(before: Path, after: Path, samples: Sequence[Sample], *, scorer: Scorer, loop: Loop) -> dict[str, float]:
    """Mean reward of both policies per prompt, their difference with interval and p, and the KL between them.

    The unit of the test is the prompt: `ANSWERS` answers are drawn to each and their rewards averaged. `heldout_kl` is
    the mean over answers of the log-ratio (nats per answer), on answers of the policy after.
    """
    together.wait()  # until the first process has saved what was trained
    sampling = Sampling(loop.max_tokens, loop.temperature, seed=loop.seed)
    models = [load.open_pair(str(path)) for path in (before, after)]
    drawn = [roll(model, Template(tokenizer), samples, sampling=sampling, each=ANSWERS) for model, tokenizer in models]
    rewards = [[score.value for score in scorer(answers)] for answers in drawn]
    means = [[sum(given[at : at + ANSWERS]) / ANSWERS for at in range(0, len(given), ANSWERS)] for given in rewards]
    theirs, mine = (answer_logprobs(model, drawn[1]) for model, _ in models)
    differences = [new - old for old, new in zip(*means, strict=True)]
    low, high = bootstrap(differences, seed=loop.seed)
    return {
        "heldout": len(samples),
        "reward_before": sum(means[0]) / len(samples),
        "reward_after": sum(means[1]) / len(samples),
        "difference": sum(differences) / len(samples),
        "low": low,
        "high": high,
        "p": sign_flip(differences, seed=loop.seed),
        "heldout_kl": sum((a - b).sum().item() for a, b in zip(mine, theirs, strict=True)) / len(drawn[1]),
    }
