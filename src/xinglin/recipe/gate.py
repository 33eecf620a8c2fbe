"""Gates that only `waive` opens: a model that loses to its parent is not promoted, a judge at chance judges nothing."""

from __future__ import annotations

from xinglin.errors import GateError
from xinglin.evaluate.compare import Comparison
from xinglin.recipe.manifest import read_manifest
from xinglin.recipe.measure import ASSISTANT, results
from xinglin.recipe.plan import Plan

ENOUGH = 30
"""Held-out comparisons from which on a reward model is judged."""


def lost(made: Plan) -> list[Comparison]:
    """The comparisons with a parent that a model has lost (Holm-adjusted p < 0.05), of all finished evaluations."""
    return [
        one
        for summary in results(made)
        for one in summary.comparisons
        if one.verdict == "worse" and one.child != ASSISTANT
    ]


def check(made: Plan) -> None:
    """A GateError names the first model that has lost and is not among the recipe's `waive`."""
    for one in lost(made):
        if one.child not in made.recipe.waive:
            raise GateError(
                f"{one.child!r} is worse than {one.parent!r} on {one.task}: {100 * one.difference:+.1f} points "
                f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}], Holm p = {one.holm_p:.2g}, n = {one.count}; "
                "it is not promoted",
                where=made.recipe.name,
                fix=f"change the stage, serve an earlier model, or accept the loss: waive: [{one.child}]",
            )


def check_judge(made: Plan, name: str) -> None:
    """A GateError if a reward model does no better than chance on held-out comparisons: what it rewards is noise."""
    manifest = read_manifest(made.folder(name))
    found = manifest.numbers if manifest else {}
    if found.get("heldout", 0) >= ENOUGH and found["low"] <= 0.5 and name not in made.recipe.waive:
        raise GateError(
            f"the reward model {name!r} puts {found['accuracy']:.1%} [{found['low']:.1%}, {found['high']:.1%}] of "
            f"{found['pairs']} held-out pairs in order, which is no better than chance",
            where=made.recipe.name,
            fix=f"train it longer or on more pairs, or use it all the same: waive: [{name}]",
        )
