"""Amounts of medicine in a text, however they are written: `500 mg`, `５００毫克`, 五百毫克, 每次两片.

It finds too much rather than too little: an amount of food (食盐5 g) counts; a concentration (5 mg/dL, 120 g/L), a
clearance (60 ml/min) and a weight in kilograms do not.
"""

from __future__ import annotations

import re
import unicodedata

from xinglin.safety.view import normalise

_BLANK = r"\s{0,3}"
_SAID = "[零〇一二两三四五六七八九十百千万半几数壹贰叁肆伍陆柒捌玖拾]"
_UNIT = (
    rf"(?:(?:m{_BLANK}g|mcg|[μu]g|g|m{_BLANK}l|m?iu|u(?!\d))(?![a-z])|毫{_BLANK}克|微{_BLANK}克"
    rf"|(?<!千)克(?!罗恩|隆|拉|雷|山|服|氏)|毫{_BLANK}升|国际单位|(?<!一)单位)(?!{_BLANK}/{_BLANK}(?:[dm]?l|min(?!.?/)))"
)
# A word that only begins like a unit is none: 2片状影, 2支持, 2粒细胞, 2滴虫, 2个.
_COUNT = r"(?:片(?!状|段|区|叶|面)|粒(?!细胞|子|径)|丸|袋|滴(?!虫|度|定)|支(?!持|架|气|原|付|撑|配|链))"
_RARE = "(?:颗(?!粒)|[枚贴揿喷吸勺])"
"""Units that count other things as often (4颗牙), or stand behind a number by chance (B12吸收不良)."""
_TAKEN = r"(?:(?:每|一|1|首)(?:次|日|天|晚|早|服)|顿服|口服|服|吃|含|注射|吸入|用量|剂量)[^\d,;。]{0,6}?"
_EVERY = r"[,、/]?(?:每|一)(?:次|日|天|晚|早)"
_DOSE = re.compile(
    rf"\d{_BLANK}万?{_UNIT}|{_SAID}{_BLANK}{_UNIT}|\d{_BLANK}{_COUNT}"
    rf"|{_TAKEN}{_SAID}{_BLANK}(?:{_COUNT}|{_RARE})|{_TAKEN}\d{{1,3}}{_BLANK}{_RARE}"
    rf"|{_SAID}{_BLANK}{_COUNT}{_EVERY}|\d{_BLANK}{_RARE}{_EVERY}"
)


def states_amount(text: str) -> bool:
    """Whether a text says an amount of something to take; blanks, zero-width and full-width characters hide none."""
    return _DOSE.search(unicodedata.normalize("NFKC", normalise(text).text).lower()) is not None
