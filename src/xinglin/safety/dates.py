"""Dates and high ages: find them, and shift a date so that its writing stays and intervals hold."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from xinglin.safety.checks import is_day
from xinglin.safety.entity import Span

_HAN = "零〇○一二三四五六七八九十"
_YEAR = r"(?:1[89]|20)\d{2}"
_FULL = re.compile(
    rf"(?<![\d.\-])(?<!\d/)({_YEAR})(?:(\s?年\s?)(\d{{1,2}})(\s?月\s?)(\d{{1,2}})([日号]?)|"
    rf"([\-/.·])(\d{{1,2}})\7(\d{{1,2}}))(?![/\-.]?\d)"
)
_SHORT = re.compile(r"(?<![\d.])(\d{2})年(\d{1,2})月(\d{1,2})[日号]")
_MONTH = re.compile(rf"(?<![\d.])(?:{_YEAR}|\d{{2}})\s?年\s?\d{{1,2}}\s?月(?:份)?(?!\s?\d{{1,2}}\s?[日号]?|龄|经)")
_DAY = re.compile(r"(?<![\d.年/\-])(\d{1,2})月(\d{1,2})[日号](?!龄)")
_HAN_DATE = re.compile(
    rf"[一二][{_HAN}]{{3}}年[{_HAN}]{{1,3}}月(?:份|[{_HAN}]{{1,3}}[日号])?|"
    rf"(?<![{_HAN}个年])[{_HAN}]{{1,2}}月[{_HAN}]{{1,3}}[日号]"
)
_LUNAR = re.compile(
    r"(?:农历|阴历|旧历)(?:[一二三四五六七八九十正冬腊]{1,2}月(?:初|十|廿|三十|二十)?[一二三四五六七八九十]{0,2})"
)
_COMPACT = re.compile(
    r"(?:出生(?:日期|年月日?)?|生日|生于|入院|出院|日期|时间|手术|就诊|检查|报告|采样|接诊|复诊|末次月经|"
    r"LMP|(?i:\bdob|\bdate|birthday|born))"
    r"(?:日期|时间|日)?[\"' \t]{0,3}[:=于为是|]?[\"' \t]{0,3}((?:1[89]|20)\d{2}[ ]?\d{2}[ ]?\d{2}|(?:1[89]|"
    r"20)?\d{2}[\-/.]\d{1,2}[\-/.]\d{1,2}|"
    r"(?:1[89]|20)\d{2}[\-/.](?:0?[1-9]|1[0-2]))(?![\d.天日周小])"
)
_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_ENGLISH = re.compile(
    rf"(?<![A-Za-z])(?:(?:{_NAMES.replace(' ', '|')})[a-z]{{0,6}}\.? \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}"
    rf"|\d{{1,2}} (?:{_NAMES.replace(' ', '|')})[a-z]{{0,6}}\.?,? {_YEAR})(?!\d)"
)
_AGE = re.compile(
    r"(?<![\d.~\-≥>＞])(9\d|1[0-2]\d)(?=\s?周?岁(?!以上|及以上|以下|以内|~|-|人群|组|至|到|\(含\)|时|后))"
    r"|(?:年龄|age)[\"' ]{0,2}[:=\t ]{1,3}[\"' ]?(9\d|1[0-2]\d)(?!\d|\.\d)"
    r"|(?<![一二三四五六七八九])(九十[一二三四五六七八九]?|一百(?:零[一二三四五六七八九])?)(?=多?周?岁(?!以"
    r"上|及以上|以下|人群))"
    r"|(?:今年|现年|已经?|高龄|都)(9\d|1[0-2]\d|九十[一二三四五六七八九]|一百零[一二三四五六七八九])(?=[了,。;的高]|$)"
)
_PLAIN_SHIFT = re.compile(rf"({_YEAR})(\D{{1,3}})(\d{{1,2}})(\D{{1,3}})(\d{{1,2}})(\D?)")
_COMPACT_SHIFT = re.compile(rf"({_YEAR})(\d{{2}})(\d{{2}})")
_HAN_SHIFT = re.compile(rf"([{_HAN}]{{4}})年([{_HAN}]{{1,3}})月([{_HAN}]{{1,3}})([日号])")
_DAY_SHIFT = re.compile(r"(\d{1,2})月(\d{1,2})([日号])")
_MONTH_SHIFT = re.compile(rf"({_YEAR})(\D{{1,3}})(\d{{1,2}})(\D{{0,2}})")


def find_dates(text: str) -> Iterator[Span]:
    """Every date that says more than a year, and every age of 90 and above, in a normalised text."""
    if "月" in text or _HAS_YEAR.search(text):
        yield from _dates(text)
    if "岁" in text or "龄" in text or "年" in text or "age" in text:
        for match in _AGE.finditer(text):
            yield Span("AGE_OVER", *match.span(match.lastindex or 0), 6)


_HAS_YEAR = re.compile(r"\d{2}[\-/.年·]?\d{2}|\d[\-/.]\d")


def _dates(text: str) -> Iterator[Span]:
    for match in _FULL.finditer(text):
        month, day = (match[3], match[5]) if match[3] else (match[8], match[9])
        if is_day(int(match[1]), int(month), int(day)):
            yield Span("DATE", *match.span(), 6)
    for match in _DAY.finditer(text):
        if is_day(2000, int(match[1]), int(match[2])):
            yield Span("DATE", *match.span(), 4)
    for pattern in (_SHORT, _MONTH, _HAN_DATE, _LUNAR, _ENGLISH):
        yield from (Span("DATE", *match.span(), 5) for match in pattern.finditer(text))
    for match in _COMPACT.finditer(text):
        digits = re.sub(r"\D", "", match[1])
        if len(digits) != 8 or is_day(int(digits[:4]), int(digits[4:6]), int(digits[6:])):
            yield Span("DATE", *match.span(1), 5)


def shift(text: str, days: int) -> str | None:
    """The date moved by `days`, written the same way; None for one that is not understood. Where the year is missing
    it is taken as 2001; a month without a day is moved from its 15th."""
    if match := _PLAIN_SHIFT.fullmatch(text):
        moved = _moved(int(match[1]), int(match[3]), int(match[5]), days)
        return moved and _written(moved, match)
    if match := _COMPACT_SHIFT.fullmatch(text):
        moved = _moved(int(match[1]), int(match[2]), int(match[3]), days)
        return moved and moved.strftime("%Y%m%d")
    if match := _HAN_SHIFT.fullmatch(text):
        moved = _moved(*(_number(match[at]) for at in (1, 2, 3)), days=days)
        return moved and f"{_spelled(moved.year)}年{_counted(moved.month)}月{_counted(moved.day)}{match[4]}"
    if match := _DAY_SHIFT.fullmatch(text):
        moved = _moved(2001, int(match[1]), int(match[2]), days)
        return moved and f"{_like(moved.month, match[1])}月{_like(moved.day, match[2])}{match[3]}"
    if match := _MONTH_SHIFT.fullmatch(text):
        moved = _moved(int(match[1]), int(match[3]), 15, days)
        if moved is None:
            return None
        month, day = _like(moved.month, match[3], match[2]), _like(moved.day, match[5], match[4])
        return f"{moved.year}{match[2]}{month}{match[4]}{day}{match[6]}"
    if match := _COMPACT_SHIFT.fullmatch(text):
        moved = _moved(int(match[1]), int(match[2]), int(match[3]), days)
        return moved and moved.strftime("%Y%m%d")
    if match := _HAN_SHIFT.fullmatch(text):
        moved = _moved(*(_number(match[at]) for at in (1, 2, 3)), days=days)
        return moved and f"{_spelled(moved.year)}年{_counted(moved.month)}月{_counted(moved.day)}{match[4]}"
    if match := _DAY_SHIFT.fullmatch(text):
        moved = _moved(2001, int(match[1]), int(match[2]), days)
        return moved and f"{_like(moved.month, match[1])}月{_like(moved.day, match[2])}{match[3]}"
    if match := _MONTH_SHIFT.fullmatch(text):
        moved = _moved(int(match[1]), int(match[3]), 15, days)
        return moved and f"{moved.year}{match[2]}{_like(moved.month, match[3])}{match[4]}"
    return None


def _written(day: datetime.date, match: re.Match[str]) -> str:
    """A day written as the date that was matched."""
    month, number = _like(day.month, match[3], match[2]), _like(day.day, match[5], match[4])
    return f"{day.year}{match[2]}{month}{match[4]}{number}{match[6]}"


def _moved(year: int, month: int, day: int, days: int) -> datetime.date | None:
    return datetime.date(year, month, day) + datetime.timedelta(days) if is_day(year, month, day) else None


def _like(value: int, written: str, mark: str = "") -> str:
    """A number written as the one it replaces: with a leading zero where that had one, or had the room for one
    between marks."""
    padded = written.startswith("0") or (len(written) == 2 and mark in ("-", "/", "."))
    return f"{value:02d}" if padded else str(value)


def _number(han: str) -> int:
    if "十" in han:
        tens, _, ones = han.partition("十")
        return (_digit(tens) if tens else 1) * 10 + (_digit(ones) if ones else 0)
    return int("".join(str(_digit(one)) for one in han))


def _digit(han: str) -> int:
    return max("零一二三四五六七八九".find(han), 0) if han not in "〇○" else 0


def _spelled(value: int) -> str:
    return "".join("〇一二三四五六七八九"[int(digit)] for digit in str(value))


def _counted(value: int) -> str:
    tens, ones = divmod(value, 10)
    head = "" if not tens else "十" if tens == 1 else f"{'〇一二三四五六七八九'[tens]}十"
    return head + ("一二三四五六七八九"[ones - 1] if ones else "")
