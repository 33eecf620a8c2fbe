"""Every stage in small: it learns, it repeats bit by bit, it says what went wrong, it leaves its curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xinglin import files
from xinglin.data.statements import state
from xinglin.data.topics import Topic
from xinglin.errors import DataError, EngineError
from xinglin.knowledge.patterns import Pattern
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.rewarder import Rewarder
from xinglin.train.batches import Row
from xinglin.train.curves import draw, read_metrics
from xinglin.train.fit import Schedule, fit
from xinglin.train.pairs import pack_pairs
from xinglin.train.preference import Pull, dpo
from xinglin.train.pretrain import pretrain
from xinglin.train.reject import Draw, keep_best, prompt_of
from xinglin.train.reward import reward
from xinglin.train.sft import sft
from xinglin.types import Message, Origin, Passage, Preference, Sample

LENGTH = 128
SHORT = Schedule(epochs=1, batch=2, rate=5e-3, seed=2)


@pytest.fixture(scope="module")
def passages(topics: list[Topic], patterns: dict[str, Pattern]) -> list[Passage]:
    return state(topics, patterns, step="books")


@pytest.fixture(scope="module")
def pairs(samples: list[Sample]) -> list[Preference]:
    """Pairs that any model learns to order at once."""
    return [
        Preference(f"preference-{at}", one.messages[:1], one.messages[1].content, "不清楚，请问医生。", one.origin)
        for at, one in enumerate(samples[:16])
    ]


Stage = Callable[[Path, Schedule], Any]
NAMES = ("pretrain", "sft", "reward", "dpo")


@pytest.fixture(scope="module")
def stages(
    tiny_folder: Path, passages: list[Passage], samples: list[Sample], pairs: list[Preference]
) -> dict[str, Stage]:
    """Each stage as a function of the folder it writes and its schedule."""
    base = tiny_folder
    return {
        "pretrain": lambda to, plan: pretrain(base, passages, to, schedule=plan, length=LENGTH),
        "sft": lambda to, plan: sft(base, samples[:24], to, schedule=plan, length=LENGTH),
        "reward": lambda to, plan: reward(base, pairs, to, schedule=plan, length=LENGTH),
        "dpo": lambda to, plan: dpo(base, pairs, to, schedule=plan, length=LENGTH, pull=Pull(0.5, 0.2)),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_learns_and_leaves_model_metrics_and_curve(
    name: str, stages: dict[str, Stage], pairs: list[Preference], tiny_folder: Path, tmp_path: Path
) -> None:
    before = files.digest_folder(tiny_folder)
    rows = stages[name](tmp_path, Schedule(epochs=4, batch=2, rate=5e-3, seed=2))
    assert files.digest_folder(tiny_folder) == before, "the parent is read only"
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    numbers = {"accuracy", "margin"} if name in ("reward", "dpo") else set()
    assert set(metrics) == {"step", "loss", "rate"} | numbers
    count = len(metrics["step"])
    assert metrics["step"] == list(range(1, count + 1))
    assert count == 4 * math.ceil(len(rows.rows) / 2)
    first, last = (sum(metrics["loss"][part]) for part in (slice(0, 3), slice(-3, None)))
    assert last < 0.9 * first
    assert max(metrics["rate"]) <= 5e-3
    assert metrics["rate"][-1] < 1e-3
    card = load.read_card(tmp_path / "model")
    assert card.stage == name
    assert (tmp_path / "model" / card.base).resolve() == tiny_folder.resolve()
    draw(tmp_path / "metrics.jsonl", tmp_path / "curve.png", stage=name)
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    if numbers:
        assert metrics["accuracy"][-1] == 1.0
        assert metrics["margin"][-1] > max(metrics["margin"][0], 0.1)
    if name == "reward":
        assert min(Rewarder(tmp_path / "model").margins(pairs)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_every_bit_of_the_weights(name: str, stages: dict[str, Stage], tmp_path: Path) -> None:
    # What lies in memory beforehand differs between the runs.
    for run in ("one", "two"):
        clutter = [torch.rand(97 * count) for count in range(1, 40 if run == "two" else 2)]
        stages[name](tmp_path / run, SHORT)
        del clutter
    one, two = (files.digest_folder(tmp_path / run) for run in ("one", "two"))
    assert one == two
    assert {"model/model.safetensors", "metrics.jsonl"} <= set(one)
    if name == "sft":
        stages[name](tmp_path / "other", replace(SHORT, seed=3))
        weights = tmp_path / "other" / "model" / "model.safetensors"
        assert files.digest_file(weights) != one["model/model.safetensors"]


def test_the_progress_hears_of_every_step_and_what_does_not_fit_is_counted(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    origin = samples[0].origin
    long = Sample("sample-long", (Message("user", "问"), Message("assistant", "头痛" * 99)), origin)
    mute = Sample("sample-mute", (Message("user", "问"),), origin)
    heard: list[tuple[int, int, dict[str, float]]] = []
    rows = sft(
        tiny_folder,
        [*samples[:5], long, mute],
        tmp_path,
        schedule=Schedule(epochs=2, batch=1, rate=1e-3, seed=3),
        length=64,
        progress=lambda done, of, numbers: heard.append((done, of, numbers)),
    )
    assert (rows.samples, rows.dropped) == (5, 2)
    losses = read_metrics(tmp_path / "metrics.jsonl")["loss"]
    assert [done for done, _, _ in heard] == list(range(1, len(losses) + 1))
    assert {of for _, of, _ in heard} == {len(losses)}
    assert [numbers["loss"] for _, _, numbers in heard] == losses


def test_a_pair_that_does_not_fit_a_row_is_counted_as_two_samples(tiny_folder: Path, samples: list[Sample]) -> None:
    origin = samples[0].origin
    fine = Preference("preference-1", (Message("user", "问"),), "头痛", "发热", origin)
    large = Preference("preference-2", (Message("user", "问"),), "头痛" * 99, "发热", origin)
    rows = pack_pairs([fine, large], Template(load.open_tokenizer(str(tiny_folder))), length=64)
    assert (rows.samples, rows.dropped) == (2, 2)


def test_a_rate_that_is_too_high_stops_with_the_step_and_the_fix(stages: dict[str, Stage], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"became (nan|inf) at step \d+") as caught:
        stages["sft"](tmp_path, Schedule(epochs=9, batch=4, rate=1e30, seed=2))
    assert "rate" in caught.value.fix
    assert caught.value.code == 5
    assert not (tmp_path / "model").exists()


def test_a_gradient_that_is_no_number_stops_even_in_the_last_step(tiny_folder: Path, tmp_path: Path) -> None:
    model = load.open_model(str(tiny_folder))

    def root_of_nothing(model: Any, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        return (model.get_input_embeddings().weight * 0).sum().sqrt(), {}

    rows = [Row((1, 2, 3), (0, 1, 2), (-100, 2, 3), (2,))]
    with pytest.raises(EngineError, match="the gradient became nan at step 1"):
        fit(model, rows, loss=root_of_nothing, schedule=SHORT, folder=tmp_path, pad=0)


def _dpo(base: Path, pairs: Sequence[Preference], folder: Path, **options: Any) -> Any:
    return dpo(base, pairs, folder, pull=Pull(), **options)


def test_a_stage_without_data_is_an_error_before_any_training(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    origin = samples[0].origin
    same = Preference("preference-1", (Message("user", "问"),), "头痛。", "头痛。 ", origin)
    mute = Sample("sample-mute", (Message("user", "问"),), origin)
    options: dict[str, Any] = {"schedule": SHORT, "length": 64}
    calls: dict[str, Callable[[], object]] = {
        "no samples": lambda: sft(tiny_folder, [], tmp_path, **options),
        "no trainable sample": lambda: sft(tiny_folder, [mute], tmp_path, **options),
        "no preference pairs": lambda: reward(tiny_folder, [], tmp_path, **options),
        "are the same": lambda: _dpo(tiny_folder, [same], tmp_path, **options),
        "no trainable": lambda: pretrain(tiny_folder, [], tmp_path, **options),
        "no answers were sampled": lambda: keep_best([], keep=1, step="rs", model="sft"),
    }
    for problem, call in calls.items():
        with pytest.raises(DataError, match=problem) as caught:
            call()
        assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_the_best_distinct_answers_are_kept_with_their_origin() -> None:
    origin = Origin(
        source="drugs.yaml", item="3", licence="CC0-1.0", kind="template", group="安络宁", parents=("fact-1", "fact-2")
    )
    asked = (Message("system", "请回答。"), Message("user", "禁忌呢？"))
    first = Sample("sample-1", (*asked, Message("assistant", "孕妇。")), origin, tags=("禁忌",))
    second = Sample("sample-2", (Message("user", "适应症呢？"), Message("assistant", "头痛。")), origin)
    draws = [
        Draw(first, "婴儿。", 0.5),
        Draw(first, "孕妇。", 2.00004),
        Draw(first, "  ", 9.0),
        Draw(first, "孕妇。", 1.0),
        Draw(second, "发热。", -3.0),
        Draw(second, "头痛。", -3.0),
        Draw(first, "头痛。", 0.1),
    ]
    kept = keep_best(draws, keep=2, step="rs", model="sft")
    assert [(sample.messages[-1].content, sample.extra["reward"]) for sample in kept] == [
        ("孕妇。", 2.0),
        ("婴儿。", 0.5),
        ("发热。", -3.0),
        ("头痛。", -3.0),
    ]
    best = kept[0]
    assert best.messages[:-1] == asked == prompt_of(first)
    assert best.origin.parents == ("sample-1", "fact-1", "fact-2")
    assert (best.origin.kind, best.origin.item, best.origin.group) == ("model", "sample-1", "安络宁")
    assert best.origin.licence == "CC0-1.0"
    assert best.origin.maker
    assert (best.origin.maker.step, best.origin.maker.model) == ("rs", "sft")
    assert best.tags == ("禁忌",)
    assert len({sample.id for sample in kept}) == 4
    assert keep_best(draws[2:3], keep=2, step="rs", model="sft") == []


def test_the_prompt_of_a_sample_ends_before_its_last_answer(samples: list[Sample]) -> None:
    talk = (*samples[0].messages, Message("user", "禁忌呢？"))
    origin = samples[0].origin
    assert prompt_of(Sample("sample-1", (*talk, Message("assistant", "孕妇。")), origin)) == talk
    assert prompt_of(Sample("sample-2", talk[:1], origin)) == talk[:1]
