"""Amounts of medicine as numbers: `300～600 mg`, `60 mg/kg`, `每4～6小时1次`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"\d+(?:\.\d+)?"
_AMOUNT = re.compile(rf"({_NUMBER})(?:\s*[～~\-–—]\s*({_NUMBER}))?\s*(.*)")
_SCALES = {
    "kg": ("g", 1000.0),
    "g": ("g", 1.0),
    "mg": ("g", 1e-3),
    "μg": ("g", 1e-6),
    "ng": ("g", 1e-9),
    "ml": ("ml", 1.0),
    "mL": ("ml", 1.0),
    "L": ("ml", 1000.0),
    "IU": ("IU", 1.0),
    "单位": ("IU", 1.0),
    "U": ("IU", 1.0),
    "万单位": ("IU", 1e4),
    "万IU": ("IU", 1e4),
    "mmol": ("mmol", 1.0),
    "mol": ("mmol", 1000.0),
    "kcal": ("kcal", 1.0),
    "kJ": ("kJ", 1.0),
}
_COUNTS = frozenset(
    [
        "片",
        "粒",
        "丸",
        "袋",
        "包",
        "支",
        "瓶",
        "枚",
        "滴",
        "揿",
        "喷",
        "吸",
        "贴",
        "次",
        "剂",
        "颗",
        "亿CFU",
        "指尖单位",
        "cm",
        "掌",
        "张",
        "泡",
        "格",
        "块",
        "%",
    ]
)
_PER = frozenset(["kg", "d", "h", "min", "日", "天", "小时", "分钟", "m²", "m2", "次", "周", "眼", "侧"])
_EVERY = re.compile(
    rf"每({_NUMBER})?(?:[～~\-]({_NUMBER}))?(小时|日|天|周|月|晚|早|晨)(?:[^\d]*({_NUMBER}))?(?:[～~\-]{_NUMBER})?"
)
_HOURS = {"小时": 1.0, "日": 24.0, "天": 24.0, "晚": 24.0, "早": 24.0, "晨": 24.0, "周": 168.0, "月": 720.0}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount from `low` to `high` in `unit`, the unit brought to g, ml, IU or mmol where it can be."""

    low: float
    high: float
    unit: str


def amount(text: str, unit: str = "") -> Amount | None:
    """`5`, `0.1～0.2` (with `unit` given) or `60 mg/kg` as an Amount; None for what is no number with a known unit."""
    found = _AMOUNT.fullmatch(text.strip())
    if not found:
        return None
    low = float(found[1])
    high = float(found[2] or found[1])
    scaled = _scale(found[3].strip() or unit)
    if scaled is None or high < low:
        return None
    name, factor = scaled
    return Amount(low * factor, high * factor, name)


def _scale(unit: str) -> tuple[str, float] | None:
    """A unit brought to its base and the factor; per-parts such as /kg or /(kg·d) are kept."""
    first, *rest = re.split(r"[/·.()（）]+", unit.rstrip(")）"))
    base = _SCALES.get(first) or ((first, 1.0) if first in _COUNTS else None)
    if base is None or not set(rest) <= _PER:
        return None
    return "/".join([base[0], *(part for part in rest if part not in ("次",))]), base[1]


def per_day(frequency: str) -> float:
    """The fewest times a day that a frequency such as 每4～6小时1次 or 每日2～3次 means; 1 when it says none."""
    found = _EVERY.search(frequency)
    if not found:
        return 1.0
    every = float(found[2] or found[1] or 1) * _HOURS[found[3]]
    return float(found[4] or 1) * 24.0 / every
