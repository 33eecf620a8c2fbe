"""One training stage on files, as the recipe that says the same: import the files, train, and nothing else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from xinglin import files
from xinglin.errors import DataError, RecipeError
from xinglin.recipe import schema
from xinglin.recipe.models import weights_of
from xinglin.recipe.plan import Plan, plan
from xinglin.recipe.read import STEPS, read_recipe

NAME = "train"
NOUNS = {
    "pretrain": "passages",
    "sft": "samples",
    "reward": "preferences",
    **dict.fromkeys(("dpo", "ipo", "kto", "orpo", "simpo"), "preferences"),
    **dict.fromkeys(("ppo", "grpo", "rloo"), "samples"),
}
"""The stages that need one model and one kind of records, and which."""
_REWARDED = ("ppo", "grpo", "rloo")
_REWARDS = re.compile(r"nothing rewards|need the key knowledge|\.(reward|knowledge): there is no step")
_REWARD = (
    "by itself the stage has verifiers that need no other step: --set 'verify={form: 1, safety: 1}', or for exam "
    "questions --set data.noun=questions --set 'verify={exam: 1}'; a reward model and facts stand in a recipe "
    "(docs/recipes.md)"
)


@dataclass(frozen=True, slots=True)
class Single:
    """A stage, the model it starts from (folder, hub id or `tiny`), and the files it learns from.

    `settings` are `knob=value` of the stage, `data.knob=value` of the import (`data.noun`, `data.format`,
    `data.licence`), and `seed` and `launch.…` of the recipe.
    """

    stage: str
    model: str
    data: Sequence[Path]
    settings: Sequence[str] = ()


def plan_single(single: Single, *, runs: Path) -> tuple[Plan, Path]:
    """Plan the stage; the recipe with all that was set is written below `runs`, and its path returned."""
    if single.stage not in NOUNS:
        near = difflib.get_close_matches(single.stage, NOUNS, n=1, cutoff=0.5)
        raise RecipeError(
            f"no stage {single.stage!r} can be trained by itself",
            where="xinglin train",
            fix=(f"did you mean {near[0]!r}? " if near else "")
            + f"stages: {', '.join(NOUNS)}; all others stand in a recipe (docs/recipes.md)",
        )
    for path in single.data:
        if not path.exists():
            raise DataError("there is no such file", where=str(path), fix="check the path")
    made = plan(_read(single), root=Path.cwd(), runs=runs)
    # One file per result: a recipe of another run of the stage, and one being written, stay as they are.
    path = made.folder(single.stage).with_suffix(".yaml")
    files.write_text(path, _dump(made.recipe.model_dump(mode="json", exclude_unset=True)))
    return made, path


def _read(single: Single) -> schema.Recipe:
    with TemporaryDirectory() as draft:
        path = Path(draft) / f"{single.stage}.yaml"
        files.write_text(path, _dump(_tree(single)))
        try:
            return read_recipe(path, settings=[_full(setting, single.stage) for setting in single.settings])
        except RecipeError as error:
            if error.where.startswith(str(path)):
                error.where = f"xinglin train {single.stage}"  # lines of a file that nobody has written say nothing
            if single.stage in _REWARDED and _REWARDS.search(error.problem):
                error.fix = _REWARD
            raise


def _tree(single: Single) -> dict[str, Any]:
    data = {"do": "import", "input": [str(path.resolve()) for path in single.data], "noun": NOUNS[single.stage]}
    field = "data" if "data" in STEPS[single.stage].model_fields else "prompts"
    stage = {"do": single.stage, "model": "base", field: "data"}
    model = Path(weights_of(single.model))
    base = str(model.resolve()) if model.is_dir() else single.model
    return {"name": NAME, "base": base, "steps": {"data": data, single.stage: stage}}


def _full(setting: str, stage: str) -> str:
    """A knob of the stage, or of its data, as a setting of the recipe."""
    key = setting.partition("=")[0].partition(".")[0].strip()
    if key in ("base", "name", "steps", "serve"):
        raise RecipeError(
            f"{key!r} cannot be set here",
            where=f"--set {setting}",
            fix="name the model with --model, or write a recipe",
        )
    return setting if key in ("data", stage, *schema.Recipe.model_fields) else f"{stage}.{setting}"


def _dump(tree: dict[str, Any]) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False, width=120)
