"""docs/coverage.md: every acceptance row once, and nothing is called done without a command that shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from house import ROOT, is_ours, problem

GROUPS = {"A": 17, "B": 9, "C": 16, "D": 6, "E": 13, "F": 13, "G": 6, "X": 20}
STATES = ("done", "started", "open")
NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    id: str
    seeds: str
    what: str
    state: str
    evidence: str

    @property
    def commands(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.evidence)


def read_rows() -> list[Row]:
    lines = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8").splitlines()
    tables = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    return [Row(*cells) for cells in tables if re.fullmatch(r"[A-Z]\d+", cells[0])]


ROWS = read_rows()


def test_every_row_stands_exactly_once_and_in_order() -> None:
    assert [row.id for row in ROWS] == [
        f"{group}{number}" for group, count in GROUPS.items() for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_says_in_both_languages_what_it_is_and_has_a_known_state(row: Row) -> None:
    assert re.search(r"[\u4e00-\u9fff].* · .*[A-Za-z]", row.what)
    assert row.state in STATES
    assert re.fullmatch(r"[ICHQG]*\+?", row.seeds)


@pytest.mark.parametrize("row", [row for row in ROWS if row.state == "done"], ids=lambda row: row.id)
def test_what_is_done_has_a_command_that_shows_it(row: Row) -> None:
    assert row.commands


@pytest.mark.parametrize("row", [row for row in ROWS if row.state != "open"], ids=lambda row: row.id)
def test_the_commands_named_as_evidence_exist(row: Row) -> None:
    assert [(one, problem(one)) for one in row.commands if not is_ours(one) or problem(one)] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.state == "open"], ids=lambda row: row.id)
def test_an_open_row_claims_no_evidence(row: Row) -> None:
    assert row.evidence == NOTHING
