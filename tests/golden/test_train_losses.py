"""The training losses against numbers worked out by hand (natural logarithms, six digits)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PretrainedConfig

from xinglin.model.render import Encoded
from xinglin.model.score import token_logprobs
from xinglin.train.batches import collate, pack
from xinglin.train.curves import smooth
from xinglin.train.likelihood import next_token_loss
from xinglin.train.preference import Objective, Pull, answer_logprobs, dpo_loss
from xinglin.train.reward import pair_loss

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

    def get_output_embeddings(self) -> nn.Module:
        return self.score

    def base_model(self, *, input_ids: torch.Tensor, position_ids: torch.Tensor, use_cache: bool) -> Any:
        assert position_ids.shape == input_ids.shape
        assert not use_cache
        return SimpleNamespace(last_hidden_state=nn.functional.one_hot(input_ids, self.score.in_features).float())


def sample(*ids: int, prompt: int = 1) -> Encoded:
    return Encoded(ids, tuple(at >= prompt for at in range(len(ids))))


def test_cross_entropy_is_the_mean_over_target_tokens_not_over_samples() -> None:
    rows = pack([[sample(0, 1, 0)], [sample(1, 2)], [sample(2, 1)]], length=5)
    assert [len(row.ends) for row in rows.rows] == [2, 1]
    model: Any = Table(BIGRAMS)
    loss, _ = next_token_loss(model, collate(rows.rows, pad=0))
    # (ln 3 + ln 2 + ln 4 + ln 5/3) / 4; the mean of the three samples' means would be 0.931000.
    assert loss.item() == pytest.approx(0.922220, abs=1e-6)


def test_the_log_probability_of_a_token_is_that_of_the_softmax() -> None:
    found = token_logprobs(torch.tensor(BIGRAMS), torch.tensor([2, 0, 1]))
    assert found.tolist() == pytest.approx([-1.098612, -0.693147, -0.510826], abs=1e-6)


def test_the_dpo_loss_of_two_pairs() -> None:
    policy = torch.tensor([-2.0, -5.0, -1.0, -1.5])
    reference = torch.tensor([-2.5, -4.0, -1.2, -1.0])
    loss, margins = dpo_loss(policy, reference, beta=0.1)
    # TRL: -logsigmoid(beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected))).
    # Pair 1: 0.1 * ((-2 + 5) - (-2.5 + 4)) = 0.15; pair 2: 0.1 * ((-1 + 1.5) - (-1.2 + 1)) = 0.07.
    assert margins.tolist() == pytest.approx([0.15, 0.07], abs=1e-6)
    # ln(1 + e^-0.15) = 0.620957, ln(1 + e^-0.07) = 0.658760
    assert loss.item() == pytest.approx(0.639858, abs=1e-6)


def test_the_dpo_loss_of_the_reference_itself_is_ln_2() -> None:
    same = torch.tensor([-3.0, -1.0, -7.0, -2.0])
    loss, margins = dpo_loss(same, same.clone(), beta=0.3)
    assert loss.item() == pytest.approx(LN2, abs=1e-6)
    assert margins.tolist() == [0.0, 0.0]


def test_the_whole_dpo_objective_with_its_anchor() -> None:
    # Answers 1 0 (chosen) and 2 1 (rejected) after the prompt 0.
    rows = pack([[sample(0, 1, 0), sample(0, 2, 1)]], length=8)
    batch = collate(rows.rows, pad=0)
    policy: Any = Table(BIGRAMS)
    answers = answer_logprobs(policy, batch)
    # ln 1/3 + ln 1/2, ln 1/3 + ln 3/5
    assert answers.logprobs.tolist() == pytest.approx([-1.791759, -1.609438], abs=1e-6)
    assert answers.counts.tolist() == [2, 2]
    reference: Any = Table(UNIFORM)
    loss, numbers = Objective(reference, Pull(beta=0.5, anchor=0.0))(policy, batch)
    # The reference gives both answers 2 ln 1/3: margin 0.5 * (-1.791759 + 1.609438) = -0.091161.
    assert loss.item() == pytest.approx(0.739766, abs=1e-6)
    assert numbers == {"accuracy": 0.0, "margin": pytest.approx(-0.091161, abs=1e-6)}
    anchored, _ = Objective(reference, Pull(beta=0.5, anchor=2.0))(policy, batch)
    # + 2 * (ln 3 + ln 2) / 2
    assert anchored.item() == pytest.approx(2.531525, abs=1e-6)


def test_the_dpo_gradient_leaves_the_reference_alone() -> None:
    batch = collate(pack([[sample(0, 1, 0), sample(0, 2, 1)]], length=8).rows, pad=0)
    policy: Any = Table(BIGRAMS)
    reference: Any = Table(UNIFORM)
    loss, _ = Objective(reference, Pull())(policy, batch)
    loss.backward()
    assert policy.score.weight.grad.abs().sum() > 0
    assert reference.score.weight.grad is None


@pytest.mark.parametrize(("length", "rows"), [(6, 2), (32, 1)])
def test_the_pair_loss_of_the_reward_model(length: int, rows: int) -> None:
    # Rewards by the last token: 2.0, 1.0, 0.5, 1.5; the first pair is in order by 1, the second in disorder by 1.
    model: Any = Table([[2.0], [1.0], [0.5], [1.5]])
    pairs = [[sample(3, 3, 0), sample(0, 1)], [sample(1, 2), sample(2, 2, 2, 3)]]
    packed = pack(pairs, length=length)
    assert len(packed.rows) == rows
    loss, numbers = pair_loss(model, collate(packed.rows, pad=1))
    # (ln(1 + e^-1) + ln(1 + e)) / 2
    assert loss.item() == pytest.approx(0.813262, abs=1e-6)
    assert numbers == {"accuracy": 0.5, "margin": pytest.approx(0.0, abs=1e-6)}
    loss, numbers = pair_loss(model, collate(pack(pairs[:1], length=length).rows, pad=1))
    assert loss.item() == pytest.approx(0.313262, abs=1e-6)
    assert numbers == {"accuracy": 1.0, "margin": pytest.approx(1.0, abs=1e-6)}


def test_smoothing_is_corrected_for_its_start() -> None:
    # 0.1 / 0.1, (0.09 + 0.2) / 0.19, (0.081 + 0.18 + 0.3) / 0.271
    assert smooth([1.0, 2.0, 3.0]) == pytest.approx([1.0, 1.526316, 2.070111], abs=1e-6)
    assert smooth([4.0] * 5) == pytest.approx([4.0] * 5)
    assert smooth([]) == []
