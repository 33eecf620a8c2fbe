"""Amounts of medicine are found however they are written; what only looks like one is left alone."""

from __future__ import annotations

import time

import pytest

from xinglin.safety.doses import states_amount


@pytest.mark.parametrize(
    "text",
    [
        "每次500 mg。",
        "0.5g tid",
        "每次５００ｍｇ。",
        "每次500\u200bmg。",
        "500 毫 克",
        "每次五百毫克。",
        "10万单位",
        "静滴10ml500ml5%葡萄糖",
        "体重每公斤10mg，5 mg/kg/d",
        "一次2片，一日3次。",
        "每次两片。",
        "半片，每日一次",
        "每次 2 喷",
        "每日6颗",
        "追加40u/kg",
    ],
)
def test_an_amount_is_found(text: str) -> None:
    assert states_amount(text)


@pytest.mark.parametrize(
    "text",
    [
        "血红蛋白120 g/L，血糖90 mg/dL。",
        "肌酐清除率低于30 ml/min者慎用。",
        "胸部CT示2片状影，可见2粒细胞。",
        "支气管炎，另有3支架。",
        "体重五十千克，身高170cm。",
        "维生素B12吸收不良。",
        "口腔里有4颗蛀牙。",
        "同一单位的同事都有发热。",
        "每日血压低于140/90，一日三次测量。",
        "全身起了一片红疹。",
        "2克罗恩病",
        "",
    ],
)
def test_what_only_looks_like_an_amount_is_none(text: str) -> None:
    assert not states_amount(text)


@pytest.mark.parametrize("piece", ["一", "1", "每次", "每日口服", "m", "  ", "1 "])
def test_long_hostile_texts_are_read_in_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    started = time.process_time()
    states_amount(text)
    # 0.04 s; a pattern that goes back over the text would need minutes.
    assert time.process_time() - started < 10
