"""Write a report: `report.json`, `report.md`, `report.html`, and the curves beside them; and its terminal table.

The same summary gives the same bytes: no times, no paths of this machine.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from xinglin.errors import FULL_DISK, DataError, full_disk
from xinglin.evaluate.compare import verdict_words
from xinglin.evaluate.labels import (
    COUNTS,
    LIMITS,
    SHORT_VERDICTS,
    flat,
    measured,
    points,
    probability,
    span,
    task_label,
)
from xinglin.evaluate.report_drugs import drugs_limit, drugs_markdown, render_drugs
from xinglin.evaluate.report_html import render_html
from xinglin.evaluate.summary import Answer, Candidate, Curve, Example, Source, Summary, asked, pick_examples
from xinglin.evaluate.tasks.indications import INDICATIONS
from xinglin.files import read_bytes, write_json, write_text
from xinglin.text import shorten

__all__ = [
    "Answer",
    "Candidate",
    "Curve",
    "Example",
    "Source",
    "Summary",
    "pick_examples",
    "render_differences",
    "render_drugs",
    "render_markdown",
    "render_table",
    "write_report",
]
SCHEMA = 1
_PNG = b"\x89PNG\r\n\x1a\n"


def write_report(folder: Path, summary: Summary) -> None:
    """Write the report into a folder. A curve that is missing or no PNG is a DataError."""
    curves = tuple(_copy_curve(folder, number, curve) for number, curve in enumerate(summary.curves, 1))
    own = replace(summary, curves=curves)
    write_json(folder / "report.json", {"schema": SCHEMA, **_plain(folder, own)})
    write_text(folder / "report.md", render_markdown(own, folder))
    write_text(folder / "report.html", render_html(own))


def render_table(summary: Summary) -> Table:
    """The results for a terminal: per cent with 95 % interval per task."""
    tasks = _shown_tasks(summary)
    shown = Table(
        title=f"{escape(summary.recipe)} · n = {asked(summary)}",
        caption="百分比与 95 % 区间 · per cent [95 % interval]",
        box=SIMPLE,
    )
    shown.add_column("模型 model", overflow="fold", style="bold")
    for task in tasks:
        shown.add_column(f"{task_label(task)[0]} {task} %", justify="right")
    for model in summary.models:
        values = [summary.headline(model.name, task) for task in tasks]
        if any(values):
            shown.add_row(escape(model.name), *(measured(value) for value in values))
    return shown


def render_differences(summary: Summary) -> Table:
    """The paired comparisons for a terminal: difference in percentage points with 95 % interval, and the verdict."""
    shown = Table(
        title="配对差异 · paired differences", caption="McNemar / 符号翻转检验，Holm 校正 · Holm-adjusted", box=SIMPLE
    )
    for heading in ("比较 compared", "任务 task", "差异（百分点）", "p（Holm）", "结论 verdict"):
        shown.add_column(heading, overflow="fold")
    for row in summary.comparisons:
        colour = {"better": "green", "worse": "red"}.get(row.verdict, "dim")
        verdict = f"[{colour}]{SHORT_VERDICTS[row.verdict][0]}[/{colour}]"
        difference = escape(f"{points(row.difference)} {span(row.low, row.high)}")
        task = task_label(row.task)[0]
        shown.add_row(f"{escape(row.child)} − {escape(row.parent)}", task, difference, probability(row.holm_p), verdict)
    return shown


def _shown_tasks(summary: Summary) -> list[str]:
    """The drug benchmark has a table of its own, with criteria instead of one share."""
    return [task for task in summary.tasks() if task != INDICATIONS or not summary.indications]


def render_markdown(summary: Summary, folder: Path) -> str:
    """The report as Markdown; pictures are linked relative to `folder`."""
    tasks = summary.tasks()
    lines = [
        f"# {flat(summary.recipe)} · 杏林评测报告 / evaluation report",
        "",
        f"> {LIMITS[0][0]}",
        "> ",
        f"> {LIMITS[0][1]}",
        "",
    ]
    lines += [f"底座 base: `{summary.base}` · 随机种子 seed: {summary.seed}", "", "## 结果 Results", ""]
    lines += [
        _line("模型 model", "父模型 parent", *(" ".join(task_label(task)) for task in tasks)),
        "|---" * (len(tasks) + 2) + "|",
    ]
    lines += [
        _line(model.name, model.parent or "—", *(_counted(summary, model.name, task) for task in tasks))
        for model in summary.models
    ]
    found = {report.task: report.metrics[0].signature for report in summary.reports}
    lines += ["", *(f"- {task_label(task)[0]}: `{signature}`" for task, signature in found.items()), ""]
    lines += _comparison_lines(summary)
    if summary.indications:
        lines += ["## 94 种药品适应症 Drug indications", "", *drugs_markdown(summary)]
    lines += _example_lines(summary)
    lines += [line for curve in summary.curves for line in (f"![{flat(curve.title)}]({_relative(folder, curve)})", "")]
    lines += _data_lines(summary)
    limits = [*LIMITS[1:], *drugs_limit(summary), *summary.notes]
    lines += ["## 局限 Limits", "", *(f"- {chinese}\n  {english}" for chinese, english in limits), ""]
    return "\n".join(lines)


def _comparison_lines(summary: Summary) -> list[str]:
    if not summary.comparisons:
        return []
    head = ("比较 comparison", "任务 task", "差异（百分点） points", "n", "p", "Holm p", "结论 verdict")
    rows = [
        _line(
            f"{row.child} − {row.parent}",
            task_label(row.task)[0],
            f"{points(row.difference)} {span(row.low, row.high)}",
            str(row.count),
            probability(row.p),
            probability(row.holm_p),
            f"{verdict_words(row, language='zh')} {verdict_words(row)}",
        )
        for row in summary.comparisons
    ]
    return ["## 配对差异 Paired differences", "", _line(*head), "|---" * len(head) + "|", *rows, ""]


def _example_lines(summary: Summary) -> list[str]:
    lines = ["## 问答示例 Examples", ""] if summary.examples else []
    for example in summary.examples:
        lines += [f"**{flat(example.question)}** — {flat('、'.join(example.gold))}", ""]
        for answer in example.replies:
            mark = "✓" if answer.score == 1 else "✗" if answer.score == 0 else "◐"
            lines.append(f"- {mark} {answer.model}: {flat(shorten(answer.text.strip(), 200)) or '（空）'}")
        lines.append("")
    return lines


def _data_lines(summary: Summary) -> list[str]:
    lines = ["## 数据与许可 Data and licences", ""]
    lines += [f"- {' '.join(COUNTS.get(name, (name, '')))}: {number:,}" for name, number in summary.counts]
    if summary.sources:
        lines += ["", _line("来源 source", "事实 facts", "许可 licence", "说明 note"), "|---|---|---|---|"]
        lines += [_line(row.name, f"{row.facts:,}", row.licence, row.note) for row in summary.sources]
    return [*lines, ""]


def _counted(summary: Summary, model: str, task: str) -> str:
    metric = summary.headline(model, task)
    return f"{measured(metric)} (n = {metric.count})" if metric else "—"


def _line(*cells: str) -> str:
    return f"| {' | '.join(flat(cell) for cell in cells)} |"


def _plain(folder: Path, summary: Summary) -> dict[str, Any]:
    plain = asdict(summary)
    for curve, own in zip(plain["curves"], summary.curves, strict=True):
        curve["path"] = _relative(folder, own)
    return _rounded(plain)


def _rounded(value: Any) -> Any:
    """Floats to 9 digits (equal on every machine), infinite ones to null: JSON has none."""
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def _relative(folder: Path, curve: Curve) -> str:
    return Path(os.path.relpath(curve.path, folder)).as_posix()


def _copy_curve(folder: Path, number: int, curve: Curve) -> Curve:
    data = read_bytes(curve.path)
    if not data.startswith(_PNG):
        raise DataError("this picture is no PNG", where=str(curve.path), fix="delete it and draw the curve again")
    target = folder / "curves" / f"{number:02d}-{curve.path.stem}.png"
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(target)) from error
        raise
    return Curve(curve.title, target)
