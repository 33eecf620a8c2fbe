"""Plans: which steps there are, and on what their digests depend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_world import DATA, DRUGS, WHOLE, digests, make
from xinglin import cli, files
from xinglin.errors import DataError
from xinglin.recipe.plan import Plan

READERS = {
    "kb": ("taught", "tables"),
    "taught": ("books", "qa", "dealt", "more"),
    "books": ("base", "pt"),
    "qa": ("base", "sft", "tables"),
    "more": ("base", "rs"),
    "dealt": ("rm", "aligned"),
    "base": ("pt", "tables"),
    "pt": ("sft", "tables"),
    "sft": ("rm", "rs", "tables"),
    "rm": ("rs",),
    "rs": ("aligned", "tables"),
    "aligned": ("tables",),
    "tables": (),
}
"""Who reads a step of WHOLE directly; `base` is trained on the text of all steps that make text."""
KNOBS = {
    "kb": {"max_dropped": 0.5},
    "taught": {"topics": 14, "longest": 99, "relations": ["禁忌"]},
    "qa": {"phrasings": 4, "skip": 1},
    "dealt": {"per_topic": 1, "heldout": 0.4, "skip": 2},
    "more": {"phrasings": 1, "skip": 4},
    "pt": {"epochs": 3, "rate": 0.01, "batch": 2, "length": 64},
    "sft": {"epochs": 0.5, "rate": 0.02},
    "rm": {"batch": 1, "length": 128},
    "rs": {"samples": 8, "keep": 2, "most": 9, "temperature": 1.5, "max_tokens": 5},
    "aligned": {"beta": 0.3, "anchor": 0.0, "most": 77},
    "tables": {"most": 3, "max_tokens": 9, "tasks": ["choice"], "against": "sft"},
}


def changed(one: Plan, two: Plan) -> set[str]:
    before, after = digests(one), digests(two)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def behind(*names: str) -> set[str]:
    """The steps and everything that reads them, directly or not."""
    found = set(names)
    for name in names:
        found |= behind(*READERS[name])
    return found


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawing")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_knob_changes_its_step_and_exactly_what_reads_it(drawing: Path, data: st.DataObject) -> None:
    step = data.draw(st.sampled_from(sorted(KNOBS)))
    knob = data.draw(st.sampled_from(sorted(KNOBS[step])))
    before, after = make(drawing, WHOLE), make(drawing, WHOLE, f"{step}.{knob}={json.dumps(KNOBS[step][knob])}")
    assert changed(before, after) == behind(step)


@settings(max_examples=30, deadline=None)
@given(st.permutations(["pt.epochs=3", "qa.phrasings=4", "tables.most=3", "seed=9", "rs.keep=2"]))
def test_the_order_in_which_knobs_are_set_does_not_matter(drawing: Path, sets: list[str]) -> None:
    assert digests(make(drawing, WHOLE, *sets)) == digests(make(drawing, WHOLE, *sorted(sets)))


def test_the_same_recipe_has_the_same_digests_wherever_it_lies_and_however_it_is_written(tmp_path: Path) -> None:
    one = make(tmp_path / "one", WHOLE)
    two = make(tmp_path / "two", WHOLE.replace("name: example", "name: other  # 注"), "pt.epochs=1", "pt.rate=0.0001")
    assert digests(one) == digests(two)
    assert one.folder("pt").parent.name == "example"
    assert one.folder("pt").name == f"pt-{digests(one)['pt'][:12]}"


def test_the_seed_counts_for_every_step_and_what_is_served_for_none(drawing: Path) -> None:
    before = make(drawing, WHOLE)
    assert changed(before, make(drawing, WHOLE, "seed=8")) == set(READERS)
    assert changed(before, make(drawing, WHOLE, "serve.ask=[甲？]", "serve.model=sft")) == set()


def test_the_content_of_the_source_files_is_part_of_the_digest(tmp_path: Path) -> None:
    before = make(tmp_path, WHOLE)
    files.write_text(tmp_path / "mini" / "drugs" / ".a.yaml.swp", "an editor's file")
    assert changed(before, make(tmp_path, WHOLE)) == set()
    files.write_text(tmp_path / "mini" / "drugs" / "a.yaml", DRUGS.replace("甲类感染", "甲类炎症") + "\n")
    assert changed(before, make(tmp_path, WHOLE)) == behind("kb")


def test_a_missing_source_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file") as caught:
        make(tmp_path, DATA, "kb.sources=[min]")
    assert caught.value.fix == "did you mean mini?"
    with pytest.raises(DataError, match="no such pack"):
        make(tmp_path, DATA, "kb.sources=['pack:stater']")


def test_base_stands_before_its_first_reader_and_reads_the_text_above_it(drawing: Path) -> None:
    made = make(drawing, WHOLE)
    names = list(digests(made))
    assert names.index("base") == names.index("pt") - 1
    base = next(step for step in made.steps if step.name == "base")
    assert list(base.inputs) == ["books", "qa", "more"]
    assert made.parent("pt") == "base"
    assert made.parent("aligned") == "rs"
    assert made.parent("base") == ""
    assert made.behind("rm") == {"kb", "taught", "books", "qa", "more", "dealt", "base", "pt", "sft"}


def test_a_recipe_that_reads_no_model_has_no_base(drawing: Path) -> None:
    assert "base" not in digests(make(drawing, DATA))


def test_a_given_base_depends_on_its_folder_and_on_no_text(tmp_path: Path) -> None:
    files.write_text(tmp_path / "given" / "config.json", "{}")
    before = make(tmp_path, WHOLE, "base=given")
    assert next(step.inputs for step in before.steps if step.name == "base") == {}
    files.write_text(tmp_path / "given" / "config.json", '{"a": 1}')
    assert changed(before, make(tmp_path, WHOLE, "base=given")) == behind("base")


def test_another_shape_of_the_tiny_model_is_a_step_of_its_own(drawing: Path) -> None:
    small = "  small: {do: base, model: tiny, text: [books], hidden: 32, layers: 1, pieces: 300}\n"
    pretrain = "  pt:      {do: pretrain, model: "
    made = make(drawing, WHOLE.replace(f"{pretrain}base", f"{small}{pretrain}small"))
    assert next(step.inputs for step in made.steps if step.name == "small").keys() == {"books"}
    assert made.parent("pt") == "small"


def test_a_plan_is_readable_without_a_terminal(drawing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(drawing, WHOLE)
    cli.invoke(["plan", str(drawing / "example.yaml"), "--runs", str(drawing / "runs")])
    shown = capsys.readouterr().out
    assert "待运行 to do: 13/13" in shown
    for step in made.steps:
        assert step.digest[:12] in shown


def test_the_doctor_is_named_for_times_that_it_can_tell(drawing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for text in (WHOLE, DATA + "  tables: {do: evaluate, models: [base], questions: qa, knowledge: kb}\n"):
        files.write_text(drawing / "example.yaml", text)
        cli.invoke(["plan", str(drawing / "example.yaml"), "--runs", str(drawing / "runs"), "--set", "base=some/model"])
        shown.append(capsys.readouterr().out)
    assert all("无法估计" in one for one in shown)
    assert ["xinglin doctor" in one for one in shown] == [True, False]
