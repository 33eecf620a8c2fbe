"""The words that de-identification knows: names, places, and what looks like a name and is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from xinglin.files import read_document
from xinglin.knowledge.sources import PACKS

_STARTER = re.compile(r"^\s*-?\s*名称:\s*(.+)$|\[([^\[\]{}]+)\]", re.MULTILINE)
_HAN_WORD = re.compile(r"[\u4e00-\u9fff]{2,8}")


@dataclass(frozen=True, slots=True)
class Names:
    """Characters and words of personal names; `titles` are longest first."""

    surnames: frozenset[str]
    compound: frozenset[str]
    doubtful: frozenset[str]
    taken: frozenset[str]
    given: frozenset[str]
    common: frozenset[str]
    doctor_titles: tuple[str, ...]
    person_titles: tuple[str, ...]
    western: frozenset[str]
    pinyin: frozenset[str]


@dataclass(frozen=True, slots=True)
class Places:
    """Names of places and hospitals; `provinces` and `known` are alternations for regular expressions."""

    provinces: frozenset[str]
    known: str
    plain: frozenset[str]
    hospitals: tuple[str, ...]
    generic: str
    stops: frozenset[str]


@cache
def _read(name: str) -> dict[str, str]:
    return yaml.safe_load(read_document(Path(PACKS) / "privacy" / f"{name}.yaml").text)


def _words(name: str, key: str) -> list[str]:
    return str(_read(name)[key]).split()


def _longest_first(words: list[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(words), key=len, reverse=True))


@cache
def names() -> Names:
    """Personal names, from packs/privacy/names.yaml."""
    sets = {key: frozenset(_words("names", key)) for key in ("surnames", "compound", "doubtful", "taken", "given")}
    return Names(
        **sets,
        common=frozenset(_words("names", "common")),
        doctor_titles=_longest_first(_words("names", "doctor_titles")),
        person_titles=_longest_first(_words("names", "person_titles")),
        western=frozenset(_words("names", "western")),
        pinyin=frozenset(_words("names", "pinyin")),
    )


@cache
def places() -> Places:
    """Places and hospitals, from packs/privacy/places.yaml."""
    provinces = _words("places", "provinces")
    plain = [*provinces, *_words("places", "cities"), *_words("places", "districts")]
    return Places(
        provinces=frozenset(provinces),
        known="|".join(map(re.escape, _longest_first(plain))),
        plain=frozenset(plain),
        hospitals=_longest_first(_words("places", "hospitals")),
        generic="|".join(map(re.escape, _longest_first(_words("places", "generic")))),
        stops=frozenset(str(_read("places")["stops"])),
    )


@cache
def blanks() -> frozenset[str]:
    """What people write into a field for a name instead of a name."""
    return frozenset(_words("words", "blanks"))


@cache
def ordinary() -> dict[str, tuple[str, ...]]:
    """Words that are no names, by their first two characters: herbs, eponyms, historical persons, everything that
    the starter pack calls something."""
    words = {word for key in ("herbs", "brands", "eponyms", "medical", "persons") for word in _words("words", key)}
    words |= {word for word in _starter() if word[0] in names().surnames}
    found: dict[str, list[str]] = {}
    for word in words:
        found.setdefault(word[:2], []).append(word)
    return {start: tuple(sorted(some, key=len, reverse=True)) for start, some in found.items()}


@cache
def foreigners() -> frozenset[str]:
    """Historical persons with a dot in their name."""
    return frozenset(_words("words", "persons_foreign"))


def _starter() -> set[str]:
    """Names, aliases and list items of the starter pack, read as text: no facts are needed here."""
    words: set[str] = set()
    for path in sorted((Path(PACKS) / "starter").rglob("*.yaml")):
        for match in _STARTER.finditer(read_document(path).text):
            words.update(_HAN_WORD.findall(match.group(1) or match.group(2)))
    return words


def is_ordinary(text: str, at: int) -> bool:
    """Whether an ordinary word that is no name begins here."""
    some = ordinary().get(text[at : at + 2])
    return some is not None and any(text.startswith(word, at) for word in some)
