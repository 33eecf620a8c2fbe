"""First words of safety, from a data file and without any model: emergencies, crises, and what an AI must not do.

The rules are `packs/redflags.yaml`; a later issue replaces them with the full rule engine of the safety room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

import xinglin
from xinglin.errors import DataError
from xinglin.files import read_document
from xinglin.text import fold
from xinglin.types import Decision

Tier = Literal["none", "crisis", "emergency"]
_REACH = 40
RULES = Path(xinglin.__file__).parent / "packs" / "redflags.yaml"


@dataclass(frozen=True, slots=True)
class Rule:
    """Words and patterns that call for advice; one that overlaps one of `unless` does not count."""

    id: str
    tier: Tier
    words: tuple[str, ...]
    unless: tuple[str, ...]
    advice: str
    patterns: tuple[re.Pattern[str], ...] = ()

    def spans(self, folded: str) -> Iterator[tuple[int, int]]:
        """Where a folded text holds one of the words or patterns."""
        for word in self.words:
            start = folded.find(word)
            while start >= 0:
                yield start, start + len(word)
                start = folded.find(word, start + len(word))
        for pattern in self.patterns:
            for match in pattern.finditer(folded):
                yield match.span()


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and what makes a hit harmless.

    `denial` matches the end of the text before a denied hit. A text that matches `personal` speaks of somebody here
    and now; without it `lesson` (a question about the word, which stands there as \\0) and `fiction` excuse.
    """

    rules: tuple[Rule, ...]
    denial: re.Pattern[str] | None = None
    personal: re.Pattern[str] | None = None
    lesson: re.Pattern[str] | None = None
    fiction: re.Pattern[str] | None = None


def read_rules(path: Path = RULES) -> Rules:
    """Read and check a rule file; a rule without words or advice is a DataError."""
    document = read_document(path)
    try:
        content = yaml.safe_load(document.text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise DataError("malformed YAML", where=f"{path}{line}", fix="check indentation and quotes") from None
    if not isinstance(content, dict):
        raise DataError("not a rule file", where=str(path), fix="it needs `denials`, `rules` and `limits`")
    rules = [_rule(entry, path=path) for entry in content.get("rules", [])]
    limits = [_rule({**entry, "tier": "none"}, path=path) for entry in content.get("limits", [])]
    every = (*rules, *limits)
    words = {*map(fold, content.get("symptoms", [])), *(word for rule in rules for word in rule.words)}
    named = {name: _pattern(content.get(name), path=path) for name in ("personal", "lesson", "fiction")}
    return Rules(every, _denial([fold(word) for word in content.get("denials", [])], words), **named)


def _denial(denials: list[str], symptoms: set[str]) -> re.Pattern[str] | None:
    """A denial, before it no 有/是 (有没有, 是不是, 不是没有), and behind it fillers and listed symptoms only."""
    if not denials:
        return None
    item = "|".join(sorted(map(re.escape, symptoms), key=len, reverse=True))
    fillers = "(?:任何|明显|出现过?|发生过?|感到|觉得|感觉|有过?|过|的|再){0,3}"
    return re.compile(
        f"(?<![有是])(?:{'|'.join(map(re.escape, denials))}){fillers}(?:(?:{item})(?:、|和|或者?|及|与|以及))*$"
    )


def _pattern(text: str | None, *, path: Path) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise DataError(f"malformed pattern {text}: {error}", where=str(path), fix="see Python's re module") from None


def _near(pair: list[list[str]]) -> str:
    """Site, at most six characters of the same sentence, quality; a quality that is denied there does not count."""
    site, quality = ("|".join(re.escape(fold(str(word))) for word in words) for words in pair)
    return f"(?:{site})[^。!?;]{{0,6}}?(?<![不没无])(?<!没有)(?<!不再)(?<!不太)(?:{quality})"


def _rule(entry: dict[str, Any], *, path: Path) -> Rule:
    name, tier, advice = str(entry.get("id", "")), entry.get("tier"), str(entry.get("advice", "")).strip()
    words = tuple(fold(str(word)) for word in entry.get("words", []))
    if not (name and advice and words) or tier not in ("none", "crisis", "emergency"):
        raise DataError(
            f"rule {name or '?'} is incomplete",
            where=str(path),
            fix="each rule needs id, words, advice and tier (emergency or crisis; none for limits)",
        )
    unless = tuple(fold(str(word)) for word in entry.get("unless", []))
    texts = [*map(_near, entry.get("near", [])), *entry.get("patterns", [])]
    patterns = tuple(pattern for text in texts if (pattern := _pattern(text, path=path)))
    return Rule(name, tier, words, unless, advice, patterns)


@cache
def _default_rules() -> Rules:
    return read_rules()


def triage(text: str, *, rules: Rules | None = None) -> Decision:
    """What must be said before anything else about a user's text.

    action allow = answer normally (the advice, if any, comes first); replace = a crisis, the advice is the whole
    answer; refuse = the advice says what an AI does not do. The advice joins that of all hits, emergencies first.
    """
    used = rules or _default_rules()
    folded = fold(text)
    hits = [rule for rule in used.rules if _hit(rule, folded, used)]
    urgent = [rule for rule in hits if rule.tier == "emergency"]
    crisis = [rule for rule in hits if rule.tier == "crisis"]
    chosen = [*urgent, *crisis] or hits[:1]
    advice = "\n".join(rule.advice for rule in chosen)
    names = tuple(rule.id for rule in chosen)
    if urgent or crisis:
        return Decision("replace" if crisis else "allow", "emergency" if urgent else "crisis", names, advice)
    return Decision("refuse" if chosen else "allow", "none", names, advice)


def _hit(rule: Rule, folded: str, rules: Rules) -> bool:
    return any(
        not _denied(folded, span[0], rules)
        and not _excused(rule, folded, span)
        and not _distant(rule, folded, span, rules)
        for span in rule.spans(folded)
    )


def _denied(folded: str, start: int, rules: Rules) -> bool:
    """Whether a denial reaches the hit: "没有胸痛", "没有任何胸痛或呼吸困难", but not "有没有胸痛", "不是没有"."""
    return rules.denial is not None and rules.denial.search(folded[max(0, start - _REACH) : start]) is not None


def _distant(rule: Rule, folded: str, span: tuple[int, int], rules: Rules) -> bool:
    """Whether the words are about a subject and nobody in particular: a lesson, or for a crisis fiction."""
    if rules.personal is None or rules.personal.search(folded):
        return False
    if rule.tier == "crisis":
        return rules.fiction is not None and rules.fiction.search(folded) is not None
    around = f"{folded[max(0, span[0] - _REACH) : span[0]]}\0{folded[span[1] : span[1] + _REACH]}"
    return rules.lesson is not None and rules.lesson.search(around) is not None


def _excused(rule: Rule, folded: str, span: tuple[int, int]) -> bool:
    for phrase in rule.unless:
        at = folded.find(phrase)
        while at >= 0:
            if at < span[1] and span[0] < at + len(phrase):
                return True
            at = folded.find(phrase, at + 1)
    return False
