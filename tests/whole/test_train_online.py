"""PPO, GRPO, RLOO and distillation on a tiny model: the reward rises, the KL stays bounded, a cut changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xinglin import files
from xinglin.errors import DataError, EngineError, ModelError, RecipeError
from xinglin.model import load
from xinglin.model.adapter import Tuning
from xinglin.model.card import read_card
from xinglin.model.render import Template
from xinglin.train import online
from xinglin.train.curves import read_metrics
from xinglin.train.distill import distill
from xinglin.train.fit import Schedule
from xinglin.train.group import Group, group
from xinglin.train.online import Loop
from xinglin.train.ppo import Ppo, Start, ppo
from xinglin.train.rewards import Mix, Score
from xinglin.train.rollout import Rollout, answer_logprobs, portions, roll
from xinglin.train.sft import sft
from xinglin.types import Sample, Sampling

LOOP = Loop(rate=2e-3, seed=3, iterations=8, prompts=12, batch=24, each=2, max_tokens=12, passes=2)


@pytest.fixture(scope="module")
def policy(tiny_folder: Path, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that answers in words and stops, but has not learnt its answers by heart."""
    folder = tmp_path_factory.mktemp("policy")
    sft(tiny_folder, samples, folder, schedule=Schedule(epochs=6, batch=4, rate=5e-3, seed=4, length=128))
    return folder / "model"


def count_commas(rollouts: Sequence[Rollout]) -> list[float]:
    return [one.text.count("、") / 2 for one in rollouts]


LIKES = Mix({"commas": count_commas}, {"commas": 1.0})


def flat(rollouts: Sequence[Rollout]) -> list[Score]:
    return [Score(0.0, {}) for _ in rollouts]


Stage = Callable[..., Any]
STAGES: dict[str, Stage] = {
    "ppo": lambda base, samples, to, **options: ppo(
        Start(base), samples, to, **({"knobs": Ppo(beta=0.02), "scorer": LIKES, "loop": LOOP} | options)
    ),
    "grpo": lambda base, samples, to, **options: group(
        Start(base), samples, to, **({"knobs": Group("grpo", beta=0.02), "scorer": LIKES, "loop": LOOP} | options)
    ),
    "rloo": lambda base, samples, to, **options: group(
        Start(base), samples, to, **({"knobs": Group("rloo"), "scorer": LIKES, "loop": LOOP} | options)
    ),
}


@pytest.mark.parametrize("name", STAGES)
def test_the_reward_rises_at_a_bounded_kl(name: str, policy: Path, samples: list[Sample], tmp_path: Path) -> None:
    before = files.digest_folder(policy)
    outcome = STAGES[name](policy, samples[:40], tmp_path)
    assert files.digest_folder(policy) == before
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    assert metrics["step"] == [1, 2, 3, 4, 5, 6, 7, 8]
    first, last = (sum(metrics["reward"][part]) / 3 for part in (slice(0, 3), slice(-3, None)))
    assert last > first + 0.15, metrics["reward"]
    assert abs(metrics["kl"][0]) < 1e-3, "the first answers come from the reference itself"
    assert 0 < metrics["kl"][-1] < 10
    assert {"loss", "norm", "entropy", "clipped", "length", "finished", "repetition", "rate"} <= set(metrics)
    assert (outcome.iterations, outcome.stopped) == (8, False)
    card = read_card(tmp_path / "model")
    assert card.stage == name
    assert not (tmp_path / "logs" / "trainer").exists()


def test_without_a_reward_the_kl_alone_keeps_the_policy_at_the_reference(
    policy: Path, samples: list[Sample], tmp_path: Path
) -> None:
    ppo(
        Start(policy),
        samples[:40],
        tmp_path,
        scorer=flat,
        loop=replace(LOOP, rate=2e-4, max_tokens=64),
        knobs=Ppo(beta=0.5),
    )
    assert max(map(abs, read_metrics(tmp_path / "metrics.jsonl")["kl"])) < 0.3


def test_equal_rewards_in_a_group_change_no_weight(policy: Path, samples: list[Sample], tmp_path: Path) -> None:
    group(Start(policy), samples[:8], tmp_path, scorer=flat, loop=replace(LOOP, iterations=2), knobs=Group("grpo"))
    old, new = (load.open_model(str(path)) for path in (policy, tmp_path / "model"))
    for one, two in zip(old.parameters(), new.parameters(), strict=True):
        assert one.equal(two)
    assert read_metrics(tmp_path / "metrics.jsonl")["silent"] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["ppo", "grpo", "distill"])
def test_a_stage_that_was_cut_off_ends_with_the_weights_of_an_uninterrupted_one(
    name: str, policy: Path, tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    def from_teacher(base: Path, asked: list[Sample], to: Path, **options: Any) -> Any:
        return distill(Start(base), tiny_folder, asked, to, **options)

    stage = STAGES.get(name, from_teacher)
    loop = replace(LOOP, iterations=5, minutes=0)
    stage(policy, samples[:20], tmp_path / "whole", loop=loop)

    class Cut(Exception):
        """Stands for the power cut."""

    def cut(done: int, *_: Any) -> None:
        if done == 3:
            raise Cut

    with pytest.raises(Cut):
        stage(policy, samples[:20], tmp_path / "cut", loop=loop, progress=cut)
    saved = [path.name for path in (tmp_path / "cut" / "logs" / "trainer").iterdir()]
    assert saved == ["checkpoint-3"]
    heard: list[int] = []
    stage(policy, samples[:20], tmp_path / "cut", loop=loop, progress=lambda done, *_: heard.append(done))
    assert heard == [4, 5]
    assert files.digest_folder(tmp_path / "cut") == files.digest_folder(tmp_path / "whole")


def test_a_damaged_checkpoint_is_not_trusted(policy: Path, samples: list[Sample], tmp_path: Path) -> None:
    loop = replace(LOOP, iterations=3, minutes=0)

    def cut(done: int, *_: Any) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        STAGES["grpo"](policy, samples[:8], tmp_path, loop=loop, progress=cut)
    damaged = tmp_path / "logs" / "trainer" / "checkpoint-2" / "optimizer.pt"
    damaged.write_bytes(damaged.read_bytes() + b"x")
    heard: list[int] = []
    STAGES["grpo"](policy, samples[:8], tmp_path, loop=loop, progress=lambda done, *_: heard.append(done))
    assert heard == [1, 2, 3]


def test_the_kl_ceiling_ends_training_with_the_last_weights_below_it(
    policy: Path, samples: list[Sample], tmp_path: Path
) -> None:
    loop = replace(LOOP, rate=2e-2, iterations=20, ceiling=0.5)
    outcome = STAGES["grpo"](policy, samples[:20], tmp_path, loop=loop, knobs=Group("grpo"))
    assert outcome.stopped
    assert outcome.iterations < 20
    assert max(read_metrics(tmp_path / "metrics.jsonl")["kl"]) <= 0.5
    old, new = (load.open_model(str(path)) for path in (policy, tmp_path / "model"))
    template = Template(load.open_tokenizer(str(policy)))
    drawn = roll(new, template, samples[:20], sampling=Sampling(12, 1.0, seed=9), each=4)
    mine, theirs = (answer_logprobs(model, drawn) for model in (new, old))
    assert sum((a - b).sum().item() for a, b in zip(mine, theirs, strict=True)) / len(drawn) < 1.0


@pytest.mark.parametrize("name", ["ppo", "grpo", "distill"])
def test_an_update_in_several_passes_or_with_recomputation_is_the_same_update(
    name: str, policy: Path, tiny_folder: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(to: str, **changed: Any) -> list[Any]:
        loop = replace(LOOP, iterations=1, passes=1, **changed)
        if name == "distill":
            distill(Start(policy), tiny_folder, samples[:12], tmp_path / to, loop=loop)
        else:
            STAGES[name](policy, samples[:12], tmp_path / to, loop=loop)
        return list(load.open_model(str(tmp_path / to / "model")).parameters())

    whole = stage("whole")
    recomputed = stage("recomputed", recompute=True)
    monkeypatch.setattr(online, "UPDATE", 40)
    parts = stage("parts")
    start = list(load.open_model(str(policy)).parameters())
    for one, two, three, old in zip(whole, recomputed, parts, start, strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-6)
        # Adam's first step is the rate times the gradient's sign: where it is nearly 0, rounding decides.
        assert ((three - one).abs() > 1e-6).float().mean() < 0.01
        assert (one - old).abs().max() > 1e-4
    lines = [read_metrics(tmp_path / to / "metrics.jsonl") for to in ("whole", "parts")]
    assert lines[1]["loss"] == pytest.approx(lines[0]["loss"], rel=1e-4)
    assert lines[1]["norm"] == pytest.approx(lines[0]["norm"], rel=1e-3)


def test_an_adapter_is_trained_against_its_own_start(policy: Path, samples: list[Sample], tmp_path: Path) -> None:
    start = Start(policy, Tuning("lora", rank=4))
    ppo(start, samples[:12], tmp_path, scorer=LIKES, loop=replace(LOOP, iterations=2), knobs=Ppo())
    assert (tmp_path / "model" / "adapter_model.safetensors").is_file()
    assert abs(read_metrics(tmp_path / "metrics.jsonl")["kl"][0]) < 1e-3


def test_distillation_brings_the_student_nearer_to_the_teacher(
    tiny_folder: Path, policy: Path, llama_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    sft(tiny_folder, samples, tmp_path / "start", schedule=Schedule(epochs=1, batch=4, rate=3e-3, seed=8, length=128))
    student = tmp_path / "start" / "model"
    distill(Start(student), policy, samples[:40], tmp_path / "made", loop=replace(LOOP, iterations=12))
    metrics = read_metrics(tmp_path / "made" / "metrics.jsonl")
    assert metrics["loss"][-1] < 0.6 * metrics["loss"][0]
    with pytest.raises(ModelError, match="different vocabularies"):
        distill(Start(student), llama_folder, samples[:4], tmp_path / "no", loop=LOOP)


@pytest.mark.parametrize(("name", "value"), [("repetition_penalty", 2.0), ("no_repeat_ngram_size", 1), ("min_p", 0.5)])
def test_answers_are_drawn_from_the_policys_own_distribution(
    name: str, value: float, policy: Path, samples: list[Sample]
) -> None:
    model, tokenizer = load.open_pair(str(policy))
    given = (model, Template(tokenizer), samples[:1])
    drawn = roll(*given, sampling=Sampling(5, 1.5, seed=4), each=400)
    with torch.no_grad():
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([drawn[0].start])).logits[0, -1] / 1.5, dim=-1)
    mean = sum(logprobs[one.answer[0]].item() for one in drawn) / len(drawn)
    assert mean == pytest.approx((logprobs.exp() * logprobs).sum().item(), abs=0.2)
    # What a published model may bring along in its generation_config.json.
    setattr(model.generation_config, name, value)
    assert roll(*given, sampling=Sampling(5, 1.5, seed=4), each=400) == drawn


def test_answers_go_through_the_model_in_portions_and_none_is_lost(samples: list[Sample]) -> None:
    lengths = [4000, 8000, 192, 1, 9000, 5]
    given = [Rollout(samples[0], (1,) * (length - 1), (at,), True, "") for at, length in enumerate(lengths)]
    assert [(at.start, at.stop) for at in portions(given)] == [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6)]


def test_what_is_drawn_is_what_the_model_would_say(policy: Path, samples: list[Sample]) -> None:
    model, tokenizer = load.open_pair(str(policy))
    template = Template(tokenizer)
    greedy = roll(model, template, samples[:6], sampling=Sampling(10, 0.0), each=1)
    for one, sample in zip(greedy, samples[:6], strict=True):
        assert one.sample is sample
        assert len(one.answer) <= 10
        assert one.finished == (one.answer[-1:] in [(stop,) for stop in template.stop_ids])
        assert one.start == tuple(template.prompt(sample.messages[:1]))
        assert one.conversation()[-1].content == one.text
    one, two, other = (
        roll(model, template, samples[:6], sampling=Sampling(10, 1.0, seed=seed), each=3) for seed in (1, 1, 2)
    )
    assert one == two != other
    assert [drawn.sample.id for drawn in one[:4]] == [samples[0].id] * 3 + [samples[1].id]
    assert len({drawn.answer for drawn in one[:3]}) > 1


def test_bad_input_is_named(policy: Path, samples: list[Sample], tmp_path: Path) -> None:
    def broken(rollouts: Sequence[Rollout]) -> list[Score]:
        bad = samples[2].id
        return [Score(float("nan") if one.sample.id == bad else 1.0, {}) for one in rollouts]

    with pytest.raises(EngineError, match="the reward became nan at step 1") as caught:
        STAGES["grpo"](policy, samples[:6], tmp_path, scorer=broken)
    assert samples[2].id in caught.value.where
    with pytest.raises(DataError, match="no prompts"):
        STAGES["ppo"](policy, [], tmp_path)
    with pytest.raises(RecipeError, match="at least two answers"):
        STAGES["grpo"](policy, samples[:6], tmp_path, loop=replace(LOOP, each=1))
    assert not (tmp_path / "model").exists()
