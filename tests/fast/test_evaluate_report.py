from __future__ import annotations

import json
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from xinglin.errors import CapError, DataError
from xinglin.evaluate.compare import Pair, compare
from xinglin.evaluate.labels import points, probability
from xinglin.evaluate.report import (
    Answer,
    Candidate,
    Curve,
    Example,
    Source,
    Summary,
    pick_examples,
    render_differences,
    render_drugs,
    render_table,
    write_report,
)
from xinglin.evaluate.run import summarise
from xinglin.evaluate.tasks.facts import recall_task
from xinglin.evaluate.tasks.indications import indication_table, indication_task
from xinglin.types import Message, Origin, Prediction, Question, make_id

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
CHAIN = (("random", ""), ("pt", "random"), ("sft", "pt"), ("rs", "sft"), ("dpo", "sft"))
RIGHT = {"random": 0, "pt": 5, "sft": 30, "rs": 31, "dpo": 12}
ORIGIN = Origin("own.jsonl", "1", "CC0-1.0", "template", group="甲药")


def questions(count: int = 40) -> list[Question]:
    return [
        Question(make_id("question", n), (Message("user", f"药{n}治什么？"),), (f"病{n}。",), "facts", ORIGIN)
        for n in range(count)
    ]


def predictions(right: int) -> list[Prediction]:
    return [
        Prediction(asked.id, asked.answers[0] if n < right else "不知道", float(n < right))
        for n, asked in enumerate(questions())
    ]


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    task, rows = recall_task(questions()), {name: predictions(RIGHT[name]) for name, _ in CHAIN}
    drugs = questions(3)
    replies = [Prediction(asked.id, "知识库中没有", 0.0) for asked in drugs]
    picture = tmp_path / "made" / "loss.png"
    picture.parent.mkdir()
    picture.write_bytes(PNG)
    return Summary(
        recipe="quickstart",
        base="tiny",
        seed=7,
        models=tuple(Candidate(name, parent) for name, parent in CHAIN),
        reports=tuple(summarise(name, task, found) for name, found in rows.items()),
        comparisons=tuple(
            compare([Pair(parent, name, "recall", rows[parent], rows[name]) for name, parent in CHAIN if parent])
        ),
        indications=(indication_table(indication_task(drugs).questions, replies, {"甲药"}, model="sft"),),
        examples=pick_examples(questions(), rows, count=4),
        curves=(Curve("pretrain: loss", picture), Curve("sft: loss", picture)),
        sources=(Source("pack:starter", "Apache-2.0", 1200, "own summary, not reviewed by a physician"),),
        counts=(("facts", 1200), ("questions", 40)),
        notes=(("只教了一部分事实。", "Only some facts were taught."),),
    )


def test_the_same_summary_gives_the_same_bytes_wherever_it_is_written(tmp_path: Path, summary: Summary) -> None:
    first, second = tmp_path / "first", tmp_path / "deeper" / "second"
    write_report(first, summary)
    write_report(second, summary)
    names = sorted(path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file())
    assert names == ["curves/01-loss.png", "curves/02-loss.png", "report.html", "report.json", "report.md"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert not any(str(tmp_path).encode() in (first / name).read_bytes() for name in names)


def test_the_page_is_one_offline_file_without_scripts(tmp_path: Path, summary: Summary) -> None:
    write_report(tmp_path, summary)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("data:image/png;base64,") == 2
    for words in ("75.0", "[59.8, 85.8]", "更好", "更差", "未见差异", "Apache-2.0", "own summary, not reviewed"):
        assert words in page


def test_what_a_model_says_cannot_become_markup(tmp_path: Path, summary: Summary) -> None:
    attack = '<script>alert(1)</script>"><img src=x onerror=1> | [x](javascript:1)'
    hostile = replace(
        summary,
        recipe=attack,
        models=(Candidate(attack), *summary.models[1:]),
        examples=(Example(attack, (attack,), (Answer("sft", attack, 0.5), Answer("pt", "  ", 0.0))),),
        curves=(replace(summary.curves[0], title=attack),),
    )
    write_report(tmp_path, hostile)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "（空）" in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "\\| [x]\\(javascript:1)" in text
    assert "[x](" not in text


def test_the_json_holds_every_number_and_no_infinity(tmp_path: Path, summary: Summary) -> None:
    endless = replace(summary.comparisons[0], detectable=float("inf"))
    write_report(tmp_path, replace(summary, comparisons=(endless, *summary.comparisons[1:])))
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (found["schema"], found["recipe"], found["base"], found["seed"]) == (1, "quickstart", "tiny", 7)
    assert found["comparisons"][0]["detectable"] is None
    assert found["reports"][2]["metrics"][0]["value"] == 0.75
    assert [curve["path"] for curve in found["curves"]] == ["curves/01-loss.png", "curves/02-loss.png"]


def test_the_markdown_holds_values_verdicts_and_pictures(tmp_path: Path, summary: Summary) -> None:
    write_report(tmp_path, summary)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for words in (
        "| sft | pt | 75.0 [59.8, 85.8] (n = 40) |",
        "better (Holm p &lt; 0.05)",
        "no difference shown (detectable:",
        "![pretrain: loss](curves/01-loss.png)",
        "全部 n = 3",
        "Only some facts were taught.",
    ):
        assert words in text


def test_a_report_without_optional_parts_has_no_empty_sections(tmp_path: Path, summary: Summary) -> None:
    bare = replace(summary, indications=(), examples=(), curves=(), sources=(), comparisons=(), notes=(), counts=())
    write_report(tmp_path, bare)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r'<section id="(\w+)"', page.replace("<section ", "<section "))
    assert not {"drugs", "examples", "curves", "differences"} & set(shown)
    assert "94" not in (tmp_path / "report.md").read_text(encoding="utf-8").split("## 局限")[0]


def test_a_curve_that_is_no_picture_is_a_data_error(tmp_path: Path, summary: Summary) -> None:
    wrong = tmp_path / "loss.png"
    wrong.write_text("not a picture")
    with pytest.raises(DataError, match="no PNG"):
        write_report(tmp_path / "out", replace(summary, curves=(Curve("loss", wrong),)))
    with pytest.raises(DataError, match="no such file"):
        write_report(tmp_path / "out", replace(summary, curves=(Curve("loss", tmp_path / "absent.png"),)))


def test_a_full_disk_while_copying_a_curve_leaves_no_half_picture(tmp_path: Path, summary: Summary) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(PNG + bytes(1 << 16))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, hard))
    try:
        with pytest.raises(CapError):
            write_report(tmp_path / "out", replace(summary, curves=(Curve("loss", big),)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "out" / "curves").iterdir())


def shown(table: object, width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_the_terminal_table_fits_80_columns(summary: Summary) -> None:
    text = shown(render_table(summary))
    assert "quickstart · n = 40" in text
    assert re.search(r"sft\s+75\.0 \[59\.8, 85\.8\]", text)
    assert "…" not in text


def test_the_table_of_differences_fits_80_columns(summary: Summary) -> None:
    text = shown(render_differences(summary))
    assert re.search(r"sft − \w+ +事实召回 +\+62\.5 \[.*更好", text)
    assert re.search(r"dpo − sft.*−45\.0.*更差", text)
    assert "…" not in text


def test_the_drug_table_shows_both_lines(summary: Summary) -> None:
    text = shown(render_drugs(summary), 110)
    assert "全部 n = 3" in text
    assert "库内 n = 3" in text
    assert "0/0" in text


def test_examples_come_from_every_kind_of_outcome() -> None:
    rows = {"pt": predictions(5), "sft": predictions(30), "dpo": predictions(12)}
    picked = pick_examples(questions(), rows, count=4)
    patterns = {tuple(answer.score for answer in example.replies) for example in picked}
    assert patterns == {(0.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)}
    assert picked == pick_examples(questions()[::-1], rows, count=4)
    assert [answer.model for answer in picked[0].replies] == ["pt", "sft", "dpo"]
    assert pick_examples(questions(), {}) == ()


def test_figures_have_one_format() -> None:
    assert [points(value) for value in (0.031, -0.004, 0.0, -0.0001)] == ["+3.1", "−0.4", "0.0", "0.0"]
    assert [probability(p) for p in (0.0004, 0.0123, 1.0)] == ["< 0.001", "0.012", "1.000"]
