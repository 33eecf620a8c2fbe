"""Answers, evidence and terms as HTML. Every text goes through `escape`; only the tags written here are tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from xinglin.serve import wire
from xinglin.serve.web.words import Words
from xinglin.types import Fact, Passage, Reply, Sentence

MOST_PLACES = 8

_CITE = re.compile(r"\[(\d{1,3})\]")
_PHONE = re.compile(r"(?<!\d)(120|110|12356)(?!\d)")


def answer_html(reply: Reply, words: Words) -> str:
    """An answer sentence by sentence: safety advice as a banner, the rest in groups marked with who says it."""
    urgent = reply.decision is not None and reply.decision.tier in ("emergency", "crisis")
    advice = len(reply.decision.advice.splitlines()) if reply.decision and urgent else 0
    banner, rest = reply.sentences[:advice], reply.sentences[advice:]
    count = len(reply.passages)
    parts = []
    if banner:
        lines = "".join(f"<p>{_phones(escape(sentence.text))}</p>" for sentence in banner)
        parts.append(f'<div class="alarm" role="alert">{lines}</div>')
    for kind, group in groupby(rest, key=_kind):
        lines = "".join(f"<p>{_cites(escape(sentence.text.strip()), count)}</p>" for sentence in group)
        parts.append(f'<section class="said {kind}"><span class="who">{_label(kind, words)}</span>{lines}</section>')
    return "".join(parts)


def _kind(sentence: Sentence) -> str:
    if sentence.source == "model":
        return "model" if sentence.verdict == "supported" else "raw"
    return sentence.source


def _label(kind: str, words: Words) -> str:
    labels = {"knowledge": words.by_knowledge, "model": words.by_model, "raw": words.by_model_raw}
    return escape(labels.get(kind, words.by_system))


def plain_html(text: str) -> str:
    """Unfinished text, line by line."""
    return "".join(f"<p>{escape(line)}</p>" for line in text.splitlines() if line.strip())


def _cites(escaped: str, count: int) -> str:
    """[n] as a button, where there is a passage of that number."""

    def button(match: re.Match[str]) -> str:
        number = int(match[1])
        if not 1 <= number <= count:
            return match[0]
        return f'<button type="button" class="cite" data-cite="{number}" aria-label="[{number}]">{number}</button>'

    return _CITE.sub(button, escaped)


def _phones(escaped: str) -> str:
    return _PHONE.sub(r'<a href="tel:\1">\1</a>', escaped)


def sources_html(passages: Sequence[Passage], words: Words) -> str:
    """The bar beneath an answer that names its passages."""
    if not passages:
        return ""
    buttons = "".join(
        f'<button type="button" class="source" data-cite="{number}"><b>{number}</b>'
        f"{escape(wire.title(passage))}</button>"
        for number, passage in enumerate(passages, 1)
    )
    return f'<span class="bar-title">{escape(words.sources)}</span>{buttons}'


def evidence_html(passages: Sequence[Passage], facts: dict[str, Fact], words: Words) -> str:
    """The cards of the evidence drawer: passage, facts, and where it comes from under which licence."""
    return "".join(_card(number, passage, facts, words) for number, passage in enumerate(passages, 1))


def _card(number: int, passage: Passage, facts: dict[str, Fact], words: Words) -> str:
    kinds = {"summary": words.kind_summary, "record": words.kind_record}
    kind = kinds.get(passage.origin.kind, words.kind_other)
    rows = ((words.source, passage.origin.source), (words.item, _places(passage, facts)))
    rows += ((words.licence, passage.origin.licence),)
    table = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return (
        f'<article class="card" id="evidence-{number}"><header><span class="number">{number}</span>'
        f"<h3>{escape(wire.title(passage))}</h3></header>"
        f'<span class="kind {escape(passage.origin.kind)}">{escape(kind)}</span>'
        f"<blockquote>{escape(passage.text)}</blockquote>"
        f"{_facts(passage, facts, words)}<dl>{table}</dl></article>"
    )


def _places(passage: Passage, facts: dict[str, Fact]) -> str:
    """Where in the source the facts stand: one passage may join several records."""
    items = dict.fromkeys(facts[name].origin.item for name in passage.facts if name in facts)
    places = list(items) or [passage.origin.item]
    return "，".join(places[:MOST_PLACES]) + (" …" if len(places) > MOST_PLACES else "")


def _facts(passage: Passage, facts: dict[str, Fact], words: Words) -> str:
    known = [facts[name] for name in passage.facts if name in facts]
    if not known:
        return ""
    items = "".join(f"<li>{_fact(fact, words)}</li>" for fact in known)
    return f"<details><summary>{escape(words.facts)} ({len(known)})</summary><ul>{items}</ul></details>"


def _fact(fact: Fact, words: Words) -> str:
    tail = f"<i>{escape(words.withheld)}</i>" if not fact.tail else escape(fact.tail)
    return f"{escape(fact.head)} <s>·</s> {escape(fact.relation)} <s>·</s> {tail}"


def paragraphs(text: str) -> str:
    """One paragraph per line."""
    return "".join(f"<p>{escape(line)}</p>" for line in text.splitlines() if line)


def marks_html(words: Words) -> str:
    """What the marks beside the sentences mean."""
    rows = (("knowledge", words.mark_knowledge), ("model", words.mark_model), ("system", words.mark_system))
    return "".join(
        f'<section class="said {kind}"><span class="who">{_label(kind, words)}</span><p>{escape(text)}</p></section>'
        for kind, text in rows
    )


def terms_html(words: Words) -> str:
    """The numbered terms."""
    return f'<ol class="terms">{"".join(f"<li>{escape(term)}</li>" for term in words.terms.terms)}</ol>'


def licences_html(rows: Iterable[tuple[str, str, int]], words: Words) -> str:
    """A table of sources: file, licence, number of facts."""
    body = "".join(
        f"<tr><td>{escape(source)}</td><td>{escape(licence)}</td><td>{count:,}</td></tr>"
        for source, licence, count in rows
    )
    head = f"<tr><th>{escape(words.source)}</th><th>{escape(words.licence)}</th><th>{escape(words.facts)}</th></tr>"
    return f'<table class="table"><thead>{head}</thead><tbody>{body}</tbody></table>'
