"""What a corpus consists of is counted in one pass, shown in words, and drawn without a Chinese font."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from curated_records import many, run, sample, write

from xinglin.data.stats import Spread, numbered, plot, spread, statistics
from xinglin.errors import DataError
from xinglin.types import Message, Origin, Passage, Preference, Question

ORIGIN = Origin("own.jsonl", "1", "CC0-1.0", "document")


def test_percentiles_are_by_nearest_rank() -> None:
    assert spread(dict.fromkeys(range(1, 101), 1)) == Spread(100, 50.5, 5, 50, 95, 100)
    assert spread({7: 3}) == Spread(3, 7.0, 7, 7, 7, 7)


def test_departments_roles_turns_sources_and_licences_are_counted() -> None:
    prompt = (Message("user", "头痛怎么办"),)
    found = statistics(
        [
            *many(3, tags=["department:儿科", "intent:咨询"]),
            sample(tags=["department:内科", "复查"], licence="MIT", source="b"),
            Preference("p", prompt, "多休息，必要时就医", "不知道", ORIGIN),
            Question("q", prompt, ("A",), "choice", ORIGIN),
            Passage("t", "一段关于发热的文字", (), ORIGIN),
        ]
    )
    assert found.records == 7
    assert found.departments == {"儿科": 3, "内科": 1}
    assert found.tags["intent"] == {"咨询": 3}
    assert found.tags["tag"] == {"复查": 1}
    assert found.tags["task"] == {"choice": 1}
    assert found.untagged == 2
    assert found.licences == {"CC-BY-4.0": 3, "CC0-1.0": 3, "MIT": 1}
    assert found.nouns == {"Sample": 4, "Preference": 1, "Question": 1, "Passage": 1}
    assert found.lengths["document"].most == 9
    assert found.lengths["chosen"].count == 1
    assert found.turns == Spread(4, 2.0, 2, 2, 2, 2)


def test_a_plot_numbers_what_is_not_latin_and_sums_up_the_rest() -> None:
    counts = {"内科": 5, "ENT": 4, "儿科": 3, "外科": 1}
    assert numbered(counts, most=3) == [("no. 1", 5), ("ENT", 4), ("no. 3", 3), ("others", 1)]


def test_the_picture_is_a_png_and_warns_of_no_missing_letters(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    plot(statistics(many(30, tags=["department:儿科"], source="问答.csv", licence="未知")), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not [one for one in recwarn if "Glyph" in str(one.message)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_command_shows_numbers_beside_names_and_gives_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.jsonl", [*many(4, tags=["department:儿科"]), sample(tags=["department:内科"])])
    run("stats", source, "--plot", tmp_path / "plot.png")
    shown = capsys.readouterr().out
    assert "1. 儿科  4  80.0%" in shown
    assert (tmp_path / "plot.png").is_file()
    run("stats", source, "--json")
    assert json.loads(capsys.readouterr().out)["tags"]["department"] == {"儿科": 4, "内科": 1}
    source.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no record"):
        run("stats", source)
