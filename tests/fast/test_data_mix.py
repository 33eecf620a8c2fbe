"""A mix keeps its proportions, is the same for the same seed, and has the strictest licence of its parents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from curated_records import many, run, write

from xinglin.data.licence import blocked, find, known, strictest, uses
from xinglin.data.mix import Plan, from_file, mix, mix_files, quotas
from xinglin.errors import DataError, RecipeError
from xinglin.files import read_records
from xinglin.types import Sample


@pytest.mark.parametrize(
    ("available", "weights", "most", "expected"),
    [
        ([100, 50], [0, 0], 0, [100, 50]),
        ([100, 50], [0, 0], 30, [20, 10]),
        ([100, 100], [3, 1], 0, [100, 33]),
        ([100, 100], [3, 1], 40, [30, 10]),
        ([10, 1000], [1, 1], 0, [10, 10]),
        ([7, 7, 7], [1, 1, 1], 10, [4, 3, 3]),
    ],
)
def test_quotas_keep_proportions(available: list[int], weights: list[float], most: int, expected: list[int]) -> None:
    assert quotas(available, weights, most) == expected


def ids(path: Path) -> list[str]:
    return [record.id for record in read_records(path, Sample)]


def test_the_same_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.jsonl", many(80, "甲")), write(tmp_path / "b.jsonl", many(80, "乙"))
    ingredients = [from_file(one, weight=2), from_file(other, weight=1)]
    done = mix(ingredients, tmp_path / "x.jsonl", Plan(seed=5, most=60))
    mix(ingredients, tmp_path / "y.jsonl", Plan(seed=5, most=60))
    mix(ingredients, tmp_path / "z.jsonl", Plan(seed=6, most=60))
    assert (tmp_path / "x.jsonl").read_bytes() == (tmp_path / "y.jsonl").read_bytes()
    assert ids(tmp_path / "x.jsonl") != ids(tmp_path / "z.jsonl")
    assert [source.taken for source in done.sources] == [40, 20]
    found = ids(tmp_path / "x.jsonl")
    assert len(set(found)) == 60
    mine = [at for at, name in enumerate(found) if name in set(ids(one))]
    assert mine != sorted(range(60))[: len(mine)]  # the sources take turns


def test_replay_is_its_share_of_the_whole_and_a_short_base_is_named(tmp_path: Path) -> None:
    new, base = write(tmp_path / "new.jsonl", many(80, "甲")), write(tmp_path / "base.jsonl", many(30, "乙"))
    done = mix([from_file(new)], tmp_path / "x.jsonl", Plan(base=from_file(base), replay=0.2))
    assert [source.taken for source in done.sources] == [80, 20]
    short = mix([from_file(new)], tmp_path / "x.jsonl", Plan(base=from_file(base), replay=0.5))
    assert short.sources[1].taken == 30
    assert "30 of 80" in short.limited


def test_a_cap_limits_one_source_and_a_source_that_runs_out_is_named(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.jsonl", many(50, "甲")), write(tmp_path / "b.jsonl", many(10, "乙"))
    done = mix([from_file(one, cap=20), from_file(other)], tmp_path / "x.jsonl", Plan())
    assert [source.taken for source in done.sources] == [20, 10]
    done = mix([from_file(one, weight=1), from_file(other, weight=1)], tmp_path / "x.jsonl", Plan())
    assert [source.taken for source in done.sources] == [10, 10]
    assert done.limited.endswith("b.jsonl")


def test_unreadable_lines_are_listed_and_too_many_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", many(3))
    source.write_text(source.read_text("utf-8") + "{}\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 4"):
        mix_files([source], tmp_path / "x.jsonl", Plan())
    assert not (tmp_path / "x.jsonl").exists()
    assert len((tmp_path / "x.jsonl.dropped.jsonl").read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "expected", "allowed"),
    [
        ("MIT", ["MIT"], {"research", "commercial", "internal"}),
        ("cc by-nc-sa 4.0", ["CC-BY-NC-SA-4.0"], {"research", "internal"}),
        ("CC_BY_4.0", ["CC-BY-4.0"], {"research", "commercial", "internal"}),
        ("Apache-2.0 code; data research only", ["Apache-2.0", "research only"], {"research", "internal"}),
        ("none stated (crawl)", ["unknown"], {"internal"}),
        ("permission by mail", ["unknown"], {"internal"}),
        ("", ["unknown"], {"internal"}),
        ("AGPL-3.0-only", ["AGPL-3.0"], {"research", "internal"}),
        ("仅限学术研究", ["research only"], {"research", "internal"}),
    ],
)
def test_a_licence_is_found_as_people_write_it(text: str, expected: list[str], allowed: set[str]) -> None:
    assert [one.name for one in find(text)] == expected
    assert uses(text) == allowed


def test_the_strictest_licence_leads_and_uses_are_those_that_all_allow() -> None:
    assert strictest(["MIT", "CC-BY-NC-4.0"]) == ("CC-BY-NC-4.0", {"research", "internal"})
    assert strictest(["MIT", "CC-BY-SA-4.0"])[0] == "CC-BY-SA-4.0"
    assert strictest(["MIT", "unknown"]) == ("unknown", {"internal"})
    assert len({one.name for one in known()}) == len(known())
    assert [one.source for one in blocked([("a", "MIT", 5), ("b", "GPL-3.0", 2), ("c", "", 9)], "commercial")] == [
        "c",
        "b",
    ]


def test_the_command_mixes_weighs_caps_replays_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "a.jsonl", many(50, "甲", licence="MIT"))
    other = write(tmp_path / "b.jsonl", many(50, "乙", licence="CC-BY-NC-4.0"))
    base = write(tmp_path / "base.jsonl", many(50, "丙", licence="MIT"))
    out = tmp_path / "out.jsonl"
    run("mix", f"{one}=2", f"{other}=1,10", "-o", out, "--replay", f"{base}=0.25", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert [source["taken"] for source in shown["sources"]] == [20, 10, 10]
    assert (shown["licence"], shown["uses"]) == ("CC-BY-NC-4.0", ["internal", "research"])
    assert json.loads((tmp_path / "out.jsonl.report.json").read_text("utf-8"))["step"] == "mix"
    run("mix", one, "-o", out, "--most", 5)
    assert "5 条 records" in capsys.readouterr().out
    for wrong in ([f"{one}=2", str(other)], [f"{one}=x"]):
        with pytest.raises((DataError, RecipeError), match="weight"):
            run("mix", *wrong, "-o", out)
    with pytest.raises(RecipeError, match="has no share"):
        run("mix", one, "-o", out, "--replay", base)
    with pytest.raises(DataError, match="one of the inputs"):
        run("mix", one, "-o", one)


def test_the_licence_command_lists_blockers_by_source_and_ends_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = [*many(3, "甲", licence="MIT", source="a"), *many(2, "乙", licence="none stated", source="b")]
    source = write(tmp_path / "in.jsonl", mixed)
    with pytest.raises(DataError, match="may not be used: commercial") as raised:
        run("licence", source, "--use", "commercial", "--json")
    assert raised.value.code == 3
    shown = json.loads(capsys.readouterr().out)
    assert shown["blockers"] == [{"source": "b", "licence": "none stated", "records": 2, "allowed": ["internal"]}]
    run("licence", source, "--use", "internal")
    assert "5" in capsys.readouterr().out
