"""Import and export of files: every format through the disk, training entries, formulas, limits, the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dialogue_rows import GOLDEN, TURNS, A, Q
from typer.testing import CliRunner

from xinglin.cli.data_files import app
from xinglin.errors import DataError, RecipeError
from xinglin.files import read_records, write_records
from xinglin.formats.export import DATASET_INFO, ENTRIES, export_file, neutral, why_not
from xinglin.formats.known import FORMATS, by_name
from xinglin.formats.nouns import read_nouns
from xinglin.formats.reading import Import, import_files
from xinglin.formats.row import Bad, Record, Row, Source
from xinglin.types import Message, Origin, Passage, Preference, Question, Sample

ORIGIN = Origin("own.json", "1", "CC0-1.0", "dialogue")
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(GOLDEN)]


def records(name: str, values: list[Any]) -> list[Record]:
    found = by_name(name).read((Row(f"own.json:{at}", value) for at, value in enumerate(values, 1)), Source("own.json"))
    return [one for one in found if not isinstance(one, Bad)]


def sample(*turns: tuple[str, str], **extra: Any) -> Sample:
    found = records("messages", [{"messages": [{"role": role, "content": text} for role, text in turns], **extra}])[0]
    assert isinstance(found, Sample)
    return found


@pytest.mark.parametrize(("name", "values", "turns"), GOLDEN, ids=IDS)
def test_every_format_comes_back_from_its_own_file(tmp_path: Path, name: str, values: list[Any], turns: Any) -> None:
    first = records(name, values)
    export_file(first, tmp_path / "own.json", name=name)
    job = Import([tmp_path / "own.json"])
    assert list(job.records()) == first
    assert job.done[0].format == name
    assert job.done[0].dropped == 0


def test_every_format_has_a_name_of_its_own_and_a_round_trip_here() -> None:
    names = [one.name for one in FORMATS]
    assert len(set(names)) == len(names)
    assert {"alpaca", "sharegpt", "messages", "disc", "toyhom", "het-mc", "text", "book"} <= set(names)


# --- LLaMA-Factory and ms-swift -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["alpaca", "sharegpt", "messages"])
def test_the_entry_names_only_columns_that_the_file_has(tmp_path: Path, name: str) -> None:
    plain = [sample(*TURNS[:2], source_url="x"), sample(*TURNS[:2])]
    made = export_file(plain, tmp_path / "a.json", name=name, dataset_info=True)
    entry = json.loads((tmp_path / DATASET_INFO).read_text())["a"]
    rows = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    assert made.rows == len(rows) == 2
    assert entry["file_name"] == "a.json"
    assert set(entry["columns"].values()) == set(rows[0])
    assert "source_url" not in rows[0]


def test_history_and_system_are_mapped_once_a_row_has_them(tmp_path: Path) -> None:
    export_file([sample(("system", "你是助手。"), *TURNS)], tmp_path / "a.json", name="alpaca", dataset_info=True)
    entry = json.loads((tmp_path / DATASET_INFO).read_text())["a"]
    assert entry == {
        "file_name": "a.json",
        "formatting": "alpaca",
        "columns": {
            "prompt": "instruction",
            "query": "input",
            "response": "output",
            "system": "system",
            "history": "history",
        },
    }


def test_every_row_has_every_column_so_that_no_loader_stops_in_the_middle(tmp_path: Path) -> None:
    mixed = [sample(*TURNS[:2]), sample(("system", "你是助手。"), *TURNS, tools=[{"name": "查血钙"}])]
    for name in ("alpaca", "sharegpt", "messages"):
        export_file(mixed, tmp_path / "a.json", name=name, dataset_info=True)
        rows = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
        assert set(rows[0]) == set(rows[1])
        assert {type(row.get("tools", "")) for row in rows} == {str}


def test_calls_and_results_of_tools_keep_their_tags_and_other_names_become_the_usual_ones(tmp_path: Path) -> None:
    names = ["human", "function_call", "observation", "gpt"]
    for spoken, written in ((names, names), (["user", "assistant"] * 2, ["human", "gpt"] * 2)):
        turns = [{"from": name, "value": f"第{at}句"} for at, name in enumerate(spoken)]
        export_file(records("sharegpt", [{"conversations": turns}]), tmp_path / "a", name="sharegpt", dataset_info=True)
        row = json.loads((tmp_path / "a").read_text())
        assert [turn["from"] for turn in row["conversations"]] == written


def test_messages_carry_the_tags_of_their_roles(tmp_path: Path) -> None:
    export_file([sample(*TURNS)], tmp_path / "m.jsonl", name="messages", dataset_info=True)
    entry = json.loads((tmp_path / DATASET_INFO).read_text())["m"]
    assert entry["formatting"] == "sharegpt"
    assert entry["tags"]["role_tag"] == "role"
    row = json.loads((tmp_path / "m.jsonl").read_text())
    assert row == {"messages": [{"role": role, "content": text} for role, text in TURNS]}


@pytest.mark.parametrize("name", ["alpaca-pair", "sharegpt-pair"])
def test_pairs_are_marked_as_ranked_and_written_as_the_trainer_compares_them(tmp_path: Path, name: str) -> None:
    prompt = (Message("user", Q), Message("assistant", "多久了？"), Message("user", "三天。"))
    pair = Preference("preference-1", prompt, A, "不知道。", ORIGIN, extra={"note": "x"})
    export_file([pair], tmp_path / "p.json", name=name, dataset_info=True)
    entry = json.loads((tmp_path / DATASET_INFO).read_text())["p"]
    row = json.loads((tmp_path / "p.json").read_text())
    assert entry["ranking"] is True
    assert set(entry["columns"].values()) == set(row) >= {"chosen", "rejected"}
    assert row["chosen"] == (A if name == "alpaca-pair" else {"from": "gpt", "value": A})
    if name == "sharegpt-pair":
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt", "human"]


def test_answers_judged_one_by_one_carry_their_flag(tmp_path: Path) -> None:
    values = [{"instruction": Q, "input": "", "output": A, "kto_tag": flag} for flag in (True, False)]
    export_file(records("kto", values), tmp_path / "k.json", name="kto", dataset_info=True)
    rows = [json.loads(line) for line in (tmp_path / "k.json").read_text().splitlines()]
    assert [row["kto_tag"] for row in rows] == [True, False]
    assert json.loads((tmp_path / DATASET_INFO).read_text())["k"]["columns"]["kto_tag"] == "kto_tag"


def test_entries_of_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / DATASET_INFO).write_text('{"other": {"file_name": "b.json"}}')
    export_file([sample(*TURNS)], tmp_path / "a.json", name="alpaca", dataset_info=True)
    assert set(json.loads((tmp_path / DATASET_INFO).read_text())) == {"other", "a"}
    (tmp_path / DATASET_INFO).write_text("[]")
    with pytest.raises(DataError, match="data sets"):
        export_file([sample(*TURNS)], tmp_path / "a.json", name="alpaca", dataset_info=True)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (TURNS[:1], "no answer"),
        ([*TURNS[:1], *TURNS[:1], TURNS[1]], "alternate"),
        ([TURNS[0], ("system", "x"), TURNS[1]], "not the first"),
        (TURNS, ""),
        ([("system", "x"), *TURNS], ""),
    ],
)
def test_what_trainers_would_skip_is_turned_away_with_the_reason(turns: list[tuple[str, str]], reason: str) -> None:
    found = why_not(sample(*turns))
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_question_is_nothing_to_train_on_and_a_document_is() -> None:
    question = Question("question-1", (Message("user", Q),), (A,), "exam", ORIGIN)
    assert "Question" in why_not(question)
    assert why_not(Passage("passage-1", "文", (), ORIGIN)) == ""
    assert why_not(Passage("passage-1", " ", (), ORIGIN)) == "no text"


def test_a_format_without_an_entry_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not read dxy"):
        export_file([sample(*TURNS)], tmp_path / "a.json", name="dxy", dataset_info=True)
    assert not (tmp_path / "a.json").exists()


def test_every_entry_is_that_of_a_format_that_is_written() -> None:
    for name in ENTRIES:
        assert by_name(name).write is not None


# --- tables ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_gets_a_quote(tmp_path: Path, start: str) -> None:
    text = f'{start}HYPERLINK("http://example.org")'
    export_file([sample(("user", text), ("assistant", A))], tmp_path / "a.csv", name="toyhom")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["ask"] == f"'{text}"
    assert rows[0]["answer"] == A
    assert (neutral(None), neutral(["a"]), neutral("a=b")) == ("", '["a"]', "a=b")


def test_rows_of_unlike_columns_are_refused_in_a_table(tmp_path: Path) -> None:
    unlike = [sample(*TURNS[:2]), sample(*TURNS[:2], more="x")]
    with pytest.raises(DataError, match="other columns"):
        export_file(unlike, tmp_path / "a.csv", name="toyhom")
    assert list(tmp_path.iterdir()) == []


# --- import ---------------------------------------------------------------------------------------------------------
def lines(count: int, broken: int) -> str:
    good = [json.dumps({"query": f"{Q}{at}", "response": A}, ensure_ascii=False) for at in range(count - broken)]
    return "\n".join([*good, *["{broken"] * broken])


def test_what_cannot_be_read_is_dropped_with_its_line_and_reason(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines(200, 2))
    done = import_files(Import([tmp_path / "a.txt"], licence="CC0-1.0"), tmp_path / "out.jsonl")
    assert (done[0].rows, done[0].kept, done[0].dropped) == (200, 198, 2)
    assert (done[0].container, done[0].encoding, done[0].format) == ("json lines", "utf-8", "chatmed")
    dropped = read_records(tmp_path / "out.jsonl.dropped.jsonl", Bad)
    assert [one.where for one in dropped] == [f"{tmp_path / 'a.txt'}:{line}" for line in (199, 200)]
    found = list(read_nouns(tmp_path / "out.jsonl"))
    assert len(found) == 198
    assert all(isinstance(one, Sample) and one.origin.licence == "CC0-1.0" for one in found)


def test_too_much_dropped_fails_and_leaves_the_reasons_but_no_output(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines(50, 5))
    with pytest.raises(DataError, match="5 of 50") as caught:
        import_files(Import([tmp_path / "a.txt"]), tmp_path / "out.jsonl")
    assert caught.value.code == 3
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "out.jsonl.dropped.jsonl"}
    import_files(Import([tmp_path / "a.txt"], max_dropped=0.2), tmp_path / "out.jsonl")
    (tmp_path / "a.txt").write_text(lines(50, 0))
    import_files(Import([tmp_path / "a.txt"]), tmp_path / "out.jsonl")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "out.jsonl"}


def test_running_again_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines(20, 0))
    for name in ("one", "two"):
        import_files(Import([tmp_path / "a.txt"]), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_question_and_answer_files_are_joined_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"question_id,content\n1,{Q}\n")
    (tmp_path / "a.csv").write_text(f"ans_id,question_id,content\n9,1,{A}\n")
    for order in (["q.csv", "a.csv"], ["a.csv", "q.csv"]):
        job = Import([tmp_path / name for name in order])
        found = list(job.records())
        assert [one.messages[1].content for one in found if isinstance(one, Sample)] == [A]
        assert job.done[0].file == "q.csv + a.csv"


def test_files_of_several_formats_become_one_stream_and_a_named_format_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines(3, 0))
    (tmp_path / "b.txt").write_text("发热多喝水。\n咳嗽要休息。\n")
    job = Import([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert [type(one) for one in job.records()] == [Sample] * 3 + [Passage] * 2
    with pytest.raises(DataError, match="could not be read"):
        list(Import([tmp_path / "a.txt"], format="alpaca").records())


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DataError, match="no rows"):
        list(Import([tmp_path / "a.json"]).records())


# --- the command line -----------------------------------------------------------------------------------------------
def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_the_commands_import_report_and_export(tmp_path: Path) -> None:
    source, out = tmp_path / "a.txt", tmp_path / "out.jsonl"
    source.write_text(lines(5, 0))
    made = run("import", str(source), "-o", str(out), "--licence", "CC0-1.0", "--json")
    assert json.loads(made.stdout) == [
        {"file": "a.txt", "container": "json lines", "encoding": "utf-8", "format": "chatmed", "rows": 5, "kept": 5}
        | {"dropped": 0}
    ]
    assert "chatmed" in run("import", str(source), "-o", str(out)).stdout
    made = run("export", str(out), "--format", "alpaca", "-o", str(tmp_path / "t.json"), "--dataset-info", "--json")
    assert json.loads(made.stdout)["rows"] == 5
    assert (tmp_path / DATASET_INFO).is_file()


def test_a_dash_writes_the_records_to_stdout(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(lines(100, 1))
    made = run("import", str(tmp_path / "a.txt"), "-o", "-", "--json")
    assert len([json.loads(line) for line in made.stdout.splitlines()]) == 99
    assert "malformed JSON" in made.stderr
    assert '"dropped": 1' in made.stderr


def test_what_cannot_be_trained_is_written_to_the_rejected_file(tmp_path: Path) -> None:
    write_records(tmp_path / "in.jsonl", [sample(*TURNS), replace(sample(*TURNS[:1]), id="sample-0")])
    made = run("export", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "t.jsonl"), "--dataset-info")
    assert "1" in made.stdout
    rejected = json.loads((tmp_path / "t.jsonl.rejected.jsonl").read_text())
    assert rejected == {"id": "sample-0", "reason": "no answer at the end"}


@pytest.mark.parametrize("verb", ["import", "export"])
def test_the_list_names_every_format_and_arguments_are_asked_for(verb: str) -> None:
    listed = json.loads(run(verb, "--list", "--json").stdout)
    assert [one["format"] for one in listed] == [one.name for one in FORMATS]
    assert "alpaca" in run(verb, "--list").stdout
    with pytest.raises(RecipeError, match="needs"):
        run(verb)
