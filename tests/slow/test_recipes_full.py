"""The two recipes exactly as shipped, and what the README says of their results."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from real_data import DATA
from xinglin.evaluate.compare import Comparison
from xinglin.evaluate.summary import Summary
from xinglin.recipe.measure import results
from xinglin.recipe.models import Places
from xinglin.recipe.run import Silent, run

REPOSITORY = Path(__file__).parents[2]


def _run(name: str, runs: Path, root: Path | None = None) -> Summary:
    made = Places(root=root, runs=runs).plan(REPOSITORY / "recipes" / f"{name}.yaml")
    run(made, watcher=Silent())
    return results(made)[0]


def _compared(summary: Summary, child: str, parent: str, task: str) -> Comparison:
    return next(row for row in summary.comparisons if (row.child, row.parent, row.task) == (child, parent, task))


def _each_stage_helps(summary: Summary) -> None:
    choice = _compared(summary, "pt", "base", "choice")
    recall = _compared(summary, "sft", "pt", "recall")
    assert min(choice.count, recall.count) >= 300
    assert choice.difference > 0
    assert choice.holm_p < 0.01
    assert recall.difference > 0
    assert recall.holm_p < 0.01


@pytest.mark.slow
def test_the_quickstart_teaches_what_it_says(tmp_path: Path) -> None:
    started = time.monotonic()
    summary = _run("quickstart", tmp_path)
    _each_stage_helps(summary)
    assert _compared(summary, "aligned", "sft", "recall").low > -0.03
    print(f"quickstart: {time.monotonic() - started:.0f} s")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_the_leaflets_end_with_the_94_drugs(tmp_path: Path) -> None:
    summary = _run("leaflets", tmp_path, DATA)
    _each_stage_helps(summary)
    assistant = next(table for table in summary.indications if table.model == "assistant")
    assert assistant.every[0].count == 94
    assert 0 < assistant.held[0].count < 94
    assert assistant.absent_wrong == 0
    assert assistant.absent_abstained == assistant.absent
