"""Checks of numbers: is this an identity card, a bank card, a day of the calendar?"""

from __future__ import annotations

import datetime

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"


def is_day(year: int, month: int, day: int) -> bool:
    """Whether this is a day of the calendar between 1850 and 2150."""
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return 1850 <= year <= 2150


def has_birthday(card: str) -> bool:
    """Whether an 18-character number has a province and a birthday where an identity card has them."""
    return 11 <= int(card[:2]) <= 91 and is_day(int(card[6:10]), int(card[10:12]), int(card[12:14]))


def check_character(card: str) -> str:
    """The last character that an identity card with these first 17 digits has (GB 11643, ISO 7064 mod 11-2)."""
    return _CHECKS[sum(int(digit) * weight for digit, weight in zip(card, _WEIGHTS, strict=False)) % 11]


def is_card(card: str) -> bool:
    """Whether an 18-character number is an identity card: province, birthday and check character."""
    return has_birthday(card) and check_character(card[:17]) == card[17].upper()


def is_old_card(card: str) -> bool:
    """Whether a 15-digit number has a province and a birthday (of the 20th century) in their places."""
    return 11 <= int(card[:2]) <= 91 and is_day(1900 + int(card[6:8]), int(card[8:10]), int(card[10:12]))


def luhn(digits: str) -> bool:
    """Whether the Luhn sum (ISO/IEC 7812) of a number is right."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
