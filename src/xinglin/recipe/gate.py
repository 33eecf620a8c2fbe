"""The regression gate: a model that loses to the model it was trained from is not promoted, unless that is waived."""

from __future__ import annotations

from xinglin.errors import GateError
from xinglin.evaluate.compare import Comparison
from xinglin.recipe.measure import ASSISTANT, results
from xinglin.recipe.plan import Plan


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
