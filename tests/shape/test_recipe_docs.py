"""docs/recipes.md and its English twin name every step and every knob, with the defaults and limits of the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import annotated_types
import pytest
from house import ROOT, name
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from xinglin.recipe.read import STEPS
from xinglin.recipe.schema import Launching, Recipe, Serve

PAGES = {ROOT / "docs" / "recipes.md": "必填", ROOT / "docs" / "en" / "recipes.md": "required"}
# Several `do` of one class (dpo, ipo …) share one table, under the first of them.
_CLASSES = {one: do for do, one in reversed(STEPS.items())}
MAPPINGS: dict[str, type[BaseModel]] = {
    **{do: one for one, do in _CLASSES.items()},
    "recipe": Recipe,
    "serve": Serve,
    "launch": Launching,
}
_HEADING = re.compile(r"^#+ `([a-z]+)`")


def knobs(page: Path) -> dict[tuple[str, str], list[str]]:
    """The cells of every row that starts with a `knob`, by the `step` of the heading above it."""
    found: dict[tuple[str, str], list[str]] = {}
    step = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = _HEADING.match(line)
            step = heading[1] if heading else ""
        elif step and line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[step, cells[0].strip("`")] = cells[1:]
    return found


def default(info: FieldInfo, needed: str) -> str:
    """The default as a recipe would write it, in code marks; the word for "required" where there is none."""
    if info.is_required():
        return needed
    return f"`{written(info.get_default(call_default_factory=True))}`"


def written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, dict | BaseModel):
        return "{}"
    return {None: "null", "": '""', 1_000_000: "1_000_000"}.get(value, str(value))


def bounds(info: FieldInfo) -> list[str]:
    """The limits of a number or a length, as a page writes them."""
    limits: dict[Any, str] = {
        annotated_types.Ge: "ge",
        annotated_types.Gt: "gt",
        annotated_types.Le: "le",
        annotated_types.Lt: "lt",
        annotated_types.MinLen: "min_length",
        annotated_types.MultipleOf: "multiple_of",
    }
    marks = [(type(mark), mark) for mark in info.metadata]
    values = [getattr(mark, limits[kind]) for kind, mark in marks if kind in limits]
    return [f"{value:_}" if value >= 10_000 and value != 2**31 else f"{value}" for value in values]


def fields(mapping: type[BaseModel]) -> dict[str, FieldInfo]:
    return {knob: info for knob, info in mapping.model_fields.items() if knob != "do"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_step_and_every_knob_has_a_row_and_nothing_else_has(page: Path) -> None:
    wanted = {(step, knob) for step, mapping in MAPPINGS.items() for knob in fields(mapping)}
    assert set(knobs(page)) == wanted


@pytest.mark.parametrize("step", MAPPINGS)
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_defaults_on_the_page_are_those_of_the_schema(page: Path, step: str) -> None:
    rows = knobs(page)
    shown = {knob: rows[step, knob][1] for knob in fields(MAPPINGS[step])}
    assert shown == {knob: default(info, PAGES[page]) for knob, info in fields(MAPPINGS[step]).items()}


@pytest.mark.parametrize("step", MAPPINGS)
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_limits_on_the_page_are_those_of_the_schema(page: Path, step: str) -> None:
    rows = knobs(page)
    for knob, info in fields(MAPPINGS[step]).items():
        numbers = re.findall(r"\d[\d_.^]*", rows[step, knob][2])
        missing = [bound for bound in bounds(info) if bound.replace(str(2**31), "2^31") not in numbers]
        assert missing == [], f"{name(page)}: {step}.{knob}"
