"""De-identification on texts of our own writing, the open half: what it was developed on, so a floor and no result."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

OPEN = Path(__file__).parent / "privacy_open.jsonl"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "privacy.py"
    spec = importlib.util.spec_from_file_location("bench_privacy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_corpus_is_large_and_a_third_of_it_holds_nothing(bench: ModuleType) -> None:
    cases = bench.read_cases(OPEN)
    free = sum(not case.gold for case in cases)
    assert len(cases) >= 160
    assert free >= 50
    assert len({kind for case in cases for kind in (one.type for one in case.gold)}) == 20


def test_identifiers_are_found_and_texts_without_any_are_left_alone(bench: ModuleType) -> None:
    scores = bench.score(bench.read_cases(OPEN))
    for kind in ("ID_CARD", "PHONE", "BANK_CARD", "EMAIL", "MRN"):
        assert scores.lenient[kind] >= 0.98 * scores.gold[kind], kind
    named = scores.gold["NAME"] + scores.gold["DOCTOR"]
    assert scores.lenient["NAME"] + scores.lenient["DOCTOR"] >= 0.9 * named
    assert sum(scores.leaked.values()) <= 0.05 * sum(scores.characters.values())
    assert scores.spurious <= 0.1 * scores.free


def test_an_interval_of_wilson_is_the_published_one(bench: ModuleType) -> None:
    low, high = bench.wilson(81, 263)  # Newcombe 1998, table I
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
