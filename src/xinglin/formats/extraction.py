"""Extraction and classification: named entities, relations (CMeIE), labelled texts (ChineseBLUE), PromptCBLUE."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xinglin.formats import entities, tagged
from xinglin.formats.labelled import (
    Asked,
    Place,
    as_read,
    asked_by_user,
    cannot,
    labelled_format,
    only,
    read_each,
    said_by_user,
    unknown,
    write_each,
)
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import Fields, Unfit, cut, join, keep, mapping, most, rest, text
from xinglin.types import Question

_CLASS = re.compile(r"\d{1,2}|[A-Za-z][A-Za-z /&-]{0,60}")


# --- CMeIE: relations -----------------------------------------------------------------------------------------------
def parse_relations(value: Any, place: Place) -> Question:
    r"""`{text, spo_list: [{predicate, subject, subject_type, object: {"@value"}, …}]}`: each answer is
    "subject\tpredicate\tobject"."""
    row = mapping(value)
    listed = row.get("spo_list")
    if not isinstance(listed, list):
        raise Unfit("spo_list is not a list")
    answers, beside = [], []
    for number, one in enumerate(listed, 1):
        triple = _triple(one)
        if triple is None:
            raise Unfit(f"relation {number} lacks a subject, a predicate or an object")
        answers.append("\t".join(triple))
        held = one["object"]
        more = {"object": rest(held, ("@value",))} if isinstance(held, Mapping) else {"object": None}
        beside.append({**rest(one, ("subject", "predicate", "object")), **more})
    extra = keep(rest(row, ("text", "spo_list")), "cmeie", beside=beside)
    return Asked("cmeie", said_by_user(text(row, "text")), tuple(answers), extra).question(place.origin())


def _triple(one: Any) -> tuple[str, str, str] | None:
    if not isinstance(one, Mapping):
        return None
    held = one.get("object")
    parts = (one.get("subject"), one.get("predicate"), held.get("@value") if isinstance(held, Mapping) else held)
    subject, predicate, tail = parts
    if isinstance(subject, str) and isinstance(predicate, str) and isinstance(tail, str):
        return (subject, predicate, tail) if not any("\t" in part for part in (subject, predicate, tail)) else None
    return None


def render_relations(question: Question) -> dict[str, Any]:
    """The row of a Question."""
    beside = as_read(question, "cmeie").get("beside", ())
    beside = beside if len(beside) == len(question.answers) else [{"object": {}}] * len(question.answers)
    listed = []
    for answer, more in zip(question.answers, beside, strict=True):
        parts = answer.split("\t")
        if len(parts) != 3:
            raise cannot(question, "cmeie", f"the answer {answer[:40]!r} is not subject, predicate, object")
        held = more["object"]
        tail = parts[2] if held is None else {"@value": parts[2], **held}
        listed.append({**more, "subject": parts[0], "predicate": parts[1], "object": tail})
    return {"text": asked_by_user(question, "cmeie"), "spo_list": listed, **unknown(question)}


# --- ChineseBLUE: a label and one text or two, between TABs ---------------------------------------------------------
def parse_labelled(value: Any, place: Place) -> Question:
    """`label TAB text [TAB text]`: the answer is the label; two texts are two lines of one message. HTML entities are
    decoded."""
    if not isinstance(value, str):
        raise Unfit(f"not a line but a {type(value).__name__}")
    label, *raw = value.rstrip("\r\n").split("\t")
    if len(raw) not in (1, 2):
        raise Unfit(f"{len(raw) + 1} cells between TABs: a label and one or two texts are needed")
    if not label.strip() or not all(one.strip() for one in raw):
        raise Unfit("an empty cell")
    texts = [html.unescape(one) for one in raw]
    whole, lengths = join(*texts)
    how = {"lengths": lengths if len(texts) > 1 else None, "raw": raw if raw != texts else None}
    return Asked("chineseblue", said_by_user(whole), (label,), keep({}, "chineseblue", **how)).question(place.origin())


def render_labelled(question: Question) -> str:
    """The line of a Question; entities are written where they stood."""
    whole = asked_by_user(question, "chineseblue")
    how = as_read(question, "chineseblue")
    texts = cut(whole, how["lengths"]) if "lengths" in how else None
    texts = texts or [whole]
    raw = how.get("raw", ())
    if [html.unescape(one) for one in raw] == texts:
        texts = list(raw)
    if len(question.answers) != 1 or any(mark in one for one in (*question.answers, *texts) for mark in "\t\n\r"):
        raise cannot(question, "chineseblue", "it holds one label, and texts without TABs and line breaks")
    return "\t".join((*question.answers, *texts))


def _fits_labelled(rows: Sequence[Row]) -> bool:
    """Labels that are numbers or English words and come again; a number only in front of two texts: three Chinese cells
    are a triple of a graph, two unlike ones a list of words."""
    lines = [row.value.split("\t") for row in rows if isinstance(row.value, str) and row.value.strip()]
    good = [line for line in lines if len(line) in (2, 3) and _CLASS.fullmatch(line[0]) and _wordy(line[1:])]
    if not good or len(good) < 0.95 * len([row for row in rows if row.value != ""]):
        return False
    labels = {line[0] for line in good}
    few = labels <= {"0", "1", "2"} or len(labels) <= max(len(good) / 2, 1)
    return few and (all(len(line) == 2 for line in good) or all(label.isdecimal() for label in labels))


def _wordy(cells: list[str]) -> bool:
    return all(any(character.isalpha() for character in cell) for cell in cells)


# --- PromptCBLUE ----------------------------------------------------------------------------------------------------
def parse_prompted(value: Any, place: Place) -> Question:
    """`{input, target, answer_choices, task_type, task_dataset, sample_id}`; a blank test has no answers."""
    row = mapping(value)
    target = text(row, "target")
    choices = row.get("answer_choices")
    if choices is not None and not (isinstance(choices, list) and all(isinstance(one, str) for one in choices)):
        raise Unfit("answer_choices is not a list of texts")
    how = {"blank": [choices] if choices == [] or "answer_choices" not in row else None}
    extra = keep(rest(row, ("input", "target", "answer_choices")), "promptcblue", **how)
    asked = said_by_user(text(row, "input"))
    answers = (target,) if target else ()
    return Asked("promptcblue", asked, answers, extra, choices=tuple(choices or ())).question(place.origin())


def render_prompted(question: Question) -> dict[str, Any]:
    """The row of a Question."""
    if len(question.answers) > 1:
        raise cannot(question, "promptcblue", f"it holds one target, this has {len(question.answers)} answers")
    row = {"input": asked_by_user(question, "promptcblue"), "target": "".join(question.answers)}
    choices: dict[str, Any] = {"answer_choices": list(question.choices) or None}
    blank = as_read(question, "promptcblue").get("blank")
    if blank and not question.choices:
        choices = {} if blank == [None] else {"answer_choices": blank[0]}
    return {**row, **choices, **unknown(question)}


# --- PromptCBLUE, answers only --------------------------------------------------------------------------------------
def read_structured(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """`{task: [{sample_id, answer}]}`, the submission format: a Question for each answer.

    The texts are in another file: the message names task and sample. Entities and relations give one answer each, their
    values between TABs; a report gives "part TAB text" for each part.
    """
    for row in rows:
        if isinstance(row, Bad):
            yield row
        elif not isinstance(row.value, Mapping):
            yield Bad(row.where, f"not an object of tasks but a {type(row.value).__name__}")
        else:
            yield from _tasks(row, source)


def _tasks(row: Row, source: Source) -> Iterator[Record | Bad]:
    number = 0
    for task, items in row.value.items():
        for item in items if isinstance(items, list) else [items]:
            number += 1
            try:
                yield _structured(task, item, Place(source, number))
            except Unfit as reason:
                yield Bad(f"{row.where}#{task} {number}", str(reason))


def _structured(task: str, item: Any, place: Place) -> Question:
    cells = mapping(item)
    sample = text(cells, "sample_id")
    given = cells.get("answer")
    match given:
        case str():
            answers, shape = ((given,) if given else ()), "text"
        case list():
            answers, shape = tuple(map(_line, given)), "list"
        case Mapping() if _flat(given) and _flat(given.values()):
            answers, shape = tuple("\t".join(pair) for pair in given.items()), "object"
        case _:
            raise Unfit("answer is missing" if given is None else f"answer is a {type(given).__name__}")
    forms = [_form(one) for one in given] if shape == "list" else []
    how: dict[str, Any] = {"shape": shape, "forms": forms if any(forms) else None}
    extra = keep(rest(cells, ("answer",)), "promptcblue-answers", **how)
    return Asked(task, said_by_user(f"{task} {sample}"), answers, extra).question(place.origin(group=sample))


def _form(one: Any) -> list[str]:
    """How an element of an answer is written as one text: the names of its values between TABs, ["@json"] for what is
    not flat, none for a text."""
    if isinstance(one, str):
        return []
    flat = isinstance(one, Mapping) and bool(one) and _flat(one) and _flat(one.values())
    return list(one) if flat else ["@json"]


def _line(one: Any) -> str:
    """An element of an answer as one text."""
    form = _form(one)
    if not form:
        return one
    return json.dumps(one, ensure_ascii=False) if form == ["@json"] else "\t".join(one.values())


def _flat(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) and "\t" not in value for value in values)


def write_structured(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """One object of all tasks; it is held in memory, as the format wants it."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        question = only(record, Question, "promptcblue-answers")
        how = as_read(question, "promptcblue-answers")
        if "shape" not in how:
            raise cannot(question, "promptcblue-answers", "it was not read from this format, whose tasks are fixed")
        tasks.setdefault(question.task, []).append({**unknown(question), "answer": _answer(question, how)})
    yield tasks


def _answer(question: Question, how: Mapping[str, Any]) -> Any:
    answers = question.answers
    if how["shape"] == "text":
        return "".join(answers)
    if how["shape"] == "object":
        return dict(answer.split("\t", 1) for answer in answers)
    forms = how.get("forms", ())
    forms = forms if len(forms) == len(answers) else [[]] * len(answers)
    return [_element(question, *pair) for pair in zip(answers, forms, strict=True)]


def _element(question: Question, answer: str, form: list[str]) -> Any:
    """An element of an answer from its text."""
    if not form:
        return answer
    values = answer.split("\t")
    try:
        return json.loads(answer) if form == ["@json"] else dict(zip(form, values, strict=True))
    except ValueError:
        raise cannot(question, "promptcblue-answers", f"the answer {answer[:40]!r} was changed in its form") from None


def _is_structured(row: Fields) -> bool:
    def answered(item: Any) -> bool:
        return isinstance(item, Mapping) and {"sample_id", "answer"} <= item.keys()

    return bool(row) and all(isinstance(items, list) and all(map(answered, items)) for items in row.values())


FORMATS: tuple[Format, ...] = (
    labelled_format(
        "promptcblue",
        Question,
        lambda row: {"input", "target"} <= row.keys() and not {"task_type", "answer_choices"}.isdisjoint(row),
        parse_prompted,
        render_prompted,
    ),
    Format(
        "promptcblue-answers",
        Question,
        lambda rows: most(rows, lambda value: isinstance(value, Mapping) and _is_structured(value)),
        read_structured,
        write_structured,
    ),
    labelled_format(
        "cmeie", Question, lambda row: {"text", "spo_list"} <= row.keys(), parse_relations, render_relations
    ),
    *entities.FORMATS,
    *tagged.FORMATS,
    Format(
        "chineseblue",
        Question,
        _fits_labelled,
        read_each(parse_labelled),
        write_each("chineseblue", Question, render_labelled),
    ),
)
"""Extraction and classification."""
