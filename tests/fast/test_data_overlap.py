"""Contamination: planted leaks are found whole, edited and wrapped; common ways of asking are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin import files
from xinglin.cli.data_similar import app
from xinglin.data.overlap import items_of, overlap
from xinglin.errors import GateError, RecipeError
from xinglin.types import Message, Origin, Question, Sample, make_id

ORIGIN = Origin("own.jsonl", "1", "CC-BY-4.0", "dialogue")
ITEM = "患者男性四十五岁，突发上腹部持续性剧痛并向腰背部放射，首先应当考虑哪一种疾病"
OTHERS = [
    "下列关于高血压病人饮食的叙述，错误的是每日食盐不限量",
    "下列关于高血压病人饮食的叙述，错误的是可以大量饮酒",
    "下列关于高血压病人饮食的叙述，错误的是不吃任何水果",
    "小儿接种卡介苗的时间应当是出生后的哪一段时间以内",
]


def question(text: str) -> Question:
    return Question(make_id("question", text), (Message("user", text),), ("A",), "exam", ORIGIN, choices=("甲", "乙"))


def sample(text: str, answer: str = "请到医院检查。") -> Sample:
    return Sample(make_id("sample", text), (Message("user", text), Message("assistant", answer)), ORIGIN)


def hits(*texts: str) -> list[tuple[int, str]]:
    against = items_of("exam", [question(text) for text in (ITEM, *OTHERS)])
    train = [sample("今天天气不错，适合出门散步锻炼身体"), *(sample(text) for text in texts)]
    return [(hit.train_at, hit.kind) for hit in overlap(lambda: iter(train), against).hits]


@pytest.mark.parametrize(
    "leak",
    [
        ITEM,
        ITEM.replace("，", " ").replace("四十五岁", "四十六岁"),
        f"老师好，我在书上看到一道题：{ITEM}？想了很久也没有想明白，请您讲一讲，谢谢！" + "我平时学习很努力。" * 12,
        ITEM.replace("患者", "病人").replace("持续性", "").replace("首先应当", "首先应该"),
    ],
)
def test_a_planted_leak_is_found(leak: str) -> None:
    assert [at for at, _ in hits(leak)] == [1]


def test_a_leak_in_an_answer_is_found() -> None:
    train = [sample("出一道题", f"好的。{ITEM}？答案是急性胰腺炎。")]
    found = overlap(lambda: iter(train), items_of("exam", [question(ITEM)]))
    assert [(hit.kind, hit.share) for hit in found.hits] == [("contained", 1.0)]


@pytest.mark.parametrize(
    "innocent",
    [
        "下列关于高血压病人饮食的叙述，错误的是哪一项，请说明理由并给出正确的做法和依据",
        "患者女性三十岁，停经五十天，下腹隐痛并有少量阴道流血",
        "请问小儿发热时应当怎样处理",
    ],
)
def test_a_common_way_of_asking_is_no_leak(innocent: str) -> None:
    assert hits(innocent) == []


def test_items_shorter_than_a_gram_are_compared_whole() -> None:
    found = overlap(lambda: iter([sample("射精管开口于")]), items_of("exam", [question("射精管开口于")]))
    assert found.contaminated == {"exam": 0}  # the answers differ: the stem alone is too short to accuse anybody


def test_counts_are_by_set_and_by_item() -> None:
    against = [*items_of("one", [question(ITEM)]), *items_of("two", [question(text) for text in OTHERS])]
    found = overlap(lambda: iter([sample(ITEM), sample(ITEM + "呢")]), against)
    assert found.items == {"one": 1, "two": 4}
    assert found.contaminated == {"one": 1, "two": 0}
    assert found.records == 2


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, str, Path]:
    train, exam = tmp_path / "train.jsonl", tmp_path / "exam.jsonl"
    files.write_records(train, [sample("头痛怎么办"), sample(ITEM)])
    files.write_records(exam, [question(text) for text in (ITEM, *OTHERS)])
    return str(train), str(exam), tmp_path / "out.jsonl"


def test_the_command_fails_on_a_hit_unless_it_is_waived_or_removed(
    paths: tuple[str, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    train, exam, out = paths
    with pytest.raises(GateError) as caught:
        app(["overlap", train, "--against", exam], standalone_mode=False)
    assert caught.value.code == 1
    assert "20.0%" in capsys.readouterr().out
    app(["overlap", train, "--against", exam, "--waive", "exam"], standalone_mode=False)
    assert "已豁免 waived" in capsys.readouterr().out
    app(["overlap", train, "--against", exam, "--remove", "-o", str(out), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["kept"] == 1
    assert [record.messages[0].content for record in files.read_records(out, Sample)] == ["头痛怎么办"]


@pytest.mark.parametrize("more", [["--remove"], ["--waive", "exams"]])
def test_options_that_do_not_fit_together_are_refused(paths: tuple[str, str, Path], more: list[str]) -> None:
    with pytest.raises(RecipeError):
        app(["overlap", paths[0], "--against", paths[1], *more], standalone_mode=False)
