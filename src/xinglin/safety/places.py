"""Addresses: behind their key, from a known place downwards, and backwards from a house number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from xinglin.safety.entity import Span
from xinglin.safety.lexicon import places

_NOT_H = (
    "的在从去到于至往了我他她您你们是被给住把说让等送转对向找就跟着很还没不也都曾这那哪因为想问请而或若吗呢吧啊哦嗯"
)
H = f"(?:(?![{_NOT_H}])[\u4e00-\u9fff])"
"""A character of the name of a place."""
_NUMBER = r"(?:[A-Za-z]?\d{1,5}(?:[\-]\d{1,5}){0,3}|[一二三四五六七八九十百]{1,4}|[甲乙丙丁A-Za-z])"
_UNIT = r"(?:号楼|号院|号|栋|幢|座|单元|室|楼|层|组|弄|巷|支弄|户|队|社|区|门|#)"
_TAIL = rf"(?:[ ,，]?{_NUMBER}[ ]?{_UNIT}(?:楼|院)?(?:[ ]?\d{{3,4}}室?(?!\d))?|[\-]\d{{1,4}}){{0,5}}"
_HOME = (
    r"(?:小区|花园|公寓|新村|家园|苑|大厦|广场|新城|名城|府|嘉园|雅园|华庭|豪庭|宿舍|家属院|"
    r"大院|里|坊|湾|居|公馆|山庄|花苑)"
)
_LEVELS = (
    rf"(?:{H}{{1,8}}?(?:自治州|自治县|开发区|高新区|新区|(?<![山城郊市牧矿景校院病灾地疫林库片社小区])区|"
    rf"(?<![城超])市|县|旗|盟|州)){{0,3}}"
    rf"(?:{H}{{1,8}}?(?:街道(?:办事处)?|镇|乡|苏木|社区|村委会|村|屯|庄(?!村))){{0,3}}"
    rf"(?:{H}{{1,10}}?(?:大道|大街|路|街|巷|弄|胡同|道)(?={_NUMBER}|{H}{{0,8}}{_HOME}|[,，。;；\s]|$)){{0,2}}"
)
_DOWN_TAIL = rf"{_TAIL}(?:{H}{{1,10}}?{_HOME}{_TAIL})?"
_KEY = re.compile(
    r"(?:(?:家庭|现|户籍|户口|联系|通讯|收货|邮寄|寄件|收件|居住|常住|暂住|单位|详细|工作|出生|公司|邮政|"
    r"注册)?(?:住址|地址|住处)|户籍(?:所在)?地?|户口所在地|籍贯|居住地|"
    r"常住地|出生地|现居地|居所|所在地区?|(?i:\baddress|\baddr))"
    r"(?:[\"' ]{0,3}[:=\t|][\"' \t]{0,4}|[为是在] ?| )"
)
_VALUE = re.compile(
    r"(?:(?!电话|手机|联系|邮编|身份|姓名|收件|邮箱|微信|职业|婚姻|性别|民族|  )[^\n\t,，。;；|"
    r"\"'<>?？!！（(\[]){2,50}"
)
_LOOSE = re.compile(
    r"(?:家住|我住|住在|住址是|现居|现住|暂住|老家[在是]?|来自|家[在是]|人在|我在|租住在?|祖籍|户籍|籍贯|"
    r"搬到|定居|生于|出生于|出生在|寄到|快递到|送到|地址)[ :：]{0,2}(?:了|"
    r"于|在)?"
)
_BLANK = re.compile(r"(?:未|不详|无|同上|保密|略|暂|待|见)")
_HOUSE = re.compile(
    r"(?<![\d.A-Za-z])\d{1,5}(?:-\d{1,4})?(?:号院?|弄|栋|幢|号楼|座|单元|组)(?![床线染方片诊窗口文字码手令钢机针])"
)
_BEFORE_HOUSE = re.compile(
    r"(?:大道|路|街|道|巷|弄|胡同|里|村|小区|花园|苑|家园|公寓|新村|大院|家属院|庄|屯|社区|府|湾|坊|庭|园|"
    r"城|镇|乡|居)$"
)
_BEFORE_UNIT = re.compile(r"(?:小区|花园|苑|家园|公寓|新村|大院|家属院|宿舍|城|府|园|庭|湾|里|居|郡|墅|廷)$")
_NOT_STREETS = re.compile(
    r"(?:通路|气道|尿道|肠道|胆道|食道|阴道|产道|耳道|鼻道|管道|知道|味道|报道|渠道|呼吸道|消化道|上消化道|"
    r"跑道|消息|公里|厘米里|思路|电路|旁路|回路|一路|走路|马路|绕路|出路|静脉通路|"
    r"农村|这里|那里|哪里|家里|心里|夜里|嘴里|车里|院里|科里|手里|医院里|幼儿园|公园|校园|动物园|乐园)$"
)
_RURAL = re.compile(
    rf"{H}{{1,4}}?(?:(?<!知)县|(?<![山城郊市牧矿景校院病灾地疫社小分])区|(?<![城超])市|"
    rf"旗){H}{{1,4}}?(?:(?<![城乡集])镇|(?<![城老故家下])乡|"
    rf"街道)(?:{H}{{1,5}}?(?:村|社区|居委会|屯))?{_TAIL}"
    rf"|{H}{{1,4}}?(?:(?<![城乡集冰])镇|(?<![城老故家下])乡){H}{{1,4}}?(?<![农乡山本全])村{_TAIL}"
)
_SEVERAL = re.compile(
    rf"{H}{{2,6}}?(?:[路街]|大道)(?:与|和|、|靠近|近){H}{{2,6}}?(?:[路街]|大道)(?:交叉口|路口|口|交界)"
)
_SKIPPED = re.compile(
    r"^(?:家|人|位|址|座|和|及|与|来|自|老|回|有|后|前|时|现|现在|地|处|上|下|内|外|并|则|出|入|过|再|又|"
    r"先|患者|籍贯|户籍|户口|村民|农民|工人|属|原|寄|搬|租|本|本人|某|"
    r"各|某某|医生|每|个|全|大|一|两|几|多)+"
)
_VAGUE = re.compile(
    r"(?:.{0,4}(?:农村|山区|牧区|乡村|县城|城市|郊区|市区|城镇|乡镇|小区|社区|城乡|城区|老区|灾区|"
    r"附近.{0,3})|[一某这那本外].{1,4}|.洲区)$"
)


@cache
def _known() -> re.Pattern[str]:
    return re.compile(f"(?:{places().known})(?:壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区|省|市|地区|州|盟)?")


@cache
def _down() -> re.Pattern[str]:
    place = f"(?:{places().known})"
    return re.compile(f"(?:{place}(?:省|市|自治区|特别行政区|地区|州|盟|区|县)?[ ]?){{1,3}}{_LEVELS}{_DOWN_TAIL}")


def find_places(text: str) -> Iterator[Span]:
    """Every address in a normalised text that is finer than a province or city, or is said to be somebody's home."""
    for match in _KEY.finditer(text):
        yield from _field(text, match.end())
    if not _ANY.search(text):
        return
    homes = {match.end() for match in _LOOSE.finditer(text)}
    for match in _down().finditer(text):
        bare = _known_only(match.group())
        if match.start() in homes or not bare:
            yield Span("ADDRESS", *match.span(), 4)
    for match in _LOOSE.finditer(text):
        rural = _COUNTY.match(text, match.end())
        if rural and not _VAGUE.match(rural.group()):
            yield Span("ADDRESS", *rural.span(), 3)
    for pattern in (_RURAL, _SEVERAL):
        for match in pattern.finditer(text):
            start = match.start() + _skipped(match.group())
            if match.end() - start > 4:
                yield Span("ADDRESS", start, match.end(), 3)
    yield from _houses(text)


_ANY = re.compile(r"[省市县区镇乡村路街道巷号栋幢弄组州住在家籍自到里]")
_COUNTY = re.compile(
    rf"{H}{{1,5}}?(?:(?<![城])县|(?<![山城郊市景校院病地社小])区|(?<![城超])市|镇|乡|村|路|"
    rf"街道)(?:{H}{{1,8}}?(?:镇|乡|村|街道|社区|路|街|小区|花园|"
    rf"苑))?{_TAIL}"
)


def _known_only(text: str) -> bool:
    """Whether this is nothing but provinces and cities."""
    rest = _known().sub("", text.replace(" ", ""))
    return not rest or text.replace("市", "") in places().plain


def _skipped(text: str) -> int:
    match = _SKIPPED.match(text)
    return match.end() if match else 0


def _field(text: str, at: int) -> Iterator[Span]:
    """What stands in a field for an address."""
    match = _VALUE.match(text, at)
    if not match or _BLANK.match(match.group()):
        return
    value = match.group().rstrip()
    keyed = text[at - 1] in ":=\t|\"' "
    if (keyed and text[at - 1] != " ") or _PART.search(value) or _known().match(value):
        yield Span("ADDRESS", at, at + len(value), 7)


_PART = re.compile(r"[省市县区镇乡村路街巷弄号栋]")


def _houses(text: str) -> Iterator[Span]:
    """Addresses that end in a number: walked back to where they begin."""
    for match in _HOUSE.finditer(text):
        start = _walk(text, match.start())
        name = text[start : match.start()]
        known = _BEFORE_HOUSE if match.group().endswith(("号", "号院", "弄", "组")) else _BEFORE_UNIT
        if len(name) < 3 or not known.search(name) or _NOT_STREETS.search(name):
            continue
        tail = _TAIL_AT.match(text, match.start())
        yield Span("ADDRESS", start, tail.end() if tail else match.end(), 3)


_TAIL_AT = re.compile(_TAIL)


def _walk(text: str, end: int) -> int:
    """Where the name before a house number begins: at a known place, else behind the last word that is no name."""
    start = end
    while start and end - start < 28 and "\u4e00" <= text[start - 1] <= "\u9fff" and text[start - 1] not in _NOT_H:
        start -= 1
    place = _known().search(text, start, end)
    return place.start() if place else start + _skipped(text[start:end])
