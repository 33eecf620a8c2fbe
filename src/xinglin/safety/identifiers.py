"""Identifiers that are recognised by their shape: cards, telephones, mail, passports, number plates.

All patterns work on the normalised text, begin behind no digit and repeat within bounds, so that no text makes
them slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from xinglin.safety.checks import has_birthday, is_card, is_old_card, luhn
from xinglin.safety.entity import Span, Type

_GAP = r"[ \-]{0,2}"
_CARD_KEY = re.compile(
    r"身\s?份|身分证|证件|证号|一代证|二代证|公民|(?i:\bID\b|id_?card|id[ _]?(?:no|number)|identity)"
)
_CARD_18 = re.compile(rf"(?<![\dA-Za-z])[1-9](?:{_GAP}\d){{16}}{_GAP}[\dXx](?![\dA-Za-z])")
_CARD_15 = re.compile(rf"(?<![\dA-Za-z])[1-9](?:{_GAP}\d){{14}}(?![\dA-Za-z])")
_BANK_KEY = re.compile(
    r"银行|[工农中建交招光民商浦]行|农信|信用社|储蓄|借记|信用卡|邮储|账[号户]|帐[号户]|卡号|银联|打款|"
    r"转账|汇款|收款|退款|"
    r"[存工]资?卡|卡[:是为]|(?i:visa|master|bank|card|account)"
)
_BANK = re.compile(r"(?<![\d.])[3-6]\d{3}(?:[ \-]?\d){9,15}(?![\d.]*\d)")
_FOURS = re.compile(r"\d{4}([ \-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,4})?")
_MOBILE = re.compile(
    r"(?<![\dA-Za-z.])(?<!\d[-_/])(?:(?:\+|"
    r"00)?86[ \-]{0,2})?1(?:[ \-.]{0,2}[3-9])(?:[ \-.]{0,2}\d){9}(?![\dA-Za-z])(?!\.\d)"
)
_ABROAD = re.compile(
    r"(?<![\dA-Za-z])\+(?!86)\d{1,3}[ \-]?\(?\d{1,4}\)?(?:[ \-]?\d){5,9}(?!\d)|"
    r"(?<!\d)85[23][ \-]\d{4}[ \-]?\d{4}(?!\d)"
)
_LANDLINE = re.compile(
    r"(?<![\dA-Za-z.])(?:(?:\+|00)86[ \-]?)?\(?(?:010|02\d|0[3-9]\d{2})\)?[ \-]{0,3}[1-9]\d{2,3}[ \-]?\d{4}"
    r"(?:[ \-]?(?:转|ext\.?|-)[ \-]?\d{1,5})?(?!\d)"
)
_SERVICE = re.compile(r"(?<![\dA-Za-z.])[48]00(?:[ \-]?\d{3}[ \-]?\d{4}|[ \-]?\d{4}[ \-]?\d{3})(?!\d)")
_TEL_KEY = re.compile(
    r"(?:电话|座机|固话|宅电|家电|分机|传真|总机|热线|办公室?电?话?|(?i:\btel|\bphone|"
    r"\bfax))(?:号码?)?[\"' ]{0,2}[:=是为]?[\"' ]{0,3}"
    r"([1-9]\d{2,3}[ \-]?\d{4}(?:[ \-]?转[ \-]?\d{1,5})?)(?!\d)"
)
_MAIL = re.compile(
    r"(?<![A-Za-z0-9._+\-])[A-Za-z0-9][A-Za-z0-9._+\-]{0,63} ?(?:@|\(at\)|\[at\]|#at#) ?"
    r"[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,10}(?![A-Za-z0-9])"
)
_PASSPORT = re.compile(r"(?<![A-Za-z0-9])(?:[EGeg]\d{8}|E[A-HJ-NP-Z]\d{7}|[DSP]E?\d{7,8})(?![A-Za-z0-9])")
_PASSPORT_KEY = re.compile(
    r"(?:护照|通行证|回乡证|台胞证|军官证|居留证|永居证|(?i:passport))(?:号码?|编号|(?i: ?no\.?|"
    r" ?number))?[\"' ]{0,2}[:=是为]?[\"' ]{0,3}"
    r"((?=[A-Za-z字第]{0,6}\d)[A-Za-z]{0,3}\d{6,10}[A-Za-z]?)(?![A-Za-z0-9])"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使][ ]?[A-HJ-NP-Za-hj-np-z][·. \-]{0,2}"
    r"(?=[A-Za-z]{0,5}\d)(?:[A-HJ-NP-Za-hj-np-z0-9]{5,6}|[A-HJ-NP-Za-hj-np-z0-9]{4}[挂学警港澳])(?![A-Za-z0-9%])"
)
_NOT_PERSONAL = re.compile(
    r"(?:准字|批号|批次|批文|批准文号|题[号目]|问题|编码|代码|序号|序列号?|流水号|订单号?|单号|运单|快递|"
    r"货号|产品|商品|型号|设备号?|注册证?号?|登记号|备案号?|"
    r"专利号?|文号|许可证号?|国食药\w{0,6}|(?i:doi|pmid|pmcid|isbn|issn|nct|chictr|cas|lot|batch|sn|s/n|ref|uuid|qid|"
    r"question_?id|doc_?id|"
    r"item_?id|trace_?id|version|ver))[a-zA-Z]{0,3}[号码]?[\"' ]{0,2}[:#=/.\-(是为]?[\"' ]{0,2}[A-Za-z\-]{0,8}$"
)


def personal(text: str, at: int) -> bool:
    """Whether the number that begins here is not called a lot, an order, an item of a quiz or the like."""
    return _NOT_PERSONAL.search(text, max(0, at - 30), at) is None


def _near(key: re.Pattern[str], text: str, match: re.Match[str], before: int) -> bool:
    start, end = match.span()
    return bool(key.search(text, max(0, start - before), start) or key.search(text, end, end + 10))


def _digits(match: re.Match[str]) -> str:
    return "".join(character for character in match.group() if character.isalnum())


def find_identifiers(text: str) -> Iterator[Span]:
    """Every identifier with a shape of its own in a normalised text."""
    if "@" in text or "at" in text:
        yield from (Span("EMAIL", *match.span(), 12) for match in _MAIL.finditer(text))
    yield from (Span("PLATE", *match.span(), 7) for match in _PLATE.finditer(text))
    if not _HAS_NUMBER.search(text):
        return
    yield from _cards(text)
    yield from _bank_cards(text)
    yield from _telephones(text)
    yield from (
        Span("PASSPORT", *match.span(), 7) for match in _PASSPORT.finditer(text) if personal(text, match.start())
    )
    yield from (Span("PASSPORT", *match.span(1), 9) for match in _PASSPORT_KEY.finditer(text))


_HAS_NUMBER = re.compile(r"\d(?:[ \-.·A-Za-z()]{0,3}\d){3}")


def _cards(text: str) -> Iterator[Span]:
    for match in _CARD_18.finditer(text):
        card = _digits(match)
        # A card with a slip of the pen is still that person's card, where it is called one.
        if is_card(card) or _near(_CARD_KEY, text, match, 60 if has_birthday(card) else 24):
            yield Span("ID_CARD", *match.span(), 11)
    for match in _CARD_15.finditer(text):
        if is_old_card(_digits(match)) and _near(_CARD_KEY, text, match, 24):
            yield Span("ID_CARD", *match.span(), 11)


def _bank_cards(text: str) -> Iterator[Span]:
    for match in _BANK.finditer(text):
        digits = _digits(match)
        if not 13 <= len(digits) <= 19 or not personal(text, match.start()):
            continue
        keyed = _near(_BANK_KEY, text, match, 24)
        grouped = _FOURS.fullmatch(match.group()) is not None
        if luhn(digits):
            if keyed or grouped or (digits.startswith("62") and len(digits) in (16, 17, 18, 19)):
                yield Span("BANK_CARD", *match.span(), 10)
        elif len(digits) >= 15 and keyed and (grouped or digits[0] in "456"):
            yield Span("BANK_CARD", *match.span(), 8)


def _telephones(text: str) -> Iterator[Span]:
    for match in _MOBILE.finditer(text):
        if personal(text, match.start()):
            yield Span("PHONE", *match.span(), 9)
    yield from (Span("PHONE", *match.span(), 10) for match in _ABROAD.finditer(text))
    kinds: tuple[tuple[Type, re.Pattern[str]], ...] = (("TEL", _LANDLINE), ("TEL", _SERVICE))
    for kind, pattern in kinds:
        for match in pattern.finditer(text):
            if personal(text, match.start()):
                yield Span(kind, *match.span(), 8)
    yield from (Span("TEL", *match.span(1), 7) for match in _TEL_KEY.finditer(text))
