"""The nouns: ids come from content alone, and every noun survives its way through a file unchanged."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin import types
from xinglin.files import read_records, write_records
from xinglin.types import make_id

NOUNS = [
    getattr(types, name)
    for name in dir(types)
    if dataclasses.is_dataclass(getattr(types, name)) and getattr(types, name).__module__ == types.__name__
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: NUMBER,
    bool: st.booleans(),
    type(None): st.none(),
    Any: JSON,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation: finite numbers only, because JSON has no others."""
    inner = get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(cast(Any, kind), **{name: values(hint) for name, hint in hints.items()})
    if get_origin(kind) is Literal:
        return st.sampled_from(inner)
    if get_origin(kind) is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    if get_origin(kind) is tuple:
        if inner[-1] is Ellipsis:
            return st.lists(values(inner[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, inner))
    return st.one_of(*map(values, inner))


def test_every_noun_of_the_architecture_is_there() -> None:
    names = {noun.__name__ for noun in NOUNS}
    assert names >= {"Fact", "Claim", "Passage", "Sample", "Preference", "Ranking", "Question", "Checkpoint", "Reply"}
    assert names >= {"Decision", "Prediction", "Metric", "Report", "Case", "Episode", "Verdict", "Maker", "Origin"}


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_noun_survives_a_file_unchanged(noun: type[object]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.lists(values(noun), max_size=3))
    def survives(made: list[object]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            assert write_records(path, made) == len(made)
            assert read_records(path, noun) == made
            again = Path(folder) / "again.jsonl"
            write_records(again, read_records(path, noun))
            assert again.read_bytes() == path.read_bytes()

    survives()


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_noun_is_frozen_and_slotted(noun: type[object]) -> None:
    assert noun.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(noun)


def test_ids_are_the_same_on_every_machine_and_in_every_process() -> None:
    assert make_id("fact", "高血压", "科室", "心内科") == "fact-6ae0241e22f9"
    assert make_id("sample", [("user", "甲"), ("assistant", "乙")]) == "sample-47230a145e09"


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_two_records_have_one_id_exactly_when_their_content_is_the_same(one: list[str], two: list[str]) -> None:
    assert (make_id("fact", *one) == make_id("fact", *two)) == (one == two)


@pytest.mark.parametrize(
    ("one", "two"),
    [(("甲乙", "丙"), ("甲", "乙丙")), (("甲", ""), ("甲",)), ((["甲", "乙"],), ("甲", "乙")), ((1,), ("1",))],
)
def test_the_borders_between_the_parts_of_an_id_count(one: tuple[object, ...], two: tuple[object, ...]) -> None:
    assert make_id("fact", *one) != make_id("fact", *two)


def test_lists_and_tuples_of_one_content_have_one_id() -> None:
    make: Callable[..., str] = make_id
    assert make("question", "甲", ["乙", "丙"]) == make("question", "甲", ("乙", "丙"))
