"""Exams and other question sets with gold answers."""

from __future__ import annotations

from pathlib import Path

from xinglin.errors import DataError
from xinglin.files import read_table
from xinglin.text import strip_html
from xinglin.types import Message, Origin, Question, make_id

_DRUG, _LABELS = "药品", "医学专家标注的适应病症"


def read_indications(path: Path) -> list[Question]:
    """Questions `{药品}的适应病症` with the experts' labels as gold answers (QiZhen's drug evaluation, CSV).

    The leaflet column is left out: it is what a model is compared with, not what it is asked. A row without
    a drug or without labels is a DataError: the benchmark's number of questions is fixed.
    """
    questions: list[Question] = []
    for number, (line, cells) in enumerate(read_table(path), 1):
        missing = [name for name in (_DRUG, _LABELS) if name not in cells]
        if missing:
            raise DataError(
                f"not a drug-indication table: no column {', '.join(missing)}",
                where=f"{path}:1",
                fix=f"columns needed: {_DRUG}, {_LABELS}; found: {', '.join(name for name in cells if name)}",
            )
        drug = strip_html(cells[_DRUG])
        answers = tuple(dict.fromkeys(label for part in cells[_LABELS].split("|") if (label := strip_html(part))))
        if not drug or not answers:
            raise DataError(
                f"row {number} has no {_DRUG if not drug else _LABELS}",
                where=f"{path}:{line}",
                fix="fill the cell or delete the row",
            )
        origin = Origin(path.name, str(number), "GPL-3.0", "label", group=drug)
        prompt = (Message("user", f"{drug}的适应病症"),)
        questions.append(Question(make_id("question", drug, answers), prompt, answers, "indications", origin))
    if not questions:
        raise DataError("the table has no rows", where=str(path), fix="get the whole file")
    return questions
