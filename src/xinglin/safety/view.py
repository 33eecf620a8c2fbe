"""The normalised form in which identifiers are looked for, and the way back to the offsets of the original.

Full-width and circled digits, mathematical letters, dashes and blanks become ASCII one for one; zero-width characters
go; a run of seven or more digits in which Chinese numerals stand (幺三八…) becomes ASCII digits. Nothing is moved, so
offsets change by removed characters only.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

_DROPPED = (
    "\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\ufeff\u00ad"
    "\u202a\u202b\u202c\u202d\u202e\ufe0e\ufe0f\u20e3\u180e"
)
_GONE = re.compile(f"[{_DROPPED}]")
_DASHES = "‐‑‒–—―−﹣－⁃﹘"
_DOTS = "•・‧∙⋅･᛫●"
_NUMERALS = dict(zip("零〇○幺一二三四五六七八九壹贰叁肆伍陆柒捌玖", "00011234567891" + "23456789", strict=True))
_CHINESE = "".join(_NUMERALS)
_RUN = re.compile(rf"(?=[0-9 \-]{{0,9}}[{_CHINESE}])[0-9{_CHINESE}](?:[ \-]?[0-9{_CHINESE}]){{6,40}}")
_TO_DIGITS = str.maketrans(_NUMERALS)


@dataclass(frozen=True, slots=True)
class View:
    """`text` is the normalised text; `origins` the original offset of each of its characters, None where all are
    as they were."""

    text: str
    origins: tuple[int, ...] | None

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in the original of a piece of the normalised text."""
        if self.origins is None:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


def normalise(text: str) -> View:
    """The normalised form of a text."""
    origins = None
    if not text.isascii() and _GONE.search(text):
        kept = [at for at, character in enumerate(text) if character not in _DROPPED]
        origins = tuple(kept)
        text = "".join(text[at] for at in kept)
    if text.isascii():
        return View(text, origins)
    return View(_RUN.sub(_digits, text.translate(_table())), origins)


def _digits(match: re.Match[str]) -> str:
    return match.group().translate(_TO_DIGITS)


@cache
def _table() -> dict[int, str]:
    """Every character whose compatibility form is one other character that identifiers are written with."""
    blanks = "\u00a0\u3000" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f"
    table = {ord(one): " " for one in blanks}
    table |= {ord(one): "-" for one in _DASHES} | {ord(one): "·" for one in _DOTS}
    for code in (*range(0xFF01, 0xFF5F), *range(0x2460, 0x2469), *range(0x1D400, 0x1D800)):
        plain = unicodedata.normalize("NFKC", chr(code))
        if len(plain) == 1:
            table[code] = plain
    table |= {ord("⓪"): "0", ord("【"): "[", ord("】"): "]", ord("“"): '"', ord("”"): '"'}
    return table
