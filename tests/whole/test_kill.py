"""A run that is killed at random points and started again ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from itertools import pairwise
from pathlib import Path

from command import Fault, start, xinglin
from small_regime import write

from xinglin import api
from xinglin.recipe import show
from xinglin.recipe.manifest import NAME
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import outputs

CHANCE = random.Random(20)


def made(root: Path) -> Plan:
    return api.plan(root / "small.yaml", runs=root / "runs")


def run(root: Path, *limits: str, fault: Fault | None = None) -> int:
    """Run the recipe; a run that was not killed must end well."""
    ended = xinglin("run", "small.yaml", *limits, folder=root, fault=fault or Fault())
    assert ended.code in (0, -signal.SIGKILL), ended.err
    return ended.code


def kill_after(root: Path, seconds: float, *limits: str, where: Path | None = None) -> None:
    """Start a run and kill it after some seconds, counted from when the folder `where` appears."""
    command = start("run", "small.yaml", *limits, folder=root)
    while where and not where.exists() and command.process.is_alive():
        time.sleep(0.02)
    time.sleep(seconds)
    command.send(signal.SIGKILL)
    command.end()


def check(root: Path) -> list[str]:
    """What counts as done is whole, and stands before everything that is not; returns the steps done."""
    if any((root / "runs").rglob(NAME)):
        _, faults = show.verify_below(root / "runs")
        assert faults == []
    done = [step.done for step in made(root).steps]
    assert done == sorted(done, reverse=True)
    return [step.name for step in made(root).steps if step.done]


def test_a_run_killed_at_random_points_ends_with_the_artefacts_of_an_uninterrupted_one(
    finished: Path, tmp_path: Path
) -> None:
    write(tmp_path)
    steps = [step.name for step in made(tmp_path).steps]
    reached = []
    training = ("--until", "aligned")  # on a fast machine too, the evaluation is left to the kills below
    for _ in range(4):
        run(tmp_path, *training, fault=Fault(change=CHANCE.randint(1, 40), folder=tmp_path / "runs"))
        reached.append(check(tmp_path))
        kill_after(tmp_path, CHANCE.uniform(0.3, 2.5), *training)
        reached.append(check(tmp_path))
    evaluation = made(tmp_path).folder("tables")
    for _ in range(3):
        assert run(tmp_path, fault=Fault(change=CHANCE.randint(1, 15), folder=evaluation)) == -signal.SIGKILL
        reached.append(check(tmp_path))
        assert "tables" not in reached[-1]
    kill_after(tmp_path, CHANCE.uniform(0.1, 0.5), where=evaluation)
    reached.append(check(tmp_path))
    assert all(set(before) <= set(after) for before, after in pairwise(reached))
    assert run(tmp_path) == 0
    assert check(tmp_path) == steps
    assert outputs(made(tmp_path)) == outputs(made(finished))
    left = [path for step in made(tmp_path).steps for path in step.folder.rglob("*.partial")]
    assert left == []
