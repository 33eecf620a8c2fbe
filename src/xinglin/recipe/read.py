"""YAML → Recipe: every mistake names file, line and key, what is allowed, and the nearest spelling."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from xinglin import files
from xinglin.errors import RecipeError
from xinglin.recipe import schema, training
from xinglin.text import shorten

Places = dict[tuple[str, ...], str]
"""Where each key of a recipe stands: file:line, or the --set it came from."""
_MAPPINGS = ("launch", "lora", "verify")
RESERVED = ("base", "assistant")
"""Names that an evaluation gives to models which no step of the recipe makes."""


def _step_classes() -> dict[str, type[schema.Step]]:
    classes = (
        schema.Base, schema.KnowledgeStep, schema.Import, schema.Clean, schema.Deidentify, schema.Dedup,
        schema.Decontaminate, schema.Split, schema.Mix, schema.Noise, schema.Select,
        schema.Statements, schema.Templates, schema.PairsStep,
        training.Vocab, training.Pretrain, training.Sft, training.Reward, training.Contrast, training.Reject,
        training.Prefer, training.Ppo, training.Grouped, training.Distill, training.Merge,
        schema.Evaluate,
    )  # fmt: skip
    return {do: one for one in classes for do in one.model_fields["do"].annotation.__args__}  # type: ignore[union-attr]


STEPS = _step_classes()
"""The steps a recipe may name, by their `do`."""


def read_recipe(path: Path, *, settings: Sequence[str] = ()) -> schema.Recipe:
    """Read a recipe and apply `key=value` settings (`base=tiny`, `sft.epochs=2`); check every reference."""
    document = files.read_document(path)
    tree, places = _parse(document.text, path)
    for setting in settings:
        _set(tree, setting, places)
    try:
        recipe = schema.Recipe.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, places) from None
    _check_references(recipe, places)
    return recipe


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a recipe says everything where it stands."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            problem = f"a recipe has no aliases, write out what *{event.anchor} is"
            raise ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], Places]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        tree = loader.construct_document(node) if node is not None else None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(
            f"malformed YAML: {error.reason}", where=f"{path}:{line}", fix="remove this character"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "cannot be parsed"
        fix = "check indentation, brackets and quotes near this line"
        raise RecipeError(f"malformed YAML: {problem}", where=f"{path}:{line}", fix=fix) from None
    except ValueError as error:  # PyYAML reads 2024-13-45 as a date, and fails
        raise RecipeError(f"malformed YAML: {error}", where=str(path), fix="put dates and times in quotes") from None
    if not isinstance(tree, dict) or node is None:
        raise RecipeError(
            "the recipe is empty or not a mapping", where=f"{path}:1", fix="start from recipes/quickstart.yaml"
        )
    places: Places = {(): f"{path}:1"}
    _record(node, (), places, path)
    return tree, places


def _record(node: yaml.Node, within: tuple[str, ...], places: Places, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*within, str(key.value))
            where = f"{path}:{key.start_mark.line + 1}"
            if here in places:
                first = places[here].rpartition(":")[2]
                raise RecipeError(
                    f"the key {key.value!r} stands twice (first on line {first})",
                    where=where,
                    fix="remove or rename one of them",
                )
            places[here] = where
            _record(value, here, places, path)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            places[(*within, str(at))] = f"{path}:{value.start_mark.line + 1}"
            _record(value, (*within, str(at)), places, path)


def _set(tree: dict[str, Any], setting: str, places: Places) -> None:
    key, equals, text = setting.partition("=")
    where = f"--set {setting}"
    if not equals or not key.strip():
        raise RecipeError(f"cannot read the setting {setting!r}", where="--set", fix="write --set step.knob=value")
    parts = key.strip().split(".")
    if parts[0] not in schema.Recipe.model_fields:
        parts = ["steps", *parts]
    target: Any = tree
    for at, part in enumerate(parts[:-1]):
        if part in _MAPPINGS and isinstance(target, dict) and target.get(part) is None:
            target[part] = {}  # a mapping with defaults need not stand in the file
        if not isinstance(target, dict) or part not in target:
            raise _nothing_to_set(".".join(parts[: at + 1]), target, where)
        target = target[part]
    if not isinstance(target, dict) or target is tree.get("steps"):
        raise _nothing_to_set(".".join(parts), target, where)
    try:
        target[parts[-1]] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise RecipeError(f"cannot set {key!r} to {text!r}", where=where, fix="write a YAML value") from None
    for place in [place for place in places if place[: len(parts)] == tuple(parts)]:
        del places[place]
    places[tuple(parts)] = where


def _nothing_to_set(key: str, target: Any, where: str) -> RecipeError:
    key = key.removeprefix("steps.")
    if not isinstance(target, dict):
        fix = "nothing can be set below it"
    elif "." in key:
        fix = _nearest(key.rpartition(".")[2], [str(one) for one in target])
    elif key in target:
        fix = f"write --set step.knob=value; knobs of {key}: {', '.join(_knobs(target[key]))}"
    else:
        fix = "write --set step.knob=value; " + _nearest(key, [*map(str, target), *schema.Recipe.model_fields])
    return RecipeError(f"there is no {key!r} to set", where=where, fix=fix)


def _knobs(step: Any) -> list[str]:
    """What can be set of a step as it stands in the file."""
    kind = STEPS.get(str(step.get("do"))) if isinstance(step, dict) else None
    return [name for name in kind.model_fields if name != "do"] if kind else ["do"]


def _explain(error: ValidationError, places: Places) -> RecipeError:
    """The first problem of a validation as a RecipeError with line, allowed keys and the nearest spelling."""
    problems = error.errors(include_url=False)
    beside = problems[0]["loc"][:-1]
    # A misspelt key that is needed is missing, too: the spelling is the mistake.
    misspelt = (one for one in problems if one["type"] == "extra_forbidden" and one["loc"][:-1] == beside)
    problem = next(misspelt, problems[0])
    place = [str(part) for part in problem["loc"]]
    # The discriminator's value is part of pydantic's location but not of the file.
    within = len(place) > 2 and place[0] == "steps" and place[2] in STEPS
    do = place.pop(2) if within else ""
    if place[-1:] == ["[key]"]:
        place.pop()
    model = _holder(do, place)
    text, fix = _problem(problem, place, list(model.model_fields))
    return RecipeError(text, where=_where(places, *place), fix=fix)


def _holder(do: str, place: list[str]) -> type[Any]:
    """Whose keys stand beside the one at `place`; `do` is empty outside of a step."""
    if do:
        return training.Lora if place[2:3] == ["lora"] and len(place) > 3 else STEPS[do]
    blocks: dict[str, type[Any]] = {"serve": schema.Serve, "launch": schema.Launching}
    return blocks.get(place[0], schema.Recipe) if len(place) > 1 else schema.Recipe


def _where(places: Places, *place: str) -> str:
    """Where a key stands, or else what holds it."""
    return next(places[place[:end]] for end in range(len(place), -1, -1) if place[:end] in places)


def _problem(problem: Any, place: list[str], allowed: list[str]) -> tuple[str, str]:
    """What pydantic found, in our words: the problem and how to mend it."""
    key, given, kind = ".".join(place), problem.get("input"), problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key {key!r}", _nearest(place[-1], allowed)
    if kind == "missing":
        return f"the key {key!r} is missing", f"add it; keys here: {', '.join(allowed)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        do = given.get("do") if isinstance(given, dict) else None
        text = f"step {place[1]!r} has an unknown `do`: {do!r}" if do else f"step {place[1]!r} has no `do`"
        return text, _nearest(str(do or ""), list(STEPS))
    if kind == "literal_error":
        expected = [word.strip("'") for word in problem["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{key}: {given!r} is not known", _nearest(str(given), expected)
    if kind == "string_pattern_mismatch":
        return f"{key}: {given!r} is no name", "use lower-case letters, digits and _ (a recipe's name also -)"
    if kind == "value_error":
        return f"{key}: {problem['ctx']['error']}".removeprefix(": "), "see the keys of this step in docs/recipes.md"
    shown = shorten(repr(given), 60)
    return f"{key}: {problem['msg']}", f"got {shown}; see docs/recipes.md"


_ELSEWHERE = {
    "learning_rate": "rate", "lr": "rate", "num_train_epochs": "epochs", "max_length": "length", "cutoff_len": "length",
    "max_seq_length": "length", "per_device_train_batch_size": "micro", "train_batch_size": "batch",
    "weight_decay": "decay", "warmup_ratio": "warmup", "gradient_checkpointing": "recompute",
    "max_new_tokens": "max_tokens", "num_generations": "samples", "lora_rank": "rank", "lora_alpha": "alpha",
    "lora_dropout": "dropout", "target_modules": "targets", "finetuning_type": "tune", "kl_coef": "beta",
}  # fmt: skip
"""What other programs call our knobs."""


def _nearest(given: str, allowed: list[str]) -> str:
    known = [*allowed, *(name for name, own in _ELSEWHERE.items() if own in allowed)]
    near = [_ELSEWHERE.get(one, one) for one in difflib.get_close_matches(given, known, n=1, cutoff=0.5)]
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed)}"


def _check_references(recipe: schema.Recipe, places: Places) -> None:
    earlier: dict[str, tuple[str, ...]] = {"base": schema.Base.makes}
    for name, step in recipe.steps.items():
        if name in RESERVED:
            where = _where(places, "steps", name)
            raise RecipeError(f"no step may be called {name!r}", where=where, fix="rename the step")
        _check_step(step, ("steps", name), earlier, places)
        made = schema.nouns(step, earlier)
        if not made:
            reads = ", ".join(f"{one} ({', '.join(earlier[one])})" for one in getattr(step, "inputs", ()))
            where = _where(places, "steps", name, "inputs")
            raise RecipeError(f"the inputs of {name!r} have no noun in common", where=where, fix=f"inputs: {reads}")
        earlier[name] = made
    if recipe.serve:
        _check_step(recipe.serve, ("serve",), earlier, places)
    for at, name in enumerate(recipe.waive):
        if name not in recipe.steps:
            where = _where(places, "waive", str(at))
            raise RecipeError(f"waive names no step: {name!r}", where=where, fix=_nearest(name, list(recipe.steps)))


def _check_step(step: Any, place: tuple[str, ...], earlier: dict[str, tuple[str, ...]], places: Places) -> None:
    for field, noun, target in schema.references(step):
        where = _where(places, *place, field)
        fits = schema.RECORDS if noun == "records" else (noun,)
        makers = [name for name, nouns in earlier.items() if not set(nouns).isdisjoint(fits)]
        choices = f"steps above that make {noun}: {', '.join(makers) or 'none'}"
        key = ".".join((*place, field))
        if target not in earlier:
            near = difflib.get_close_matches(target, makers, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"{key}: there is no step {target!r} above", where=where, fix=hint + choices)
        if target not in makers:
            made = " and ".join(earlier[target])
            raise RecipeError(f"{key} needs {noun}, but {target!r} makes {made}", where=where, fix=choices)
