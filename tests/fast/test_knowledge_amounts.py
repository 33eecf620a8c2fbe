"""Amounts of medicine are numbers with known units, or nothing."""

from __future__ import annotations

import pytest

from xinglin.knowledge.amounts import Amount, amount, per_day


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("5", "mg", Amount(0.005, 0.005, "g")),
        ("300～600", "mg", Amount(0.3, 0.6, "g")),
        ("2 g", "", Amount(2.0, 2.0, "g")),
        ("60 mg/kg", "", Amount(0.06, 0.06, "g/kg")),
        ("0.1", "mg/(kg·d)", Amount(0.0001, 0.0001, "g/kg/d")),
        ("80万", "单位", None),
        ("80", "万单位", Amount(800_000, 800_000, "IU")),
        ("1", "片", Amount(1, 1, "片")),
        ("5～2", "mg", None),
        ("适量", "g", None),
        ("5", "mmg", None),
        ("5", "", None),
    ],
)
def test_an_amount_is_a_number_with_a_known_unit(text: str, unit: str, expected: Amount | None) -> None:
    found = amount(text, unit)
    if expected is None or found is None:
        assert found == expected
    else:
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        assert found.unit == expected.unit


@pytest.mark.parametrize(
    ("frequency", "times"),
    [
        ("每日1次", 1),
        ("每日2～3次", 2),
        ("每4～6小时1次", 4),
        ("每12小时1次", 2),
        ("每周1次", 1 / 7),
        ("隔日1次", 1),
        ("必要时", 1),
        ("", 1),
        ("每晚1次", 1),
    ],
)
def test_a_frequency_is_read_at_its_lowest(frequency: str, times: float) -> None:
    assert per_day(frequency) == pytest.approx(times)
