"""YAML → Recipe: every mistake names file, line and key, what is allowed, and the nearest spelling."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from xinglin import files
from xinglin.errors import RecipeError
from xinglin.recipe import schema

Lines = dict[tuple[str, ...], int]


def _step_classes() -> dict[str, type[schema.Step]]:
    classes = (
        schema.KnowledgeStep, schema.Select, schema.Statements, schema.Templates, schema.PairsStep, schema.Pretrain,
        schema.Sft, schema.Reward, schema.Reject, schema.Dpo, schema.Evaluate,
    )  # fmt: skip
    return {one.model_fields["do"].annotation.__args__[0]: one for one in classes}  # type: ignore[union-attr]


STEPS = _step_classes()
"""The steps a recipe may name, by their `do`."""


def read_recipe(path: Path, *, settings: Sequence[str] = ()) -> schema.Recipe:
    """Read a recipe and apply `key=value` settings (`base=tiny`, `sft.epochs=2`); check every reference."""
    document = files.read_document(path)
    tree, lines = _parse(document.text, path)
    for setting in settings:
        _set(tree, setting)
    try:
        recipe = schema.Recipe.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, tree, lines, path) from None
    _check_references(recipe, lines, path)
    return recipe


def _parse(text: str, path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise RecipeError(f"malformed YAML: {problem}", where=f"{path}:{line}", fix="check the indentation") from None
    if not isinstance(tree, dict) or node is None:
        raise RecipeError(
            "the recipe is empty or not a mapping", where=f"{path}:1", fix="start from recipes/quickstart.yaml"
        )
    lines: Lines = {}
    _record(node, (), lines, path)
    return tree, lines


def _record(node: yaml.Node, place: tuple[str, ...], lines: Lines, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                raise RecipeError(
                    f"the key {key.value!r} stands twice (first on line {lines[here]})",
                    where=f"{path}:{key.start_mark.line + 1}",
                    fix="remove or rename one of them",
                )
            lines[here] = key.start_mark.line + 1
            _record(value, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            lines[(*place, str(at))] = value.start_mark.line + 1
            _record(value, (*place, str(at)), lines, path)


def _set(tree: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"cannot read the setting {setting!r}", where="--set", fix="write --set step.knob=value")
    parts = key.strip().split(".")
    if parts[0] not in schema.Recipe.model_fields:
        parts = ["steps", *parts]
    target: Any = tree
    for at, part in enumerate(parts[:-1]):
        if not isinstance(target, dict) or part not in target:
            known = ", ".join(target) if isinstance(target, dict) else "nothing below it"
            raise RecipeError(
                f"there is no {'.'.join(parts[: at + 1])!r} to set", where=f"--set {setting}", fix=f"there is: {known}"
            )
        target = target[part]
    try:
        target[parts[-1]] = yaml.safe_load(value)
    except (yaml.YAMLError, TypeError):
        raise RecipeError(
            f"cannot set {key!r} to {value!r}", where=f"--set {setting}", fix="write a YAML value"
        ) from None


def _explain(error: ValidationError, tree: dict[str, Any], lines: Lines, path: Path) -> RecipeError:
    """The first problem of a validation as a RecipeError with line, allowed keys and the nearest spelling."""
    problem = error.errors(include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    # The discriminator's value is part of pydantic's location but not of the file.
    within = len(place) > 2 and place[0] == "steps" and place[2] in STEPS
    do = place.pop(2) if within else ""
    line = next((lines[tuple(place[:end])] for end in range(len(place), 0, -1) if tuple(place[:end]) in lines), 1)
    key = ".".join(place)
    model = STEPS.get(do) or (schema.Serve if place[:1] == ["serve"] else schema.Recipe)
    if problem["type"] == "extra_forbidden":
        text, fix = f"unknown key {key!r}", _nearest(place[-1], list(model.model_fields))
    elif problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        step = tree.get("steps", {}).get(place[1]) if isinstance(tree.get("steps"), dict) else None
        given = step.get("do") if isinstance(step, dict) else None
        text = f"step {place[1]!r} has an unknown `do`: {given!r}" if given else f"step {place[1]!r} has no `do`"
        fix = _nearest(str(given or ""), list(STEPS))
    else:
        text, fix = f"{key}: {problem['msg']}", f"got {problem.get('input')!r}; see docs/recipes.md"
    if problem["type"] == "missing":
        text, fix = f"the key {key!r} is missing", f"add it; keys here: {', '.join(model.model_fields)}"
    return RecipeError(text, where=f"{path}:{line}", fix=fix)


def _nearest(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def _check_references(recipe: schema.Recipe, lines: Lines, path: Path) -> None:
    earlier: dict[str, tuple[str, ...]] = {"base": schema.Base.makes}
    if "base" in recipe.steps:
        raise RecipeError(
            "no step may be called 'base'", where=f"{path}:{lines[('steps', 'base')]}", fix="rename the step"
        )
    for name, step in recipe.steps.items():
        _check_step(step, ("steps", name), earlier, lines=lines, path=path)
        earlier[name] = step.makes
    if recipe.serve:
        _check_step(recipe.serve, ("serve",), earlier, lines=lines, path=path)


def _check_step(
    step: Any, place: tuple[str, ...], earlier: dict[str, tuple[str, ...]], *, lines: Lines, path: Path
) -> None:
    for field, noun, target in schema.references(step):
        where = f"{path}:{lines.get((*place, field), lines.get(place, 1))}"
        makers = [name for name, nouns in earlier.items() if noun in nouns]
        choices = f"steps above that make {noun}: {', '.join(makers) or 'none'}"
        key = ".".join((*place, field))
        if target not in earlier:
            near = difflib.get_close_matches(target, makers, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"{key}: there is no step {target!r} above", where=where, fix=hint + choices)
        if noun not in earlier[target]:
            made = " and ".join(earlier[target])
            raise RecipeError(f"{key} needs {noun}, but {target!r} makes {made}", where=where, fix=choices)
