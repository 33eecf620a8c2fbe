"""One process of a training step that several processes share: `torchrun … -m xinglin.recipe.worker JOB`.

JOB is a file that `parallel.train` wrote: the recipe, where its data and results are, and the step. The first process
reports progress on its standard output, one JSON object a line, and at the end what the step wants remembered; a
mistake is told by whoever finds it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from xinglin import files
from xinglin.errors import MedError
from xinglin.recipe import parallel
from xinglin.recipe.context import Context
from xinglin.recipe.plan import plan
from xinglin.recipe.schema import Recipe
from xinglin.recipe.steps import STEPS
from xinglin.train import together


def main(job: Path) -> int:
    """Run the step of a job; returns the exit code."""
    told = files.read_json(job)
    made = plan(Recipe.model_validate_json(told["recipe"]), root=Path(told["root"]), runs=Path(told["runs"]))
    step = next(one for one in made.steps if one.name == told["step"])
    speaks = os.environ.get("RANK", "0") == "0"

    def tell(kind: str, value: object) -> None:
        print(json.dumps({kind: value}), flush=True)

    def say(kind: str, value: object) -> None:
        if speaks:
            tell(kind, value)

    context = Context(step.folder, made, step.name, made.recipe.seed, lambda *moved: say("moved", moved))
    together.take_device()
    try:
        if isinstance(step.step, parallel.ONLINE):
            together.join()
        numbers = STEPS[type(step.step)](step.step, context)
    except MedError as error:
        # Any process may be the one that sees it; the others wait for it until torchrun ends them.
        tell("error", {"code": error.code, "problem": error.problem, "where": error.where, "fix": error.fix})
        return error.code
    finally:
        together.leave()
    say("numbers", numbers)
    return 0


if __name__ == "__main__":
    together.end(main(Path(sys.argv[1])))
