"""The 94-drug table of a report: page section, Markdown lines, terminal table."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from xinglin.evaluate.labels import INDICATION_LIMIT, flat, measured, percent
from xinglin.evaluate.markup import Markup, both, element, join, row, table
from xinglin.evaluate.summary import Summary
from xinglin.evaluate.tasks.indications import PUBLISHED, IndicationTable
from xinglin.types import Metric

CRITERIA = (("标准 1：≥ 1 项", "≥ 1 label"), ("标准 2：≥ 1/2", "≥ half"), ("标准 3：≥ 2/3", "≥ two thirds"))
LEAD = (
    "每种药品回答其适应症，与专家标注逐项比对。分母固定为全部药品：知识库中没有的药品算作未答对。",
    "Expert labels named in the answer. The denominator is fixed: a drug that the knowledge base lacks is a miss.",
)
PUBLISHED_LEAD = (
    "启真（QiZhenGPT）已发表的结果：人工判分，各格分母为 94、95 或 96，协议不同，不可直接比较。",
    "Published by QiZhenGPT: graded by hand, with denominators 94, 95 and 96. The protocol differs.",
)


def drugs_section(summary: Summary) -> Markup:
    """The tables of the page; empty where the benchmark was not run."""
    if not summary.indications:
        return Markup("")
    head = (both("模型", "model"), both("范围", "scope"), *(both(*words) for words in CRITERIA))
    lines = [line for entry in summary.indications for line in _lines(entry)]
    return join(
        element("p", both(*LEAD), class_="lead"),
        table(head, lines),
        element("h3", both("知识库没有的药品，以及清单精确率", "Absent drugs, and precision")),
        _absent(summary),
        _published(),
    )


def drugs_limit(summary: Summary) -> list[tuple[str, str]]:
    """The limit that applies where the benchmark was run."""
    return [INDICATION_LIMIT] if summary.indications else []


def drugs_markdown(summary: Summary) -> list[str]:
    """The tables as lines of Markdown."""
    if not summary.indications:
        return []
    lines = [LEAD[0], "", "| 模型 | 范围 | 标准 1 | 标准 2 | 标准 3 |", "|---|---|---|---|---|"]
    for entry in summary.indications:
        for scope, marks in _scopes(entry):
            lines.append(f"| {flat(entry.model)} | {scope} | {' | '.join(measured(mark) for mark in marks)} |")
    lines += ["", "| 模型 | 库外药品 | 答对 ≥ 1 项 | 答错 | 未作答 | 清单精确率 % |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join((flat(entry.model), *_counts(entry)))} |" for entry in summary.indications]
    lines += ["", PUBLISHED_LEAD[0], "", "| 模型 | C1 | C2 | C3 |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |" for name, *values in PUBLISHED]
    return [*lines, ""]


def render_drugs(summary: Summary) -> Table:
    """The tables for a terminal."""
    shown = Table(
        title="94 种药品适应症 · drug indications",
        caption="库外药品算作未答对，区间见报告 · absent drugs count as misses, intervals are in the report",
        box=SIMPLE,
    )
    for name in ("模型", "范围", "标准 1", "标准 2", "标准 3", "库外答错"):
        shown.add_column(name, no_wrap=True)
    for entry in summary.indications:
        for at, (scope, marks) in enumerate(_scopes(entry)):
            wrong = f"{entry.absent_wrong}/{entry.absent}" if at == 0 else ""
            shown.add_row(
                "" if at else escape(entry.model),
                scope,
                *(f"{100 * mark.value:.1f} % ({round(mark.value * mark.count)})" for mark in marks),
                wrong,
                end_section=at == 1,
            )
    return shown


def _scopes(entry: IndicationTable) -> list[tuple[str, tuple[Metric, ...]]]:
    every = (f"全部 n = {entry.every[0].count}", entry.every)
    return [every, (f"库内 n = {entry.held[0].count}", entry.held)] if entry.held[0].count else [every]


def _lines(entry: IndicationTable) -> list[Markup]:
    scopes = _scopes(entry)
    lines = []
    for at, (scope, marks) in enumerate(scopes):
        kind = "second" if at else "first" if len(scopes) > 1 else "only"
        lines.append(row("" if at else entry.model, scope, *(_mark(mark) for mark in marks), class_=kind))
    return lines


def _mark(metric: Metric) -> Markup:
    value = element("span", percent(metric.value), class_="big")
    return join(value, " ", element("span", measured(metric).partition(" ")[2], class_="small"))


def _counts(entry: IndicationTable) -> tuple[str, ...]:
    numbers = (entry.absent, entry.absent_right, entry.absent_wrong, entry.absent_abstained)
    return (*(str(number) for number in numbers), measured(entry.precision if entry.precision.count else None))


def _absent(summary: Summary) -> Markup:
    head = (
        both("模型", "model"),
        both("库外药品", "absent drugs"),
        both("答对 ≥ 1 项", "right"),
        both("答错", "wrong"),
        both("未作答", "abstained"),
        both("清单精确率 %", "precision, lower bound"),
    )
    return table(head, [row(flat(entry.model), *_counts(entry)) for entry in summary.indications])


def _published() -> Markup:
    head = (both("模型", "model"), "C1", "C2", "C3")
    rows = [row(name, *(f"{value:.2f}" for value in values)) for name, *values in PUBLISHED]
    return element(
        "details",
        element("summary", "已发表的结果 · published rows"),
        element("p", both(*PUBLISHED_LEAD)),
        table(head, rows),
    )
