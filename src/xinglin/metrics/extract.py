"""Which options a free answer to an exam question chooses: letters, or nothing — never a guess (evaluation.md 3.4).

The first rule that decides wins: a statement (答案是B, 故选D; the last one counts), leading letters, the text of an
option, a verdict on each option, the only option text contained. What no rule decides is unparsed, and counts as wrong.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

_CIRCLED = re.compile(r"[①-⓿❶-➓]+")
_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)
_OR = r"\s*[,;]?\s*(?:或者?(?!许)|还是|要么|也?有?可能是?|也许是?|或许是?)\s*(?:选|答案是?)?\s*"
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}+")
_JSON = re.compile(r"\{[^{}]*\}")
_JOINT = r"(?:\s*(?:[、,，;；和及与+&/]|以及)?\s*)"
_LETTERS = rf"[A-Za-z](?:{_JOINT}[A-Za-z])*(?![A-Za-z0-9])"
_STATED = re.compile(
    r"(?P<no>不能|不应|不可|不)?"
    r"(?:(?:正确|最佳)?(?:答案|选项)(?:选项)?\s*(?P<not>不)?(?:应该是|应当是|应为|应是|是|为|选|[::])?|"
    r"(?:应该|应当|应|故|本题|因此|所以|综上)?(?:选择|选)(?:择|项)?(?:是|为)?|(?:错误|不正确|不恰当|不属于)的(?:一项)?是|"
    r"而(?:应该|应)?是|更正(?:为)?[::]?|(?:the\s+)?(?:correct\s+)?answer\s*(?:is|[::])\s*(?:option)?)"
    rf"\s*[\(\[【（:]*\s*(?P<letters>{_LETTERS})(?!型|波|段)(?P<or>{_OR}[A-Za-z](?![A-Za-z0-9]))?",
    re.IGNORECASE,
)
_TERM = re.compile("超|族|细胞|淋巴|链球菌")
"""Behind a letter: it is part of a term (B超, T细胞) and names no option."""
_OR_TEXT = re.compile(_OR)
_LEADING = re.compile(rf"[\(\[【]?\s*(?P<letters>{_LETTERS})\s*[\)\]】]?\s*(?:$|[\n.,,、:;。!])", re.IGNORECASE)
_VERDICT = re.compile(
    rf"(?P<letters>(?:{_LETTERS}))\s*(?:三|两|四|几)?(?:项|选项)?(?:的描述|的说法)?(?:都|均|也)?"
    r"(?P<verdict>正确|对|错误|不正确|不对|错)",
    re.IGNORECASE,
)
_EXCEPT = re.compile(rf"除(?:了)?\s*(?P<letters>{_LETTERS})\s*(?:项)?(?:以)?外.{{0,6}}(?:对|正确)", re.IGNORECASE)
_ALL = re.compile(r"^(?:以上|上述)?(?:选项)?(?:全选|全部正确|都选|均选|全对)$")
_NEGATED = re.compile(r"不|非|无|排除|除外|禁|否")


def choose(answer: str, options: Mapping[str, str], *, several: bool = False) -> str:
    """The letters of the chosen options in order, or "" where the answer decides nothing.

    `options` maps letters to texts; `several` says that more than one may be right: otherwise two letters are no
    answer.
    """
    text = _plain(answer)
    if not text:
        return ""
    texts = {letter: _fold(option) for letter, option in options.items()}
    echoed, text = _without_echo(text, texts)
    for rule in (_stated, _led, _named, _judged, _contained):
        found = rule(text, texts, several)
        if found is not None:
            letters = "".join(sorted(set(found)))
            return letters if letters and (several or len(letters) == 1) else ""
        if echoed and not text:
            return ""
    return ""


def without_thinking(text: str) -> str:
    """What an answer says after thinking: `<think>…</think>` and an unclosed `<think>` are taken out.

    A `</think>` alone ends thinking that the prompt began, as some chat templates do.
    """
    return _THINK.sub("", text).rpartition("</think>")[2].partition("<think>")[0].strip()


def _fold(text: str) -> str:
    """NFKC, but circled digits stay: they are what options are made of."""
    pieces: list[str] = []
    end = 0
    for hit in _CIRCLED.finditer(text):
        pieces += [unicodedata.normalize("NFKC", text[end : hit.start()]), hit.group()]
        end = hit.end()
    return "".join([*pieces, unicodedata.normalize("NFKC", text[end:])]).strip()


def _plain(answer: str) -> str:
    text = _fold(without_thinking(answer))
    for hit in _JSON.finditer(text):
        try:
            value = json.loads(hit.group())
        except ValueError:
            continue
        given = value.get("answer", value.get("答案")) if isinstance(value, dict) else None
        if isinstance(given, str):
            return f"答案:{_fold(given)}"
    return _BOXED.sub(r"\1", text).replace("**", "").replace("`", "").strip()


def _without_echo(text: str, options: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the answer repeats the whole list of options, and the answer without it."""
    spans = [re.search(rf"{letter}\s*[.、:)]?\s*{re.escape(option)}", text) for letter, option in options.items()]
    if not all(spans) or len(spans) < 2:
        return False, text
    start = min(span.start() for span in spans if span)
    end = max(span.end() for span in spans if span)
    before = "" if text[:start].rstrip().endswith(("题:", "题", "项:", ":")) else text[:start]
    return True, (before + text[end:]).strip()


def _set(letters: str, options: Mapping[str, str]) -> str | None:
    """The letters named, or None where one of them is no option, or there are so many that nobody meant them."""
    named = re.findall(r"[A-Za-z]", letters.upper())
    if len(named) > 2 * len(options):
        return None
    return "".join(named) if all(letter in options for letter in named) else None


def _stated(text: str, options: Mapping[str, str], several: bool) -> str | None:
    found: str | None = None
    for hit in _STATED.finditer(text):
        if hit["no"] or hit["not"]:
            continue
        if hit["or"]:
            found = ""
            continue
        start = hit.start("letters")
        option = next((letter for letter, one in options.items() if text.startswith(one, start) and len(one) > 1), None)
        if not option and _TERM.match(text, hit.end("letters")):
            continue
        named = option or _set(hit["letters"], options) or ""
        found = "" if _or_another(text, hit.end(), named, options) else named
    if found is None and (hit := re.search(r"答案(?:应该)?(?:是|为|:)\s*(.+)$", text)):
        return _named(hit[1], options, several)
    return found


def _or_another(text: str, end: int, named: str, options: Mapping[str, str]) -> bool:
    """Whether what was named is offered together with the text of an option that was not."""
    other = _OR_TEXT.match(text, end)
    texts = [option for letter, option in options.items() if letter not in named and len(option) > 1]
    return other is not None and text.startswith(tuple(texts), other.end())


def _led(text: str, options: Mapping[str, str], several: bool) -> str | None:
    hit = _LEADING.match(text)
    if not hit or any(text.rstrip("。.") == option for option in options.values()):
        return None
    letters = _set(hit["letters"], options)
    run = re.fullmatch(r"[A-Za-z]{2,}", hit["letters"])
    if letters is None:
        return None if run else ""
    # What stands behind the letters must not be a verdict on them.
    return None if re.match(r"\W*(?:均|都|是)?(?:错误|不正确|不对)", text[hit.end("letters") :]) else letters


def _named(text: str, options: Mapping[str, str], several: bool) -> str | None:
    """The whole answer is the text of one option, perhaps with its letter in brackets."""
    bare = text.strip().rstrip("。.!")
    bracket = re.fullmatch(r"(.+?)\s*[\((]\s*([A-Za-z])\s*[\))]", bare)
    for letter, option in options.items():
        if bare == option or (bracket and bracket[1] == option and bracket[2].upper() == letter):
            return letter
    return None


def _judged(text: str, options: Mapping[str, str], several: bool) -> str | None:
    if several and _ALL.match(text.rstrip("。.!")):
        return "".join(options)
    if several and (hit := _EXCEPT.search(text)):
        named = _set(hit["letters"], options)
        return "".join(letter for letter in options if letter not in named) if named else None
    right, wrong = set(), set()
    for hit in _VERDICT.finditer(text):
        # In "MRI, B正确" the verdict is on B.
        words = re.findall(r"[A-Za-z]+", hit["letters"])
        named = next((found for at in range(len(words)) if (found := _set("".join(words[at:]), options))), None)
        if named:
            (right if hit["verdict"] in ("正确", "对") else wrong).update(named)
    if right:
        return "".join(right - wrong)
    rest = set(options) - wrong
    return next(iter(rest)) if not several and len(rest) == 1 else None


def _contained(text: str, options: Mapping[str, str], several: bool) -> str | None:
    """Options whose text stands in the answer, longer ones first, and no word that could deny it."""
    found: list[str] = []
    left = text
    for letter, option in sorted(options.items(), key=lambda one: -len(one[1])):
        place = re.search(rf"(?<![0-9A-Za-z]){re.escape(option)}", left) if len(option) > 1 else None
        if place:
            found.append(letter)
            left = left[: place.start()] + "\0" * len(option) + left[place.end() :]
    if not found or _NEGATED.search(left) or (len(found) > 1 and not several):
        return None
    return "".join(found)
