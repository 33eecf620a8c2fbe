"""Chinese text: folding for comparison, sentences, and short forms for display."""

from __future__ import annotations

import re
import unicodedata

NOT_IN_KNOWLEDGE_BASE = "知识库中没有"
"""How the assistant says that it found nothing; evaluation counts a reply that holds it as an abstention."""

_SENTENCE = re.compile(r"[^。！？!?\n]*[。！？!?\n]+|[^。！？!?\n]+$")
_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,200}>")
_PUNCTUATION = re.compile(
    r"[\s\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65!-/:-@\[-`{-~·～—…‘’“”]"
)
_CLUSTER = re.compile(r".[\u0300-\u036f\u20d0-\u20ff\u3099\u309a\uff9e\uff9f]*", re.DOTALL)


def fold(text: str) -> str:
    """The form in which two writings of one name are equal: NFKC, lower case, no blanks."""
    return "".join(unicodedata.normalize("NFKC", text).lower().split())


def squeeze(text: str) -> str:
    """`fold` without punctuation: the form in which two sentences are compared."""
    return _PUNCTUATION.sub("", fold(text))


def sentences(text: str) -> list[tuple[int, int]]:
    """Character offsets (start, end) of the sentences of a text, end punctuation included."""
    return [match.span() for match in _SENTENCE.finditer(text) if match.group().strip()]


def strip_html(text: str) -> str:
    """The text without HTML tags and entities; blanks collapse to one."""
    import html

    return " ".join(_TAG.sub(" ", html.unescape(text)).split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, an ellipsis at the end where something was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def fold_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """`fold`, and for every folded character the (start, end) of the characters of `text` it was made from."""
    folded: list[str] = []
    spans: list[tuple[int, int]] = []
    for match in _CLUSTER.finditer(text):
        for character in unicodedata.normalize("NFKC", match.group()).lower():
            if not character.isspace():
                folded.append(character)
                spans.append(match.span())
    return "".join(folded), spans


def is_hub_id(spec: str) -> bool:
    """Whether a model's name can be a hub id, `owner/name`, rather than a path."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", spec) is not None


def spell_seconds(value: float) -> str:
    """A duration for people: seconds, minutes or hours."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"
