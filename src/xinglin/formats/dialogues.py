"""Conversations in columns: Alpaca, question and answer pairs, lists of turns, and their many variants.

`FORMATS` lists them, the special ones before the general ones they resemble.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from xinglin.formats.row import Format, Row
from xinglin.formats.samples import (
    AS_READ,
    Fields,
    Parsed,
    Unfit,
    by_record,
    by_row,
    columns,
    cut,
    exchange,
    form,
    join,
    keep,
    mapping,
    mappings,
    pairs,
    refuse,
    rest,
    row_format,
    said,
    text,
)
from xinglin.types import Kind, Role, Sample

_WRAPPER = re.compile(r"(\s*<s>\s*问\s*[：:]\s*)(.*?)(\s*答\s*[：:]\s*)", re.DOTALL)
_MARK = re.compile(r"<(user|human|bot)>:")
_ANSWER = re.compile(r"answer|output|response|target|chosen|rejected|options?$|gold|documents|choices|[A-E]$", re.I)
DEPARTMENTS = ("department", "Department", "科室", "cate1", "apartment")
"""Columns that hold a department: their value becomes the tag `department:…`."""
_DEPARTMENTS = frozenset(DEPARTMENTS)


def tags(row: Fields) -> tuple[str, ...]:
    """The tags that a row's columns give."""
    if _DEPARTMENTS.isdisjoint(row):
        return ()
    return tuple(f"department:{row[key]}" for key in DEPARTMENTS if isinstance(row.get(key), str) and row[key].strip())


# --- Alpaca ---------------------------------------------------------------------------------------------------------
def parse_alpaca(value: Any) -> Parsed:
    """`{"instruction", "input", "output"}` with optional `system` and `history`; the key may be `instruct`, and
    instruction and output may be lists (several ways to ask: joined by line feeds; one answer)."""
    row = mapping(value)
    key = "instruction" if "instruction" in row else "instruct"
    how: dict[str, Any] = {"key": None if key == "instruction" else key}
    asked, lengths = _texts(row, key)
    answer = row.get("output")
    if isinstance(answer, list):
        if len(answer) != 1:
            raise Unfit(f"output lists {len(answer)} answers: read it as a ranking or a preference")
        how["list"], answer = True, answer[0]
    if not isinstance(answer, str):
        raise Unfit("output is missing" if answer is None else f"output is not a text but a {type(answer).__name__}")
    more = row.get("input")
    if isinstance(more, str) and more:
        asked, how["cut"] = join(asked, more)
    elif more not in (None, ""):
        raise Unfit(f"input is not a text but a {type(more).__name__}")
    how["asked"] = lengths
    how["blank"] = {name: row[name] for name in ("system", "history") if name in row and not row[name]}
    if more is None:
        how["input"] = "null" if "input" in row else "absent"
    turns = [*_history(row), *exchange(asked, answer)]
    extra = keep(rest(row, (key, "input", "output", "system", "history")), "alpaca", **how)
    return Parsed(said(*turns), extra, tags(row))


def _texts(row: Fields, key: str) -> tuple[str, list[int]]:
    """A text, or several joined, with their lengths (none for a plain text)."""
    value = row.get(key)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return join(*value)
    return text(row, key), []


def _history(row: Fields) -> list[tuple[Role, str]]:
    turns: list[tuple[Role, str]] = []
    if row.get("system"):
        turns.append(("system", text(row, "system")))
    for pair in row.get("history") or []:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            raise Unfit("history is not a list of [question, answer] pairs")
        turns += exchange(pair[0], pair[1])
    return turns


def render_alpaca(sample: Sample) -> dict[str, Any]:
    """The row of a sample."""
    system, turns = pairs(sample, "alpaca")
    if not turns:
        raise refuse(sample, "alpaca", "it has no answer")
    how = form(sample, "alpaca")
    asked, answer = turns[-1]
    parts = cut(asked, how["cut"]) if "cut" in how else None
    asked, more = (parts[0], parts[1]) if parts else (asked, "")
    question = (cut(asked, how["asked"]) if "asked" in how else None) or asked
    row: dict[str, Any] = {how.get("key", "instruction"): question}
    if more or "input" not in how:
        row["input"] = more
    elif how["input"] == "null":
        row["input"] = None
    row["output"] = [answer] if how.get("list") else answer
    row |= dict(how.get("blank", {}))
    if system:
        row["system"] = system
    if turns[:-1]:
        row["history"] = [list(pair) for pair in turns[:-1]]
    return {**row, **columns(sample)}


def _is_alpaca(row: Fields) -> bool:
    output = row.get("output")
    single = isinstance(output, str) or (isinstance(output, list) and len(output) == 1)
    return bool({"instruction", "instruct"} & row.keys()) and single


# --- `<user>: … <bot>: …` in one string -----------------------------------------------------------------------------
def parse_marked(value: Any) -> Parsed:
    """Alpaca rows whose instruction is a conversation, `<user>: … <bot>: … <user>: …`; output is the last turn."""
    row = mapping(value)
    before, *pieces = _MARK.split(text(row, "instruction"))
    if not pieces:
        parsed = parse_alpaca(value)
        parsed.extra = keep(parsed.extra, "marked", plain=True, alpaca=parsed.extra.get(AS_READ))
        return parsed
    if before.strip():
        raise Unfit("text before the first speaker mark")
    turns: list[tuple[Role, str]] = [
        ("assistant" if mark == "bot" else "user", content.strip())
        for mark, content in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    blanks = [before, *(blank for content in pieces[1::2] for blank in _margins(content))]
    extra = rest(row, ("instruction", "output"))
    more = extra.pop("input", None)
    if more:
        raise Unfit("an input beside a conversation in the instruction")
    how = {"blanks": None if blanks == _margins_of(turns) else blanks, "input": None if more == "" else "absent"}
    if "human" in pieces[::2]:
        how["user"] = "human"
    return Parsed(said(*turns, ("assistant", text(row, "output"))), keep(extra, "marked", **how), tags(row))


def _margins(content: str) -> tuple[str, str]:
    """The blanks before and after a text."""
    inner = content.strip()
    at = content.index(inner)
    return content[:at], content[at + len(inner) :]


def _margins_of(turns: list[tuple[Role, str]]) -> list[str]:
    """The blanks of the usual writing: one around each mark."""
    inner = [" ", " "] * len(turns)
    return [" ", *inner[:-1], ""]


def render_marked(sample: Sample) -> dict[str, Any]:
    """The row of a sample."""
    how = form(sample, "marked")
    if how.get("plain"):
        return render_alpaca(replace(sample, extra={**columns(sample), AS_READ: how.get("alpaca")}))
    last = sample.messages[-1] if sample.messages else None
    before: list[tuple[Role, str]] = [(message.role, message.content) for message in sample.messages[:-1]]
    if last is None or last.role != "assistant" or any(role == "system" for role, _ in before):
        raise refuse(sample, "marked", "it must end with an answer and have no system message")
    blanks = how.get("blanks", ())
    blanks = blanks if len(blanks) == 2 * len(before) + 1 else _margins_of(before)
    whole = blanks[0]
    for at, (role, content) in enumerate(before):
        mark = "bot" if role == "assistant" else how.get("user", "user")
        whole += f"<{mark}>:{blanks[2 * at + 1]}{content}{blanks[2 * at + 2]}"
    filler = {} if how.get("input") == "absent" else {"input": ""}
    return {"instruction": whole, "output": last.content, **filler, **columns(sample)}


# --- a question and an answer in two columns ------------------------------------------------------------------------
def parse_pair(name: str, question: str, answer: str, kind: Kind, value: Any) -> Parsed:
    """One question and one answer; a prompt wrapper around the question, `<s>问：…答：`, is taken off and kept."""
    row = mapping(value)
    asked = text(row, question)
    extra = rest(row, (question, answer))
    match = _WRAPPER.fullmatch(asked) if "<s>" in asked else None
    if match:
        asked = match[2]
        extra = keep(extra, name, wrapper=[match[1], match[3]])
    return Parsed(said(("user", asked), ("assistant", text(row, answer))), extra, tags(row), kind=kind)


def render_pair(name: str, question: str, answer: str, sample: Sample) -> dict[str, Any]:
    """The row of a sample of one question and one answer."""
    system, turns = pairs(sample, name)
    if system or len(turns) != 1:
        raise refuse(sample, name, f"it holds one question and one answer, this has {len(sample.messages)} messages")
    before, after = form(sample, name).get("wrapper", ("", ""))
    return {question: f"{before}{turns[0][0]}{after}", answer: turns[0][1], **columns(sample)}


def pair(name: str, question: str, answer: str, *, needs: tuple[str, ...] = (), kind: Kind = "dialogue") -> Format:
    """A format of one question and one answer; `needs` are other columns that rows of it have."""
    wanted = {question, answer, *needs}
    return row_format(
        name,
        lambda row: wanted <= row.keys() and not {"chosen", "rejected", "options", "choices"} & row.keys(),
        partial(parse_pair, name, question, answer, kind),
        partial(render_pair, name, question, answer),
    )


# --- questions without answers --------------------------------------------------------------------------------------
def parse_asked(question: str, kind: Kind, value: Any) -> Parsed:
    """A question to which there is no answer."""
    row = mapping(value)
    return Parsed(said(("user", text(row, question))), rest(row, (question,)), tags(row), kind=kind)


def render_asked(name: str, question: str, sample: Sample) -> dict[str, Any]:
    """The row of a sample that is one question."""
    if [message.role for message in sample.messages] != ["user"]:
        raise refuse(sample, name, "it holds questions without answers")
    return {question: sample.messages[0].content, **columns(sample)}


def asked(name: str, question: str, *, needs: tuple[str, ...] = (), kind: Kind = "dialogue") -> Format:
    """A format of questions alone: rows have the column `question`, those of `needs`, and none that looks an answer."""

    def alone(row: Fields) -> bool:
        return {question, *needs} <= row.keys() and not any(_ANSWER.match(key) for key in row if key != question)

    return row_format(
        name,
        alone,
        partial(parse_asked, question, kind),
        partial(render_asked, name, question),
    )


def _fits_marked(rows: Sequence[Row]) -> bool:
    """Alpaca rows of which some are conversations in one string: files mix them with plain questions."""
    marked = sum("<bot>:" in str(row.value.get("instruction")) for row in rows if isinstance(row.value, Mapping))
    return mappings(rows, _is_alpaca) and marked * 20 >= len(rows)


FORMATS: tuple[Format, ...] = (
    Format("marked", Sample, _fits_marked, by_row(parse_marked), by_record("marked", render_marked)),
    row_format("alpaca", _is_alpaca, parse_alpaca, render_alpaca),
    pair("chatmed", "query", "response"),
    pair("wenda", "问", "答"),
    pair("disc-cmd", "question", "raw_anwser"),
    pair("disc-cmd-fixed", "question", "raw_answer"),
    pair("disc-judge", "prompt", "scores", needs=("model",)),
    pair("huatuo-case", "medical_case", "doctor_diagnosis", kind="record"),
    pair("context-target", "context", "target"),
    pair("prompt-completion", "prompt", "completion"),
    pair("prompt-response", "prompt", "response"),
    asked("cmb-case", "first_question", needs=("case",), kind="record"),
    asked("cmid", "question", needs=("dataset_info",)),
    asked("intent", "query", needs=("label",)),
    asked("question-only", "question"),
    asked("query-only", "query"),
    asked("input-only", "input"),
)
"""Conversations in columns."""
