"""The pins are exact and complete, and docs/licences.md names every package we chose with its pinned version."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution

import pytest
from house import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(text: str) -> str:
    """A package's name without version, extras and spelling differences (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!;\s]", text, maxsplit=1)[0]).lower()


RUNTIME = [normal(one) for one in PROJECT["project"]["dependencies"]]
DEVELOPMENT = [normal(one) for one in PROJECT["dependency-groups"]["dev"]]
LINES = [
    line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
]
PINS = {normal(line): line.partition("==")[2] for line in LINES}


def needed(package: str, seen: set[str]) -> set[str]:
    """A package and, of what it asks for without extras, all that is installed here."""
    if package in seen or package not in PINS:
        return seen | {package}
    seen = seen | {package}
    for asked in distribution(package).requires or ():
        if ";" not in asked:
            seen = needed(normal(asked), seen)
    return seen


def test_every_pin_is_exact_without_a_local_label() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
    assert len(PINS) == len(LINES)


def test_everything_that_our_packages_ask_for_is_pinned() -> None:
    asked: set[str] = set()
    for package in [*RUNTIME, *DEVELOPMENT]:
        asked = needed(package, asked)
    assert sorted(asked - set(PINS)) == []


@pytest.mark.parametrize("package", sorted({*RUNTIME, *DEVELOPMENT}))
def test_the_licence_page_names_the_pinned_version(package: str) -> None:
    rows = re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| ([^|]+) \|", _page(), re.MULTILINE)
    assert [(version, bool(licence.strip())) for name, version, licence in rows if normal(name) == package] == [
        (PINS[package], True)
    ]


def _page() -> str:
    return (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
