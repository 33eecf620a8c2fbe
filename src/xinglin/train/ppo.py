"""Proximal policy optimisation against a reward and a reference (Schulman et al. 2017; Ouyang et al. 2022).

The reward of an answer comes with its last token; every token pays beta times its log-ratio to the reference, the
policy at the start. A critic of its own, begun as the reward model where there is one, estimates what is still to
come; it learns faster than the policy, and alone at first, because advantages from a critic that explains nothing are
noise (bench/regime: without this the held-out reward fell). With a baseline it only has to explain what is above the
mean reward of the start's own answers to the same prompt (Shen et al. 2024, contrastive rewards): prompts differ more
than answers to one prompt do. Advantages are generalised (GAE, Schulman et al. 2016) and
whitened over all tokens of an iteration; the ratios of the policy are clipped.

Shapes: A tokens of an answer, N answer tokens of a packed row.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from xinglin import files
from xinglin.errors import ModelError
from xinglin.model.adapter import FULL, Tuning
from xinglin.model.attention import packed
from xinglin.model.load import arithmetic
from xinglin.model.render import Template
from xinglin.model.score import token_scores
from xinglin.train import together
from xinglin.train.fit import begin, keep
from xinglin.train.launch import first
from xinglin.train.objective import Part
from xinglin.train.online import Loop, Outcome, Scored, Scorer, Turn, judge, online, pick, seed_of
from xinglin.train.recorder import Progress
from xinglin.train.reject import prompt_id
from xinglin.train.rollout import Rollout, answer_logprobs, lay_rollouts, logprobs_and_entropy, per_answer, roll
from xinglin.types import Sample, Sampling

CLIP = 0.2
"""How far a ratio may move in one iteration."""
GAMMA, LAMBDA = 1.0, 0.95
VALUE_WEIGHT = 0.1
CRITIC_PACE = 10.0
"""The critic's learning rate, as a multiple of the policy's: advantages are worth what its estimates are."""
WARM = 0.2
"""Share of the iterations, the first ones, in which the critic learns alone (Yuan et al. 2025, VC-PPO)."""
UNFINISHED = 1.0
"""What an answer loses that was cut off at the limit."""
_HORIZON = 1000
"""Answers over which the KL coefficient adapts (Ziegler et al. 2019, section 2.2)."""


BASELINE = "baseline.json"
_PORTION = 64
"""Prompts whose baseline is drawn and kept together."""


@dataclass(frozen=True, slots=True)
class Ppo:
    """`beta` is the price of a nat of KL to the reference; with `target` (nats per answer) it adapts to hold the KL.

    `baseline` answers of the start to every prompt are drawn first, and their mean reward is taken off (0: none).
    """

    beta: float = 0.05
    target: float = 0.0
    baseline: int = 0


def advantages_and_returns(rewards_A: torch.Tensor, values_A: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantages and returns [A] of one answer; after its last token nothing more is to come."""
    advantages_A = torch.zeros_like(rewards_A)
    later, value_after = 0.0, 0.0
    for at in range(len(rewards_A) - 1, -1, -1):
        surprise = rewards_A[at].item() + GAMMA * value_after - values_A[at].item()
        later = surprise + GAMMA * LAMBDA * later
        advantages_A[at] = later
        value_after = values_A[at].item()
    return advantages_A, advantages_A + values_A


def whiten(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors with mean 0 and variance 1 over all their values."""
    every = torch.cat(list(parts))
    scale = every.std(correction=0) + 1e-8
    return [(part - every.mean()) / scale for part in parts]


def clipped_policy_loss(
    logprobs_N: torch.Tensor, old_N: torch.Tensor, advantages_N: torch.Tensor, *, low: float = CLIP, high: float = CLIP
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clipped surrogate loss (Schulman et al. 2017, eq. 7) and whether each token's ratio was clipped, each [N]."""
    ratio_N = torch.exp(logprobs_N - old_N)
    clipped_N = ratio_N.clamp(1 - low, 1 + high)
    free_N, bound_N = ratio_N * advantages_N, clipped_N * advantages_N
    return -torch.minimum(free_N, bound_N), bound_N < free_N


def value_loss(values_N: torch.Tensor, returns_N: torch.Tensor) -> torch.Tensor:
    """Half the squared error [N] of the critic. It is not clipped: rewards have no scale that a bound would fit, and
    clipping did not help where it was measured (Andrychowicz et al. 2021, section 3.2).
    """
    return 0.5 * (values_N - returns_N) ** 2


def adapt_coefficient(beta: float, divergence: float, *, target: float, answers: int) -> float:
    """The KL coefficient after an iteration (Ziegler et al. 2019, section 2.2)."""
    error = max(-0.2, min(0.2, divergence / target - 1))
    return beta * (1 + error * answers / _HORIZON)


class Reference:
    """The policy at the start: an adapter switched off, or a frozen copy."""

    def __init__(self, policy: Any) -> None:
        self.adapter = hasattr(policy, "disable_adapter")
        self.model = policy if self.adapter else copy.deepcopy(policy).eval().requires_grad_(False)

    def logprobs(self, rollouts: Sequence[Rollout], *, temperature: float) -> list[torch.Tensor]:
        """Its log-probabilities of every answer's tokens."""
        off: AbstractContextManager[Any] = self.model.disable_adapter() if self.adapter else nullcontext()
        with off:
            return answer_logprobs(self.model, rollouts, temperature=temperature)


@dataclass(slots=True)
class _Rule:
    policy: Any
    critic: Any
    reference: Reference
    knobs: Ppo
    temperature: float
    warm: int
    state: dict[str, float] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    """The baseline of every prompt."""

    @property
    def models(self) -> list[nn.Module]:
        return [self.policy, self.critic]

    @property
    def paces(self) -> list[float]:
        return [1.0, CRITIC_PACE]

    def prepare(self, scored: Sequence[Scored], number: int) -> list[Turn]:
        rollouts = [one.rollout for one in scored]
        old = answer_logprobs(self.policy, rollouts, temperature=self.temperature)
        reference = self.reference.logprobs(rollouts, temperature=self.temperature)
        values = self._values(rollouts)
        shaped = []
        for one, mine, theirs, values_A in zip(scored, old, reference, values, strict=True):
            rewards_A = -self.state["coefficient"] * (mine - theirs)
            rewards_A[-1] += one.reward - self.means.get(prompt_id(one.rollout.sample), 0.0)
            rewards_A[-1] -= 0.0 if one.rollout.finished else UNFINISHED
            shaped.append(advantages_and_returns(rewards_A, values_A))
        white = whiten([advantages for advantages, _ in shaped])
        if number <= self.warm:
            white = [torch.zeros_like(one) for one in white]
        return [
            Turn(rollouts[at], old[at], reference[at], white[at], values[at], shaped[at][1])
            for at in range(len(rollouts))
        ]

    @torch.no_grad()
    def _values(self, rollouts: Sequence[Rollout]) -> list[torch.Tensor]:
        return per_answer(rollouts, self._value)

    def _value(self, rollouts: Sequence[Rollout]) -> torch.Tensor:
        """The critic's estimate [N] before every answer token."""
        batch, answers_T = lay_rollouts(rollouts, device=next(self.critic.parameters()).device)
        with packed(self.critic):
            return token_scores(self.critic, batch)[answers_T.nonzero().squeeze(1) - 1]

    def loss(self, turns: Sequence[Turn]) -> Part:
        rollouts = [turn.rollout for turn in turns]
        old_N, advantages_N, returns_N = (
            torch.cat([getattr(turn, name) for turn in turns]) for name in ("old", "advantages", "returns")
        )
        logprobs_N, entropy_N = logprobs_and_entropy(self.policy, rollouts, temperature=self.temperature)
        policy_N, clipped_N = clipped_policy_loss(logprobs_N, old_N, advantages_N)
        now_N = self._value(rollouts)
        value_N = value_loss(now_N, returns_N)
        spread = returns_N.var(correction=0).clamp(min=1e-8)
        numbers = {
            "entropy": entropy_N.mean().item(),
            "clipped": clipped_N.float().mean().item(),
            "value_loss": value_N.mean().item(),
            "explained": (1 - (returns_N - now_N.detach()).var(correction=0) / spread).item(),
        }
        return Part(policy_N.sum() + VALUE_WEIGHT * value_N.sum(), numbers)

    def settle(self, divergence: float, answers: int) -> None:
        if self.knobs.target:
            self.state["coefficient"] = adapt_coefficient(
                self.state["coefficient"], divergence, target=self.knobs.target, answers=answers
            )


@dataclass(frozen=True, slots=True)
class Start:
    """What an online stage starts from: the policy, what is trained of it, and for PPO the reward model (or "")."""

    policy: Path | str
    tuning: Tuning = FULL
    reward: Path | str = ""


def ppo(
    start: Start,
    samples: Sequence[Sample],
    folder: Path,
    *,
    scorer: Scorer,
    loop: Loop,
    knobs: Ppo,
    progress: Progress | None = None,
) -> Outcome:
    """Train the policy on rewards of its own answers to the samples' prompts and save it into `folder`."""
    policy, tokenizer = begin(start.policy, start.tuning, loop.seed)
    critic, other = begin(
        start.reward or start.policy, start.tuning, loop.seed, kind=AutoModelForSequenceClassification, num_labels=1,
        fresh=[] if start.reward else ["score.weight"],
    )  # fmt: skip
    if tokenizer.get_vocab() != other.get_vocab():
        raise ModelError(
            "reward model and policy have different vocabularies, so the critic cannot begin as the reward model",
            where=f"{start.policy}, {start.reward}",
            fix="train the reward model from a model of the policy's family, or take grpo, which has no critic",
        )
    warm = int(WARM * loop.total(samples))
    template = Template(tokenizer)
    rule = _Rule(policy, critic, Reference(policy), knobs, loop.temperature, warm, {"coefficient": knobs.beta})
    if knobs.baseline and samples:

        def draw(asked: Sequence[Sample], sampling: Sampling) -> list[Rollout]:
            return roll(policy, template, asked, sampling=sampling, each=knobs.baseline)

        with arithmetic():
            rule.means = baseline(samples, folder, draw=draw, loop=loop, scorer=scorer, progress=progress)
    outcome = online(rule, template, samples, folder, loop=loop, scorer=scorer, progress=progress)
    keep(policy, tokenizer, folder, stage="ppo", base=start.policy)
    return outcome


def baseline(
    samples: Sequence[Sample],
    folder: Path,
    *,
    draw: Callable[[Sequence[Sample], Sampling], list[Rollout]],
    loop: Loop,
    scorer: Scorer,
    progress: Progress | None = None,
) -> dict[str, float]:
    """The mean reward of the drawn answers to every prompt that will be asked (`prompt_id`); kept as they are drawn."""
    path = folder / files.LOGS / BASELINE
    means: dict[str, float] = files.read_json(path) if path.is_file() else {}
    together.wait()  # until every process has read it, before the first writes more
    rounds = range(1, loop.total(samples) + 1)
    asked = {prompt_id(one): one for number in rounds for one in pick(samples, number, loop)}
    every = [*asked]
    portions = [every[at : at + _PORTION] for at in range(0, len(every), _PORTION)]
    for number, portion in enumerate(portions, 1):
        if all(name in means for name in portion):
            continue
        sampling = Sampling(loop.max_tokens, loop.temperature, seed=seed_of(loop.seed, -number))
        rollouts = draw([asked[name] for name in portion], sampling)
        by_prompt: dict[str, list[float]] = {}
        for rollout, score in zip(rollouts, judge(rollouts, scorer), strict=True):
            lost = 0.0 if rollout.finished else UNFINISHED
            by_prompt.setdefault(prompt_id(rollout.sample), []).append(score.value - lost)
        means |= {name: fmean(values) for name, values in by_prompt.items()}
        if first():
            files.write_json(path, means)
        if progress:
            progress(number, len(portions), {"reward": fmean(means.values())})
    return means
