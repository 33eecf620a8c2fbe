"""Drugs and the indications that experts marked (QiZhen's evaluation table) as Questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from xinglin.errors import DataError
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import Unfit, mapping, mappings, rest, text
from xinglin.text import strip_html
from xinglin.types import Message, Origin, Question, make_id

_DRUG, _LABELS = "药品", "医学专家标注的适应病症"


def read_rows(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """The question `{药品}的适应病症` of each row, as `exams.read_indications` asks it; the cells stay in `extra`."""
    for number, row in enumerate(rows, 1):
        if isinstance(row, Bad):
            yield row
            continue
        try:
            cells = mapping(row.value)
            drug, labels = strip_html(text(cells, _DRUG)), text(cells, _LABELS)
        except Unfit as reason:
            yield Bad(row.where, str(reason))
            continue
        answers = tuple(dict.fromkeys(label for part in labels.split("|") if (label := strip_html(part))))
        if not drug or not answers:
            yield Bad(row.where, f"no {_DRUG if not drug else _LABELS}")
            continue
        origin = Origin(source.name, str(number), source.licence, "label", group=drug)
        prompt = (Message("user", f"{drug}的适应病症"),)
        identity = make_id("question", drug, answers)
        yield Question(identity, prompt, answers, "indications", origin, extra=dict(cells))


def write_rows(records: Iterable[Record]) -> Iterator[Any]:
    """The rows of the questions."""
    for record in records:
        if not isinstance(record, Question) or record.task != "indications":
            raise DataError("not a question about indications", where=record.id, fix="export it in its own format")
        cells = {_DRUG: record.origin.group, _LABELS: "|".join(record.answers), **record.extra}
        yield {**rest(cells, (_LABELS,)), _LABELS: cells[_LABELS]}


FORMATS: tuple[Format, ...] = (
    Format("indications", Question, lambda rows: mappings(rows, {_DRUG, _LABELS}.issubset), read_rows, write_rows),
)
"""Drug indications."""
