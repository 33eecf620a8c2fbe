"""Golden values of reference/golden/statistics.json and qizhen_criteria.json, as literals (1e-6 unless said)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinglin.metrics.choice import accuracy, wilson, wilson_of_groups
from xinglin.metrics.paired import average, bootstrap, detectable, holm, mcnemar, sign_flip
from xinglin.metrics.spans import contains_all, criteria, hits, listed, overlaps

JUDGED_A = [4.75, 4.5, 5.0, 4.25, 4.5, 4.75, 4.0, 5.0, 4.5, 4.75]
JUDGED_B = [4.5, 4.5, 4.5, 4.5, 4.25, 4.75, 3.75, 4.5, 4.25, 4.5]
DIFFERENCES = [a - b for a, b in zip(JUDGED_A, JUDGED_B, strict=True)]


def test_sign_flip_counts_56_of_1024_assignments() -> None:
    assert sign_flip(DIFFERENCES) == pytest.approx(56 / 1024, abs=1e-6)
    assert sign_flip([-value for value in DIFFERENCES]) == pytest.approx(56 / 1024, abs=1e-6)


def test_the_bootstrap_interval_is_the_reference_one() -> None:
    low, high = bootstrap(DIFFERENCES)
    assert low == pytest.approx(0.05, abs=0.026)
    assert high == pytest.approx(0.325, abs=0.026)
    assert bootstrap(DIFFERENCES) == (low, high), "the same seed gives the same interval"


def test_the_bootstrap_agrees_with_the_enumeration_of_all_256_resamples() -> None:
    assert bootstrap([0, 1, 1, 3]) == (0.25, 2.5)


def test_many_distinct_values_are_drawn_in_blocks_that_cover_every_resample() -> None:
    values = list(np.random.default_rng(1).normal(0.1, 1.0, 1200))
    low, high = bootstrap(values)
    half = 1.96 * float(np.std(values)) / math.sqrt(len(values))
    assert low == pytest.approx(np.mean(values) - half, abs=0.006)
    assert high == pytest.approx(np.mean(values) + half, abs=0.006)


def test_the_detectable_difference_is_the_reference_one() -> None:
    assert detectable(DIFFERENCES) == pytest.approx(0.20353, abs=1e-5)
    assert detectable([0.5]) == math.inf


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(12, 5, 0.143463), (25, 9, 0.009041), (3, 3, 1.0), (0, 6, 0.03125), (40, 20, 0.013489), (0, 0, 1.0)],
)
def test_mcnemar_is_exact_and_two_sided(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p, abs=1e-6)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


def test_mcnemar_holds_for_thousands_of_discordant_items() -> None:
    assert mcnemar(5000, 0) == 0.0
    assert mcnemar(3000, 3000) == 1.0
    # The normal approximation with continuity correction, near enough at this size.
    assert mcnemar(1050, 1150) == pytest.approx(math.erfc(99 / math.sqrt(2 * 2200)), abs=1e-4)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([0.001, 0.02, 0.03, 0.04, 0.9], [0.005, 0.08, 0.09, 0.09, 0.9]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_keeps_the_order_of_its_input(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted, abs=1e-9)


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (28, 41, 0.530158, 0.804354),
        (20, 41, 0.342544, 0.635155),
        (0, 20, 0.0, 0.161125),
        (20, 20, 0.838875, 1.0),
        (137, 540, 0.218832, 0.292055),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_is_the_closed_form(correct: int, count: int, low: float, high: float) -> None:
    assert wilson(correct, count) == pytest.approx((low, high), abs=1e-6)


def test_items_that_are_alike_within_their_groups_count_once() -> None:
    alone = [[True]] * 28 + [[False]] * 13
    assert wilson_of_groups(alone) == pytest.approx(wilson(28, 41), abs=1e-12)
    assert wilson_of_groups([one * 5 for one in alone]) == pytest.approx(wilson(28, 41), abs=1e-12)
    # Share 3/5; the groups of 2, 2 and 1 are off by 0.8, -0.2 and -0.6: spread 1.04, effective 25 * 0.24 / 1.04.
    groups = [[True, True], [True, False], [False]]
    assert wilson_of_groups(groups) == pytest.approx(wilson(3, 5), abs=1e-12), "never more than there are"
    # Share 1/2; the groups of 3, 3, 1 and 1 are off by 1.5, -1.5, 0.5 and -0.5: spread 5, effective 64 / 4 / 5.
    groups = [[True] * 3, [False] * 3, [True], [False]]
    assert wilson_of_groups(groups) == pytest.approx(wilson(1.6, 3.2), abs=1e-12)
    assert wilson_of_groups([[True] * 9, [True]]) == wilson(2, 2)
    assert wilson_of_groups([[False] * 9, [], [False]]) == wilson(0, 2)
    assert wilson_of_groups([]) == (0.0, 1.0)


def test_accuracy_carries_its_count_interval_and_signature() -> None:
    metric = accuracy([1.0] * 28 + [0.0] * 13, "recall", "xl|v:1")
    assert (metric.name, metric.count, metric.signature) == ("recall", 41, "xl|v:1")
    assert metric.value == pytest.approx(28 / 41)
    assert (metric.low, metric.high) == wilson(28, 41)
    assert accuracy([], "empty").value == 0.0


def test_average_of_fractions_has_a_bootstrap_interval() -> None:
    metric = average([0.0, 0.5, 1.0, 0.5] * 25, "share")
    assert metric.value == 0.5
    assert 0.4 < metric.low < 0.5 < metric.high < 0.6
    assert (average([], "share").low, average([], "share").high) == (0.0, 1.0)


def test_sign_flip_with_draws_agrees_with_the_exact_test() -> None:
    rng = np.random.default_rng(3)
    values = list(rng.normal(0.25, 1.0, 16))
    exact = sign_flip(values)
    # The same evidence in many small steps: 17 values are beyond the exact limit.
    assert sign_flip([*values, 1e-6]) == pytest.approx(exact, abs=0.02)
    assert sign_flip([1.0] * 40) == pytest.approx(1 / 10_001)
    assert sign_flip([0.0] * 40) == 1.0
    assert sign_flip([]) == 1.0


def test_sign_flip_counts_ties_as_extreme() -> None:
    assert sign_flip([0.1, 0.2, 0.3]) == 2 / 8


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= new <= 1 for raw, new in zip(p, adjusted, strict=True))
    ranked = [adjusted[index] for index in sorted(range(len(p)), key=lambda at: p[at])]
    assert ranked == sorted(ranked)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_wilson_interval_holds_the_proportion(correct: int, wrong: int) -> None:
    low, high = wilson(correct, correct + wrong)
    share = correct / (correct + wrong) if correct + wrong else 0.5
    assert 0 <= low <= share <= high <= 1


@pytest.mark.parametrize(
    ("gold", "hit", "expected"),
    [
        (1, 0, (0, 0, 0)),
        (1, 1, (1, 1, 1)),
        (2, 1, (1, 1, 0)),
        (3, 1, (1, 0, 0)),
        (3, 2, (1, 1, 1)),
        (4, 2, (1, 1, 0)),
        (5, 2, (1, 0, 0)),
        (5, 3, (1, 1, 0)),
        (5, 4, (1, 1, 1)),
        (6, 4, (1, 1, 1)),
        (7, 4, (1, 1, 0)),
        (7, 5, (1, 1, 1)),
        (62, 31, (1, 1, 0)),
        (62, 41, (1, 1, 0)),
        (62, 42, (1, 1, 1)),
    ],
)
def test_the_criteria_are_exact_fractions(gold: int, hit: int, expected: tuple[int, int, int]) -> None:
    assert criteria(hit, gold) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("本品用于高血压和心绞痛。", ["高血压", "心绞痛", "心力衰竭"], ["高血压", "心绞痛"]),
        ("适用于原发性高血压。", ["高血压"], ["高血压"]),
        ("本品不用于高血压，适用于心绞痛。", ["高血压", "心绞痛"], ["心绞痛"]),
        ("高血压患者禁用；用于支气管哮喘。", ["高血压", "支气管哮喘"], ["支气管哮喘"]),
        ("可治疗急性心肌梗死。", ["ST段抬高心肌梗死", "急性冠脉综合征"], []),
        ("用于２型糖尿病", ["2型糖尿病"], ["2型糖尿病"]),
        ("", ["痛经"], []),
        ("用于治疗焦虑障碍。", ["焦虑障碍", "焦虑"], ["焦虑障碍", "焦虑"]),
    ],
)
def test_the_matching_cases_of_the_reference_hold(answer: str, gold: list[str], expected: list[str]) -> None:
    assert hits(answer, gold) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("不适用于高血压、心绞痛", []),
        ("高血压（妊娠高血压除外）和心绞痛", ["高血压", "心绞痛"]),
        ("用于心绞痛但不用于高血压", ["心绞痛"]),
        ("禁用于高血压\n用于心绞痛", ["心绞痛"]),
        ("高血压者慎用。心绞痛", ["心绞痛"]),
        ("用于高血压，肝功能不全者慎用", ["高血压"]),
        ("高血压患者不能使用本品，可用于心绞痛", ["心绞痛"]),
        ("用于不能使用阿司匹林的心绞痛", ["心绞痛"]),
        ("禁忌：高血压、心绞痛", []),
        ("不用于高血压；也可用于高血压", ["高血压"]),
        ("不仅用于高血压，也用于心绞痛", ["高血压", "心绞痛"]),
    ],
)
def test_a_negation_or_contraindication_reaches_to_the_end_of_its_clause(answer: str, expected: list[str]) -> None:
    assert hits(answer, ["高血压", "心绞痛"]) == expected


def test_an_empty_gold_string_is_never_a_hit() -> None:
    assert hits("任何回答", ["", " "]) == []


def test_contains_all_needs_every_tail_after_folding() -> None:
    assert contains_all("成人每次 ５ mg，用于高血压", ["5mg", "高血压"])
    assert not contains_all("成人每次 5 mg", ["5mg", "高血压"])
    assert not contains_all("什么都说", [])


def test_listed_items_lose_their_lead_words_and_citations() -> None:
    assert listed("甲药的适应症：用于发热、咳嗽。[1]") == ["发热", "咳嗽"]
    assert listed("本品主要用于治疗发热，以及头痛") == ["发热", "头痛"]
    assert overlaps("原发性高血压", ["高血压"])
    assert overlaps("高血压", ["原发性高血压"])
    assert not overlaps("咳嗽", ["高血压", ""])
