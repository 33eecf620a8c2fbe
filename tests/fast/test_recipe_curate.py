"""Steps for data in a recipe: records of any noun in, the same noun out, and a gate against contamination."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin import api, files
from xinglin.errors import DataError, GateError, RecipeError
from xinglin.recipe.manifest import read_manifest
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import Silent, run
from xinglin.types import Origin, Passage, Preference, Sample

ROWS = [
    {"instruction": "最近三天头痛并且恶心怎么办", "input": "", "output": "注意休息，必要时到医院检查。"},
    {"instruction": "最近三天头痛，并且恶心，怎么办", "input": "", "output": "注意休息，必要时到医院检查。"},
    {"instruction": "皮疹瘙痒半个月需要看什么科", "input": "", "output": "可以看皮肤科，我的电话是13800138000。"},
    {"instruction": "孩子发热三十九度要不要去医院", "input": "", "output": "建议尽快就医，多喝水。"},
    {"instruction": "失眠两个月白天没有精神怎么调理", "input": "", "output": "规律作息，少喝咖啡。"},
]
EXAM = [{"question": "孩子发热三十九度要不要去医院", "options": "(A) 要\n(B) 不要", "answer": "(A)", "source": "own"}]
RECIPE = """\
name: curated
steps:
  raw:   {do: import, input: [rows.json], licence: CC-BY-4.0}
  once:  {do: dedup, inputs: [raw]}
  clear: {do: decontaminate, inputs: [once], against: [exam.json], remove: true}
"""


def plan(root: Path, recipe: str = RECIPE) -> Plan:
    files.write_json(root / "rows.json", ROWS)
    files.write_json(root / "exam.json", EXAM)
    files.write_text(root / "r.yaml", recipe)
    return api.plan(root / "r.yaml", runs=root / "runs")


def made(root: Path, recipe: str = RECIPE) -> Plan:
    plotted = plan(root, recipe)
    run(plotted, watcher=Silent())
    return plotted


def numbers(plotted: Plan, step: str) -> dict[str, object]:
    manifest = read_manifest(plotted.folder(step))
    assert manifest is not None
    return manifest.numbers


def test_records_are_imported_deduplicated_and_decontaminated(tmp_path: Path) -> None:
    plotted = made(tmp_path)
    samples = files.read_records(plotted.folder("clear") / "samples.jsonl", Sample)
    assert [sample.messages[0].content for sample in samples] == [ROWS[at]["instruction"] for at in (0, 2, 4)]
    assert {sample.origin.licence for sample in samples} == {"CC-BY-4.0"}
    assert numbers(plotted, "raw")["kept"] == 5
    assert (numbers(plotted, "once")["read"], numbers(plotted, "once")["kept"]) == (5, 4)
    assert numbers(plotted, "clear")["contaminated exam"] == 1
    assert (plotted.folder("once") / "removed.samples.jsonl").is_file()


def test_a_hit_fails_the_build_unless_it_is_waived_by_name(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="1 evaluation item") as caught:
        made(tmp_path, RECIPE.replace(", remove: true", ""))
    assert "exam" in caught.value.where
    plotted = made(tmp_path, RECIPE.replace("remove: true", "waive: [exam]"))
    assert numbers(plotted, "clear")["waived exam"] == 1
    assert numbers(plotted, "clear")["kept"] == 4


def test_a_changed_source_file_runs_the_import_again(tmp_path: Path) -> None:
    made(tmp_path)
    assert all(step.done for step in plan(tmp_path).steps)
    files.write_json(tmp_path / "rows.json", ROWS[:3])
    again = api.plan(tmp_path / "r.yaml", runs=tmp_path / "runs")
    assert [step.name for step in again.steps if step.done] == []


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("inputs: [raw]", "inputs: [row]", "there is no step 'row' above"),
        ("inputs: [raw]", "inputs: []", "once.inputs"),
        ("licence: CC-BY-4.0", "noun: facts", "raw.noun: 'facts' is not known"),
        ("licence: CC-BY-4.0", "noun: questions", "rows are read as samples, and questions are needed"),
        ("do: dedup", "do: dedupe", "unknown `do`: 'dedupe'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, before: str, after: str, problem: str) -> None:
    with pytest.raises((RecipeError, Exception), match=problem):
        made(tmp_path, RECIPE.replace(before, after, 1))


def test_inputs_without_a_noun_in_common_are_refused(tmp_path: Path) -> None:
    recipe = RECIPE.replace("  once:", "  text:  {do: import, input: [a.txt], noun: passages}\n  once:")
    with pytest.raises(RecipeError, match="no noun in common"):
        plan(tmp_path, recipe.replace("inputs: [raw]", "inputs: [raw, text]"))


def lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_passages_and_preferences_pass_too(tmp_path: Path) -> None:
    texts = [{"text": f"第{at}段，讲的是头痛的常见原因和处理。"} for at in range(9)]
    pair = {"response_chosen": "好答", "response_rejected": "坏答"}
    files.write_text(tmp_path / "a.jsonl", lines(texts))
    files.write_text(tmp_path / "p.jsonl", lines([{"question": f"第{at}个问题怎么办", **pair} for at in range(40)]))
    plotted = made(
        tmp_path,
        "name: two\nsteps:\n"
        "  text: {do: import, input: [a.jsonl], noun: passages}\n"
        "  some: {do: dedup, inputs: [text], threshold: 1}\n"
        "  pref: {do: import, input: [p.jsonl], noun: preferences}\n"
        "  kept: {do: dedup, inputs: [pref], threshold: 1}\n",
    )
    assert len(files.read_records(plotted.folder("some") / "passages.jsonl", Passage)) == 9
    train = files.read_records(plotted.folder("kept") / "preferences.jsonl", Preference)
    held = files.read_records(plotted.folder("kept") / "heldout.jsonl", Preference)
    assert len(train) + len(held) == 40
    assert held


def test_every_verb_is_a_step(tmp_path: Path) -> None:
    plotted = made(
        tmp_path,
        "name: all\nsteps:\n"
        "  raw:   {do: import, input: [rows.json]}\n"
        "  clean: {do: clean, inputs: [raw]}\n"
        "  mask:  {do: deidentify, inputs: [clean]}\n"
        "  train: {do: split, inputs: [mask], part: train, test: 0.4}\n"
        "  test:  {do: split, inputs: [mask], part: test, test: 0.4}\n"
        "  mixed: {do: mix, inputs: [train, test], weights: [1, 1]}\n"
        "  noisy: {do: noise, inputs: [mask], level: 3, share: 1}\n",
    )
    masked = (plotted.folder("mask") / "samples.jsonl").read_text(encoding="utf-8")
    assert "13800138000" not in masked
    kept = numbers(plotted, "clean")["kept"]
    assert isinstance(kept, int)
    parts = [files.read_records(plotted.folder(name) / "samples.jsonl", Sample) for name in ("train", "test")]
    assert sum(map(len, parts)) == kept
    assert {sample.id for sample in parts[0]}.isdisjoint(sample.id for sample in parts[1])
    assert numbers(plotted, "noisy")["copies"] == kept
    noisy = files.read_records(plotted.folder("noisy") / "samples.jsonl", Sample)
    assert sum("noise:mixed:3" in sample.tags for sample in noisy) == kept
    assert numbers(plotted, "mixed")["kept"]


def test_our_own_records_of_any_noun_are_imported_as_they_are(tmp_path: Path) -> None:
    origin = Origin("书.txt", "3", licence="CC-BY-4.0", kind="document")
    files.write_records(tmp_path / "p.jsonl", [Passage("passage-1", "发热应多饮水。", facts=(), origin=origin)])
    plotted = made(tmp_path, "name: own\nsteps:\n  raw: {do: import, input: [p.jsonl], noun: passages, licence: MIT}\n")
    (passage,) = files.read_records(plotted.folder("raw") / "passages.jsonl", Passage)
    assert (passage.id, passage.text, passage.origin) == ("passage-1", "发热应多饮水。", origin)


def test_rows_of_another_noun_are_refused_with_the_file_and_the_columns_that_are_needed(tmp_path: Path) -> None:
    files.write_text(tmp_path / "qa.csv", "question,answer\n头痛怎么办,多休息\n")
    with pytest.raises(DataError, match="read as questions, and samples are needed") as caught:
        made(tmp_path, "name: other\nsteps:\n  raw: {do: import, input: [qa.csv]}\n")
    assert "qa.csv" in caught.value.where
    assert "instruction, output" in caught.value.fix


def test_too_many_bad_rows_say_which_is_the_first_and_leave_the_list(tmp_path: Path) -> None:
    files.write_text(tmp_path / "bad.jsonl", json.dumps(ROWS[0], ensure_ascii=False) + '\n{"instruction": \n')
    with pytest.raises(DataError, match=r"1 of 2 rows could not be read.*first: malformed JSON") as caught:
        made(tmp_path, "name: bad\nsteps:\n  raw: {do: import, input: [bad.jsonl]}\n")
    assert caught.value.where.endswith("bad.jsonl:2")
    (dropped,) = (tmp_path / "runs" / "bad").glob("raw-*/dropped.jsonl")
    assert "bad.jsonl:2" in dropped.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["[]", "\n \n", "{}"])
def test_a_file_without_rows_is_not_asked_for_its_format(text: str, tmp_path: Path) -> None:
    files.write_text(tmp_path / "none.json", text)
    with pytest.raises(DataError, match="no rows in the file"):
        made(tmp_path, "name: none\nsteps:\n  raw: {do: import, input: [none.json]}\n")


def test_pairs_none_of_which_is_held_out_are_mixed_with_others(tmp_path: Path) -> None:
    pair = {"response_chosen": "好答", "response_rejected": "坏答"}
    for name, count in (("few", 1), ("lone", 1), ("many", 40)):
        rows = [{"question": f"{name}的第{at}个问题", **pair} for at in range(count)]
        files.write_text(tmp_path / f"{name}.jsonl", lines(rows))
    plotted = made(
        tmp_path,
        "name: mixes\nsteps:\n"
        + "".join(
            f"  {name}: {{do: import, input: [{name}.jsonl], noun: preferences}}\n" for name in ("few", "lone", "many")
        )
        + "  none: {do: mix, inputs: [few, lone]}\n  some: {do: mix, inputs: [few, many]}\n",
    )
    held = {
        name: len(files.read_records(plotted.folder(name) / "heldout.jsonl", Preference))
        for name in ("few", "lone", "many", "none", "some")
    }
    assert held["few"] == held["lone"] == held["none"] == 0 < held["many"] == held["some"]
    assert numbers(plotted, "some")["kept"] == 41
