"""The training losses against numbers worked out by hand (natural logarithms, six digits)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn
from transformers import PretrainedConfig

from xinglin.model.render import Encoded
from xinglin.model.score import token_logprobs
from xinglin.train.batches import collate, pack
from xinglin.train.curves import smooth
from xinglin.train.likelihood import count_targets, next_token_loss
from xinglin.train.pairs import count_groups
from xinglin.train.preference import (
    Aim,
    Answers,
    Compared,
    Pull,
    answer_logprobs,
    dpo_loss,
    ipo_loss,
    kto_loss,
    orpo_loss,
    reference_logprobs,
    simpo_loss,
)
from xinglin.train.reward import BradleyTerry

LN2, LN3 = 0.6931471805599453, 1.0986122886681098
# Logits of the next token after token 0, 1, 2: chances 1/3 1/3 1/3, 1/2 1/4 1/4, 1/5 3/5 1/5.
BIGRAMS = [[0.0, 0.0, 0.0], [LN2, 0.0, 0.0], [0.0, LN3, 0.0]]
UNIFORM = [[0.0] * 3] * 3


class Table(nn.Module):
    """A model whose prediction, or whose reward, depends on the last token only, as written in a table."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.config = PretrainedConfig()
        self.score = nn.Linear(len(table), len(table[0]), bias=False)
        self.score.weight.data = torch.tensor(table).T

    def forward(
        self, *, input_ids: torch.Tensor, position_ids: torch.Tensor, logits_to_keep: Any = slice(None), **options: Any
    ) -> Any:
        assert position_ids.shape == input_ids.shape == (1, sum(options["segments"]))
        assert not options["use_cache"]
        hidden = nn.functional.one_hot(input_ids, self.score.in_features).float()[:, logits_to_keep]
        return SimpleNamespace(logits=self.score(hidden))


def sample(*ids: int, prompt: int = 1) -> Encoded:
    return Encoded(ids, tuple(at >= prompt for at in range(len(ids))))


def test_cross_entropy_is_the_mean_over_target_tokens_not_over_samples() -> None:
    rows = pack([[sample(0, 1, 0)], [sample(1, 2)], [sample(2, 1)]], length=5)
    assert [len(row.ends) for row in rows.rows] == [2, 1]
    model: Any = Table(BIGRAMS)
    batch = collate(rows.rows)
    assert count_targets(batch) == 4
    loss = next_token_loss(model, batch).total / 4
    # (ln 3 + ln 2 + ln 4 + ln 5/3) / 4; the mean of the three samples' means would be 0.931000.
    assert loss.item() == pytest.approx(0.922220, abs=1e-6)


def test_the_log_probability_of_a_token_is_that_of_the_softmax() -> None:
    found = token_logprobs(torch.tensor(BIGRAMS), torch.tensor([2, 0, 1]))
    assert found.tolist() == pytest.approx([-1.098612, -0.693147, -0.510826], abs=1e-6)


def compared(
    policy: list[float], reference: list[float], counts: tuple[float, float] = (2.0, 4.0), baseline: float = 0.0
) -> Compared:
    """Pairs from alternating (chosen, rejected) log-probabilities."""
    pairs = torch.tensor(policy).view(-1, 2), torch.tensor(reference).view(-1, 2)
    lengths = [torch.full((len(policy) // 2,), count) for count in counts]
    return Compared(
        Answers(pairs[0][:, 0], lengths[0]),
        Answers(pairs[0][:, 1], lengths[1]),
        pairs[1][:, 0],
        pairs[1][:, 1],
        torch.tensor(baseline),
    )


TWO = compared([-2.0, -5.0, -1.0, -1.5], [-2.5, -4.0, -1.2, -1.0])


def test_the_dpo_loss_of_two_pairs() -> None:
    losses, margins = dpo_loss(TWO, Pull("dpo", beta=0.1))
    # beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected)).
    # Pair 1: 0.1 * ((-2 + 5) - (-2.5 + 4)) = 0.15; pair 2: 0.1 * ((-1 + 1.5) - (-1.2 + 1)) = 0.07.
    assert margins.tolist() == pytest.approx([0.15, 0.07], abs=1e-6)
    # ln(1 + e^-0.15), ln(1 + e^-0.07)
    assert losses.tolist() == pytest.approx([0.620957, 0.658760], abs=1e-6)


def test_the_dpo_loss_of_the_reference_itself_is_ln_2() -> None:
    same = [-3.0, -1.0, -7.0, -2.0]
    losses, margins = dpo_loss(compared(same, same), Pull("dpo", beta=0.3))
    assert losses.tolist() == pytest.approx([LN2, LN2], abs=1e-6)
    assert margins.tolist() == [0.0, 0.0]


def test_the_ipo_loss_is_taken_per_token() -> None:
    losses, margins = ipo_loss(TWO, Pull("ipo", beta=0.5))
    # Gains 0.5 over 2 tokens and -1 over 4: 0.25 + 0.25; gains 0.2 / 2 and -0.5 / 4: 0.1 + 0.125. Target 1 / (2 * 0.5).
    assert margins.tolist() == pytest.approx([0.5, 0.225], abs=1e-6)
    assert losses.tolist() == pytest.approx([0.25, 0.600625], abs=1e-6)


def test_the_kto_loss_measures_both_answers_against_its_baseline() -> None:
    losses, margins = kto_loss(compared([-2.0, -5.0], [-2.5, -4.0], baseline=0.3), Pull("kto", beta=1.0))
    # 1 - sigmoid(0.5 - 0.3) + 1 - sigmoid(0.3 + 1.0) = 0.450166 + 0.214165
    assert losses.tolist() == pytest.approx([0.664331], abs=1e-6)
    assert margins.tolist() == pytest.approx([1.5], abs=1e-6)


def test_the_orpo_loss_is_likelihood_and_odds_ratio() -> None:
    losses, odds = orpo_loss(compared([-2 * LN2, -4 * LN3], [0.0, 0.0]), Pull("orpo", beta=0.5))
    # Chances per token 1/2 and 1/3: odds 1 and 1/2, log ratio ln 2; ln 2 + 0.5 * ln(1 + 1/2).
    assert odds.tolist() == pytest.approx([LN2], abs=1e-6)
    assert losses.tolist() == pytest.approx([0.895880], abs=1e-6)


def test_the_orpo_loss_of_a_certain_answer_is_finite() -> None:
    losses, odds = orpo_loss(compared([0.0, -9.0], [0.0, 0.0]), Pull("orpo"))
    assert torch.isfinite(losses).all()
    assert torch.isfinite(odds).all()


def test_the_simpo_loss_is_per_token_with_a_margin_and_no_reference() -> None:
    losses, margins = simpo_loss(compared([-2.0, -5.0], [9.0, -9.0]), Pull("simpo", beta=2.0, gamma=0.4))
    # 2 * (-1 + 1.25) = 0.5; ln(1 + e^-(0.5 - 0.4))
    assert margins.tolist() == pytest.approx([0.5], abs=1e-6)
    assert losses.tolist() == pytest.approx([0.644397], abs=1e-6)


def test_the_whole_dpo_objective_with_its_anchor() -> None:
    # Answers 1 0 (chosen) and 2 1 (rejected) after the prompt 0.
    rows = pack([[sample(0, 1, 0), sample(0, 2, 1)]], length=8)
    batch = collate(rows.rows)
    policy: Any = Table(BIGRAMS)
    answers = answer_logprobs(policy, batch)
    # ln 1/3 + ln 1/2, ln 1/3 + ln 3/5
    assert answers.logprobs.tolist() == pytest.approx([-1.791759, -1.609438], abs=1e-6)
    assert answers.counts.tolist() == [2, 2]
    reference = reference_logprobs(cast(Any, Table(UNIFORM)), rows)
    assert reference == {"": pytest.approx((-2 * LN3, -2 * LN3), abs=1e-6)}
    part = Aim(Pull("dpo", beta=0.5), reference)(policy, batch)
    # The reference gives both answers 2 ln 1/3: margin 0.5 * (-1.791759 + 1.609438) = -0.091161.
    assert part.total.item() == pytest.approx(0.739766, abs=1e-6)
    assert part.numbers == {
        "accuracy": 0.0,
        "margin": pytest.approx(-0.091161, abs=1e-6),
        "chosen": pytest.approx(-0.895880, abs=1e-6),
    }
    anchored = Aim(Pull("dpo", beta=0.5, anchor=2.0), reference)(policy, batch)
    # + 2 * (ln 3 + ln 2) / 2
    assert anchored.total.item() == pytest.approx(2.531525, abs=1e-6)
    anchored.total.backward()
    assert policy.score.weight.grad.abs().sum() > 0


def test_a_ranking_counts_once_with_the_mean_of_its_pairs() -> None:
    model: Any = Table([[2.0], [1.0], [0.5], [1.5]])
    # Rewards 2, 1 and 1.5 from best to worst: margins 1, 0.5 and -0.5.
    batch = collate(pack([[sample(3, 0), sample(3, 1), sample(3, 3)], [sample(3, 0), sample(3, 1)]], length=16).rows)
    assert count_groups(batch) == 2
    part = BradleyTerry()(model, batch)
    # (0.313262 + 0.474077 + 0.974077) / 3 + 0.313262
    assert part.total.item() == pytest.approx(0.900400, abs=1e-6)
    assert part.numbers == {"accuracy": 0.75, "margin": pytest.approx(0.5, abs=1e-6)}
    # Answers of one token are their own beginnings.
    assert BradleyTerry(prefixes=1.0)(model, batch).total.item() == pytest.approx(0.900400, abs=1e-6)


@pytest.mark.parametrize(("length", "rows"), [(6, 2), (32, 1)])
def test_the_pair_loss_of_the_reward_model(length: int, rows: int) -> None:
    # Rewards by the last token: 2.0, 1.0, 0.5, 1.5; the first pair is in order by 1, the second in disorder by 1.
    model: Any = Table([[2.0], [1.0], [0.5], [1.5]])
    pairs = [[sample(3, 3, 0), sample(0, 1)], [sample(1, 2), sample(2, 2, 2, 3)]]
    packed = pack(pairs, length=length)
    assert len(packed.rows) == rows
    batch = collate(packed.rows)
    assert count_groups(batch) == 2
    part = BradleyTerry()(model, batch)
    # ln(1 + e^-1) + ln(1 + e)
    assert part.total.item() == pytest.approx(1.626523, abs=1e-6)
    assert part.numbers == {"accuracy": 0.5, "margin": pytest.approx(0.0, abs=1e-6)}
    part = BradleyTerry()(model, collate(pack(pairs[:1], length=length).rows))
    assert part.total.item() == pytest.approx(0.313262, abs=1e-6)
    assert part.numbers == {"accuracy": 1.0, "margin": pytest.approx(1.0, abs=1e-6)}


@pytest.mark.parametrize(
    ("better", "worse", "whole", "parts"),
    [
        # Whole answers: 1.0 against 1.5. Beginnings: 2.0 against 1.0 and 1.0 against 0.5.
        ((0, 1), (1, 2, 3), 0.974077, (0.313262 + 0.474077) / 2),
        # The first token is the same: 1.0 against 0.5 is the only pair of beginnings, whole answers are 1.5 and 0.5.
        ((0, 1, 3), (0, 2), 0.313262, 0.474077),
        # One answer is the beginning of the other.
        ((0,), (0, 1), 0.313262, 0.0),
    ],
)
def test_beginnings_are_compared_from_where_they_differ(
    better: tuple[int, ...], worse: tuple[int, ...], whole: float, parts: float
) -> None:
    model: Any = Table([[2.0], [1.0], [0.5], [1.5]])
    # A second pair moves the places of the first: its whole answers and only beginnings are 2.0 and 1.0.
    pairs = [[sample(3, 0), sample(3, 1)], [sample(3, *better), sample(3, *worse)]]
    batch = collate(pack(pairs, length=32).rows)
    part = BradleyTerry(prefixes=0.4)(model, batch)
    assert part.total.item() == pytest.approx(0.313262 + 0.6 * whole + 0.4 * parts, abs=1e-6)
    part.total.backward()
    assert model.score.weight.grad is not None


def test_smoothing_is_corrected_for_its_start() -> None:
    # 0.1 / 0.1, (0.09 + 0.2) / 0.19, (0.081 + 0.18 + 0.3) / 0.271
    assert smooth([1.0, 2.0, 3.0]) == pytest.approx([1.0, 1.526316, 2.070111], abs=1e-6)
    assert smooth([4.0] * 5) == pytest.approx([4.0] * 5)
    assert smooth([]) == []
