"""First words of safety, from a data file and without any model: emergencies, crises, and what an AI must not do.

The rules are `packs/redflags.yaml`; a later issue replaces them with the full rule engine of the safety room.
"""

from __future__ import annotations

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
RULES = Path(xinglin.__file__).parent / "packs" / "redflags.yaml"


@dataclass(frozen=True, slots=True)
class Rule:
    """Words that call for advice; a text that also holds one of `unless` around the word does not count."""

    id: str
    tier: Tier
    words: tuple[str, ...]
    unless: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and the words whose presence right before a hit denies it."""

    rules: tuple[Rule, ...]
    denials: tuple[str, ...]


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
    return Rules((*rules, *limits), tuple(fold(word) for word in content.get("denials", [])))


def _rule(entry: dict[str, Any], *, path: Path) -> Rule:
    name, tier, advice = str(entry.get("id", "")), entry.get("tier"), str(entry.get("advice", "")).strip()
    words = tuple(fold(str(word)) for word in entry.get("words", []))
    if not (name and advice and words) or tier not in ("none", "crisis", "emergency"):
        raise DataError(
            f"rule {name or '?'} is incomplete",
            where=str(path),
            fix="each rule needs id, words, advice and tier (emergency or crisis; none for limits)",
        )
    return Rule(name, tier, words, tuple(fold(str(word)) for word in entry.get("unless", [])), advice)


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
    hits = [rule for rule in used.rules if _hit(rule, folded, used.denials)]
    urgent = [rule for rule in hits if rule.tier == "emergency"]
    crisis = [rule for rule in hits if rule.tier == "crisis"]
    chosen = [*urgent, *crisis] or hits[:1]
    advice = "\n".join(rule.advice for rule in chosen)
    names = tuple(rule.id for rule in chosen)
    if urgent or crisis:
        return Decision("replace" if crisis else "allow", "emergency" if urgent else "crisis", names, advice)
    return Decision("refuse" if chosen else "allow", "none", names, advice)


def _hit(rule: Rule, folded: str, denials: tuple[str, ...]) -> bool:
    for word in rule.words:
        start = folded.find(word)
        while start >= 0:
            end = start + len(word)
            if not _denied(folded, start, denials) and not _excused(rule, folded, (start, end)):
                return True
            start = folded.find(word, end)
    return False


def _denied(folded: str, start: int, denials: tuple[str, ...]) -> bool:
    """Whether the hit stands right behind a denial ("没有胸痛"), except a question ("有没有胸痛") or 不是没有."""
    for denial in denials:
        if folded[:start].endswith(denial):
            before = folded[: start - len(denial)]
            return not before.endswith(("有", "不是", "是不是"))
    return False


def _excused(rule: Rule, folded: str, span: tuple[int, int]) -> bool:
    for phrase in rule.unless:
        at = folded.find(phrase)
        while at >= 0:
            if at < span[1] and span[0] < at + len(phrase):
                return True
            at = folded.find(phrase, at + 1)
    return False
