"""PPO above a baseline: what the start's own answers to a prompt earn is taken off, drawn once and never again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import pytest
from safetensors.torch import load_file

from xinglin import files
from xinglin.errors import DataError
from xinglin.train import ppo as proximal
from xinglin.train.curves import read_metrics
from xinglin.train.online import Loop
from xinglin.train.ppo import Ppo, Start, ppo
from xinglin.train.reject import prompt_id
from xinglin.train.rewards import Score
from xinglin.train.rollout import Rollout
from xinglin.types import Sample

LOOP = Loop(2e-3, 5, iterations=2, prompts=6, batch=6, max_tokens=8)


@dataclass
class Lengths:
    """Rewards an answer for its length, and remembers what it was shown."""

    means: dict[str, float] = field(default_factory=dict)
    shown: list[list[Rollout]] = field(default_factory=list)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
        self.shown.append(list(rollouts))
        return [Score(self.earned(one) - self.means.get(one.sample.id, 0.0), {}) for one in rollouts]

    @staticmethod
    def earned(one: Rollout) -> float:
        return len(one.text) ** 0.5


def trained(
    base: Path, samples: Sequence[Sample], folder: Path, scorer: Lengths, baseline: int
) -> dict[str, list[float]]:
    ppo(Start(base), samples, folder, scorer=scorer, loop=LOOP, knobs=Ppo(baseline=baseline))
    return read_metrics(folder / "metrics.jsonl")


def test_only_what_is_above_the_mean_of_the_starts_answers_counts(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    scorer = Lengths()
    found = trained(tiny_folder, samples[:8], tmp_path / "above", scorer, 3)
    drawn = scorer.shown[0]
    asked = {one.id for one in samples[:8]}
    assert [sum(one.sample.id == name for one in drawn) for name in sorted(asked)] == [3] * 8
    means = {
        name: fmean(Lengths.earned(one) - (not one.finished) for one in drawn if one.sample.id == name)
        for name in asked
    }
    kept = {prompt_id(one): means[one.id] for one in samples[:8]}
    assert files.read_json(tmp_path / "above" / "logs" / "baseline.json") == pytest.approx(kept)
    taken_off = Lengths(means)
    other = trained(tiny_folder, samples[:8], tmp_path / "hand", taken_off, 0)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("above", "hand"))
    assert all(weight.equal(two[name]) for name, weight in one.items())
    assert found["reward"] == pytest.approx([fmean(map(Lengths.earned, shown)) for shown in scorer.shown[1:]])
    assert other["reward"] != pytest.approx(found["reward"])


def test_a_baseline_is_drawn_for_the_prompts_that_are_asked_and_kept_when_a_run_is_killed(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proximal, "_PORTION", 5)
    whole = Lengths()
    trained(tiny_folder, samples, tmp_path / "whole", whole, 2)
    assert [len(shown) for shown in whole.shown] == [10, 10, 4, 6, 6], "of all prompts twelve are asked"

    class Killed(Lengths):
        def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
            if len(self.shown) == 2:
                raise KeyboardInterrupt
            return super().__call__(rollouts)

    with pytest.raises(KeyboardInterrupt):
        trained(tiny_folder, samples, tmp_path / "cut", Killed(), 2)
    rest = Lengths()
    trained(tiny_folder, samples, tmp_path / "cut", rest, 2)
    assert [len(shown) for shown in rest.shown] == [4, 6, 6], "two portions were there"
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert all(weight.equal(two[name]) for name, weight in one.items())


def test_a_baseline_is_drawn_and_judged_in_the_arithmetic_of_the_training(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within: list[bool] = [False]
    judged: list[bool] = []

    @contextmanager
    def arithmetic() -> Iterator[None]:
        within[0] = True
        yield
        within[0] = False

    class Watched(Lengths):
        def __call__(self, rollouts: Sequence[Rollout]) -> list[Score]:
            judged.append(within[0])
            return super().__call__(rollouts)

    monkeypatch.setattr(proximal, "arithmetic", arithmetic)
    trained(tiny_folder, samples[:6], tmp_path, Watched(), 2)
    assert judged[0]


def test_prompts_of_one_id_have_each_a_baseline_of_its_own(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    alike = [replace(one, id="s1") for one in samples[:6]]
    scorer = Lengths()
    trained(tiny_folder, alike, tmp_path, scorer, 2)
    assert len(scorer.shown[0]) == 12
    assert len(files.read_json(tmp_path / "logs" / "baseline.json")) == 6


def test_without_prompts_nothing_is_drawn(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prompts to answer"):
        trained(tiny_folder, [], tmp_path, Lengths(), 2)
