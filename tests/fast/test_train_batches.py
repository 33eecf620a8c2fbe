"""Packed rows: nothing is lost, and a sample in a row is computed exactly as if it stood alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

from xinglin.errors import DataError
from xinglin.model.render import Encoded
from xinglin.model.score import rewards_at, target_logits
from xinglin.train.batches import IGNORED, Row, Rows, collate, pack
from xinglin.train.likelihood import next_token_loss
from xinglin.train.pairs import segments

CHECK = settings(max_examples=60, deadline=None)
VOCABULARY = 160
PAD = 159
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
}
PACKED = {
    "qwen3": Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True),
    "llama": LlamaConfig(**SHAPE),
    "mistral": MistralConfig(**SHAPE, sliding_window=8),
}
# Architectures that change their logits after the output layer.
RULED = {
    "granite": GraniteConfig(**SHAPE, logits_scaling=3.0),
    "gemma2": Gemma2Config(**SHAPE, head_dim=8, final_logit_softcapping=0.7, sliding_window=8),
    "cohere": CohereConfig(**SHAPE, logit_scale=0.25),
}


@st.composite
def piles(draw: st.DrawFn) -> list[list[Encoded]]:
    """Groups of one or two samples; no two samples are equal."""
    sizes = draw(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=2), min_size=1, max_size=20))
    marks = random.Random(draw(st.integers(0, 99)))
    numbers = iter(range(1000, 10_000))
    return [
        [Encoded((next(numbers), *range(1, size)), tuple(marks.random() < 0.6 for _ in range(size))) for size in group]
        for group in sizes
    ]


def samples(row: Row) -> list[Encoded]:
    """The samples of a row, read back from its ids and positions; labels shift no token."""
    starts = [at for at, position in enumerate(row.positions) if position == 0]
    assert row.ends == (*(start - 1 for start in starts[1:]), len(row.ids) - 1)
    found = []
    for start, end in zip(starts, row.ends, strict=True):
        assert row.positions[start : end + 1] == tuple(range(end + 1 - start))
        assert row.labels[start] == IGNORED
        on = tuple(label != IGNORED for label in row.labels[start : end + 1])
        assert all(
            label in (IGNORED, token)
            for label, token in zip(row.labels[start : end + 1], row.ids[start : end + 1], strict=True)
        )
        found.append(Encoded(row.ids[start : end + 1], on))
    return found


@CHECK
@given(groups=piles(), length=st.integers(40, 90))
def test_packing_keeps_every_sample_whole_and_every_group_together(groups: list[list[Encoded]], length: int) -> None:
    groups = [*groups, [Encoded((999, 1), (True, True))]]
    rows = pack(groups, length=length, dropped=2)
    fitting = [group for group in groups if sum(len(one.ids) for one in group) <= length]
    found = [samples(row) for row in rows.rows]
    flat = [one for row in found for one in row]
    first_is_no_target = {one.ids: Encoded(one.ids, (False, *one.targets[1:])) for group in fitting for one in group}
    assert Counter(flat) == Counter(first_is_no_target.values())
    for group in fitting:
        wanted = [first_is_no_target[one.ids] for one in group]
        assert any(row[at : at + len(wanted)] == wanted for row in found for at in range(len(row)))
    assert all(len(row.ids) <= length for row in rows.rows)
    assert all(len(one.ids) + len(other.ids) > length for one, other in combinations(rows.rows, 2)), "room was left"
    assert rows.samples == len(flat)
    assert rows.dropped == 2 + sum(len(group) for group in groups) - len(flat)
    assert rows.tokens == sum(len(one.ids) for one in flat)
    assert rows.targets == sum(sum(one.targets) for one in flat)


def test_a_batch_without_a_trainable_sample_is_an_error_that_names_the_length() -> None:
    with pytest.raises(DataError, match="no trainable sample") as caught:
        pack([[Encoded((1,) * 9, (True,) * 9)]], length=8)
    assert "now 8 tokens" in caught.value.fix


def test_padding_is_its_own_segment_and_no_target() -> None:
    rows = pack(
        [[Encoded((5, 6, 7), (True, True, True))], [Encoded((8, 9, 10, 11), (False, False, True, True))]], length=5
    )
    batch = collate(rows.rows, pad=PAD)
    assert set(batch) == {"input_ids", "position_ids", "labels", "ends"}, "an attention mask would undo the packing"
    assert batch["input_ids"].tolist() == [[8, 9, 10, 11], [5, 6, 7, PAD]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 10, 11], [IGNORED, 6, 7, IGNORED]]
    assert batch["ends"].tolist() == [[0, 3], [1, 2]]


@CHECK
@given(groups=piles())
def test_segments_are_numbered_like_the_samples_of_the_batch(groups: list[list[Encoded]]) -> None:
    rows = pack(groups, length=80)
    batch = collate(rows.rows, pad=PAD)
    numbers = segments(batch)
    assert len(batch["ends"]) == rows.samples
    before = 0
    for row, line in zip(rows.rows, numbers.tolist(), strict=True):
        starts = [0, *(end + 1 for end in row.ends)]
        wanted = [before + at for at in range(len(row.ends)) for _ in range(starts[at], starts[at + 1])]
        assert line[: len(wanted)] == wanted
        assert set(line[len(wanted) :]) <= {before + len(row.ends)}
        before += len(row.ends)
    for at, (row, end) in enumerate(batch["ends"].tolist()):
        assert numbers[row, end] == at


def build(config: PretrainedConfig, kind: Any = AutoModelForCausalLM) -> PreTrainedModel:
    """A random model with weights large enough that the context of a token matters to its logits."""
    torch.manual_seed(11)
    model = kind.from_config(config).float().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    return model


def mixture(count: int = 22) -> list[Encoded]:
    """Samples of mixed length; about half of the tokens are targets, at least one each."""
    chance = random.Random(4)
    made = []
    for size in (chance.randint(2, 30) for _ in range(count)):
        ids = tuple(chance.randrange(VOCABULARY - 1) for _ in range(size))
        made.append(Encoded(ids, (*(chance.random() < 0.5 for _ in range(size - 1)), True)))
    return made


@pytest.fixture(scope="module")
def packed(threads: None) -> Rows:
    rows = pack([[one] for one in mixture()], length=64)
    assert len(rows.rows) >= 4
    assert rows.samples >= 20
    return rows


def parts(rows: Rows) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Row number, place in the row and ids [1, L] of every sample."""
    for number, row in enumerate(rows.rows):
        start = 0
        for end in row.ends:
            yield number, slice(start, end + 1), torch.tensor([row.ids[start : end + 1]])
            start = end + 1


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PACKED)
@torch.no_grad()
def test_a_packed_sample_has_the_logits_it_has_alone(name: str, training: bool, packed: Rows) -> None:
    model = build(PACKED[name]).train(training)
    batch = collate(packed.rows, pad=PAD)
    ids, positions = batch["input_ids"], batch["position_ids"]
    together = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    control = model(input_ids=ids, use_cache=False).logits
    worst, worst_control = 0.0, 0.0
    for row, place, alone in parts(packed):
        wanted = model(input_ids=alone, use_cache=False).logits[0]
        worst = max(worst, (together[row, place] - wanted).abs().max().item())
        worst_control = max(worst_control, (control[row, place] - wanted).abs().max().item())
    assert worst <= 1e-4
    assert worst_control > 0.1, "the control must differ, or the test shows nothing"
    assert torch.isfinite(together).all(), "a padding token without context"


@pytest.mark.parametrize("name", PACKED)
def test_packed_rows_have_the_loss_and_the_gradients_of_the_padded_batch(name: str, packed: Rows) -> None:
    model = build(PACKED[name]).train()
    loss, _ = next_token_loss(model, collate(packed.rows, pad=PAD))
    loss.backward()
    ours = {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    padded = _padded_loss(model, packed)
    padded.backward()
    torch.testing.assert_close(loss, padded, rtol=1e-4, atol=0)
    for key, weight in model.named_parameters():
        assert weight.grad is not None
        size = weight.grad.abs().max().item()
        torch.testing.assert_close(ours[key], weight.grad, rtol=1e-4, atol=1e-5 * size, msg=key)


def _padded_loss(model: PreTrainedModel, rows: Rows) -> torch.Tensor:
    """The textbook way: one sample a row, an attention mask, the mean over all target tokens of the batch."""
    every = [
        (row.ids[place], torch.tensor(row.labels[place]))
        for number, place, _ in parts(rows)
        for row in [rows.rows[number]]
    ]
    longest = max(len(ids) for ids, _ in every)
    ids = torch.full((len(every), longest), PAD)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for at, (tokens, wanted) in enumerate(every):
        ids[at, : len(tokens)], mask[at, : len(tokens)], labels[at, : len(tokens)] = torch.tensor(tokens), 1, wanted
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return functional.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1))


@pytest.mark.parametrize("name", [*PACKED, *RULED])
@torch.no_grad()
def test_logits_at_the_targets_are_those_of_the_whole_model(name: str, packed: Rows) -> None:
    config = (PACKED | RULED)[name]
    model = build(config)
    batch = collate(packed.rows, pad=PAD)
    targets = batch["labels"] != IGNORED
    whole = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    wanted = [whole[row, at - 1] for row, at in targets.nonzero().tolist()]
    found = target_logits(model, batch["input_ids"], batch["position_ids"], targets)
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-5, atol=1e-6)
    if name in RULED:
        hidden = model.base_model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False)
        head: Any = model.get_output_embeddings()
        bare = head(hidden.last_hidden_state[:, :-1][targets[:, 1:]])
        assert (found - bare).abs().max() > 0.1, "the rule of this architecture must matter here"


@torch.no_grad()
def test_the_reward_of_a_packed_sample_is_its_reward_alone(packed: Rows) -> None:
    config = PACKED["qwen3"].__class__(**SHAPE, head_dim=8, num_labels=1)
    model = build(config, AutoModelForSequenceClassification)
    batch = collate(packed.rows, pad=PAD)
    found = rewards_at(model, batch["input_ids"], batch["position_ids"], batch["ends"])
    alone = [model(input_ids=ids, use_cache=False).logits[0, 0] for _, _, ids in parts(packed)]
    torch.testing.assert_close(found, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert found.std() > 0.1
