"""The arithmetic of reinforcement learning against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xinglin.train import ppo
from xinglin.train.distill import reverse_kl
from xinglin.train.group import group_advantages, group_loss, k3
from xinglin.train.online import Loop, pick
from xinglin.train.ppo import (
    adapt_coefficient,
    advantages_and_returns,
    clipped_policy_loss,
    value_loss,
    whiten,
)


def test_generalised_advantages_of_three_tokens() -> None:
    assert (ppo.GAMMA, ppo.LAMBDA) == (1.0, 0.95)
    advantages, returns = advantages_and_returns(torch.tensor([-0.1, 0.0, 1.0]), torch.tensor([0.5, 0.4, 0.2]))
    # Surprises: -0.1 + 0.4 - 0.5 = -0.2; 0 + 0.2 - 0.4 = -0.2; 1 + 0 - 0.2 = 0.8.
    # Backwards: 0.8; -0.2 + 0.95 * 0.8 = 0.56; -0.2 + 0.95 * 0.56 = 0.332.
    assert advantages.tolist() == pytest.approx([0.332, 0.56, 0.8], abs=1e-6)
    assert returns.tolist() == pytest.approx([0.832, 0.96, 1.0], abs=1e-6)


def test_a_perfect_critic_leaves_no_advantage() -> None:
    advantages, returns = advantages_and_returns(torch.tensor([0.0, 0.0, 2.0]), torch.tensor([2.0, 2.0, 2.0]))
    assert advantages.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert returns.tolist() == pytest.approx([2.0, 2.0, 2.0], abs=1e-6)


def test_whitening_is_over_all_tokens_of_all_answers() -> None:
    # 1, 2 and 6: mean 3, variance (4 + 1 + 9) / 3.
    one, two = whiten([torch.tensor([1.0, 2.0]), torch.tensor([6.0])])
    assert [*one.tolist(), *two.tolist()] == pytest.approx([-0.925820, -0.462910, 1.388730], abs=1e-5)
    assert whiten([torch.tensor([3.0, 3.0])])[0].tolist() == [0.0, 0.0]


def test_the_policy_loss_is_clipped_only_where_it_would_gain() -> None:
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    losses, clipped = clipped_policy_loss(ratios.log(), torch.zeros(5), advantages)
    assert losses.tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8, -2.2], abs=1e-6)
    assert clipped.tolist() == [True, False, False, True, False]
    higher, _ = clipped_policy_loss(ratios.log(), torch.zeros(5), advantages, low=0.2, high=0.28)
    assert higher[0].item() == pytest.approx(-1.28, abs=1e-6)


def test_the_value_loss_is_half_the_squared_error() -> None:
    losses = value_loss(torch.tensor([1.0, 0.1, -3.0]), torch.tensor([1.0, 0.5, 4.0]))
    assert losses.tolist() == pytest.approx([0.0, 0.08, 24.5], abs=1e-6)


def test_the_coefficient_follows_the_divergence() -> None:
    # Twice the target: the error is cut at 0.2; 0.1 * (1 + 0.2 * 500 / 1000).
    assert adapt_coefficient(0.1, 8.0, target=4.0, answers=500) == pytest.approx(0.11)
    assert adapt_coefficient(0.1, 3.8, target=4.0, answers=1000) == pytest.approx(0.095)
    assert adapt_coefficient(0.1, 4.0, target=4.0, answers=1000) == pytest.approx(0.1)


def test_advantages_within_a_group() -> None:
    # Mean 1; squares 1, 0, 1, 0 over 3: deviation 0.816497.
    assert group_advantages([2.0, 1.0, 0.0, 1.0], "grpo") == pytest.approx([1.224595, 0, -1.224595, 0], abs=1e-5)
    # The others' means: 2/3, 1, 4/3, 1.
    assert group_advantages([2.0, 1.0, 0.0, 1.0], "rloo") == pytest.approx([4 / 3, 0, -4 / 3, 0], abs=1e-6)
    for method in ("grpo", "rloo"):
        assert group_advantages([0.7, 0.7, 0.7], method) == pytest.approx([0, 0, 0], abs=1e-9)


def test_the_k3_estimate_is_never_negative_and_zero_for_equals() -> None:
    found = k3(torch.tensor([-1.0, -1.0, -2.0]), torch.tensor([-1.0, -2.0, -1.0]))
    # e^-1 + 1 - 1, e - 1 - 1
    assert found.tolist() == pytest.approx([0.0, 0.367879, 0.718282], abs=1e-6)


def test_the_loss_of_a_group_counts_every_token_alike() -> None:
    # One answer of one token with advantage 1, one of three with -1, the policy as it was: (-1 + 3 * 1) / 4. A mean per
    # answer would be 0. k3 is e^-1 for the last token: 0.1 * 0.367879 / 4.
    logprobs, advantages = torch.tensor([-1.0, -2.0, -1.0, -1.0]), torch.tensor([1.0, -1.0, -1.0, -1.0])
    reference = torch.tensor([-1.0, -2.0, -1.0, -2.0])
    loss, clipped = group_loss(logprobs, logprobs, reference, advantages, beta=0.1)
    assert loss.mean().item() == pytest.approx(0.5 + 0.1 * 0.367879 / 4, abs=1e-6)
    assert not clipped.any()


def test_a_group_may_raise_a_rare_token_further_than_lower_it() -> None:
    ratios = torch.tensor([1.27, 1.5, 0.81, 0.5])
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])
    # -(1.27 + 1.28) + 0.81 + 0.8, over 4 tokens.
    loss, clipped = group_loss(ratios.log(), torch.zeros(4), torch.zeros(4), advantages, beta=0.0)
    assert loss.mean().item() == pytest.approx(-0.235, abs=1e-6)
    assert clipped.tolist() == [False, True, False, True]


def test_the_reverse_kl_weighs_by_the_student() -> None:
    student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    # 0.5 ln(0.5 / 0.9) + 0.5 ln(0.5 / 0.1); the other way round it would be 0.368064.
    assert reverse_kl(student + 3, teacher).item() == pytest.approx(0.510826, abs=1e-6)
    assert reverse_kl(student, student).item() == pytest.approx(0.0, abs=1e-7)


def test_every_prompt_has_its_turn_in_every_round() -> None:
    samples: Any = [SimpleNamespace(id=at) for at in range(7)]
    loop = Loop(rate=1e-3, seed=3, prompts=4)
    drawn = [one.id for number in range(1, 8) for one in pick(samples, number, loop)]
    rounds = [drawn[at : at + 7] for at in range(0, 28, 7)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
