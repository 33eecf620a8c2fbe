"""GRPO and RLOO: answers to one prompt are measured against each other, so that no critic is needed.

| | advantage of an answer | source |
|---|---|---|
| grpo | (reward - mean of its group) / (deviation of its group + 1e-4) | Shao et al. 2024, DeepSeekMath, section 4.1 |
| rloo | reward - mean of the other answers of its group | Ahmadian et al. 2024, eq. 8 |

Every token of an answer has its advantage. The clipped surrogate is a mean over all tokens of a step (Yu et al. 2025,
DAPO, section 3.3): a mean per answer first, as in DeepSeekMath, would make each token of a long answer count less, so
that long wrong answers are cheap. Dividing by a constant length instead (Liu et al. 2025, Dr. GRPO, section 3.2) would
only weigh steps by their tokens; leaving out the deviation, as they do too, is `rloo` but for the factor n / (n - 1).
`beta` prices the KL to the reference by Schulman's k3 estimate, in the loss. A group of equal rewards teaches nothing.

Shapes: N answer tokens of a packed row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from xinglin.errors import RecipeError
from xinglin.model.render import Template
from xinglin.train.fit import begin, keep
from xinglin.train.objective import Part
from xinglin.train.online import Loop, Outcome, Scored, Scorer, Turn, online
from xinglin.train.ppo import Reference, Start, clipped_policy_loss
from xinglin.train.recorder import Progress
from xinglin.train.rollout import answer_logprobs, logprobs_and_entropy
from xinglin.types import Sample

Method = Literal["grpo", "rloo"]
LOW, HIGH = 0.2, 0.28
"""How far a ratio may fall and rise: a wider upper bound keeps rare tokens alive (DAPO, section 3.1)."""


@dataclass(frozen=True, slots=True)
class Group:
    """The method, and `beta`, the price of a nat of KL to the reference per token."""

    method: Method = "grpo"
    beta: float = 0.0


def group_advantages(rewards: Sequence[float], method: Method) -> list[float]:
    """The advantage of every answer of one group."""
    if len(set(rewards)) == 1:
        return [0.0] * len(rewards)  # their mean may differ from them in the last bit
    count, mean = len(rewards), sum(rewards) / len(rewards)
    if method == "rloo":
        return [(reward - mean) * count / (count - 1) for reward in rewards]
    deviation = (sum((reward - mean) ** 2 for reward in rewards) / (count - 1)) ** 0.5
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]


def k3(logprobs_N: torch.Tensor, reference_N: torch.Tensor) -> torch.Tensor:
    """An estimate [N] of the KL to the reference that is never negative (Schulman 2020, Approximating KL)."""
    ratio_N = reference_N - logprobs_N
    return torch.exp(ratio_N) - ratio_N - 1


def group_loss(
    logprobs_N: torch.Tensor, old_N: torch.Tensor, reference_N: torch.Tensor, advantages_N: torch.Tensor, *, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each token [N], and whether its ratio was clipped [N]; a step's loss is the mean over its tokens."""
    policy_N, clipped_N = clipped_policy_loss(logprobs_N, old_N, advantages_N, low=LOW, high=HIGH)
    return (policy_N + beta * k3(logprobs_N, reference_N) if beta else policy_N), clipped_N


@dataclass(slots=True)
class _Rule:
    policy: Any
    reference: Reference
    knobs: Group
    temperature: float
    state: dict[str, float] = field(default_factory=dict)

    @property
    def models(self) -> list[nn.Module]:
        return [self.policy]

    @property
    def paces(self) -> list[float]:
        return [1.0]

    def prepare(self, scored: Sequence[Scored], number: int) -> list[Turn]:
        rollouts = [one.rollout for one in scored]
        old = answer_logprobs(self.policy, rollouts, temperature=self.temperature)
        reference = self.reference.logprobs(rollouts, temperature=self.temperature)
        advantages: list[float] = []
        for _, group in groupby(scored, key=lambda one: one.rollout.sample.id):
            advantages += group_advantages([one.reward for one in group], self.knobs.method)
        nothing = torch.zeros(0)
        return [
            Turn(rollouts[at], old[at], reference[at], torch.full_like(old[at], advantages[at]), nothing, nothing)
            for at in range(len(rollouts))
        ]

    def loss(self, turns: Sequence[Turn]) -> Part:
        old_N, reference_N, advantages_N = (
            torch.cat([getattr(turn, name) for turn in turns]) for name in ("old", "reference", "advantages")
        )
        rollouts = [turn.rollout for turn in turns]
        logprobs_N, entropy_N = logprobs_and_entropy(self.policy, rollouts, temperature=self.temperature)
        loss_N, clipped_N = group_loss(logprobs_N, old_N, reference_N, advantages_N, beta=self.knobs.beta)
        numbers = {
            "entropy": entropy_N.mean().item(),
            "clipped": clipped_N.float().mean().item(),
            "silent": sum(not turn.advantages.any() for turn in turns) / len(turns),
        }
        return Part(loss_N.sum(), numbers)

    def settle(self, divergence: float, answers: int) -> None:
        """Nothing adapts."""


def group(
    start: Start,
    samples: Sequence[Sample],
    folder: Path,
    *,
    scorer: Scorer,
    loop: Loop,
    knobs: Group,
    progress: Progress | None = None,
) -> Outcome:
    """Train the policy on how its answers compare with each other and save it into `folder`."""
    if loop.each < 2:
        raise RecipeError("a group needs at least two answers", where=folder.name, fix="raise `samples`")
    policy, tokenizer = begin(start.policy, start.tuning, loop.seed)
    rule = _Rule(policy, Reference(policy), knobs, loop.temperature)
    outcome = online(rule, Template(tokenizer), samples, folder, loop=loop, scorer=scorer, progress=progress)
    keep(policy, tokenizer, folder, stage=knobs.method, base=start.policy)
    return outcome
