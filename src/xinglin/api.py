"""The Python API: plain functions over recipes, runs and models.

>>> import xinglin.api as xl
>>> made = xl.plan("recipes/quickstart.yaml")
>>> xl.run(made)
>>> model = xl.open_model("recipes/quickstart.yaml")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xinglin.recipe import models, show
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import Silent, Watcher
from xinglin.recipe.run import run as run_plan
from xinglin.types import ChatModel

if TYPE_CHECKING:
    from xinglin.evaluate.summary import Summary

__all__ = ["open_model", "plan", "results", "run", "trace"]

Source = Path | str


def plan(
    recipe: Source, *, data_root: Source | None = None, runs: Source = "runs", settings: Sequence[str] = ()
) -> Plan:
    """Read a recipe and work out what is done and what is to do; nothing is run or written."""
    root = Path(data_root) if data_root else None
    return models.Places.at(root, Path(runs), settings).plan(Path(recipe))


def run(made: Plan, *, until: str = "", watcher: Watcher | None = None) -> None:
    """Run a plan; finished steps are skipped. `watcher` is told about every step."""
    run_plan(made, watcher=watcher or Silent(), until=until)


def results(made: Plan) -> list[Summary]:
    """The summaries of the plan's finished evaluations."""
    from xinglin.recipe.measure import results as read

    return read(made)


def open_model(spec: str, *, data_root: Source | None = None, runs: Source = "runs") -> ChatModel:
    """Open a MODEL: a recipe's assistant, a folder in Hugging Face format, a hub id, or a script."""
    root = Path(data_root) if data_root else None
    return models.open_model(spec, places=models.Places.at(root, Path(runs)))


def trace(identity: str, *, runs: Source = "runs") -> show.Trace:
    """Walk from a record's id to the facts behind it."""
    return show.trace(identity, runs=Path(runs))
