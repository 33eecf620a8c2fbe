"""Every stage in small: it learns, it repeats bit by bit, it says what went wrong, it leaves its curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xinglin import files
from xinglin.data.statements import state
from xinglin.data.topics import Topic
from xinglin.errors import DataError, EngineError, RecipeError
from xinglin.knowledge.patterns import Pattern
from xinglin.model import load
from xinglin.model.attention import packed
from xinglin.model.card import read_card
from xinglin.model.render import Template
from xinglin.model.rewarder import Rewarder
from xinglin.train.batches import Row, encode_samples, pack
from xinglin.train.best import MEASUREMENTS, Best
from xinglin.train.curves import draw, read_metrics
from xinglin.train.fit import Schedule, fit
from xinglin.train.likelihood import NEXT_TOKEN, count_targets, next_token_loss
from xinglin.train.objective import Objective, Part
from xinglin.train.pairs import pack_pairs
from xinglin.train.preference import Pull, align
from xinglin.train.pretrain import pretrain
from xinglin.train.reject import Draw, keep_best, prompt_of
from xinglin.train.resume import last_checkpoint, seal
from xinglin.train.reward import reward
from xinglin.train.rewards import exam
from xinglin.train.rollout import Rollout
from xinglin.train.sft import sft
from xinglin.types import BAD_ANSWER, Message, Origin, Passage, Preference, Sample

LENGTH = 128
SHORT = Schedule(epochs=1, batch=2, rate=5e-3, seed=2, length=LENGTH)


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


Stage = Callable[..., Any]
NAMES = ("pretrain", "sft", "reward", "dpo", "kto")


@pytest.fixture(scope="module")
def stages(
    tiny_folder: Path, passages: list[Passage], samples: list[Sample], pairs: list[Preference]
) -> dict[str, Stage]:
    """Each stage as a function of the folder it writes, its schedule and who hears of its progress."""
    base = tiny_folder
    return {
        "pretrain": lambda to, plan, hear=None: pretrain(base, passages, to, schedule=plan, progress=hear),
        "sft": lambda to, plan, hear=None: sft(base, samples[:24], to, schedule=plan, progress=hear),
        "reward": lambda to, plan, hear=None: reward(base, pairs, to, schedule=plan, progress=hear),
        "dpo": lambda to, plan, hear=None: align(
            base, pairs, to, schedule=plan, pull=Pull("dpo", 0.5, 0.2), progress=hear
        ),
        "kto": lambda to, plan, hear=None: align(base, pairs, to, schedule=plan, pull=Pull("kto", 0.5), progress=hear),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_learns_and_leaves_model_metrics_and_curve(
    name: str, stages: dict[str, Stage], pairs: list[Preference], tiny_folder: Path, tmp_path: Path
) -> None:
    before = files.digest_folder(tiny_folder)
    rows = stages[name](tmp_path, Schedule(epochs=4, batch=2, rate=5e-3, seed=2, length=LENGTH))
    assert files.digest_folder(tiny_folder) == before, "the parent is read only"
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    numbers = (
        {"accuracy", "margin"} | ({"chosen"} if name in ("dpo", "kto") else set())
        if name in ("reward", "dpo", "kto")
        else set()
    )
    assert set(metrics) == {"step", "loss", "rate", "norm"} | numbers
    count = len(metrics["step"])
    assert metrics["step"] == list(range(1, count + 1))
    assert count == 4 * math.ceil(len(rows.rows) / 2)
    first, last = (sum(metrics["loss"][part]) for part in (slice(0, 3), slice(-3, None)))
    assert last < 0.9 * first
    assert max(metrics["rate"]) <= 5e-3
    assert metrics["rate"][-1] < 1e-3
    card = read_card(tmp_path / "model")
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
        schedule=Schedule(epochs=2, batch=1, rate=1e-3, seed=3, length=64),
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
        stages["sft"](tmp_path, Schedule(epochs=9, batch=4, rate=1e30, seed=2, length=LENGTH))
    assert "rate" in caught.value.fix
    assert caught.value.code == 5
    assert not (tmp_path / "model").exists()


def test_a_gradient_that_is_no_number_stops_even_in_the_last_step(tiny_folder: Path, tmp_path: Path) -> None:
    model = load.open_model(str(tiny_folder))

    def root_of_nothing(model: Any, batch: Any) -> Part:
        return Part((model.get_input_embeddings().weight * 0).sum().sqrt())

    rows = [Row((1, 2, 3), (-100, 2, 3), (2,), ("sample-7",))]
    with pytest.raises(EngineError, match="the gradient became nan at step 1") as caught:
        fit(model, rows, objective=Objective(root_of_nothing, count_targets), schedule=SHORT, folder=tmp_path)
    assert "sample-7" in caught.value.where


def test_a_loss_that_is_no_number_names_the_sample_that_made_it(tiny_folder: Path, tmp_path: Path) -> None:
    model = load.open_model(str(tiny_folder))

    def breaks_on_nine(model: Any, batch: Any) -> Part:
        bad = (batch["input_ids"] == 9).any()
        return Part(next_token_loss(model, batch).total * (float("nan") if bad else 1.0))

    rows = [
        Row((1, 2, 3, 4, 9), (-100, 2, 3, -100, 9), (2, 4), ("sample-1", "sample-2")),
        Row((1, 2, 3), (-100, 2, 3), (2,), ("sample-3",)),
    ]
    with pytest.raises(EngineError, match="the loss became nan at step 1") as caught:
        fit(model, rows, objective=Objective(breaks_on_nine, count_targets), schedule=SHORT, folder=tmp_path)
    assert caught.value.where.endswith("samples sample-2")


@pytest.mark.parametrize("name", ["sft", "reward"])
def test_the_step_does_not_depend_on_how_its_rows_are_dealt_out(
    name: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    plan = Schedule(epochs=1, batch=4, rate=5e-3, seed=2, length=LENGTH)
    for micro in (0, 1, 2):
        stages[name](tmp_path / str(micro), replace(plan, micro=micro))
    whole, *others = (read_metrics(tmp_path / str(micro) / "metrics.jsonl") for micro in (0, 1, 2))
    for other in others:
        assert other["loss"] == pytest.approx(whole["loss"], rel=1e-4)
        assert other["norm"] == pytest.approx(whole["norm"], rel=1e-3)


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_a_training_that_was_cut_off_ends_with_the_weights_of_an_uninterrupted_one(
    name: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    plan = Schedule(epochs=3, batch=1, rate=5e-3, seed=2, length=LENGTH, minutes=0)
    stages[name](tmp_path / "whole", plan)

    class Cut(Exception):
        """Stands for the power cut."""

    def cut(done: int, *_: Any) -> None:
        if done == 5:
            raise Cut

    folder = tmp_path / "cut"
    with pytest.raises(Cut):
        stages[name](folder, plan, cut)
    saved = sorted((folder / "logs" / "trainer").glob("checkpoint-*"))
    assert [path.name for path in saved] == ["checkpoint-3", "checkpoint-4"]
    # The newest was damaged: the one before it counts.
    damaged = saved[1] / "optimizer.pt"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    heard: list[int] = []
    stages[name](folder, plan, lambda done, *_: heard.append(done))
    assert heard[0] == 4, "finished steps are not done twice"
    assert files.digest_folder(folder) == files.digest_folder(tmp_path / "whole")
    assert not (folder / "logs" / "trainer").exists()


@pytest.mark.parametrize("said", ["{", "[]", "\x00"])
def test_a_checkpoint_with_a_spoilt_list_of_digests_is_removed(said: str, tmp_path: Path) -> None:
    for step in (3, 4):
        files.write_text(tmp_path / f"checkpoint-{step}" / "optimizer.pt", str(step))
        seal(tmp_path / f"checkpoint-{step}")
    files.write_text(tmp_path / "checkpoint-4" / "digests.json", said)
    files.write_text(tmp_path / "checkpoint-old" / "note", "not ours")
    files.write_text(tmp_path / "checkpoint-99", "not a folder")
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 3
    assert not (tmp_path / "checkpoint-4").exists()


def test_the_best_weights_on_held_out_rows_are_the_result_and_training_stops_early(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    tokenizer = load.open_tokenizer(str(tiny_folder))
    encoded, _ = encode_samples(samples[:8], Template(tokenizer), length=LENGTH)
    rows = pack([[one] for one in encoded], length=LENGTH).rows
    model = load.open_model(str(tiny_folder))
    # A rate that destroys the model after a while: the held-out loss falls, then rises.
    plan = Schedule(epochs=40, batch=1, rate=0.4, seed=2, warmup=0.8, clip=1e9, patience=2)
    fit(model, rows, objective=NEXT_TOKEN, schedule=plan, folder=tmp_path, heldout=rows[:2])
    kept = files.read_json(tmp_path / "logs" / "trainer" / "heldout.json")
    losses = [sum(kept[step]) for step in sorted(kept, key=int)]
    best = min(losses)
    assert losses[-1] > best
    assert len(losses) < MEASUREMENTS
    assert len(read_metrics(tmp_path / "metrics.jsonl")["step"]) < 40 * len(rows)
    with packed(model):
        assert sum(Best(rows[:2], NEXT_TOKEN, tmp_path, patience=0).measure(model)) == pytest.approx(best, rel=1e-5)
    result = files.read_json(tmp_path / "heldout.json")
    assert (result["heldout_before"], result["heldout_after"]) == pytest.approx((losses[0], best))
    assert result["heldout_rows"] == 2


def test_rows_that_cannot_be_dealt_out_evenly_are_an_error() -> None:
    assert Schedule(epochs=1, batch=8, rate=1, seed=1, micro=2).accumulation(2) == (2, 2)
    assert Schedule(epochs=1, batch=8, rate=1, seed=1).accumulation(4) == (2, 1)
    for plan, processes in ((Schedule(1, 8, 1, 1, micro=3), 1), (Schedule(1, 2, 1, 1), 4)):
        with pytest.raises(RecipeError, match="cannot be divided"):
            plan.accumulation(processes)


def test_a_stage_without_data_is_an_error_before_any_training(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    origin = samples[0].origin
    same = Preference("preference-1", (Message("user", "问"),), "头痛。", "头痛。 ", origin)
    mute = Sample("sample-mute", (Message("user", "问"),), origin)
    wrong = replace(samples[0], tags=(BAD_ANSWER,))
    options: dict[str, Any] = {"schedule": replace(SHORT, length=64)}
    calls: dict[str, Callable[[], object]] = {
        "no samples": lambda: sft(tiny_folder, [], tmp_path, **options),
        "no trainable sample": lambda: sft(tiny_folder, [mute], tmp_path, **options),
        "no trainable sample is": lambda: sft(tiny_folder, [wrong], tmp_path, **options),
        "no preference pairs": lambda: reward(tiny_folder, [], tmp_path, **options),
        "are the same": lambda: align(tiny_folder, [same], tmp_path, pull=Pull("dpo"), **options),
        "no trainable": lambda: pretrain(tiny_folder, [], tmp_path, **options),
        "no answers were sampled": lambda: keep_best([], keep=1, step="rs", model="sft"),
    }
    for problem, call in calls.items():
        with pytest.raises(DataError, match=problem) as caught:
            call()
        assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_a_kept_answer_to_an_exam_question_is_a_prompt_of_the_next_round() -> None:
    extra = {"options": {"A": "头痛", "B": "发热"}, "answer": "B", "output": "选B"}
    origin = Origin(source="exam", item="1", licence="CC0-1.0", kind="label")
    asked = Sample("sample-1", (Message("user", "哪个？"),), origin, extra=extra)
    kept = keep_best([Draw(asked, "选B。", 1.0)], keep=1, step="rs", model="sft")
    assert kept[0].extra == {"options": extra["options"], "answer": "B", "reward": 1.0}
    assert exam([Rollout(kept[0], (1,), (2,), finished=True, text="B")]) == [1.0]


def test_the_prompt_of_a_sample_ends_before_its_last_answer(samples: list[Sample]) -> None:
    talk = (*samples[0].messages, Message("user", "禁忌呢？"))
    origin = samples[0].origin
    assert prompt_of(Sample("sample-1", (*talk, Message("assistant", "孕妇。")), origin)) == talk
    assert prompt_of(Sample("sample-2", talk[:1], origin)) == talk[:1]
    more = (*talk, Message("assistant", "孕妇。"), Message("user", "儿童呢？"))
    assert prompt_of(Sample("sample-3", more, origin)) == more


def test_a_training_of_one_step_changes_the_weights(tiny_folder: Path, samples: list[Sample], tmp_path: Path) -> None:
    sft(tiny_folder, samples[:2], tmp_path, schedule=Schedule(epochs=1, batch=4, rate=1e-2, seed=2, length=LENGTH))
    assert read_metrics(tmp_path / "metrics.jsonl")["rate"] == [1e-2]
    old, new = (load.open_model(str(path)) for path in (tiny_folder, tmp_path / "model"))
    assert any(not one.equal(two) for one, two in zip(old.parameters(), new.parameters(), strict=True))
