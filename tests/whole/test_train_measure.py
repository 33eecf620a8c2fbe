"""A policy before and after: the unit of the comparison is the entity that is asked for, not the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from small_world import make
from xinglin import files
from xinglin.recipe.context import Context
from xinglin.recipe.online import trained_once
from xinglin.train.measure import compare
from xinglin.train.online import Loop
from xinglin.train.rewards import Score
from xinglin.train.rollout import Rollout
from xinglin.types import Sample


def test_means_and_test_are_over_groups_of_prompts(tiny_folder: Path, samples: list[Sample]) -> None:
    groups = ["甲", "乙", "乙", "乙"]
    asked = [
        replace(one, origin=replace(one.origin, group=group)) for one, group in zip(samples[:4], groups, strict=True)
    ]
    seen: list[int] = []

    def scorer(answers: Sequence[Rollout]) -> list[Score]:
        seen.append(len(answers))
        # The second time, after training, the prompts of one group are all worth one more.
        gain = float(len(seen) > 1)
        return [Score(5.0 if one.sample.origin.group == "甲" else gain, {}) for one in answers]

    found = compare(tiny_folder, tiny_folder, asked, scorer=scorer, loop=Loop(rate=0.0, seed=3, max_tokens=4))
    assert seen == [16, 16]
    assert (found["heldout"], found["groups"]) == (4, 2)
    assert (found["reward_before"], found["reward_after"], found["difference"]) == (2.5, 3.0, 0.5)
    assert found["p"] == 1.0, "one group that differs is no evidence, however many its prompts"
    assert found["heldout_kl"] == pytest.approx(0.0, abs=1e-5)


def test_a_training_is_not_repeated_where_only_measuring_it_was_killed(tmp_path: Path) -> None:
    at = Context(tmp_path / "rs", make(tmp_path), "rs", 7, lambda *_: None)
    done: list[int] = []

    def train() -> dict[str, int]:
        done.append(1)
        files.write_text(at.folder / "model" / "weights", "trained")
        files.write_text(at.folder / "metrics.jsonl", '{"step": 1, "loss": 2.0}\n')
        return {"samples": 5, "dropped": 0}

    assert [*trained_once(at, train)] == [*trained_once(at, train)] == ["samples", "dropped"]
    assert len(done) == 1
    files.write_text(at.folder / "model" / "weights", "half of it")
    assert trained_once(at, train) == {"samples": 5, "dropped": 0}
    assert len(done) == 2, "weights that are not those of its end are trained again"
