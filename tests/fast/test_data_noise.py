"""Noise is graded, the same for the same seed, and leaves doses, numbers and names of drugs alone."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from curated_records import many, run, sample, write

from xinglin.data.intake import Intake
from xinglin.data.noise import KINDS, RATES, Noise, drug_names, noise_files, read_wanted, table
from xinglin.data.split import group_of
from xinglin.errors import RecipeError
from xinglin.files import read_records
from xinglin.types import Message, Origin, Passage, Question, Sample

TEXT = "我从昨天开始发烧，还有一点头痛和咳嗽，晚上睡不好，请问需要去医院检查吗？家里有老人，会不会传染给他们？"
DOSED = "体温38.5℃，血压140/90mmHg，吃了布洛芬0.3g，一天两次，3-5天了，CT正常，每次两片"
STAYS = ["38.5℃", "140/90mmHg", "布洛芬", "0.3g", "3-5天", "CT", "两片"]


def distance(left: str, right: str) -> float:
    return 1 - SequenceMatcher(None, left, right, autojunk=False).ratio()


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_level_is_farther_from_the_text(kind: str) -> None:
    text = TEXT.replace("，", ",") + "(12)" if kind == "wide" else TEXT
    means = [
        sum(distance(text, Noise(seed=seed).text(text, kind, level, "k")) for seed in range(30)) / 30 for level in RATES
    ]
    assert means == sorted(means)
    assert means[4] > 2 * means[0]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wide"])
def test_doses_numbers_with_units_latin_words_and_names_of_drugs_stay(kind: str) -> None:
    noise = Noise(names=["布洛芬"])
    for seed in range(20):
        noise.seed = seed
        noisy = noise.text(DOSED, kind, 5, "k")
        assert [part for part in STAYS if part not in noisy] == []


def test_without_keeping_numbers_they_are_read_aloud() -> None:
    heard = Noise(keep_numbers=False).text("血糖10.5，走了105步，号码13900001111", "asr", 5, "k")
    assert "十点五" in heard
    assert "一百零五" in heard
    assert "一三九零零零零一一一一" in heard


def test_noise_depends_on_seed_and_record_and_on_nothing_else() -> None:
    record = sample(TEXT)
    first = list(Noise(read_wanted(["mixed:1-5"]), seed=1).copies(record))
    assert list(Noise(read_wanted(["mixed:1-5"]), seed=1).copies(record)) == first
    assert list(Noise(read_wanted(["mixed:1-5"]), seed=2).copies(record)) != first
    assert len({copy.id for copy in first}) == 5


def test_a_copy_names_its_original_its_noise_and_stays_with_it_in_a_split() -> None:
    record = sample(TEXT, tags=["department:儿科"])
    (copy,) = Noise([("sound", 3)]).copies(record)
    assert isinstance(copy, Sample)
    assert copy.tags == ("department:儿科", "noise:sound:3")
    assert copy.origin.parents == (record.id,)
    assert copy.messages[1] == record.messages[1]
    assert copy.messages[0] != record.messages[0]
    assert group_of(copy, "group") == f"group {record.id}"


def test_the_table_has_at_least_300_pairs_of_single_characters() -> None:
    assert table().pairs >= 300
    for others in (table().sound, table().shape):
        assert all(len(one) == 1 and one not in rest for one, rest in others.items())


def test_names_of_the_pack_s_drugs_are_known() -> None:
    assert {"布洛芬", "对乙酰氨基酚"} <= set(drug_names())


def test_files_count_copies_and_reject_what_has_no_noise(tmp_path: Path) -> None:
    origin = Origin("own", "1", "CC0-1.0", "label")
    exam = Question("q1", (Message("user", TEXT),), ("A",), "choice", origin)
    spanned = Question("q2", (Message("user", TEXT),), ("头痛",), "ner", origin, spans=((1, 2),))
    others = [exam, spanned, Passage("p", TEXT, (), origin), sample("CT 12 g")]
    source = write(tmp_path / "in.jsonl", [*many(5), *others])
    done = noise_files(Intake([source]), tmp_path / "out.jsonl", Noise(read_wanted(["sound:3", "drop:5"])))
    assert done.copies == {"noise:sound:3": 6, "noise:drop:5": 6}
    assert done.rejected == {"spans": 1, "noun": 1, "unchanged": 2}
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert sum("noise" in line.get("extra", {}) for line in lines) == 2


def test_the_command_makes_a_share_noisy_and_refuses_unknown_kinds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "in.jsonl", many(200)), tmp_path / "out.jsonl"
    run("noise", source, "-o", out, "--kind", "asr:4", "--share", 0.3, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert 35 <= shown["copies"]["noise:asr:4"] == len(read_records(out, Sample)) <= 85
    run("noise", source, "-o", out)
    assert "noise:mixed:2" in capsys.readouterr().out
    for wrong in ("asr:6", "odd", "asr:"):
        with pytest.raises(RecipeError, match="no noise"):
            run("noise", source, "-o", out, "--kind", wrong)
