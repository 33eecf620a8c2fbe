"""On-policy distillation: the student answers, the teacher judges each word (Agarwal et al. 2024, GKD).

Loss: the reverse KL of the student's next-token distribution from the teacher's, exact over the vocabulary, at every
token of the student's own answers. Both must share the vocabulary.

Shapes: N answer tokens of a packed row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.attention import beside, packed
from xinglin.model.render import Template
from xinglin.model.score import target_logits
from xinglin.train.fit import begin, keep
from xinglin.train.objective import Part
from xinglin.train.online import Loop, Outcome, Scored, Turn, online
from xinglin.train.ppo import Start
from xinglin.train.recorder import Progress
from xinglin.train.rewards import Score
from xinglin.train.rollout import Rollout, answer_logprobs, lay_rollouts
from xinglin.types import Sample


def reverse_kl(student_NV: torch.Tensor, teacher_NV: torch.Tensor) -> torch.Tensor:
    """KL(student || teacher) in nats [N] from their logits."""
    mine_NV, theirs_NV = torch.log_softmax(student_NV.float(), -1), torch.log_softmax(teacher_NV.float(), -1)
    return (mine_NV.exp() * (mine_NV - theirs_NV)).sum(dim=-1)


@dataclass(slots=True)
class _Rule:
    student: Any
    teacher: Any
    vocabulary: int
    state: dict[str, float] = field(default_factory=dict)

    @property
    def models(self) -> list[nn.Module]:
        return [self.student]

    @property
    def paces(self) -> list[float]:
        return [1.0]

    def prepare(self, scored: Sequence[Scored], number: int) -> list[Turn]:
        rollouts = [one.rollout for one in scored]
        old, theirs = (answer_logprobs(model, rollouts) for model in (self.student, self.teacher))
        nothing = torch.zeros(0)
        return [Turn(rollouts[at], old[at], theirs[at], nothing, nothing, nothing) for at in range(len(rollouts))]

    def loss(self, turns: Sequence[Turn]) -> Part:
        batch, answers_T = lay_rollouts([turn.rollout for turn in turns])
        here = beside(self.student, batch)
        places_T = answers_T.to(here["ends"].device)
        student_NV = target_logits(self.student, here, places_T)[:, : self.vocabulary]
        with torch.no_grad(), packed(self.teacher):
            teacher_NV = target_logits(self.teacher, here, places_T)[:, : self.vocabulary]
        return Part(reverse_kl(student_NV, teacher_NV).sum())

    def settle(self, divergence: float, answers: int) -> None:
        """Nothing adapts."""


def _nothing(rollouts: Sequence[Rollout]) -> list[Score]:
    return [Score(0.0, {}) for _ in rollouts]


def distill(
    start: Start,
    teacher: Path | str,
    samples: Sequence[Sample],
    folder: Path,
    *,
    loop: Loop,
    progress: Progress | None = None,
) -> Outcome:
    """Teach the policy at `start` by a teacher that reads its answers, and save it into `folder`.

    The metric `kl` is the estimate of the divergence from the teacher, in nats per answer.
    """
    student, tokenizer = begin(start.policy, start.tuning, loop.seed)
    judge, other = load.open_pair(str(teacher))
    if tokenizer.get_vocab() != other.get_vocab():
        raise ModelError(
            "teacher and student have different vocabularies, so their distributions cannot be compared",
            where=f"{start.policy}, {teacher}",
            fix="choose a teacher of the same family, or let it write answers for an SFT step instead",
        )
    rule = _Rule(student, judge.eval().requires_grad_(False), len(tokenizer))
    outcome = online(rule, Template(tokenizer), samples, folder, loop=loop, scorer=_nothing, progress=progress)
    keep(student, tokenizer, folder, stage="distill", base=start.policy)
    return outcome
