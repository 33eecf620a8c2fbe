"""Exam items in every public shape, questions with verifiable answers, graded retrieval.

A choice item is a Question whose one message is the stem, whose choices are the texts of the options, and whose answers
are letters by place (A is the first choice); a test without answers has none. Broken items are Bad with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from xinglin.formats.labelled import (
    Asked,
    Place,
    as_read,
    asked_by_user,
    cannot,
    labelled_format,
    said_by_user,
    unknown,
)
from xinglin.formats.options import (
    LETTERS,
    Found,
    Style,
    by_place,
    in_columns,
    in_list,
    in_mapping,
    in_one_text,
    letters_of,
)
from xinglin.formats.row import Format
from xinglin.formats.samples import Fields, Unfit, keep, mapping, rest, text
from xinglin.text import fold
from xinglin.types import Message, Question, Ranking, make_id


@dataclass(frozen=True, slots=True)
class Exam:
    """How a set of choice items is written: the columns of stem and answer, the style of the options, and how the
    letters of an answer are shown."""

    name: str
    question: str
    answer: str
    style: Style
    show: Callable[[Sequence[str]], Any] = "".join
    needs: tuple[str, ...] = ()
    """Other columns that rows of it have."""

    def fits(self, row: Fields) -> bool:
        """Whether a row is an item of this set."""
        return {self.question, *self.needs} <= row.keys() and self.style.fits(row)


def parse_exam(exam: Exam, value: Any, place: Place) -> Question:
    """The Question of a row."""
    row = mapping(value)
    found = exam.style.read(row)
    given = row.get(exam.answer)
    letters = letters_of(given, found)
    how: dict[str, Any] = {**found.how, "empty": found.empty or None}
    if found.letters != LETTERS[: len(found.letters)]:
        how["letters"] = found.letters
    if given is None:
        how["blank"] = "null" if exam.answer in row else "absent"
    elif given != exam.show(letters):
        how["answer"] = [given]
    extra = keep(rest(row, (exam.question, exam.answer, *found.used)), exam.name, **how)
    stem = said_by_user(text(row, exam.question))
    asked = Asked(exam.name, stem, by_place(letters, found), extra, choices=found.texts)
    return asked.question(place.origin())


def render_exam(exam: Exam, question: Question) -> dict[str, Any]:
    """The row of a Question, written as it was read where nothing has changed since."""
    how = as_read(question, exam.name)
    size = len(question.choices)
    letters = how.get("letters", "")
    letters = letters if len(letters) == size else LETTERS[:size]
    places = [LETTERS.find(answer) if len(answer) == 1 else -1 for answer in question.answers]
    if size < 2 or not all(0 <= at < size for at in places):
        raise cannot(question, exam.name, "it holds choices, and answers that are letters of them")
    options = dict(zip(letters, question.choices, strict=True)) | dict.fromkeys(how.get("empty", ""), "")
    columns = exam.style.write(dict(sorted(options.items())), how)
    row = {exam.question: asked_by_user(question, exam.name), **columns}
    found = Found(letters, question.choices, ())
    named = tuple(letters[at] for at in places)
    if named or how.get("blank") != "absent":
        row[exam.answer] = _shown(exam, found, named, how)
    _check(exam, question, row)
    other = unknown(question)
    first = {name: other.pop(name) for name in ("", "id", "qid") if name in other}
    return {**first, **row, **other}


def _shown(exam: Exam, found: Found, named: tuple[str, ...], how: Mapping[str, Any]) -> Any:
    """The answer as the file had it, if that still says the same."""
    if not named and how.get("blank") == "null":
        return None
    for given in how.get("answer", ()):
        try:
            if letters_of(given, found) == named:
                return given
        except Unfit:
            break
    return exam.show(named)


def _check(exam: Exam, question: Question, row: Fields) -> None:
    """A DataError where the row would be read as something else: an option that holds what divides options."""
    try:
        found = exam.style.read(row)
        same = found.texts == question.choices
        same = same and by_place(letters_of(row.get(exam.answer), found), found) == question.answers
    except Unfit:
        same = False
    if not same:
        raise cannot(question, exam.name, "its options would be read as others")


def exam_format(exam: Exam) -> Format:
    """The format of a set of choice items."""
    return labelled_format(exam.name, Question, exam.fits, partial(parse_exam, exam), partial(render_exam, exam))


def _bracketed(letters: Sequence[str]) -> str:
    return f"({''.join(letters)})" if letters else ""


# --- SafetyBench: the answer lies in `gold` --------------------------------------------------------------------------
def _index(letters: Sequence[str]) -> Any:
    return LETTERS.index(letters[0]) if len(letters) == 1 else [LETTERS.index(letter) for letter in letters] or None


_SAFETY = Exam("safetybench", "question", "answer", in_list("options"), _index)


def parse_safety(value: Any, place: Place) -> Question:
    """`{id, options, category, question, gold: {category, answer: index}}`; the rest of `gold` stays in `extra`."""
    row = mapping(value)
    gold = row.get("gold")
    if not isinstance(gold, Mapping):
        raise Unfit("gold is not an object with the answer")
    answer = {"answer": gold["answer"]} if "answer" in gold else {}
    return parse_exam(_SAFETY, {**row, "gold": rest(gold, ("answer",)), **answer}, place)


def render_safety(question: Question) -> dict[str, Any]:
    """The row of a Question."""
    row = render_exam(_SAFETY, question)
    gold = row.pop("gold", {})
    answer = {"answer": row.pop("answer")} if "answer" in row else {}
    return {**row, "gold": {**(gold if isinstance(gold, Mapping) else {}), **answer}}


# --- a question and its verifiable answer ----------------------------------------------------------------------------
_OTHER = frozenset(
    {"options", "option", "choices", "A", "documents", "chosen", "rejected", "output", "response", "title", "history"}
)


def parse_verifiable(question: str, answer: str, name: str, value: Any, place: Place) -> Question:
    """A question with the one right answer, or a list of right ones; numbers become text."""
    row = mapping(value)
    given = row.get(answer)
    right = given if isinstance(given, list) else [given]
    if not right or not all(isinstance(one, str | int | float) and str(one).strip() for one in right):
        raise Unfit(f"{answer} is empty or no text")
    answers = tuple(str(one) for one in right)
    how = {} if (given,) == answers else {"answer": [given]}
    extra = keep(rest(row, (question, answer)), name, **how)
    return Asked(name, said_by_user(text(row, question)), answers, extra).question(place.origin())


def render_verifiable(question: str, answer: str, name: str, record: Question) -> dict[str, Any]:
    """The row of a Question without choices."""
    if record.choices or not record.answers:
        raise cannot(record, name, "it holds a question with answers and without choices")
    given = next(iter(as_read(record, name).get("answer", ())), None)
    right = given if isinstance(given, list) else [given]
    if tuple(str(one) for one in right) != record.answers:
        given = record.answers[0] if len(record.answers) == 1 else list(record.answers)
    return {question: asked_by_user(record, name), answer: given, **unknown(record)}


def verifiable(name: str, question: str, answer: str) -> Format:
    """A format of questions with verifiable answers in two columns."""
    return labelled_format(
        name,
        Question,
        lambda row: {question, answer} <= row.keys() and _OTHER.isdisjoint(row),
        partial(parse_verifiable, question, answer, name),
        partial(render_verifiable, question, answer, name),
    )


# --- graded retrieval ------------------------------------------------------------------------------------------------
def parse_graded(value: Any, place: Place) -> Ranking:
    """`{query, documents: [{url, label, title}]}`: titles ranked by their grade (0 to 4, a number or a text), the best
    first, equal ones in the order of the file. A query whose documents all have one grade, or one title, ranks nothing:
    Unfit."""
    row = mapping(value)
    query = text(row, "query")
    documents = row.get("documents")
    if not isinstance(documents, list) or len(documents) < 2:
        raise Unfit("documents is not a list of at least two")
    grades, titles = [], []
    for number, document in enumerate(documents, 1):
        if not isinstance(document, Mapping) or not isinstance(document.get("title"), str):
            raise Unfit(f"document {number} has no title")
        grade = str(document.get("label"))
        if not grade.isdecimal():
            raise Unfit(f"document {number} has no grade: label is {document.get('label')!r}")
        grades.append(int(grade))
        titles.append(document["title"])
    for what, values in (("grade", grades), ("title", list(map(fold, titles)))):
        if len(set(values)) == 1:
            raise Unfit(f"all documents have one {what}: there is no order")
    order = tuple(sorted(range(len(grades)), key=lambda at: -grades[at]))
    beside = [rest(document, ("title",)) for document in documents]
    extra = keep(rest(row, ("query", "documents")), "graded", documents=beside)
    identity = make_id("ranking", query, titles, order)
    prompt: tuple[Message, ...] = said_by_user(query)
    return Ranking(identity, prompt, tuple(titles), order, "grades", place.origin(group=query), extra=extra)


def render_graded(ranking: Ranking) -> dict[str, Any]:
    """The row of a Ranking; one that was not read with grades gets grades from its order."""
    size = len(ranking.answers)
    if sorted(ranking.order) != list(range(size)):
        raise cannot(ranking, "graded", "its order does not name every answer once")
    beside = as_read(ranking, "graded").get("documents", ())
    if len(beside) != size:
        beside = [{"label": str(size - 1 - ranking.order.index(at))} for at in range(size)]
    documents = [{**one, "title": title} for one, title in zip(beside, ranking.answers, strict=True)]
    return {"query": asked_by_user(ranking, "graded"), "documents": documents, **unknown(ranking)}


EXAMS: tuple[Exam, ...] = (
    Exam("cmmlu", "Question", "Answer", in_columns()),
    Exam("ceval", "question", "answer", in_columns()),
    *(Exam(f"exam-{column}", column, "答案", in_columns()) for column in ("题目", "问题", "题干")),
    Exam("cmexam", "Question", "Answer", in_one_text("Options", r"\n", "{} ")),
    Exam("apollo", "question", "answer", in_one_text("options", "\n", "({}) "), _bracketed),
    Exam("cmb-exam", "question", "answer", in_mapping("option")),
    Exam("mlec-qa", "qtext", "answer", in_mapping("options")),
    Exam("options-mapping", "question", "answer", in_mapping("options")),
    Exam("options-list", "question", "answer", in_list("options")),
    Exam("choices-list", "question", "answer", in_list("choices"), _index),
)
"""Sets of choice items; a set that is written like one of them needs no format of its own."""

FORMATS: tuple[Format, ...] = (
    labelled_format(
        "safetybench",
        Question,
        lambda row: {"question", "gold"} <= row.keys() and _SAFETY.style.fits(row),
        parse_safety,
        render_safety,
    ),
    *map(exam_format, EXAMS),
    labelled_format("graded", Ranking, lambda row: {"query", "documents"} <= row.keys(), parse_graded, render_graded),
    verifiable("verifiable", "question", "answer"),
    verifiable("verifiable-problem", "Open-ended Verifiable Question", "Ground-True Answer"),
)
"""Exams, verifiable questions, graded retrieval."""
