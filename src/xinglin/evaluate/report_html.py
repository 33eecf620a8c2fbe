"""The report as one offline HTML file: no script, nothing loaded from outside, light and dark, screen and paper."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from xinglin.evaluate.compare import Comparison, verdict_words
from xinglin.evaluate.forest import Axis, forest_axis, forest_row, gauge
from xinglin.evaluate.labels import (
    COUNTS,
    LIMITS,
    SHORT_VERDICTS,
    STAGES,
    interval,
    margin,
    percent,
    points,
    probability,
    span,
    task_label,
)
from xinglin.evaluate.markup import Markup, both, element, join, row, table
from xinglin.evaluate.report_drugs import drugs_limit, drugs_section
from xinglin.evaluate.summary import Answer, Candidate, Example, Summary, asked
from xinglin.files import read_bytes
from xinglin.text import shorten
from xinglin.types import Metric

_STYLE = Path(__file__).with_name("report.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser itself refuses scripts and anything from outside."""
_SHOWN = 80  # characters of a reply: a random model fills pages


def render_html(summary: Summary) -> str:
    """The whole page; equal summaries give equal bytes."""
    sections = [
        ("results", "结果", "Results", _results(summary)),
        ("differences", "配对差异", "Paired differences", _differences(summary)),
        ("drugs", "94 种药品适应症", "94-drug indications", drugs_section(summary)),
        ("examples", "问答示例", "Examples", _examples(summary.examples)),
        ("curves", "训练曲线", "Training curves", _curves(summary)),
        ("data", "数据与许可", "Data and licences", _data(summary)),
        ("limits", "局限与声明", "Limits and disclaimer", _limits(summary)),
    ]
    shown = [entry for entry in sections if entry[3]]
    links = [element("a", chinese, href=f"#{name}") for name, chinese, _, _ in shown]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"{summary.recipe} · 杏林评测报告"),
        element("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = element(
        "body",
        _header(summary, links),
        element("main", _lineage(summary), *(_section(*entry) for entry in shown)),
        _footer(),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='zh-CN')}\n"


def _section(name: str, chinese: str, english: str, content: Markup) -> Markup:
    return element("section", element("h2", both(chinese, english)), content, id=name)


def _header(summary: Summary, links: Sequence[Markup]) -> Markup:
    facts = [
        ("底座", "base", summary.base),
        ("随机种子", "seed", str(summary.seed)),
        ("模型", "models", str(len(summary.models))),
        ("每任务题数", "questions per task", asked(summary)),
    ]
    items = [element("li", both(chinese, english), " ", element("b", value)) for chinese, english, value in facts]
    brand = element("div", element("span", "杏", class_="seal"), "杏林 XINGLIN", class_="brand")
    notice = element("div", both(*LIMITS[0]), class_="warning", role="note")
    title = element("h1", summary.recipe)
    subtitle = element(
        "p", both("评测报告 · 每个模型与其父模型的配对比较", "Every model compared with its parent"), class_="lead"
    )
    inner = join(brand, title, subtitle, element("ul", *items, class_="facts"), notice, element("nav", *links))
    return element("header", element("div", inner, class_="inner"))


def _footer() -> Markup:
    words = both(
        "由杏林生成。同样的输入得到逐字节相同的报告；数值见同目录 report.json。",
        "Made by Xinglin. The same input gives the same bytes; the numbers are in report.json beside this file.",
    )
    return element("footer", element("div", words, class_="inner"))


def _lineage(summary: Summary) -> Markup:
    places: dict[str, tuple[int, int]] = {}
    used: dict[int, int] = {}
    nodes = []
    for model in summary.models:
        # A child stands one column right of its parent, in its parent's line or in the first free one below.
        depth, beside = places.get(model.parent, (0, 1))
        column, line = depth + 1, max(used.get(depth + 1, 0) + 1, beside)
        places[model.name], used[column] = (column, line), line
        arrow = "" if not model.parent else " child" if line == beside else " child below"
        nodes.append(_node(summary, model, f"grid-column:{column};grid-row:{line}", arrow))
    chain = element("div", *nodes, class_="chain", tabindex="0", role="group", aria_label="模型谱系")
    return _section("lineage", "模型谱系", "Lineage", join(element("p", _verdicts(summary), class_="lead"), chain))


def _verdicts(summary: Summary) -> Markup:
    found = Counter(row.verdict for row in summary.comparisons)
    total = len(summary.comparisons)
    chinese = " · ".join(f"{words[0]} {found[verdict]}" for verdict, words in SHORT_VERDICTS.items())
    english = ", ".join(f"{found[verdict]} {words[1]}" for verdict, words in SHORT_VERDICTS.items())
    return both(f"{total} 个配对比较：{chinese}（Holm 校正后 p < 0.05）", f"{total} paired comparisons: {english}")


def _node(summary: Summary, model: Candidate, style: str, arrow: str) -> Markup:
    values = []
    for task in summary.tasks():
        if metric := summary.headline(model.name, task):
            values += [element("dt", task_label(task)[0]), element("dd", f"{percent(metric.value)} %", class_="num")]
    chips = [_chip(row, task_label(row.task)[0]) for row in summary.against_parent(model.name)]
    about = " · ".join(
        part for part in (STAGES.get(model.note, model.note), f"← {model.parent}" if model.parent else "") if part
    )
    return element(
        "div",
        element("div", model.name, class_="name"),
        element("div", about, class_="parent"),
        element("dl", *values),
        element("div", *chips, class_="chips"),
        class_=f"node{arrow}",
        style=style,
    )


def _chip(comparison: Comparison, prefix: str = "") -> Markup:
    chinese, english = SHORT_VERDICTS[comparison.verdict]
    kind = comparison.verdict if comparison.verdict in ("better", "worse") else "none"
    words = join(f"{prefix} {chinese}") if prefix else both(chinese, english)
    return element("span", words, class_=f"chip {kind}", title=verdict_words(comparison))


def _results(summary: Summary) -> Markup:
    tasks = summary.tasks()
    head = (both("模型", "model"), *(both(*task_label(task)) for task in tasks))
    rows = [row(model.name, *(_cell(summary.headline(model.name, task)) for task in tasks)) for model in summary.models]
    lead = both(
        "数值为百分比，方括号内为 95 % 区间，n 为题数；浅色带为区间。",
        "Per cent with 95 % intervals; n is the number of questions.",
    )
    return join(element("p", lead, class_="lead"), table(head, rows), _signatures(summary))


def _cell(metric: Metric | None) -> Markup:
    if metric is None:
        return element("span", "—", class_="small")
    value = element("span", percent(metric.value), class_="big")
    detail = element("span", f"{interval(metric.low, metric.high)} · n\u00a0=\u00a0{metric.count}", class_="small")
    return element("div", element("div", value, detail, class_="line"), gauge(metric), class_="cell")


def _signatures(summary: Summary) -> Markup:
    found = {report.task: report.metrics[0].signature for report in reversed(summary.reports)}
    lines = [
        element("p", f"{task_label(task)[0]} ", element("code", found[task]), class_="signature")
        for task in summary.tasks()
        if found[task]
    ]
    return join(*lines)


def _differences(summary: Summary) -> Markup:
    if not summary.comparisons:
        return Markup("")
    axis = Axis(summary.comparisons)
    lead = both(
        "同一批题目上，后一模型减去前一模型（百分点）。线段为自助法 95 % 区间；"
        "实心 = Holm 校正后显著，空心 = 未见差异。",
        "Child minus parent on the same questions, in percentage points, with bootstrap 95 % intervals; "
        "filled marks are significant after Holm's correction.",
    )
    plots = [_plot([row for row in summary.comparisons if row.task == task], axis) for task in _compared(summary)]
    return join(element("p", lead, class_="lead"), *plots, _tests(summary.comparisons))


def _compared(summary: Summary) -> list[str]:
    return list(dict.fromkeys(row.task for row in summary.comparisons))


def _plot(rows: Sequence[Comparison], axis: Axis) -> Markup:
    lines = [
        element(
            "div",
            element("div", row.child, " ", element("small", f"对 {row.parent}"), class_="who"),
            element("div", forest_row(row, axis), class_="drawn"),
            element("div", element("b", points(row.difference)), " ", span(row.low, row.high), class_="value"),
            element("div", _chip(row), class_="said"),
            class_="pair",
        )
        for row in rows
    ]
    scale = element("div", element("div", forest_axis(axis), class_="drawn"), class_="pair scale")
    return element("div", element("h3", both(*task_label(rows[0].task))), *lines, scale, class_="plot")


def _tests(comparisons: Sequence[Comparison]) -> Markup:
    head = (
        both("比较", "comparison"),
        both("任务", "task"),
        both("更好 / 更差的题", "gained / lost"),
        both("n", "items"),
        both("检验", "test"),
        both("p", "raw"),
        both("Holm p", "adjusted"),
        both("可检出差异", "detectable, points"),
        both("结论", "verdict"),
    )
    rows = [
        row(
            f"{entry.child} − {entry.parent}",
            task_label(entry.task)[0],
            f"{entry.gained} / {entry.lost}",
            str(entry.count),
            entry.test,
            probability(entry.p),
            probability(entry.holm_p),
            margin(entry.detectable),
            _chip(entry),
        )
        for entry in comparisons
    ]
    return table(head, rows)


def _examples(examples: Sequence[Example]) -> Markup:
    return element("div", *(_case(example) for example in examples), class_="cases") if examples else Markup("")


def _case(example: Example) -> Markup:
    return element(
        "article",
        element("p", example.question, class_="ask"),
        element("p", f"标准答案：{'、'.join(example.gold)}", class_="gold"),
        element("ol", *(_answer(answer) for answer in example.replies)),
        class_="case",
    )


def _answer(answer: Answer) -> Markup:
    mark, kind, words = ("◐", "part", "部分正确")
    if answer.score in (0.0, 1.0):
        mark, kind, words = ("✓", "right", "正确") if answer.score else ("✗", "wrong", "错误")
    text = shorten(answer.text.strip(), _SHOWN)
    return element(
        "li",
        element("span", mark, class_=f"mark {kind}", role="img", aria_label=words),
        element("span", answer.model, class_="model"),
        element("span", text or "（空）", class_="text" if text else "text empty"),
    )


def _curves(summary: Summary) -> Markup:
    figures = []
    for curve in summary.curves:
        data = base64.b64encode(read_bytes(curve.path)).decode()
        picture = element("img", src=f"data:image/png;base64,{data}", alt=curve.title)
        figures.append(element("figure", picture, element("figcaption", curve.title)))
    return element("div", *figures, class_="curves") if figures else Markup("")


def _data(summary: Summary) -> Markup:
    tiles = [
        element("div", element("b", f"{number:,}"), both(*COUNTS.get(name, (name, name))))
        for name, number in summary.counts
    ]
    head = (both("来源", "source"), both("事实数", "facts"), both("许可", "licence"), both("说明", "note"))
    rows = [row(source.name, f"{source.facts:,}", source.licence, source.note) for source in summary.sources]
    listed = table(head, rows) if rows else Markup("")
    return join(element("div", *tiles, class_="tiles") if tiles else Markup(""), listed)


def _limits(summary: Summary) -> Markup:
    entries = [*LIMITS, *drugs_limit(summary), *summary.notes]
    return element("ul", *(element("li", both(*entry)) for entry in entries), class_="limits")
