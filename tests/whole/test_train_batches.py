"""Packed rows: nothing is lost, and a sample in a row is computed exactly as if it stood alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from types import SimpleNamespace
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
    Glm4Config,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from xinglin.errors import DataError, ModelError
from xinglin.model.attention import NAME, check, packed
from xinglin.model.render import Encoded
from xinglin.model.score import rewards_at, target_logits
from xinglin.train.batches import IGNORED, Row, Rows, collate, pack, segment_ids, targets
from xinglin.train.likelihood import count_targets, next_token_loss

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
SHAPE_WINDOW = 8
EVERY = {
    "qwen3": Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SHAPE),
    "llama": LlamaConfig(**SHAPE),
    "mistral": MistralConfig(**SHAPE, sliding_window=SHAPE_WINDOW),
    "glm4": Glm4Config(**SHAPE, head_dim=8),
    # These change their scores or their logits in ways of their own.
    "granite": GraniteConfig(**SHAPE, logits_scaling=3.0),
    "gemma2": Gemma2Config(
        **SHAPE, head_dim=8, final_logit_softcapping=0.7, attn_logit_softcapping=2.0, sliding_window=SHAPE_WINDOW
    ),
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
    assert row.ends[-1] == len(row.ids) - 1
    found = []
    for start, end in row.spans():
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


def test_the_rows_of_a_batch_lie_behind_each_other_without_padding() -> None:
    rows = pack(
        [
            [Encoded((5, 6, 7), (True, True, True), "a")],
            [Encoded((8, 9, 10, 11), (False, False, True, True), "b")],
            [Encoded((4, 3), (True, True), "c")],
        ],
        length=5,
    )
    assert [row.names for row in rows.rows] == [("b",), ("a", "c")]
    batch = collate(rows.rows)
    named = {"input_ids", "position_ids", "labels", "segments", "ends", "names", "groups"}
    assert set(batch) == named, "a mask would undo the packing"
    assert batch["input_ids"].tolist() == [[8, 9, 10, 11, 5, 6, 7, 4, 3]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 10, 11, IGNORED, 6, 7, IGNORED, 3]]
    assert batch["segments"] == (4, 3, 2)
    assert batch["ends"].tolist() == [3, 6, 8]


@CHECK
@given(groups=piles())
def test_segments_are_numbered_like_the_samples_of_the_batch(groups: list[list[Encoded]]) -> None:
    rows = pack(groups, length=80)
    batch = collate(rows.rows)
    numbers = segment_ids(batch)
    assert len(batch["ends"]) == rows.samples
    assert numbers[batch["ends"]].tolist() == list(range(rows.samples))
    assert torch.bincount(numbers).tolist() == list(batch["segments"])
    assert (batch["position_ids"][0] == 0).sum() == rows.samples


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
def rows(threads: None) -> Rows:
    made = pack([[one] for one in mixture()], length=64)
    assert len(made.rows) >= 4
    assert made.samples >= 20
    return made


def parts(rows: Rows) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """Row number, place in the row and ids [1, L] of every sample."""
    for number, row in enumerate(rows.rows):
        for start, end in row.spans():
            yield number, slice(start, end + 1), torch.tensor([row.ids[start : end + 1]])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_a_packed_sample_has_the_logits_it_has_alone(name: str, training: bool, rows: Rows) -> None:
    model = build(EVERY[name]).train(training)
    batch = collate(rows.rows)
    ids, positions = batch["input_ids"], batch["position_ids"]
    with packed(model):
        together = (
            model(input_ids=ids, position_ids=positions, segments=batch["segments"], use_cache=False)
            .logits[0]
            .split(batch["segments"])
        )
    control = model(input_ids=ids, use_cache=False).logits[0].split(batch["segments"])
    alone = [model(input_ids=one, use_cache=False).logits[0] for _, _, one in parts(rows)]
    worst, worst_control = (
        max((one - wanted).abs().max().item() for one, wanted in zip(found, alone, strict=True))
        for found in (together, control)
    )
    assert worst <= 1e-4
    assert worst_control > 0.1, "the control must differ, or the test shows nothing"


def test_the_window_of_mistral_matters_here(rows: Rows) -> None:
    batch = collate(rows.rows)
    assert max(batch["segments"]) > SHAPE_WINDOW
    full, windowed = build(LlamaConfig(**SHAPE)), build(EVERY["mistral"])
    windowed.load_state_dict(full.state_dict())
    with torch.no_grad(), packed(full), packed(windowed):
        found = [target_logits(model, batch, targets(batch)) for model in (full, windowed)]
    assert (found[0] - found[1]).abs().max() > 0.1


def test_outside_of_packed_the_model_attends_as_before(rows: Rows) -> None:
    model = build(EVERY["qwen3"])
    before = model.config._attn_implementation
    with packed(model):
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == before


def test_an_architecture_with_sinks_is_refused() -> None:
    model: Any = SimpleNamespace(config=GptOssConfig(), _supports_attention_backend=True)
    with pytest.raises(ModelError, match="packed training is not possible"):
        check(model)


@pytest.mark.parametrize("name", ["qwen3", "llama"])
def test_activation_checkpointing_has_the_same_gradients(name: str, rows: Rows) -> None:
    found = []
    for recompute in (False, True):
        model = build(EVERY[name]).train()
        if recompute:
            model.activation_checkpointing_enable({"use_reentrant": False})
        with packed(model):
            next_token_loss(model, collate(rows.rows)).total.backward()
        found.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-6 * plain.abs().max().item())


@pytest.mark.parametrize("name", EVERY)
def test_packed_rows_have_the_loss_and_the_gradients_of_the_padded_batch(name: str, rows: Rows) -> None:
    model = build(EVERY[name]).train()
    batch = collate(rows.rows)
    with packed(model):
        loss = next_token_loss(model, batch).total / count_targets(batch)
        loss.backward()
    ours = {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    padded = _padded_loss(model, rows)
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


@torch.no_grad()
@pytest.mark.parametrize("name", EVERY)
def test_logits_at_the_targets_are_those_of_the_whole_model(name: str, rows: Rows) -> None:
    model = build(EVERY[name])
    batch = collate(rows.rows)
    wanted = [
        model(input_ids=ids, use_cache=False).logits[0, at - 1]
        for number, place, ids in parts(rows)
        for at, label in enumerate(rows.rows[number].labels[place])
        if label != IGNORED
    ]
    with packed(model):
        found = target_logits(model, batch, targets(batch))
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_reward_of_a_packed_sample_is_its_reward_alone(rows: Rows) -> None:
    config = EVERY["qwen3"].__class__(**SHAPE, head_dim=8, num_labels=1)
    model = build(config, AutoModelForSequenceClassification)
    with packed(model):
        found = rewards_at(model, collate(rows.rows))
    alone = [model(input_ids=ids, use_cache=False).logits[0, 0] for _, _, ids in parts(rows)]
    torch.testing.assert_close(found, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert found.std() > 0.1
