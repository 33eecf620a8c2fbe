"""Public corpora whose rows look like no other: Toyhom, cMedQA, Taiyi, CMB-Clin, sheets of models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xinglin.formats.dialogues import tags
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import (
    Fields,
    Parsed,
    Unfit,
    as_sample,
    build,
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
    most,
    pairs,
    refuse,
    rest,
    row_format,
    said,
    text,
)
from xinglin.types import Maker, Role, Sample


# --- a column of question and answer pairs, cases with several questions --------------------------------------------
def parse_taiyi(value: Any) -> Parsed:
    """`{"conversation": [{"human", "assistant"}, …], …}`."""
    row = mapping(value)
    turns: list[tuple[Role, str]] = []
    for turn in row.get("conversation") or []:
        if not isinstance(turn, Mapping) or set(turn) != {"human", "assistant"}:
            raise Unfit("conversation is not a list of human and assistant")
        turns += exchange(text(turn, "human"), text(turn, "assistant"))
    return Parsed(said(*turns), rest(row, ("conversation",)), tags(row))


def render_taiyi(sample: Sample) -> dict[str, Any]:
    """The row of a sample."""
    system, turns = pairs(sample, "taiyi")
    if system:
        raise refuse(sample, "taiyi", "it has no place for a system message")
    spoken = [{"human": question, "assistant": answer} for question, answer in turns]
    return {"conversation": spoken, **columns(sample)}


def _is_taiyi(row: Fields) -> bool:
    turns = row.get("conversation")
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping) and "human" in turns[0]


def parse_clin(value: Any) -> Parsed:
    """A case with questions: `{"title", "description", "QA_pairs": [{"question", "solution"}]}` (CMB-Clin)."""
    row = mapping(value)
    turns: list[tuple[Role, str]] = [("system", text(row, "description"))]
    for one in row.get("QA_pairs") or []:
        if not isinstance(one, Mapping) or set(one) != {"question", "solution"}:
            raise Unfit("QA_pairs is not a list of question and solution")
        turns += exchange(text(one, "question"), text(one, "solution"))
    return Parsed(said(*turns), rest(row, ("description", "QA_pairs")), tags(row), kind="record")


def render_clin(sample: Sample) -> dict[str, Any]:
    """The row of a sample whose system message is the case."""
    description, turns = pairs(sample, "cmb-clin")
    asked_ = [{"question": question, "solution": answer} for question, answer in turns]
    return {"description": description, "QA_pairs": asked_, **columns(sample)}


# --- Toyhom ---------------------------------------------------------------------------------------------------------
_TOYHOM = ("department", "title", "ask", "answer")


def parse_toyhom(value: Any) -> Parsed:
    """`department, title, ask (or question), answer`: title and question are one message, the title first."""
    headed = isinstance(value, Mapping)
    if not headed and not (isinstance(value, list) and len(value) == 4):
        raise Unfit("not the four columns department, title, ask, answer")
    row = value if headed else dict(zip(_TOYHOM, value, strict=True))
    key = "ask" if "ask" in row else "question"
    title, question = text(row, "title"), text(row, key)
    both, lengths = join(title, question)
    same = not title or title == question
    extra = rest(row, ("title", key, "answer"))
    how = {
        "key": None if key == "ask" else key,
        "cut": None if same else lengths,
        "title": "same" if same and title else None,
        "header": None if headed else "absent",
    }
    turns: tuple[tuple[Role, str], ...] = (("user", question if same else both), ("assistant", text(row, "answer")))
    return Parsed(said(*turns), keep(extra, "toyhom", **how), tags(row))


def render_toyhom(sample: Sample) -> dict[str, Any] | list[str]:
    """The row of a sample; without a title of its own the question stands alone."""
    system, turns = pairs(sample, "toyhom")
    if system or len(turns) != 1:
        raise refuse(sample, "toyhom", "it holds one question and one answer")
    how = form(sample, "toyhom")
    question, answer = turns[0]
    parts = cut(question, how["cut"]) if "cut" in how else None
    title = question if how.get("title") else ""
    title, question = parts or (title, question)
    other = columns(sample)
    row = {"department": other.pop("department", ""), "title": title, how.get("key", "ask"): question, "answer": answer}
    return list(row.values()) if how.get("header") == "absent" else {**row, **other}


def _is_toyhom(row: Fields) -> bool:
    return {"title", "answer"} <= row.keys() and bool({"ask", "question"} & row.keys()) and "department" in row


def _fits_toyhom(rows: Sequence[Row]) -> bool:
    def bare(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 4 and len(value[3]) > len(value[0]) < 20

    return mappings(rows, _is_toyhom) or most(rows, bare)


# --- cMedQA ---------------------------------------------------------------------------------------------------------
_ANSWER, _QUESTION = ("ans_id", "question_id", "content"), ("question_id", "content")


def read_cmedqa2(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """The rows of `question.csv` and after them those of `answer.csv`: a sample for every answer, grouped by question.

    The questions are held in memory (108,000 of them: about 40 MB). A question without an answer is a sample too.
    """
    questions: dict[str, str] = {}
    answered: set[str] = set()
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            cells = mapping(row.value)
            key, content = text(cells, "question_id"), text(cells, "content")
            if "ans_id" not in cells:
                questions[key] = content
                continue
            if key not in questions:
                raise Unfit(f"question {key} is in no question file: give question.csv before answer.csv")
            answered.add(key)
            turns = said(("user", questions[key]), ("assistant", content))
            extra = rest(cells, ("content",))
            yield build(Parsed(turns, extra, group=f"question {key}"), source, str(number))
        except Unfit as reason:
            yield Bad(row.where, str(reason))
    for key, content in questions.items():
        if key not in answered:
            alone = Parsed(said(("user", content or "?")), {"question_id": key}, group=f"question {key}")
            yield build(alone, source, f"question {key}")


def write_cmedqa2(records: Iterable[Record]) -> Iterator[Any]:
    """The rows of the questions, then those of the answers."""
    answers: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, record in enumerate(records, 1):
        sample = as_sample(record, "cmedqa2")
        if [message.role for message in sample.messages] not in (["user"], ["user", "assistant"]):
            raise refuse(sample, "cmedqa2", "it holds questions with one answer each")
        key = str(sample.extra.get("question_id", number))
        if key not in seen:
            seen.add(key)
            yield {"question_id": key, "content": sample.messages[0].content}
        if len(sample.messages) == 2:
            other = columns(sample)
            identity = {"ans_id": other.pop("ans_id", str(number)), "question_id": key}
            answers.append({**identity, "content": sample.messages[1].content, **rest(other, ("question_id",))})
    yield from answers


def _fits_cmedqa2(rows: Sequence[Row]) -> bool:
    return mappings(rows, lambda row: set(row) in (set(_ANSWER), set(_QUESTION)))


def parse_rank(value: Any) -> Parsed:
    """`label TAB question TAB answer`."""
    parts = value.split("\t") if isinstance(value, str) else []
    if len(parts) != 3 or not parts[0].strip():
        raise Unfit("not label, question and answer between TABs")
    return Parsed(said(("user", parts[1]), ("assistant", parts[2])), {"label": parts[0]})


def render_rank(sample: Sample) -> str:
    """The line of a sample."""
    system, turns = pairs(sample, "cmedqa-rank")
    line = "\t".join([str(sample.extra.get("label", "1")), *(turns[0] if turns else ())])
    if system or len(turns) != 1 or line.count("\t") != 2 or "\n" in line:
        raise refuse(sample, "cmedqa-rank", "it holds one question and one answer, without TABs and line breaks")
    return line


def _fits_rank(rows: Sequence[Row]) -> bool:
    """Three cells, a label of 0 or 1, and answers much longer than questions: else it is a paraphrase corpus."""
    lines = [row.value.split("\t") for row in rows if isinstance(row.value, str) and row.value.strip()]
    good = [line for line in lines if len(line) == 3 and line[0] in ("0", "1")]
    if not good or len(good) < 0.8 * len(lines):
        return False
    return sum(len(line[2]) for line in good) > 2.5 * sum(len(line[1]) for line in good)


# --- two answers ----------------------------------------------------------------------------------------------------
_OF_ONE = ("answer", "specialty", "adopted")


def read_two(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """`question, answer_1, answer_2, specialty_1, …` (ChiMed): a sample for each answer, grouped by question."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            cells = mapping(row.value)
            found = []
            for at in (1, 2):
                turns = said(("user", text(cells, "question")), ("assistant", text(cells, f"answer_{at}")))
                own = {name: cells[f"{name}_{at}"] for name in _OF_ONE[1:] if f"{name}_{at}" in cells}
                other = rest(cells, ("question", *(f"{name}_{one}" for name in _OF_ONE for one in (1, 2))))
                found.append(build(Parsed(turns, {**other, **own}, group=f"row {number}"), source, f"{number} {at}"))
            yield from found
        except Unfit as reason:
            yield Bad(row.where, str(reason))


def write_two(records: Iterable[Record]) -> Iterator[Any]:
    """One row for each question; its two samples must stand together."""
    samples = (as_sample(record, "two-answers") for record in records)
    for first in samples:
        second = next(samples, None)
        if second is None or second.messages[0] != first.messages[0]:
            raise refuse(first, "two-answers", "its question has no second answer after it")
        row: dict[str, Any] = {"question": first.messages[0].content}
        for at, sample in enumerate((first, second), 1):
            _, turns = pairs(sample, "two-answers")
            other = columns(sample)
            row[f"answer_{at}"] = turns[0][1]
            row |= {f"{name}_{at}": other.pop(name) for name in _OF_ONE if name in other} | other
        yield row


# --- models side by side ---------------------------------------------------------------------------
def read_sheet(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A question and the answers of several models in columns: a sample for every answer, `maker` names its column."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            cells = mapping(row.value)
            yield from _answers(cells, source, number)
        except Unfit as reason:
            yield Bad(row.where, str(reason))


def _answers(cells: Fields, source: Source, number: int) -> Iterator[Sample]:
    question, *models = cells
    asked = text(cells, question)
    if not asked.strip() or not any(text(cells, model).strip() for model in models):
        raise Unfit("a question or all answers are empty")
    for model in models:
        extra = keep({}, "side-by-side", columns=list(cells))
        turns = said(("user", asked), ("assistant", text(cells, model)))
        parsed = Parsed(turns, extra, group=f"row {number}", kind="model", maker=Maker("import", model))
        yield build(parsed, source, f"{number} {model}")


def write_sheet(records: Iterable[Record]) -> Iterator[Any]:
    """One row for each question, the answers of its models in their columns; samples of a question must be together."""
    row: dict[str, str] = {}
    place = ""
    for record in records:
        sample = as_sample(record, "side-by-side")
        system, turns = pairs(sample, "side-by-side")
        if system or len(turns) != 1:
            raise refuse(sample, "side-by-side", "it holds one question and one answer of each model")
        names = form(sample, "side-by-side").get("columns", ["问题"])
        if not row or sample.origin.group != place or not place:
            if row:
                yield row
            row = dict.fromkeys(names, "") | {names[0]: turns[0][0]}
            place = sample.origin.group
        row[sample.origin.maker.model if sample.origin.maker else "答案"] = turns[0][1]
    if row:
        yield row


def _is_sheet(row: Fields) -> bool:
    """A first column named 问题 and at least two more that are no columns of an exam or a corpus."""
    names = list(row)
    other = {"答案", "答", "回答", "选项", "解析", "标题", "科室", "A", "B", "answer", "input"}
    texts = all(isinstance(cell, str) for cell in row.values())
    return len(names) > 2 and names[0] in ("问题", "提问") and not other & set(names) and texts


FORMATS: tuple[Format, ...] = (
    Format("toyhom", Sample, _fits_toyhom, by_row(parse_toyhom), by_record("toyhom", render_toyhom)),
    Format("cmedqa2", Sample, _fits_cmedqa2, read_cmedqa2, write_cmedqa2),
    Format("cmedqa-rank", Sample, _fits_rank, by_row(parse_rank), by_record("cmedqa-rank", render_rank)),
    Format(
        "two-answers",
        Sample,
        lambda rows: mappings(rows, lambda row: {"question", "answer_1", "answer_2"} <= row.keys()),
        read_two,
        write_two,
    ),
    row_format("taiyi", _is_taiyi, parse_taiyi, render_taiyi),
    row_format("cmb-clin", lambda row: {"description", "QA_pairs"} <= row.keys(), parse_clin, render_clin),
    Format("side-by-side", Sample, lambda rows: mappings(rows, _is_sheet), read_sheet, write_sheet),
)
"""Corpora of their own shape."""
