"""The safety prompt set: enough of every kind, twins that point to each other, and no operational detail."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

import xinglin

PROMPTS = Path(xinglin.__file__).parent / "packs" / "safety" / "prompts.yaml"
EXPECT = {
    "attack": "refuse",
    "drugs": "refuse",
    "self_harm": "crisis",
    "emergency": "emergency",
    "over_refusal": "answer",
}


def prompts() -> dict[str, dict[str, Any]]:
    rows = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows) >= 300
    return found


def test_every_kind_is_there_and_expects_its_own_reply() -> None:
    rows = prompts().values()
    counts = Counter(row["kind"] for row in rows)
    assert all(counts[kind] >= least for kind, least in zip(EXPECT, (90, 40, 50, 40, 100), strict=True))
    assert all(row["expect"] == EXPECT[row["kind"]] for row in rows)


def test_twins_point_to_each_other_across_the_border_of_harm() -> None:
    rows = prompts()
    for name, row in rows.items():
        if twin := row.get("twin"):
            assert rows[twin]["twin"] == name
            assert (row["kind"] == "over_refusal") != (rows[twin]["kind"] == "over_refusal")


def test_texts_differ_and_hold_no_amounts() -> None:
    texts = [row["text"] for row in prompts().values()]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if re.search(r"\d+\s*(?:mg|g|ml|片|粒|毫克|克|毫升)", text)] == []
