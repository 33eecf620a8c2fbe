"""Runs of data steps: results, skipping, failures, the lock, verification, traces, pruning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_world import DATA, digests, make
from xinglin import api, cli, files
from xinglin.errors import DataError, EngineError, GateError, RecipeError
from xinglin.recipe import show
from xinglin.recipe.lock import locked
from xinglin.recipe.manifest import Manifest, read_manifest, verify
from xinglin.recipe.plan import Planned
from xinglin.recipe.run import Silent, outputs
from xinglin.types import Fact, Passage, Preference, Question, Sample


class Heard(Silent):
    """Remembers what a run said about its steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def skipped(self, step: Planned) -> None:
        self.steps.append(("skipped", step.name))

    def finished(self, step: Planned, manifest: Manifest) -> None:
        self.steps.append(("finished", step.name))

    def names(self, what: str) -> list[str]:
        return [name for said, name in self.steps if said == what]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe of the data steps, run once; tests that change something work on a copy."""
    root = tmp_path_factory.mktemp("world")
    api.run(make(root))
    return root


@pytest.fixture
def own(world: Path, tmp_path: Path) -> Path:
    shutil.copytree(world, tmp_path / "own")
    return tmp_path / "own"


def test_every_step_writes_its_noun_with_the_way_back_to_the_facts(world: Path) -> None:
    made = make(world)
    facts = files.read_records(made.folder("kb") / "facts.jsonl", Fact)
    taught = files.read_records(made.folder("taught") / "facts.jsonl", Fact)
    assert len(facts) == 6 * 3 + 5
    assert {fact.id for fact in taught} <= {fact.id for fact in facts}
    assert {fact.origin.licence for fact in facts} == {"unknown (own pack)"}
    known = {fact.id for fact in taught}
    nouns: dict[str, type[Any]] = {
        "books/passages": Passage,
        "qa/samples": Sample,
        "qa/recall": Question,
        "qa/choice": Question,
        "dealt/preferences": Preference,
        "dealt/heldout": Preference,
    }
    for name, noun in nouns.items():
        step, file = name.split("/")
        records: list[Any] = files.read_records(made.folder(step) / f"{file}.jsonl", noun)
        assert records, name
        for record in records:
            assert record.origin.parents, name
            assert set(record.origin.parents) <= known
            assert record.origin.maker.step == step


def test_the_manifest_says_what_a_step_was_made_from_and_what_it_made(world: Path) -> None:
    made = make(world)
    assert all(step.done for step in made.steps)
    manifest = read_manifest(made.folder("qa"))
    assert manifest is not None
    assert (manifest.recipe, manifest.step, manifest.do, manifest.version) == ("example", "qa", "templates", 1)
    assert manifest.digest == digests(made)["qa"]
    assert manifest.inputs == {"taught": digests(made)["taught"]}
    assert list(manifest.sources) == ["patterns"]
    assert manifest.config["phrasings"] == 3
    assert set(manifest.outputs) == {"samples.jsonl", "recall.jsonl", "choice.jsonl"}
    assert manifest.outputs == files.digest_folder(made.folder("qa"))
    assert manifest.numbers["samples"] == 3 * manifest.numbers["recall"]
    kb = read_manifest(made.folder("kb"))
    assert kb is not None
    assert list(kb.sources) == ["mini"]
    assert kb.numbers == {
        "facts": 23,
        "dropped": 0,
        "sources": {"mini": {"rows": 11, "heads": 11, "facts": 23, "rows dropped": 0, "encoding": "utf-8"}},
    }


def test_the_same_recipe_makes_the_same_files_in_another_folder(world: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "again", runs="elsewhere")
    api.run(again)
    assert outputs(again) == outputs(make(world))


def test_a_second_run_skips_everything_and_a_changed_knob_reruns_what_depends_on_it(own: Path) -> None:
    heard = Heard()
    api.run(make(own), watcher=heard)
    assert heard.steps == [("skipped", name) for name in ("kb", "taught", "books", "qa", "dealt")]
    heard = Heard()
    api.run(make(own, DATA, "taught.topics=12"), watcher=heard)
    assert heard.names("skipped") == ["kb"]
    assert heard.names("finished") == ["taught", "books", "qa", "dealt"]
    heard = Heard()
    api.run(make(own), watcher=heard)
    assert heard.names("finished") == []


def test_a_run_stops_after_the_step_it_was_asked_for(tmp_path: Path) -> None:
    made = make(tmp_path)
    api.run(made, until="books")
    assert [step.name for step in make(tmp_path).steps if step.done] == ["kb", "taught", "books"]
    with pytest.raises(RecipeError, match="no step 'bocks'") as caught:
        api.run(made, until="bocks")
    assert "kb, taught, books, qa, dealt" in caught.value.fix


def test_a_step_that_fails_is_not_done_and_keeps_what_was_done_before(tmp_path: Path) -> None:
    made = make(tmp_path, DATA, "taught.relations=[价格]")
    with pytest.raises(DataError, match="价格"):
        api.run(made)
    assert [step.name for step in make(tmp_path, DATA, "taught.relations=[价格]").steps if step.done] == ["kb"]
    heard = Heard()
    api.run(make(tmp_path), watcher=heard)
    assert heard.names("skipped") == ["kb"]


def test_rubbish_in_the_folder_of_an_unfinished_step_does_not_become_a_result(own: Path) -> None:
    made = make(own)
    clean = outputs(made)
    (made.folder("qa") / "manifest.json").unlink()
    files.write_text(made.folder("qa") / "choice.jsonl", "half a li")
    files.write_text(made.folder("qa") / "old.jsonl", "{}")
    api.run(make(own))
    assert outputs(make(own)) == clean


def test_an_empty_data_set_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the step made no record") as caught:
        api.run(make(tmp_path, DATA, "qa.skip=20"))
    assert caught.value.where == "qa"
    assert read_manifest(make(tmp_path, DATA, "qa.skip=20").folder("qa")) is None


LEAFLETS = """\
["示例甲素\\n适应症:甲类感染。",
"示例乙素\\n适应症:乙类感染。",
 no leaflet,
"示例丙素\\n适应症:丙类感染。"
]
"""


def test_unreadable_entries_are_listed_with_file_and_line_up_to_the_limit(tmp_path: Path) -> None:
    files.write_text(tmp_path / "drug.json", LEAFLETS)
    made = make(tmp_path, DATA, "kb.sources=[drug.json]")
    with pytest.raises(DataError, match="1 of 4 rows are unreadable") as caught:
        api.run(made)
    assert caught.value.where == f"{tmp_path / 'drug.json'}:3"
    listed = made.folder("kb") / "facts.dropped.jsonl"
    assert str(listed) in caught.value.fix
    assert json.loads(listed.read_text(encoding="utf-8"))["where"] == f"{tmp_path / 'drug.json'}:3"
    assert read_manifest(made.folder("kb")) is None
    made = make(tmp_path, DATA, "kb.sources=[drug.json]", "kb.max_dropped=0.25")
    api.run(made, until="kb")
    kept = read_manifest(made.folder("kb"))
    assert kept is not None
    assert (kept.numbers["facts"], kept.numbers["dropped"]) == (3, 1)


def test_a_file_of_which_nothing_can_be_read_says_why(tmp_path: Path) -> None:
    files.write_text(tmp_path / "drug.json", '["", "", ""]\n')
    with pytest.raises(DataError, match="3 of 3 rows are unreadable; first: no drug name"):
        api.run(make(tmp_path, DATA, "kb.sources=[drug.json]"))


# The lock


def test_a_second_run_of_one_recipe_is_refused_and_of_another_is_not(own: Path) -> None:
    with locked(own / "runs" / "example"):
        with pytest.raises(EngineError, match=r"another run of this recipe is at work \(process \d+\)") as caught:
            api.run(make(own))
        assert caught.value.code == 5
        api.run(make(own, DATA.replace("name: example", "name: other")), until="kb")
        with pytest.raises(EngineError, match="another run"):
            show.remove(show.list_runs(own / "runs"))
    api.run(make(own))


def test_a_step_that_another_run_finished_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    early = make(tmp_path)
    api.run(make(tmp_path))
    heard = Heard()
    api.run(early, watcher=heard)
    assert heard.names("finished") == []


# Verification


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: (folder / "samples.jsonl").unlink(), "is missing"),
        (lambda folder: files.write_text(folder / "samples.jsonl", "{}\n"), "was changed after it was made"),
        (lambda folder: files.write_text(folder / "new" / "x.txt", "x"), "is not in the manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest: the step did not finish"),
    ],
    ids=["missing", "changed", "extra", "unfinished"],
)
def test_verify_names_what_is_not_as_it_was_made(own: Path, spoil: Callable[[Path], None], problem: str) -> None:
    folder = make(own).folder("qa")
    assert verify(folder) == []
    spoil(folder)
    assert [fault.problem for fault in verify(folder)] == [problem]


def test_verify_ends_with_code_1_and_names_the_file(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.invoke(["verify", str(own / "runs")])
    assert "5 个步骤" in capsys.readouterr().out
    changed_file = make(own).folder("kb") / "facts.jsonl"
    changed_file.write_text(changed_file.read_text(encoding="utf-8").replace("甲", "乙"), encoding="utf-8")
    with pytest.raises(GateError) as caught:
        cli.invoke(["verify", str(own / "runs")])
    assert caught.value.code == 1
    assert str(changed_file) in capsys.readouterr().out
    with pytest.raises(GateError):
        cli.invoke(["verify", "--json", str(own / "runs" / "example")])
    told = json.loads(capsys.readouterr().out)
    assert told == {"steps": 5, "faults": [{"path": str(changed_file), "problem": "was changed after it was made"}]}
    with pytest.raises(DataError, match="no finished step here"):
        cli.invoke(["verify", str(own / "mini")])


def test_a_manifest_that_is_none_is_named(own: Path) -> None:
    path = make(own).folder("qa") / "manifest.json"
    files.write_text(path, '{"recipe": "example"}\n')
    with pytest.raises(DataError, match="not a step's manifest") as caught:
        make(own)
    assert (caught.value.where, str(path.parent) in caught.value.fix) == (str(path), True)


# Traces


def test_a_sample_is_traced_to_its_facts_and_their_licences(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(world)
    sample = next(
        one
        for one in files.read_records(made.folder("qa") / "samples.jsonl", Sample)
        if one.origin.group == "示例甲素" and one.tags == ("适应症",)
    )
    traced = api.trace(sample.id, runs=world / "runs")
    assert [one.record["tail"] for one in traced.facts()] == ["甲类感染", "甲性发热"]
    cli.invoke(["trace", sample.id, "--runs", str(world / "runs")])
    shown = capsys.readouterr().out
    for expected in (
        sample.id,
        sample.messages[0].content,
        "示例甲素 — 适应症 → 甲类感染",
        "mini · drugs/a.yaml:1 · unknown (own pack) · summary",
        "事实 facts: 2   许可 licences: unknown (own pack)",
        str(made.folder("qa") / "samples.jsonl"),
    ):
        assert expected in shown
    cli.invoke(["trace", "--json", sample.id, "--runs", str(world / "runs")])
    told = json.loads(capsys.readouterr().out)
    assert [parent["record"]["relation"] for parent in told["parents"]] == ["适应症", "适应症"]


@pytest.mark.parametrize("file", ["books/passages", "qa/choice", "dealt/heldout", "dealt/preferences"])
def test_every_kind_of_record_leads_to_facts(world: Path, file: str) -> None:
    step, name = file.split("/")
    line = (make(world).folder(step) / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[0]
    traced = api.trace(json.loads(line)["id"], runs=world / "runs")
    assert traced.step == step
    assert all(one.id.startswith("fact-") for one in traced.facts())
    assert traced.facts()


def test_everything_made_from_a_source_is_counted(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = show.from_source("pack:mini", runs=world / "runs")
    made = make(world)
    whole = sum(
        len((made.folder(step) / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
        for step, names in {"kb": ["facts"], "taught": ["facts"], "books": ["passages"],
                            "qa": ["samples", "recall", "choice"], "dealt": ["preferences", "heldout"]}.items()
        for name in names
    )  # fmt: skip
    assert len(found) == whole
    cli.invoke(["trace", "--source", "pack:mini", "--runs", str(world / "runs")])
    assert f"来自 from pack:mini: {whole}" in capsys.readouterr().out
    assert show.from_source("pack:min", runs=world / "runs") == []


def test_an_unknown_id_and_no_id_are_refused(world: Path) -> None:
    with pytest.raises(DataError, match="no finished run holds 'sample-000000000000'"):
        api.trace("sample-000000000000", runs=world / "runs")
    with pytest.raises(DataError, match="no finished run"):
        api.trace("sample-000000000000", runs=world / "nowhere")
    with pytest.raises(RecipeError, match="name one ID, or --source NAME"):
        cli.invoke(["trace"])


# Listing and pruning


@pytest.fixture
def grown(own: Path) -> Path:
    """Three more steps of another setting, and an unfinished one."""
    api.run(make(own, DATA, "taught.topics=12"), until="books")
    files.write_text(own / "runs" / "example" / "qa-0123456789ab" / "samples.jsonl", "{}\n")
    return own


def test_finished_and_unfinished_steps_are_listed_with_their_sizes(
    grown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.invoke(["runs", "list", "--json", "--runs", str(grown / "runs")])
    told = json.loads(capsys.readouterr().out)
    assert len(told) == 5 + 2 + 1
    unfinished = [one for one in told if one["manifest"] is None]
    assert [(Path(one["folder"]).name, one["bytes"]) for one in unfinished] == [("qa-0123456789ab", 3)]
    cli.invoke(["runs", "list", "--runs", str(grown / "runs")])
    assert "未完成" in capsys.readouterr().out
    cli.invoke(["runs", "list", "--json", "--runs", str(grown / "nowhere")])
    assert json.loads(capsys.readouterr().out) == []


def test_prune_keeps_what_the_recipe_uses_and_touches_nothing_else(
    grown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_text(grown / "runs" / "notes" / "mine" / "thesis.txt", "mine")
    used = outputs(make(grown))
    cli.invoke(["runs", "prune", str(grown / "example.yaml"), "--runs", str(grown / "runs"), "--yes"])
    assert "已删除 removed: 3" in capsys.readouterr().out
    assert outputs(make(grown)) == used
    assert len(show.list_runs(grown / "runs")) == 5
    assert (grown / "runs" / "notes" / "mine" / "thesis.txt").is_file()
    cli.invoke(["runs", "prune", str(grown / "example.yaml"), "--runs", str(grown), "--yes"])
    assert (grown / "mini" / "drugs" / "a.yaml").is_file()


def test_a_plan_tells_what_is_done_and_to_do(grown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--runs", str(grown / "runs")]
    cli.invoke(["plan", str(grown / "example.yaml"), *where, "--set", "taught.topics=12"])
    shown = capsys.readouterr().out
    assert "待运行 to do: 2/5" in shown
    cli.invoke(["plan", "--json", str(grown / "example.yaml"), *where, "--set", "taught.topics=12"])
    told = json.loads(capsys.readouterr().out)
    assert [(one["step"], one["done"]) for one in told["steps"]] == [
        ("kb", True), ("taught", True), ("books", True), ("qa", False), ("dealt", False)
    ]  # fmt: skip
    made = make(grown, DATA, "taught.topics=12")
    assert [one["digest"] for one in told["steps"]] == list(digests(made).values())
