"""Of the drawn answers the best are kept, or paired with the worse, and what is measured on is not trained on."""

from __future__ import annotations

import pytest

from xinglin.errors import DataError
from xinglin.train.heldout import apart, hold_out
from xinglin.train.judged import _in_groups
from xinglin.train.pairs import _strangers
from xinglin.train.reject import Draw, keep_best, pair_up, prompt_of
from xinglin.types import Maker, Message, Origin, Preference, Sample


def test_the_best_distinct_answers_are_kept_with_their_origin() -> None:
    origin = Origin(
        source="drugs.yaml", item="3", licence="CC0-1.0", kind="template", group="安络宁", parents=("fact-1", "fact-2")
    )
    asked = (Message("system", "请回答。"), Message("user", "禁忌呢？"))
    first = Sample("sample-1", (*asked, Message("assistant", "孕妇。")), origin, tags=("禁忌",))
    second = Sample("sample-2", (Message("user", "适应症呢？"), Message("assistant", "头痛。")), origin)
    draws = [
        Draw(first, "婴儿。", 0.5),
        Draw(first, "孕妇。", 2.00004),
        Draw(first, "  ", 9.0),
        Draw(first, "孕妇。", 1.0),
        Draw(second, "发热。", -3.0),
        Draw(second, "头痛。", -3.0),
        Draw(first, "头痛。", 0.1),
    ]
    kept = keep_best(draws, keep=2, step="rs", model="sft")
    assert [(sample.messages[-1].content, sample.extra["reward"]) for sample in kept] == [
        ("孕妇。", 2.0),
        ("婴儿。", 0.5),
        ("发热。", -3.0),
        ("头痛。", -3.0),
    ]
    best = kept[0]
    assert best.messages[:-1] == asked == prompt_of(first)
    assert best.origin.parents == ("sample-1", "fact-1", "fact-2")
    assert (best.origin.kind, best.origin.item, best.origin.group) == ("model", "sample-1", "安络宁")
    assert best.origin.licence == "CC0-1.0"
    assert best.origin.maker
    assert (best.origin.maker.step, best.origin.maker.model) == ("rs", "sft")
    assert best.tags == ("禁忌",)
    assert len({sample.id for sample in kept}) == 4
    cut = [Draw(first, "孕妇和", 5.0, finished=False), *draws]
    assert keep_best(cut, keep=2, step="rs", model="sft") == kept, "an answer that was cut off is not learnt"
    for nothing in (draws[2:3], cut[:1]):
        with pytest.raises(DataError, match="none of 1 answers ended by itself"):
            keep_best(nothing, keep=2, step="rs", model="sft")
    right = keep_best(draws, keep=2, step="rs", model="sft", floor=0.5)
    assert [sample.messages[-1].content for sample in right] == ["孕妇。", "婴儿。"], "the floor itself is good enough"
    with pytest.raises(DataError, match=r"none of 7 answers has a reward of 9\.5 or more: the largest is 9\.000"):
        keep_best(draws, keep=2, step="rs", model="sft", floor=9.5)
    assert keep_best([Draw(first, "孕妇。", 0.6 + 0.3 + 0.1)], keep=1, step="rs", model="sft", floor=1), "0.999…"


def test_the_better_answers_of_a_prompt_are_paired_with_the_worse_each_about_as_often() -> None:
    origin = Origin("drugs.yaml", "3", "CC0-1.0", "template", group="安络宁", parents=("fact-1",))
    asked = (Message("system", "请回答。"), Message("user", "禁忌呢？"))
    first = Sample("sample-1", (*asked, Message("assistant", "孕妇。")), origin)
    even = Sample("sample-2", (Message("user", "适应症呢？"),), origin)
    draws = [
        Draw(first, "婴儿。", 0.0),
        Draw(first, "孕妇。", 1.0),
        Draw(even, "头痛。", 1.0),
        Draw(first, "孕妇和", 0.0, finished=False),
        Draw(first, "孕妇。", 1.0),
        Draw(first, "发热。", 0.1),
        Draw(first, "孕妇禁用。", 0.9),
        Draw(first, " ", 0.0),
        Draw(even, "治头痛。", 0.8),
    ]
    made = pair_up(draws, most=3, gap=0.5, step="duels", model="sft")
    assert [(pair.chosen, pair.rejected, pair.margin) for pair in made] == [
        ("孕妇。", "婴儿。", 1.0), ("孕妇禁用。", "发热。", 0.8), ("孕妇。", "发热。", 0.9),
    ]  # fmt: skip
    assert {pair.prompt for pair in made} == {asked}
    best = made[0].origin
    assert (best.kind, best.item, best.group, best.licence) == ("model", "sample-1", "安络宁", "CC0-1.0")
    assert best.parents == ("sample-1", "fact-1")
    assert best.maker
    assert (best.maker.step, best.maker.model) == ("duels", "sft")
    assert len({pair.id for pair in made}) == 3
    assert len(pair_up(draws, most=64, gap=0.5, step="duels", model="sft")) == 4, "no pair twice"
    narrow = pair_up(draws, most=1, gap=0.2, step="duels", model="sft")
    assert [(pair.chosen, pair.rejected) for pair in narrow] == [("孕妇。", "婴儿。"), ("头痛。", "治头痛。")]
    assert pair_up([Draw(first, "对", 0.3), Draw(first, "错", 0.1)], most=1, gap=0.2, step="d", model="m"), "0.1999…"
    with pytest.raises(DataError, match=r"no prompt has two answers whose rewards are 2 apart \(9 answers"):
        pair_up(draws, most=1, gap=2, step="duels", model="sft")
    cut = [Draw(first, "孕", 1.0, finished=False), Draw(first, "婴", 0.0, finished=False)]
    with pytest.raises(DataError, match="none of 2 answers ended by itself") as caught:
        pair_up(cut, most=1, gap=0.5, step="duels", model="sft")
    assert "max_tokens" in caught.value.fix


def test_prompts_of_one_id_stay_apart() -> None:
    origin = Origin("own.jsonl", "1", "CC0-1.0", "label")
    one, two = (Sample("s1", (Message("user", asked),), origin) for asked in ("甲？", "乙？"))
    draws = [Draw(one, "甲", 1.0), Draw(one, "丙", 0.9), Draw(two, "乙", 0.3), Draw(two, "丁", 0.0)]
    assert [made.messages[0].content for made in keep_best(draws, keep=1, step="rs", model="m")] == ["甲？", "乙？"]
    with pytest.raises(DataError, match="no prompt has two answers"):
        pair_up(draws, most=1, gap=0.5, step="d", model="m")
    assert len(pair_up(draws, most=1, gap=0.1, step="d", model="m")) == 2


def test_the_pairs_of_a_prompt_are_held_out_together() -> None:
    origin = Origin("own.jsonl", "1", "CC0-1.0", "label")
    asked = [Sample(f"s{at}", (Message("user", f"{at}？"),), origin) for at in range(5)]
    draws = [Draw(one, f"{right}", right) for one in asked for right in (0.0, 1.0, 2.0)]
    made = pair_up(draws, most=3, gap=0.5, step="d", model="m")
    assert len(made) == 15
    train, heldout = hold_out(made, share=0.4, seed=1)
    assert (len(train), len(heldout)) == (9, 6)
    assert len(_in_groups(heldout, [[(1.0, 1), (0.0, 1)]] * 6)) == 2, "one prompt's pairs are no independent evidence"
    assert apart(train, heldout) == train


def test_a_stranger_is_the_answer_to_another_prompt() -> None:
    origin = Origin("own.jsonl", "1", "CC0-1.0", "label")

    def places(prompts: str) -> list[int]:
        return _strangers([Preference(one, (Message("user", one),), "对", "错", origin) for one in prompts])

    assert places("aaabbc") == [3, 3, 3, 5, 5, 0]
    assert places("abba") == [1, 3, 3, 1], "the last go on at the start"
    assert places("a") == [0]
    assert set(places("aaa")) <= {0, 1, 2}


def test_a_comparison_that_shares_a_fact_with_one_held_out_is_not_trained_on() -> None:
    def pair(name: str, *parents: str, step: str = "own") -> Preference:
        origin = Origin("made", name, "CC0-1.0", "template", group=name, parents=parents, maker=Maker(step))
        return Preference(name, (Message("user", "问"),), "对", "错", origin)

    heldout = [pair("one", "fact-1", "fact-2", step="dealt")]
    train = [pair("two", "fact-3"), pair("three", "sample-9", "fact-2"), pair("four")]
    assert [one.id for one in apart(train, heldout)] == ["two", "four"]
    assert apart(train, []) == train
    assert apart([pair("five", "fact-1", step="dealt")], heldout), "within a step its own rule has held out"
    with pytest.raises(DataError, match="each of the 1 records to train on stands on a fact") as caught:
        apart(train[1:2], heldout)
    assert "heldout" in caught.value.fix
    kept, measured = hold_out(train, share=0.4, seed=1)
    assert len(measured) == 1
    assert apart(kept, measured) == kept
