"""Surrogates: invented values of the same look, the same for the same patient and value.

Without the key nobody gets from a surrogate to its value. Numbers keep their shape and can be nobody's: telephones
get a prefix that is not given out, card numbers a wrong check digit.
"""

from __future__ import annotations

import hashlib
import hmac

from xinglin.safety.checks import check_character, luhn
from xinglin.safety.dates import shift
from xinglin.safety.entity import PLACEHOLDERS, Type
from xinglin.safety.lexicon import names

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙朱胡郭何林罗郑梁谢宋唐许邓冯韩曹曾彭"
    "萧蔡潘田董袁余叶蒋杜苏魏程吕丁沈任姚卢傅钟姜崔谭廖范汪陆"
)
_GIVEN = "文博雅宁思远明轩安然子涵嘉怡书瑶一诺泽宇静怡晓东海燕建平志强丽华春梅秀英国栋雨桐佳琪俊杰"
_LATIN = ("Lin", "Chen", "Zhou", "Tang")
_LATIN_GIVEN = ("An", "Ming", "Yue", "Bo")
_HOSPITALS = ("和安医院", "康宁医院", "仁德医院", "博济医院", "慈恩医院", "安泰医院", "明德医院", "惠民医院")
_ORGS = ("启明公司", "远帆公司", "同心学校", "青禾公司", "云杉公司", "晨光学校", "长风公司", "知行学校")
_CITIES = ("甲市", "乙市", "丙市", "丁市", "戊市", "己市")
_STREETS = ("青松路", "白杨路", "银杏街", "海棠路", "丁香街", "紫藤路", "云杉街", "芦苇路")
_MOST_DAYS = 364


class Surrogates:
    """The surrogates of one patient: `scope` is the patient's key, or the document where there is none."""

    def __init__(self, key: bytes, scope: str) -> None:
        self.key = hmac.digest(key, scope.encode(), hashlib.sha256)
        self.days = self._number("days", "", 2 * _MOST_DAYS) - _MOST_DAYS
        self.days += self.days >= 0  # never 0

    def _number(self, kind: str, value: str, below: int) -> int:
        digest = hmac.digest(self.key, f"{kind}\0{value}".encode(), hashlib.sha256)
        return int.from_bytes(digest[:8]) % below

    def of(self, kind: Type, value: str) -> str:
        """The surrogate of a normalised value."""
        match kind:
            case "NAME" | "DOCTOR":
                return self._name(value)
            case "DATE":
                return shift(value, self.days) or PLACEHOLDERS["DATE"]
            case "AGE_OVER":
                return PLACEHOLDERS["AGE_OVER"]
            case "HOSPITAL":
                return self._pick(_HOSPITALS, kind, value)
            case "ORG":
                return self._pick(_ORGS, kind, value)
            case "ADDRESS":
                city, street = self._pick(_CITIES, kind, value), self._pick(_STREETS, kind, value + "street")
                return f"{city}{street}{1 + self._number(kind, value, 299)}号"
            case "EMAIL":
                return f"user{self._number(kind, value.lower(), 10**6):06d}@example.com"
            case "ID_CARD" if len(value) == 18 and value[:17].isdigit():
                return self._card(value)
            case "WECHAT":
                return f"wx_{self._number(kind, value, 10**8):08d}"
            case _:
                return self._digits(kind, value)

    def _pick(self, words: tuple[str, ...] | str, kind: str, value: str) -> str:
        """One of the words, never the value itself."""
        others = [word for word in words if word != value]
        return others[self._number(kind, value, len(others))]

    def _name(self, value: str) -> str:
        if value.isascii():
            return f"{self._pick(_LATIN, 'latin', value)} {self._pick(_LATIN_GIVEN, 'latin given', value)}"
        if value[0] in "老小阿" and len(value) == 2:
            return value[0] + self._pick(_SURNAMES, "surname", value[1])
        known = names()
        lead = 2 if value[:2] in known.compound else 1 if value[0] in known.surnames else 0
        plain = value.replace(" ", "")
        surname = self._pick(_SURNAMES, "surname", plain[:lead]) if lead else ""
        given = plain[lead:]  # a given name alone gets what it gets behind its surname
        return surname + "".join(self._pick(_GIVEN, f"given{at}", given) for at in range(min(len(given), 3)))

    def _card(self, digits: str) -> str:
        """An identity card of the same sex, born `days` later or earlier, with a wrong check character."""
        birthday = shift(digits[6:14], self.days) or "19700101"
        order = 2 * self._number("order", digits, 499) + int(digits[16]) % 2
        card = f"110101{birthday}{order:03d}"
        right = check_character(card)
        return card + (str((int(right) + 5) % 10) if right.isdigit() else "5")

    def _digits(self, kind: str, value: str) -> str:
        """The value with other digits and letters, its marks as they were."""
        made = []
        digits = "".join(one for one in value if one.isalnum())
        stream = hmac.digest(self.key, f"{kind}\0{digits.upper()}".encode(), hashlib.sha512)
        at = 0
        for one in value:
            if one.isascii() and one.isalnum():
                byte = stream[at % len(stream)]
                made.append(_other(one, byte))
                at += 1
            else:
                made.append(one)
        return _nobodys(kind, "".join(made))


def _other(character: str, byte: int) -> str:
    if character.isdigit():
        return str(byte % 10)
    return chr((ord("A") if character.isupper() else ord("a")) + byte % 26)


def _nobodys(kind: str, value: str) -> str:
    """The number changed so that nobody can have it."""
    places = [at for at, one in enumerate(value) if one.isalnum()]
    last, digits = places[-1], "".join(value[at] for at in places)
    if kind == "PHONE" and len(places) >= 11:
        first, second = places[-11], places[-10]
        value = _set(_set(value, first, "1"), second, "2")
    elif kind == "ID_CARD" and len(places) == 18 and digits[:17].isdigit():
        right = check_character(digits[:17])
        value = _set(value, last, str((int(right) + 5) % 10) if right.isdigit() else "5")
    elif kind == "BANK_CARD" and luhn(digits):
        value = _set(value, last, str((int(value[last]) + 5) % 10))
    return value


def _set(value: str, at: int, character: str) -> str:
    return value[:at] + character + value[at + 1 :]
