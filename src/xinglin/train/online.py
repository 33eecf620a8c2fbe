"""The loop shared by PPO, GRPO, RLOO and on-policy distillation: draw answers, score them, update on them, again.

A stage is a `Rule`: how drawn and scored answers become training signals (`prepare`), and the loss on some of them
(`loss`). The loop owns prompts, sampling, the optimiser, metrics and checkpoints. The randomness of an iteration comes
from the seed and its number alone, and a checkpoint holds weights, optimiser state and the rule's numbers, so a run
that was killed ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from xinglin import files
from xinglin.errors import DataError
from xinglin.metrics.repetition import repeated_share
from xinglin.model.attention import check, check_context, packed
from xinglin.model.load import arithmetic, writing
from xinglin.model.render import Template
from xinglin.train import together
from xinglin.train.curves import METRICS
from xinglin.train.finite import not_finite
from xinglin.train.fit import TRAINER, settle
from xinglin.train.launch import first, world
from xinglin.train.objective import Part
from xinglin.train.recorder import Progress
from xinglin.train.resume import DIGESTS, Pace, last_checkpoint, seal
from xinglin.train.rewards import Score
from xinglin.train.rollout import Rollout, fair, portions, roll
from xinglin.types import Sample, Sampling

UPDATE = 4096
"""Tokens of a packed row with gradients: a step of more takes several passes."""


@dataclass(frozen=True, slots=True)
class Loop:
    """How an online stage runs.

    Every iteration draws `each` answers of at most `max_tokens` tokens to `prompts` prompts, and makes `passes` over
    them in steps of `batch` answers; `iterations` 0 means once over all prompts. `ceiling` is the KL to the reference
    (nats per answer) at which training stops with the last weights below it; 0 means no ceiling. `recompute` means
    activation checkpointing, by default on an accelerator: drawing answers takes most of the time anyway.
    """

    rate: float
    seed: int
    iterations: int = 0
    prompts: int = 32
    each: int = 1
    batch: int = 32
    passes: int = 1
    max_tokens: int = 64
    temperature: float = 1.0
    ceiling: float = 0.0
    clip: float = 1.0
    minutes: float = 10.0
    recompute: bool = field(default_factory=torch.cuda.is_available)

    def total(self, samples: Sequence[Sample]) -> int:
        """All iterations over these samples."""
        return self.iterations or math.ceil(len(samples) / self.prompts)


@dataclass(frozen=True, slots=True)
class Scored:
    """A drawn answer with its reward, and the reward by source."""

    rollout: Rollout
    reward: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is learnt from one answer: a value per answer token in every tensor; `values` and `returns` for a critic."""

    rollout: Rollout
    old: torch.Tensor
    reference: torch.Tensor
    advantages: torch.Tensor
    values: torch.Tensor
    returns: torch.Tensor

    @property
    def divergence(self) -> float:
        """An unbiased estimate of the answer's KL to the reference (nats)."""
        return (self.old - self.reference).sum().item()


class Rule(Protocol):
    """One online stage."""

    state: dict[str, float]
    """Numbers that change from one iteration to the next and belong in a checkpoint."""

    @property
    def models(self) -> Sequence[nn.Module]:
        """What is trained, the policy first."""
        ...

    @property
    def paces(self) -> Sequence[float]:
        """The learning rate of each model, as a multiple of the loop's."""
        ...

    def prepare(self, scored: Sequence[Scored], number: int) -> list[Turn]:
        """What the answers of an iteration, by its number, teach."""
        ...

    def loss(self, turns: Sequence[Turn]) -> Part:
        """The loss of some of them, summed over their answer tokens, with numbers to log; within `packed` models."""
        ...

    def settle(self, divergence: float, answers: int) -> None:
        """Adjust `state` to the KL of an iteration."""
        ...


Scorer = Callable[[Sequence[Rollout]], Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Iterations done, whether the KL ceiling ended them, and the metrics of the first and last iteration."""

    iterations: int
    stopped: bool
    first: dict[str, float]
    last: dict[str, float]


def online(
    rule: Rule,
    template: Template,
    samples: Sequence[Sample],
    folder: Path,
    *,
    loop: Loop,
    scorer: Scorer,
    progress: Progress | None = None,
) -> Outcome:
    """Train the rule's models in place. Writes `metrics.jsonl`, one line per iteration, into `folder`."""
    if not samples:
        raise DataError("there are no prompts to answer", where=folder.name, fix="check the steps this stage reads")
    settle(loop.seed)
    check(rule.models[0])  # type: ignore[arg-type]
    total = loop.total(samples)
    run = _Run(rule, folder, loop)
    lines = run.resume()
    for number in range(len(lines) + 1, total + 1):
        started = time.monotonic()
        sampling = Sampling(loop.max_tokens, loop.temperature, seed=seed_of(loop.seed, number))
        chosen = pick(samples, number, loop)
        with arithmetic():
            rollouts = roll(rule.models[0], template, chosen, sampling=sampling, each=loop.each)
            scored = _score(rollouts, scorer, number, rule)
            check_context(rule.models[0], max(len(one.start) + len(one.answer) for one in rollouts))  # type: ignore[arg-type]
            turns = rule.prepare(scored, number)
        divergence = sum(turn.divergence for turn in turns) / len(turns)
        if loop.ceiling and divergence > loop.ceiling:
            run.revert()
            return run.end(lines, stopped=True)
        run.remember()
        numbers = run.update(turns, number)
        rule.settle(divergence, len(turns))
        line = {"step": number} | _numbers(scored, divergence) | numbers | rule.state | {"rate": loop.rate}
        lines.append(line)
        run.write(lines)
        if progress:
            seconds = time.monotonic() - started
            tokens = sum(len(one.start) + len(one.answer) for one in rollouts)
            progress(number, total, line | {"tokens_per_second": tokens / seconds})
    return run.end(lines, stopped=False)


def pick(samples: Sequence[Sample], number: int, loop: Loop) -> list[Sample]:
    """The prompts of an iteration: in each round over the samples every one has its turn, in an order of its own."""
    chosen = []
    for place in range((number - 1) * loop.prompts, number * loop.prompts):
        round_, at = divmod(place, len(samples))
        order = random.Random(f"{loop.seed}:{round_}").sample(  # noqa: S311 - no secret
            range(len(samples)), len(samples)
        )
        chosen.append(samples[order[at]])
    return chosen


def seed_of(seed: int, number: int) -> int:
    """The seed of an iteration, or of another numbered part of a run."""
    return (seed * 1_000_003 + number) % 2**31


def judge(rollouts: Sequence[Rollout], scorer: Scorer) -> list[Score]:
    """The scores of rollouts; every process judges some of them, and has all."""
    size = math.ceil(len(rollouts) / world())
    parts = [rollouts[at : at + size] for at in range(0, len(rollouts), size)]
    return [score for part in together.share(parts, scorer) for score in part]


def _score(rollouts: list[Rollout], scorer: Scorer, number: int, rule: Rule) -> list[Scored]:
    scores = judge(rollouts, scorer)
    scored = [Scored(one, score.value, score.parts) for one, score in zip(rollouts, scores, strict=True)]
    broken = [one.rollout.sample.id for one in scored if not math.isfinite(one.reward)]
    if broken:
        raise not_finite("the reward", float("nan"), step=number, names=broken, model=rule.models[0])
    return scored


def _numbers(scored: Sequence[Scored], divergence: float) -> dict[str, float]:
    """What an iteration's answers look like."""
    count = len(scored)
    names = dict.fromkeys(name for one in scored for name in one.parts)
    by_source = {f"reward_{name}": sum(one.parts.get(name, 0.0) for one in scored) / count for name in names}
    return {
        "reward": sum(one.reward for one in scored) / count,
        "kl": divergence,
        "length": sum(len(one.rollout.answer) for one in scored) / count,
        "finished": sum(one.rollout.finished for one in scored) / count,
        "repetition": sum(repeated_share(one.rollout.text) for one in scored) / count,
    } | (by_source if len(names) > 1 else {})


@contextmanager
def _recomputing(model: Any) -> Iterator[None]:
    """Within it the backward pass computes activations again; dropout stays off, as it was when answers were drawn."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    try:
        yield
    finally:
        model.eval()
        model.gradient_checkpointing_disable()


class _Run:
    """Optimiser, checkpoints and metrics of one online training."""

    def __init__(self, rule: Rule, folder: Path, loop: Loop) -> None:
        self.rule = rule
        self.folder = folder
        self.work = folder / files.LOGS / TRAINER
        self.loop = loop
        self.weights = {
            f"{at}.{name}": weight
            for at, model in enumerate(rule.models)
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }
        groups = [
            {"params": [one for one in model.parameters() if one.requires_grad], "lr": pace * loop.rate}
            for model, pace in zip(rule.models, rule.paces, strict=True)
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.good: dict[str, torch.Tensor] = {}
        self.pace = Pace(loop.minutes * 60)

    def resume(self) -> list[dict[str, float]]:
        """Go on from the last checkpoint; returns the metrics of the iterations before it."""
        if first():
            last_checkpoint(self.work)  # what is broken goes before the others look
        together.wait()
        done = last_checkpoint(self.work)
        if done is None:
            return []
        self._take(load_file(done.path / "weights.safetensors"))
        device = next(iter(self.weights.values())).device
        state = torch.load(done.path / "optimizer.pt", weights_only=True, map_location=device)
        self.optimizer.load_state_dict(state)
        if (done.path / "good.safetensors").is_file():
            self.good = load_file(done.path / "good.safetensors", device=str(device))
        kept = files.read_json(done.path / "state.json")
        self.rule.state.update(kept["state"])
        return kept["lines"]

    def remember(self) -> None:
        """These weights are below the KL ceiling."""
        if self.loop.ceiling:
            self.good = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def revert(self) -> None:
        """Go back to the last weights that were."""
        self._take(self.good)

    @torch.no_grad()
    def _take(self, given: dict[str, torch.Tensor]) -> None:
        for name, value in given.items():
            self.weights[name].copy_(value)

    def update(self, turns: Sequence[Turn], number: int) -> dict[str, float]:
        """All passes over an iteration's answers; returns the mean of the logged numbers."""
        order = random.Random(f"{self.loop.seed}:{number}")  # noqa: S311 - no secret
        logged: list[dict[str, float]] = []
        for _ in range(self.loop.passes):
            shuffled = order.sample(list(turns), len(turns))
            for at in range(0, len(shuffled), self.loop.batch):
                logged.append(self._step(shuffled[at : at + self.loop.batch], number))
        return {name: sum(one[name] for one in logged) / len(logged) for name in logged[0]}

    def _step(self, turns: Sequence[Turn], number: int) -> dict[str, float]:
        """One optimiser step on the mean over all answer tokens, from as many passes as the memory needs."""
        rollouts = [turn.rollout for turn in turns]
        tokens = sum(len(one.answer) for one in rollouts)
        numbers: dict[str, float] = {}
        with ExitStack() as stack:
            for model in self.rule.models:
                stack.enter_context(packed(model))  # type: ignore[arg-type] - models of transformers
                if self.loop.recompute:
                    stack.enter_context(_recomputing(model))
            for place in together.own(portions(rollouts, most=fair(rollouts, UPDATE))):
                share = sum(len(one.answer) for one in rollouts[place]) / tokens
                with arithmetic():
                    part = self.rule.loss(turns[place])
                loss = part.total / tokens
                loss.backward()
                for name, value in ({"loss": loss.item() / share} | part.numbers).items():
                    numbers[name] = numbers.get(name, 0.0) + share * value
        numbers = together.add(self.weights.values(), numbers)
        # Each model by itself: the errors of a critic that begins far off would swallow the policy's share.
        norms = [
            torch.nn.utils.clip_grad_norm_([one for one in model.parameters() if one.requires_grad], self.loop.clip)
            for model in self.rule.models
        ]
        for what, value in (("the loss", numbers["loss"]), *(("the gradient", norm.item()) for norm in norms)):
            if not math.isfinite(value):
                names = [one.sample.id for one in rollouts]
                raise not_finite(what, value, step=number, names=names, model=self.rule.models[0])
        self.optimizer.step()
        self.optimizer.zero_grad()
        return numbers | {"norm": norms[0].item()}

    def write(self, lines: Sequence[dict[str, float]]) -> None:
        """Bring the metrics to the disk, and a checkpoint when it is time for one."""
        if not first():
            return
        files.write_text(self.folder / METRICS, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
        if not self.pace.due():
            return
        self.pace.begin()
        path = self.work / f"checkpoint-{len(lines)}"
        path.mkdir(parents=True, exist_ok=True)
        with writing(path):
            save_file(
                {name: weight.detach().contiguous() for name, weight in self.weights.items()},
                path / "weights.safetensors",
            )
            if self.good:
                save_file(self.good, path / "good.safetensors")
            torch.save(self.optimizer.state_dict(), path / "optimizer.pt")
        files.write_json(path / "state.json", {"state": self.rule.state, "lines": list(lines)})
        seal(path)
        for other in self.work.glob("checkpoint-*"):
            if other != path and (other / DIGESTS).is_file():
                shutil.rmtree(other)
        self.pace.end()

    def end(self, lines: Sequence[dict[str, float]], *, stopped: bool) -> Outcome:
        """What came out."""
        if not lines:
            raise DataError(
                "the KL ceiling was reached before the first update",
                where=self.folder.name,
                fix="raise `ceiling`: it is lower than the noise of the estimate",
            )
        return Outcome(len(lines), stopped, lines[0], lines[-1])
