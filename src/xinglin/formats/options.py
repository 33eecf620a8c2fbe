"""The options of exam items in every writing, and what an answer says about them.

An option is known by its place: the first is A. Items whose options are lettered otherwise (B, C, D, E in a few real
ones) are lettered anew when they are read; the letters of the file are kept for writing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinglin.formats.samples import Fields, Unfit
from xinglin.text import fold

LETTERS = "ABCDEFGHIJKL"
"""The letters of options; an item with more is refused."""
_LABEL = re.compile(
    r"\s*[（(【\[]?([A-L])(?:\s*[)）】\]]\s*[.．、:：]?\s*|\s*[.．、:：,，]\s*|\s+|(?![A-Za-z0-9\s]))", re.ASCII
)
_POINT = re.compile(r"\s*[（(]?([A-L])\s*[)）.．、:：]\s*")
_BETWEEN = re.compile(r"[\s,，、;；/|()（）\[\]【】.。和]+|^答案[:：]?")


@dataclass(frozen=True, slots=True)
class Found:
    """The options of a row: their letters in the file, their texts, the columns they stood in, how they were written.

    `empty` are letters without a text: a fifth column that four options leave blank.
    """

    letters: str
    texts: tuple[str, ...]
    used: tuple[str, ...]
    empty: str = ""
    how: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Style:
    """One way to write options: whether a row has it, how it is read, and the columns it is written to.

    `write` gets letters and texts in order (an empty text where `Found.empty` was) and what was kept in `Found.how`.
    """

    fits: Callable[[Fields], bool]
    read: Callable[[Fields], Found]
    write: Callable[[Mapping[str, str], Mapping[str, Any]], dict[str, Any]]


def _found(pairs: Iterable[tuple[str, Any]], used: tuple[str, ...], **how: Any) -> Found:
    """The options among (letter, text) pairs; Unfit for less than two."""
    texts: dict[str, str] = {}
    empty = ""
    for letter, text in pairs:
        if letter in texts or letter in empty:
            raise Unfit(f"two options are lettered {letter}")
        if not isinstance(text, str | int | float | None):
            raise Unfit(f"option {letter} is not a text but a {type(text).__name__}")
        if text is None or not str(text).strip():
            empty += letter
        else:
            texts[letter] = text if isinstance(text, str) else str(text)
    if len(texts) < 2:
        raise Unfit(f"{len(texts)} options: an item needs two")
    if len(texts) > len(LETTERS):
        raise Unfit(f"{len(texts)} options: more than {len(LETTERS)}")
    return Found("".join(texts), tuple(texts.values()), used, empty, how)


def in_columns() -> Style:
    """A column for each option: A, B, C, D, often E. Four columns are always written."""

    def read(row: Fields) -> Found:
        present = [letter for letter in LETTERS if letter in row]
        found = _found(((letter, row[letter]) for letter in present), tuple(present))
        beyond = "".join(letter for letter in found.empty if letter not in "ABCD")
        return Found(found.letters, found.texts, found.used, beyond)

    def write(options: Mapping[str, str], how: Mapping[str, Any]) -> dict[str, Any]:
        return {letter: options.get(letter, "") for letter in sorted({*"ABCD", *options})}

    return Style(lambda row: {"A", "B"} <= row.keys(), read, write)


def in_mapping(column: str) -> Style:
    """A column that maps letters to texts: `{"A": "…", "B": "…"}`."""

    def read(row: Fields) -> Found:
        options = row.get(column)
        if not isinstance(options, Mapping):
            raise Unfit(f"{column} is not a mapping from letters to texts")
        wrong = [key for key in options if key not in LETTERS or len(key) != 1]
        if wrong:
            raise Unfit(f"an option is called {wrong[0]!r}: letters {LETTERS[0]} to {LETTERS[-1]} are known")
        nulls = "".join(key for key, text in options.items() if text is None)
        numbers = {key: text for key, text in options.items() if isinstance(text, int | float)}
        kept = {key: value for key, value in (("nulls", nulls), ("numbers", numbers)) if value}
        return _found(sorted(options.items()), (column,), **kept)

    def write(options: Mapping[str, str], how: Mapping[str, Any]) -> dict[str, Any]:
        nulls, numbers = how.get("nulls", ""), how.get("numbers", {})
        texts: dict[str, Any] = dict(options)
        for letter, text in options.items():
            if letter in nulls and not text:
                texts[letter] = None
            elif letter in numbers and str(numbers[letter]) == text:
                texts[letter] = numbers[letter]
        return {column: texts}

    return Style(lambda row: isinstance(row.get(column), Mapping), read, write)


def in_list(column: str) -> Style:
    """A column that lists texts, with or without a label before each: `["A.x", "B.y"]`, `["x", "y"]`."""

    def read(row: Fields) -> Found:
        options = row.get(column)
        if not isinstance(options, list) or not all(isinstance(one, str) for one in options):
            raise Unfit(f"{column} is not a list of texts")
        labels = [_POINT.match(one) for one in options]
        if options and all(label and label[1] == letter for label, letter in zip(labels, LETTERS, strict=False)):
            prefixes = [label[0] for label in labels if label]
            texts = [one[len(prefix) :] for one, prefix in zip(options, prefixes, strict=True)]
            return _found(zip(LETTERS, texts, strict=False), (column,), prefixes=prefixes)
        if len(options) > len(LETTERS):
            raise Unfit(f"{len(options)} options: more than {len(LETTERS)}")
        return _found(zip(LETTERS, options, strict=False), (column,))

    def write(options: Mapping[str, str], how: Mapping[str, Any]) -> dict[str, Any]:
        prefixes = how.get("prefixes", ())
        before = prefixes if len(prefixes) == len(options) else [""] * len(options)
        return {column: [prefix + text for prefix, text in zip(before, options.values(), strict=True)]}

    return Style(lambda row: isinstance(row.get(column), list), read, write)


def in_one_text(column: str, between: str, label: str) -> Style:
    """A column with all options in one text, `between` them; `label` such as "({}) " stands before each."""

    def read(row: Fields) -> Found:
        whole = row.get(column)
        if not isinstance(whole, str):
            raise Unfit(f"{column} is missing" if whole is None else f"{column} is not a text")
        prefixes, texts = _split(whole, between)
        kept = {letter: prefix for letter, prefix in prefixes.items() if prefix != label.format(letter)}
        return _found(texts, (column,), **({"prefixes": kept} if kept else {}))

    def write(options: Mapping[str, str], how: Mapping[str, Any]) -> dict[str, Any]:
        prefixes = how.get("prefixes", {})
        parts = [f"{prefixes.get(letter, label.format(letter))}{text}" for letter, text in options.items()]
        return {column: between.join(parts)}

    return Style(lambda row: isinstance(row.get(column), str), read, write)


def _split(whole: str, between: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The labels and the (letter, text) pairs of options in one text. A line without a label belongs to the option
    before it."""
    prefixes: dict[str, str] = {}
    texts: list[tuple[str, str]] = []
    for part in whole.split(between):
        label = _LABEL.match(part)
        if label and (not texts or label[1] >= texts[-1][0]):
            prefixes.setdefault(label[1], label[0])
            texts.append((label[1], part[label.end() :]))
        elif texts:
            letter, text = texts[-1]
            texts[-1] = (letter, f"{text}{between}{part}")
        elif part.strip():
            raise Unfit(f"the first option has no letter: {part[:20]!r}")
    return prefixes, texts


def letters_of(value: Any, found: Found) -> tuple[str, ...]:
    """The letters, as the file has them, of an answer: `C`, `ABC`, `(BCDE)`, `A,C`, a list, an index from 0, a text.

    They come in order. No answer (None, blank) gives none; an answer that names no option is Unfit.
    """
    match value:
        case None:
            return ()
        case bool():
            raise Unfit(f"the answer is {value}")
        case int():
            if 0 <= value < len(found.letters):
                return (found.letters[value],)
            raise Unfit(f"the answer is option number {value}, there are {len(found.letters)} from 0")
        case list():
            return tuple(sorted({letter for one in value for letter in letters_of(one, found)}))
        case str():
            return _named(value, found) if value.strip() else ()
        case _:
            raise Unfit(f"the answer is a {type(value).__name__}")


def _named(value: str, found: Found) -> tuple[str, ...]:
    short = _BETWEEN.sub("", unicodedata.normalize("NFKC", value).strip()).upper()
    if short and set(short) <= set(found.letters) and (len(short) == 1 or list(short) == sorted(set(short))):
        return tuple(short)
    by_text = {fold(text): letter for letter, text in zip(found.letters, found.texts, strict=True)}
    label = _POINT.match(value)
    bare = value[label.end() :] if label else value
    letter = by_text.get(fold(value)) or by_text.get(fold(bare))
    if letter:
        return (letter,)
    if short and set(short) <= set(found.letters):
        return tuple(sorted(set(short)))
    named = ", ".join(found.letters)
    raise Unfit(f"the answer {value.strip()[:40]!r} is none of the options {named}")


def by_place(letters: Sequence[str], found: Found) -> tuple[str, ...]:
    """Letters of the file as letters by place."""
    return tuple(LETTERS[found.letters.index(letter)] for letter in letters)
