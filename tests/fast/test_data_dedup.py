"""Duplicates go, the best copy stays, and every removal is verified against a record that stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin import files
from xinglin.cli.data_similar import app
from xinglin.data.dedup import find, text_of
from xinglin.data.streams import Group, dedup_files
from xinglin.errors import DataError
from xinglin.types import Check, Message, Origin, Passage, Preference, Question, Ranking, Sample, make_id

ORIGIN = Origin("own.jsonl", "1", "CC-BY-4.0", "dialogue")


def sample(question: str, answer: str = "多喝水，注意休息，必要时就医检查。", origin: Origin = ORIGIN) -> Sample:
    messages = (Message("user", question), Message("assistant", answer))
    return Sample(make_id("sample", question, answer), messages, origin)


def test_exact_copies_differ_at_most_in_blanks_marks_and_width() -> None:
    records = [
        sample("头痛三天，怎么办？"),
        sample("头痛三天,怎么办?"),
        sample("头痛 三天 怎么办"),
        sample("皮疹瘙痒要紧吗"),
    ]
    found = find(records, threshold=1)
    assert [(removal.at, removal.kept_at, removal.kind) for removal in found.removals] == [
        (1, 0, "exact"),
        (2, 0, "exact"),
    ]


def test_near_copies_go_and_others_stay() -> None:
    base = "最近一周反复头痛并且伴有恶心呕吐，吃了止痛药没有效果，请问需要做什么检查"
    records = [sample(base), sample(base.replace("一周", "两周") + "呢"), sample("孩子发烧三十九度要不要去医院看急诊")]
    found = find(records, part="prompt")
    assert [(one.at, one.kept_at, one.kind) for one in found.removals] == [(0, 1, "near")]
    assert 0.5 <= found.removals[0].similarity < 1
    assert find(records, part="prompt", threshold=0.99).removals == ()


def test_of_equals_the_checked_the_licensed_and_the_longer_stay() -> None:
    text = "头痛三天怎么办"
    checked = Origin("a", "1", "unknown", "dialogue", checks=(Check("clean", passed=True),))
    unknown = Origin("a", "2", "unknown", "dialogue")
    records = [sample(text, origin=unknown), sample(text), sample(text, origin=checked)]
    assert {removal.kept_at for removal in find(records).removals} == {2}
    assert {removal.kept_at for removal in find(records[:2]).removals} == {1}


def test_a_chain_of_similar_records_loses_only_what_is_near_to_one_that_stays() -> None:
    letters = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥金木水火土日月星天地人山川风雨雷电春夏秋冬"
    records = [Passage(str(at), letters[at * 4 : at * 4 + 24], (), ORIGIN) for at in range(5)]
    found = find(records, threshold=0.6)
    kept = set(range(5)) - {removal.at for removal in found.removals}
    assert all(removal.kept_at in kept for removal in found.removals)
    assert all(removal.similarity >= 0.6 for removal in found.removals)
    assert len(kept) > 1


def test_every_noun_has_texts_to_compare() -> None:
    asked = (Message("user", "问什么"),)
    records = [
        sample("问什么", "答什么"),
        Preference("p", asked, "好答", "坏答", ORIGIN),
        Ranking("r", asked, ("一答", "二答"), (0, 1), "me", ORIGIN),
        Question("q", asked, ("A",), "task", ORIGIN, choices=("甲", "乙")),
        Passage("x", "一段文字", (), ORIGIN),
    ]
    assert [text_of(record, "prompt") for record in records] == ["问什么"] * 4 + ["一段文字"]
    assert [text_of(record, "answer") for record in records] == ["答什么", "好答\n坏答", "一答\n二答", "甲\n乙\nA", ""]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    files.write_records(path, [sample("头痛三天怎么办"), sample("头痛三天，怎么办？"), sample("皮疹瘙痒半月要紧吗")])
    return path


def test_files_are_written_with_groups_and_removals(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    found = dedup_files([written], out, threshold=0.9)
    assert (found.records, found.count("exact"), found.count("near")) == (3, 1, 0)
    assert len(files.read_records(out, Sample)) == 2
    groups = files.read_records(tmp_path / "out.jsonl.groups.jsonl", Group)
    assert [len(group.members) for group in groups] == [2]
    again = dedup_files([out], tmp_path / "again.jsonl", threshold=0.9)
    assert again.removals == ()
    assert (tmp_path / "again.jsonl").read_bytes() == out.read_bytes()


def test_an_empty_file_and_a_foreign_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no record"):
        dedup_files([path], tmp_path / "out.jsonl", threshold=0.5)
    path.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match="not a record of xinglin"):
        dedup_files([path], tmp_path / "out.jsonl", threshold=0.5)
    assert not (tmp_path / "out.jsonl").exists()


def test_the_command_reports_for_people_and_machines(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(written.with_name("out.jsonl"))
    app(["dedup", str(written), "-o", out], standalone_mode=False)
    assert "完全相同 exact 1" in capsys.readouterr().out
    app(["dedup", str(written), "-o", out, "--threshold", "1", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["kept"] == 2
