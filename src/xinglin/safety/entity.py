"""The nouns of de-identification: an entity in a text, and a text without its entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Type = Literal[
    "NAME", "DOCTOR", "ID_CARD", "PHONE", "TEL", "EMAIL", "WECHAT", "QQ", "BANK_CARD", "INSURANCE_NO",
    "MRN", "EXAM_NO", "BED", "PASSPORT", "PLATE", "ADDRESS", "HOSPITAL", "ORG", "DATE", "AGE_OVER",
]  # fmt: skip
TYPES: tuple[Type, ...] = get_args(Type)
PLACEHOLDERS: dict[Type, str] = {
    "NAME": "[姓名]",
    "DOCTOR": "[医护]",
    "ID_CARD": "[身份证号]",
    "PHONE": "[手机号]",
    "TEL": "[电话]",
    "EMAIL": "[邮箱]",
    "WECHAT": "[微信号]",
    "QQ": "[QQ号]",
    "BANK_CARD": "[银行卡号]",
    "INSURANCE_NO": "[医保号]",
    "MRN": "[病历号]",
    "EXAM_NO": "[检查号]",
    "BED": "[床号]",
    "PASSPORT": "[护照号]",
    "PLATE": "[车牌号]",
    "ADDRESS": "[地址]",
    "HOSPITAL": "[医院]",
    "ORG": "[单位]",
    "DATE": "[日期]",
    "AGE_OVER": ">89",
}
"""What the policy `mask` writes in place of an entity."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A piece of text that can name a person: `text` is `original[start:end]`, offsets count Python characters."""

    type: Type
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Masked:
    """A text without its entities, and the entities with their offsets into the original."""

    text: str
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A candidate in the normalised text; of two that overlap the one with the higher `weight` stays."""

    type: Type
    start: int
    end: int
    weight: int = 5


def settle(spans: list[Span]) -> list[Span]:
    """The spans without overlaps, in order: heavier before lighter, then longer before shorter."""
    kept: list[Span] = []
    taken: set[int] = set()
    for one in sorted(spans, key=lambda span: (-span.weight, span.start - span.end, span.start)):
        cells = range(one.start, one.end)
        if taken.isdisjoint(cells):
            taken.update(cells)
            kept.append(one)
    return sorted(kept, key=lambda span: span.start)
