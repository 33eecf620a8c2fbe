"""Rules of cleaning that change a text: each has a name, a cheap look whether it may apply, and the change itself.

Numbers are sacred: no rule touches what stands between two digits, a dose, a range, a ratio, a time, a DOI or an email.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from xinglin.data.clauses import MAY_ADVERTISE, MAY_BE_BOILERPLATE, pack, without_adverts, without_boilerplate

ODD = re.compile("[^\u4e00-\u9fff，。！？；：、（）“”0-9%\n]")
"""Anything but Chinese characters, their usual marks, and digits: half of all texts have none of it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`change` gives the cleaned text; `may` is false for a text that it would leave alone, found without much work.

    `final`: a change by it gives no rule before it, nor itself, anything new to do. `odd`: it changes only texts that
    hold something other than Chinese characters, their marks, and digits (ODD finds it)."""

    name: str
    what: str
    may: Callable[[str], object]
    change: Callable[[str], str]
    final: bool = False
    odd: bool = False


# --- invisible characters

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe0e\ufeff\r]"
)


def _invisible(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return _INVISIBLE.sub("", text)


# --- HTML

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_TAGS = (
    "a abbr article b big blockquote body br button center code dd div dl dt em font footer form h1 h2 h3 h4 h5 h6 "
    "head header hr html i iframe img input label li link meta nav ol option p pre section select small span strike "
    "strong sub sup table tbody td textarea tfoot th thead title tr u ul video audio"
)
_TAG = re.compile(rf"</?(?:{'|'.join(_TAGS.split())})(?:\s[^<>]{{0,400}})?/?>|<!--.*?-->|<!DOCTYPE[^<>]*>", re.I | re.S)
_DEAD = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>", re.I | re.S)
_POWER = re.compile(r"(?<=\d)<sup>\s*([-−+]?\d+)\s*</sup>", re.I)  # 10<sup>9</sup>/L is not 109/L
_BREAK = re.compile(
    r"\s*(?:<br\s*/?>|</(?:p|div|li|tr|h[1-6])\s*>|<(?:p|div|li|tr|h[1-6])(?:\s[^<>]{0,400})?>)\s*", re.I
)


def _html(text: str) -> str:
    cleaned = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
    cleaned = _POWER.sub(r"^\1", _DEAD.sub("", cleaned))
    cleaned = _TAG.sub("", _BREAK.sub("\n", cleaned))
    return text if cleaned == text else cleaned.strip("\n")


# --- what prompts leave behind

_WRAPPED = re.compile(r"^\s*(?:<s>)?\s*问[:：]\s*(.*?)\s*(?:\n|\\n|\s)答[:：]\s*(?:</s>)?\s*$", re.S)
_TOKEN = re.compile(
    r"<\|(?:im_start|start_header_id)\|>\s*(?:system|user|assistant)?(?:<\|end_header_id\|>)?\s*"
    r"|<\|[A-Za-z_]{1,24}\|>|</?s>(?=\s*(?:[问答]|$))|^\s*<s>|</s>\s*$|<(?:unk|pad|eos|bos|cls|eod)>|\[/?(?:INST|gMASK|sMASK|CLS|SEP|PAD)\]"
    r"|<</?SYS>>|\[Round \d+\]|#{2,3} ?(?:Response|Instruction|Input|Human|Assistant|回答|指令|输入)\s*[:：]\s*"
    r"|<(?:bot|user|human|assistant|patient|doctor)>\s*[:：]\s*|^\s*(?:Human|Assistant|User)\s*[:：]\s*(?=\S*[\u4e00-\u9fff])"
)
_PROMPT_MAY = re.compile(r"^\s*(?:问|Human|Assistant|User)\s*[:：]")


def _prompt_may(text: str) -> object:
    return "<" in text or "[" in text or "###" in text or _PROMPT_MAY.match(text)


def _prompt(text: str) -> str:
    if wrapped := _WRAPPED.match(text):
        text = wrapped.group(1)
    return _TOKEN.sub("", text)


# --- addresses

_URL = r"(?:https?|ftp)://[A-Za-z0-9\-._~:/?#@!$&'*+,;=%\[\]()]*[A-Za-z0-9/=#&_~\-]|(?<![A-Za-z0-9@.\-])www\.[A-Za-z0-9\-]+\.[A-Za-z0-9\-._~/?#&=%]*[A-Za-z0-9/]"
_KEPT_URL = re.compile(r"https?://(?:dx\.)?doi\.org/", re.I)
_MARKED = re.compile(rf"!?\[([^\[\]\n]{{0,200}})\]\((?:{_URL})\)")
_SAID = re.compile(
    rf"(?:[（(【\[][ \t]*)?(?:(?:参考)?(?:网址|链接|网站|地址|详见|参见|来源|原文|出处)[ \t]*(?:[:：为是][ \t]*)?)?"
    rf"(?P<url>{_URL})(?:[ \t]*(?P<end>[)）】\]]))?"
)


def _urls(text: str) -> str:
    def gone(match: re.Match[str]) -> str:
        if _KEPT_URL.match(match["url"]):
            return match.group()
        opened = match.group()[0] in "（(【["
        return "" if opened or not match["end"] else match["end"]

    text = _MARKED.sub(lambda match: match.group() if "doi.org/" in match.group() else match.group(1), text)
    return _SAID.sub(gone, text)


# --- tails


@cache
def _tails_found() -> re.Pattern[str]:
    words = "|".join(sorted(pack()["tails"], key=len, reverse=True))
    return re.compile(
        rf"\s*(?:\[(?:{words})\]|【(?:{words})】|［(?:{words})］)|(?:(?<=[。.…\s])|\s)(?:{words})(?:>>|»|↓|\s)*$"
    )


_CUT = re.compile(r"(?<!…)…\s*$|(?<!\.)\.{3}\s*$")
_BARE_ENDS = frozenset("细情多文开部起")


def _tail_may(text: str) -> bool:
    marked = "[" in text or "【" in text or "［" in text or "…" in text or "..." in text
    return marked or text.rstrip(" >»↓\n\t")[-1:] in _BARE_ENDS


def _tails(text: str) -> str:
    return _CUT.sub("", _tails_found().sub("", text)).rstrip()


# --- width and punctuation

_WIDE = re.compile(
    "[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a％＋－＝／＜＞＆＃＠＊＿｜＾]|(?<=[0-9\uff10-\uff19])．(?=[0-9\uff10-\uff19])"
)
_WIDE_MAY = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a％＋－＝／＜＞＆＃＠＊＿｜＾．]")
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_CLOSE = "”’）》」』】"
_MARK = re.compile(
    rf"(?<=[{_HAN}{_CLOSE}])[ \t]*([,;:?!])(?!//)[ \t]*|(?<=[A-Za-z0-9%)])[ \t]?([,;?!])[ \t]*(?=[{_HAN}“《「])"
    rf"|(?<=[{_HAN}])(\.)(?=$|\n|[ \t]*[{_HAN}“《「])[ \t]*"
)
_PAIR = re.compile(
    rf"(?<![A-Za-z\-\[\]\\])\(([^()\n]{{0,80}}[{_HAN}][^()\n]{{0,80}})\)|(?<=[{_HAN}])\(([^()\n]{{1,80}})\)"
)
_FULL = dict(zip(",;:?!.", "，；：？！。", strict=True))
_ASCII_MARK = re.compile(r"[,;:?!.(]")
_MARK_MAY = re.compile(rf"[{_HAN}{_CLOSE}][ \t]*[,;:?!.(]|[,;?!)][ \t]*[{_HAN}“《「]|\([^()\n]{{0,80}}[{_HAN}]")


def _narrow(match: re.Match[str]) -> str:
    return match.group().translate(_NARROW)


def _punctuation(text: str) -> str:
    pairs = 1
    while pairs and "(" in text:  # a pair inside a pair first
        text, pairs = _PAIR.subn(lambda match: f"（{match.group(1) or match.group(2)}）", text)
    return _MARK.sub(lambda match: _FULL[match.group(1) or match.group(2) or match.group(3)], text)


_AGAIN = re.compile(
    r"([，。；：、])\1+|[！!]{2,}|[？?]{2,}|…{3,}|\.{7,}|～{2,}|，(?=[。！？；])|(?<=[。！？；])，|(?<=[！？])。|、(?=[。！？；，])"
)
_AGAIN_MAY = re.compile(r"[，。！？；：、!?～….][，。！？；：、!?～….]")


def _repeats(text: str) -> str:
    def once(match: re.Match[str]) -> str:
        found = match.group()
        if len(found) == 1:  # a weaker mark beside a stronger one
            return ""
        if found[0] in "….":
            return "……"
        return next((mark for mark in found if mark in "！？"), found[0])

    return _AGAIN.sub(once, text)


# --- English that was run together

_RUN = re.compile(r"(?<![A-Za-z])[a-z]{12,200}(?![A-Za-z])|(?<![A-Za-z])[A-Z][a-z]{11,200}(?![A-Za-z])")
_JOINED = re.compile(r"(?<=[a-z]{3})([.!?;])(?=[A-Z][a-z]{2,}[ ,])|(?<=[a-z]{3}),(?=[a-z]{3,} )")
_LONGEST_WORD = 12


@cache
def _words() -> frozenset[str]:
    return frozenset(pack()["words"].split())


def _split(run: str) -> str:
    """The words of a run, with blanks; the run itself if it is not made of at least three known words."""
    low, words = run.lower(), _words()
    best: list[tuple[int, int] | None] = [(0, 0)] + [None] * len(low)  # words so far, start of the last
    for end in range(1, len(low) + 1):
        for start in range(max(0, end - _LONGEST_WORD), end):
            before = best[start]
            now = best[end]
            if before is not None and low[start:end] in words and (now is None or before[0] + 1 < now[0]):
                best[end] = (before[0] + 1, start)
    last = best[-1]
    if last is None or last[0] < 3:
        return run
    cuts, end = [], len(low)
    while end and (step := best[end]) is not None:
        cuts.append(run[step[1] : end])
        end = step[1]
    return " ".join(reversed(cuts))


def _glued(text: str) -> str:
    text = _RUN.sub(lambda match: _split(match.group()), text)
    return _JOINED.sub(lambda match: f"{match.group()} ", text)


_LETTERS = re.compile("[a-z]")
_GLUED_MAY = re.compile(r"[A-Za-z][a-z]{11}|[a-z]{3}[.!?;,][A-Za-z][a-z]{2}")

# --- blanks

_BLANKS = re.compile("[\t\xa0\u2000-\u200a\u202f\u205f\u3000]")
_INSIDE = re.compile(r"(?<=\S) {2,}(?=\S)|(?<=[，。！？；：、]) +(?=\S)|(?<=\S) +(?=[，。！？；：、])| +$", re.M)
_LINES = re.compile(r"\n{3,}")
_BLANK = re.compile("[ \t\xa0\u2000-\u200a\u202f\u205f\u3000]")
_BLANK_MAY = re.compile("[\t\xa0\u2000-\u200a\u202f\u205f\u3000]| (?: |\n|[，。！？；：、])|[，。！？；：、] |\n\n\n")


def _blank_may(text: str) -> object:
    ends = text[:1].isspace() or text[-1:].isspace() or "\n\n\n" in text
    return ends or (_BLANK.search(text) and _BLANK_MAY.search(text))


def _blanks(text: str) -> str:
    text = _INSIDE.sub(lambda match: " " if len(match.group()) > 1 and _between(match) else "", _BLANKS.sub(" ", text))
    return _LINES.sub("\n\n", text).strip()


def _between(match: re.Match[str]) -> bool:
    """Whether blanks stand between two words, where one must stay."""
    text, start, end = match.string, match.start(), match.end()
    around = text[start - 1 : start] + text[end : end + 1]
    return len(around) == 2 and not set(around) & set("，。！？；：、\n")


def _both(first: re.Pattern[str], second: re.Pattern[str]) -> Callable[[str], object]:
    """Two looks: a set of characters is searched several times faster than what depends on neighbours."""
    return lambda text: first.search(text) and second.search(text)


RULES: tuple[Rule, ...] = (
    Rule("invisible", "控制字符、零宽字符 control and zero-width characters", _INVISIBLE.search, _invisible, odd=True),
    Rule(
        "width",
        "全角字母与数字 full-width letters and digits",
        _WIDE_MAY.search,
        lambda text: _WIDE.sub(_narrow, text),
        final=True,
        odd=True,
    ),
    Rule("html", "HTML 标签与实体 tags and entities", lambda text: "<" in text or "&" in text, _html, odd=True),
    Rule("prompt", "提示词残留 what prompts and chat templates leave", _prompt_may, _prompt),
    Rule("urls", "网址 addresses of pages", lambda text: "://" in text or "www." in text, _urls, odd=True),
    Rule(
        "punctuation",
        "中文里的半角标点 half-width marks in Chinese",
        _both(_ASCII_MARK, _MARK_MAY),
        _punctuation,
        final=True,
        odd=True,
    ),
    Rule("adverts", "广告分句 clauses that advertise", MAY_ADVERTISE, without_adverts),
    Rule("boilerplate", "网站套话 what portals say around an answer", MAY_BE_BOILERPLATE, without_boilerplate),
    Rule("tails", "“[详细]”与断尾 [详细] marks and cut tails", _tail_may, _tails),
    Rule("glued", "连写的英文 English run together", _both(_LETTERS, _GLUED_MAY), _glued, odd=True),
    Rule("repeats", "重复标点 repeated marks", _AGAIN_MAY.search, _repeats),
    Rule("blanks", "多余空白 blanks", _blank_may, _blanks),
)
"""All rules, in the order in which they are applied."""
