"""The data card: one page, Chinese and English, that says what records are, how they were made, what they are for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinglin.data.intake import Intake
from xinglin.data.licence import USES, strictest, uses
from xinglin.data.stats import Statistics, statistics
from xinglin.errors import DataError
from xinglin.files import digest_file, read_json, stream_lines
from xinglin.formats.reading import beside
from xinglin.formats.row import Record

MOST = 30
"""Rows of a table; the others are summed up in one."""
_USES = {"research": "研究 research", "commercial": "商用 commercial", "internal": "仅内部 internal"}
_STEPS = {
    "import": "导入 import",
    "clean": "清洗 clean",
    "mix": "混合 mix",
    "noise": "加噪 noise",
    "split": "拆分 split",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A step that wrote a file: its name, the file, the files it read, and its own numbers by name."""

    step: str
    file: str
    inputs: tuple[str, ...]
    numbers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Turned:
    """Records or lines that a step did not keep, by reason."""

    file: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Card:
    """What a data card says. `traces`: which of OUT.removed.jsonl (dedup) and OUT.entities.jsonl (deidentify) stand
    beside the files or those that they were made from."""

    files: tuple[tuple[str, str, int], ...]
    stats: Statistics
    made: tuple[Made, ...]
    turned: tuple[Turned, ...]
    makers: tuple[tuple[str, int], ...]
    with_parents: int
    traces: frozenset[str] = frozenset()


def describe(paths: Sequence[Path], *, max_dropped: float = 0.01) -> Card:
    """Read files of records, and what their steps left beside them (OUT.report.json, OUT.rejected.jsonl …)."""
    makers: Counter[str] = Counter()
    parents = 0

    def watched(records: Iterable[Record]) -> Iterator[Record]:
        nonlocal parents
        for record in records:
            parents += bool(record.origin.parents)
            maker = record.origin.maker
            if maker is not None:
                makers[maker.step + (f" ({maker.model})" if maker.model else "")] += 1
            yield record

    stats = statistics(watched(Intake(paths, max_dropped).records()))
    chain = [made for path in paths for made in _history(path, set())]
    return Card(
        files=tuple((path.name, digest_file(path), path.stat().st_size) for path in paths),
        stats=stats,
        made=tuple(dict.fromkeys(chain)),
        turned=tuple(one for path in _ancestors(paths) for one in _turned(path)),
        makers=tuple(makers.most_common()),
        with_parents=parents,
        traces=frozenset(
            what for what in ("removed", "entities") for path in _ancestors(paths) if beside(path, what).is_file()
        ),
    )


def _report(path: Path) -> dict[str, Any]:
    file = path.with_name(f"{path.name}.report.json")
    if not file.is_file():
        return {}
    value = read_json(file)
    if not isinstance(value, dict):
        raise DataError("a report is one JSON object", where=str(file), fix="run the step that wrote it again")
    return value


def _inputs(report: dict[str, Any], folder: Path) -> list[Path]:
    """The files that a step read, as far as they are still where they were."""
    names = [*report.get("inputs", {}), *(one["name"] for one in report.get("sources", ()) if isinstance(one, dict))]
    places = [(Path(name), folder / Path(name).name) for name in names]
    return [next(path for path in pair if path.is_file()) for pair in places if any(path.is_file() for path in pair)]


def _history(path: Path, seen: set[Path]) -> Iterator[Made]:
    """The steps behind a file, the first step first."""
    report = _report(path)
    if not report or path.resolve() in seen:
        return
    seen.add(path.resolve())
    inputs = _inputs(report, path.parent)
    for each in inputs:
        yield from _history(each, seen)
    counts = [(key, value) for key, value in report.items() if isinstance(value, int) and not isinstance(value, bool)]
    rules = [(f"rule {name}", count) for name, count in report.get("rules", {}).items() if count]
    yield Made(str(report.get("step", "?")), path.name, tuple(each.name for each in inputs), tuple(counts + rules))


def _ancestors(paths: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    todo = list(paths)
    while todo:
        path = todo.pop()
        if path.resolve() not in found:
            found[path.resolve()] = path
            todo += _inputs(_report(path), path.parent)
    return sorted(found.values())


def _turned(path: Path) -> Iterator[Turned]:
    for what, member in (("dropped", "reason"), ("rejected", "rule"), ("removed", "kind")):
        counts: Counter[str] = Counter()
        file = beside(path, what)
        if not file.is_file():
            continue
        for number, text in stream_lines(file):
            if text.strip():
                counts[_reason(text, member, f"{file}:{number}")] += 1
        yield from (Turned(path.name, f"{what}: {reason}", count) for reason, count in counts.most_common())


def _reason(text: str, member: str, where: str) -> str:
    try:
        value = json.loads(text)
        return str(value.get(member) or value.get("reason") or "?")[:80]
    except (ValueError, AttributeError):
        raise DataError("not a JSON object", where=where, fix="run the step that wrote this file again") from None


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """A Markdown table; the first `left` columns are texts, the others numbers."""
    rule = ["---" if at < left else "---:" for at in range(len(head))]
    lines = [head, rule, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counted(head: str, counts: dict[str, int], total: int) -> str:
    shown = list(counts.items())[:MOST]
    rest = sum(counts.values()) - sum(count for _, count in shown)
    rows = [*shown, *([(f"其余 {len(counts) - MOST} 项 others", rest)] if rest else [])]
    return _table((head, "记录 records", "%"), [(name, f"{n:,}", f"{n / total:.1%}") for name, n in rows])


def _licences(stats: Statistics) -> str:
    rows = [
        (name, f"{count:,}", *("✓" if use in uses(name) else "✗" for use in USES))
        for name, count in stats.licences.items()
    ]
    lead, allowed = strictest(stats.licences)
    words = "、".join(_USES[use] for use in USES if use in allowed) or "无 none"
    table = _table(("许可 licence", "记录 records", *(_USES[use] for use in USES)), rows)
    return (
        f"{table}\n\n整体按最严的许可 as a whole, by the strictest licence: **{_cell(lead)}**；"
        f"可用于 may be used for: {words}。"
    )


def _lengths(stats: Statistics) -> str:
    rows = [(role, one) for role, one in stats.lengths.items()]
    rows += [("消息数 messages per conversation", stats.turns)] if stats.turns else []
    numbers = [(name, f"{one.count:,}", one.mean, one.p5, one.p50, one.p95, one.most) for name, one in rows]
    return _table(("角色（字数） role (characters)", "n", "均值 mean", "p5", "p50", "p95", "最大 max"), numbers)


def _how(card: Card) -> str:
    lines = []
    for one in card.made:
        read = f" ← {'、'.join(one.inputs)}" if one.inputs else ""
        numbers = "；".join(f"{name} {value:,}" for name, value in one.numbers)
        lines.append(f"1. {_STEPS.get(one.step, one.step)} → `{one.file}`{read}：{numbers}")
    if card.makers:
        made = "、".join(f"{step} {count:,}" for step, count in card.makers)
        lines.append(f"\n由程序或模型写成 written by a program or model: {made}。")
    share = card.with_parents / max(card.stats.records, 1)
    lines.append(
        f"\n{card.with_parents:,} 条（{share:.1%}）记有来自哪些记录，`xinglin trace ID` 可回溯 "
        "of the records name those that they were made from; `xinglin trace ID` walks back."
    )
    return "\n".join(lines).strip()


def _limits(card: Card) -> str:
    """What a reader must know: the first lines hold for all data of this kind, the others for these records."""
    lines = [
        "用于训练和评测中文医学语言模型的研究与开发。For research and development of Chinese medical language models.",
        "未经医师逐条审核；不作诊断或用药依据，不直接给患者看。"
        "Not reviewed by a physician; no basis for diagnosis or treatment, not to be shown to patients as advice.",
        "网络、众包或模型写的文字可能有错、过时或有偏差。"
        "Text from the web, from crowds or from models may be wrong, outdated or biased.",
    ]
    generated = card.stats.kinds.get("model", 0)
    if generated:
        lines.append(f"其中 {generated:,} 条由模型生成。{generated:,} records were generated by a model.")
    if any(not uses(name) & {"research", "commercial"} for name in card.stats.licences):
        lines.append(
            "含许可不明或仅限内部的数据：不得发布。Holds data of unknown or internal licence: must not be published."
        )
    if "entities" not in card.traces:
        lines.append(
            "没有去标识的记录在案，可能含个人信息。No de-identification is on record: personal data may be inside."
        )
    if "removed" not in card.traces:
        lines.append("没有去重的记录在案。No removal of duplicates is on record.")
    return "\n".join(f"- {line}" for line in lines)


def render(card: Card, title: str) -> str:
    """The card as Markdown."""
    stats = card.stats
    files = [(f"`{name}`", f"`{digest}`", f"{size:,}") for name, digest, size in card.files]
    sections = [
        ("文件 Files", _table(("文件 file", "SHA-256", "字节 bytes"), files, left=2)),
        ("来源 Sources", _counted("来源 source", stats.sources, stats.records)),
        ("许可 Licences", _licences(stats)),
        ("记录的种类 Kinds of records", _counted("种类 kind", stats.nouns | stats.kinds, stats.records)),
        ("长度 Lengths", _lengths(stats)),
    ]
    for kind, counts in stats.tags.items():
        name = {"department": "科室 Departments", "task": "任务 Tasks", "intent": "意图 Intents"}.get(
            kind, f"标签 {kind}"
        )
        sections.append((name, _counted(kind, counts, stats.records)))
    turned = [(one.file, one.reason, f"{one.count:,}") for one in card.turned]
    none = "没有记录在案。None on record."
    shown = _table(("文件 file", "原因 reason", "数量 count"), turned, left=2) if turned else none
    sections += [
        ("去掉的数据 What was taken out", shown),
        ("怎样做成 How it was made", _how(card)),
        ("用途与限制 Intended use and limits", _limits(card)),
    ]
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections)
    return f"# 数据卡 Data card: {title}\n\n{stats.records:,} 条记录 records。\n\n{body}\n"
