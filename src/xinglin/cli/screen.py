"""What the command line shows: tables and progress for people, JSON for machines."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from xinglin.cli import interrupt
from xinglin.recipe.manifest import Fault, Manifest
from xinglin.recipe.plan import Plan, Planned
from xinglin.recipe.show import Finished, Trace
from xinglin.text import spell_seconds
from xinglin.types import Fact, Reply

if TYPE_CHECKING:
    from xinglin.evaluate.summary import Summary
    from xinglin.knowledge.check import Finding
    from xinglin.knowledge.inventory import Inventory
    from xinglin.recipe.doctor import Diagnosis


class Screen(Console):
    """A console that leaves it to `main` what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


out = Screen(highlight=False)
err = Screen(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=_plain)
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def seconds(value: float | None) -> str:
    """A duration, or a question mark where it is not known."""
    return "?" if value is None else spell_seconds(value)


class Progress:
    """Shows a run on stderr: a moving bar on a terminal, one line a step elsewhere."""

    def __init__(self) -> None:
        self.bar: Bar | None = None
        self.task: Any = None
        self.clock = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def skipped(self, step: Planned) -> None:
        err.print(f"  [green]✓[/green] {step.name:<12} 已完成 done  [dim]{step.digest[:12]}[/dim]")

    def started(self, step: Planned) -> None:
        interrupt.check()
        self.clock = time.monotonic()
        if not err.is_terminal:
            err.print(f"  … {step.name}")
            return
        self.bar = Bar(
            TextColumn("  [cyan]▶[/cyan] {task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("剩余 eta"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[numbers]}[/dim]"),
            console=err,
            transient=True,
        )
        self.task = self.bar.add_task(step.name, total=None, numbers="")
        self.bar.start()

    def moved(self, done: int, total: int, numbers: dict[str, float]) -> None:
        interrupt.check()
        if self.bar is not None:
            shown = " ".join(f"{name} {value:.4g}" for name, value in numbers.items() if name not in ("step", "rate"))
            rate = done / max(time.monotonic() - self.clock, 1e-6)
            self.bar.update(self.task, completed=done, total=total, numbers=f"{rate:.1f}/s {shown}")

    def finished(self, step: Planned, manifest: Manifest) -> None:
        self.close()
        shown = " ".join(
            f"{name}={_number(value)}"
            for name, value in list(manifest.numbers.items())[:6]
            if isinstance(value, int | float)
        )
        line = f"  [green]✓[/green] {step.name:<12} {seconds(manifest.seconds):>8}  [dim]{escape(shown)}[/dim]"
        err.print(line, soft_wrap=True)  # one line a step in a log, too

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def show_plan(made: Plan) -> None:
    """The plan as a table."""
    from xinglin.recipe.parallel import SHARED

    table = Table(title=f"{made.recipe.name}（base: {made.recipe.base}，seed: {made.recipe.seed}）", box=None)
    needed = memories(made)
    headings = ("步骤 step", "做 do", "读 reads", "摘要 digest", "状态 state", "预计 time")
    for heading in (*headings, "内存 memory") if needed else headings:
        table.add_column(heading)
    for one in made.steps:
        reads = ", ".join([*one.inputs, *one.sources])
        state = "[green]已完成 done[/green]" if one.done else "[yellow]待运行 to do[/yellow]"
        spent = "–" if one.done else "~" + seconds(one.seconds)
        row = [one.name, one.step.model_dump()["do"], escape(reads), one.digest[:12], state, spent]
        table.add_row(*row, *([f"{needed[one.name]:.1f} GiB" if one.name in needed else "–"] if needed else []))
    out.print(table)
    if made.recipe.launch.nodes > 1:
        out.print(
            f"在每个节点上运行 run on each of {made.recipe.launch.nodes} nodes, MASTER_ADDR=第一个节点 the first one"
        )
    left = [one.seconds for one in made.steps if not one.done]
    known = sum(value for value in left if value is not None)
    unknown = sum(value is None for value in left)
    more = f"，另有 {unknown} 步无法估计 and {unknown} step(s) without an estimate" if unknown else ""
    out.print(f"待运行 to do: {len(left)}/{len(made.steps)}，预计 about {seconds(known)}{more}")
    if any(one.seconds is None and isinstance(one.step, SHARED) for one in made.steps):
        out.print("数据和底座就绪后 once data and base are there: xinglin doctor RECIPE → 时间 time", markup=False)


def memories(made: Plan) -> dict[str, float]:
    """GiB that each training step needs, where the base is a model at hand."""
    from xinglin.recipe.context import Context
    from xinglin.recipe.doctor import estimate

    if made.recipe.base == "tiny":
        return {}
    found = {
        one.name: estimate(one, Context(one.folder, made, one.name, made.recipe.seed, lambda *_: None))
        for one in made.steps
    }
    return {name: memory.total for name, memory in found.items() if memory}


def show_diagnoses(findings: Sequence[Diagnosis]) -> None:
    """What the doctor found, one line each, with what to do."""
    marks = {"ok": "[green]✓[/green]", "warn": "[yellow]![/yellow]", "fail": "[red]✗[/red]"}
    for one in findings:
        out.print(f"{marks[one.level]} {escape(one.what)}：{escape(one.detail)}", soft_wrap=True)
        if one.fix:
            out.print(f"    → {escape(one.fix)}", soft_wrap=True)


def show_results(made: Plan, results: Sequence[Summary]) -> None:
    """The comparison tables of a run, and where its reports are."""
    from xinglin.evaluate.report import render_differences, render_drugs, render_table
    from xinglin.recipe.schema import Evaluate

    for summary in results:
        out.print()
        out.print(render_table(summary))
        if summary.comparisons:
            out.print(render_differences(summary))
        if summary.indications:
            out.print(render_drugs(summary))
    for step in made.steps:
        if isinstance(step.step, Evaluate) and (step.folder / "report.html").is_file():
            out.print(f"报告 report: {escape(str(step.folder / 'report.html'))}", soft_wrap=True)


def show_answers(made: Plan, answers: Sequence[tuple[str, Reply]], command: Sequence[str]) -> None:
    """Questions with the assistant's cited answers, and how to open the chat: `command` follows `xinglin serve`."""
    for question, reply in answers:
        out.print(f"\n[bold cyan]问[/bold cyan] {escape(question)}", soft_wrap=True)
        out.print(f"[bold green]答[/bold green] {escape(reply.text)}", soft_wrap=True)
        for number, passage in enumerate(reply.passages, 1):
            origin = passage.origin
            cited = f"   [{number}] {passage.text}（{origin.source} {origin.item}，{origin.licence}）"
            out.print(escape(cited), style="dim", soft_wrap=True)
    serve = escape(f"xinglin serve {shlex.join(command)}")
    out.print("\n内容由AI生成，仅供参考，不能代替医生。AI-generated, for reference only.")
    out.print(f"打开聊天 open the chat: [bold]{serve}[/bold] → http://127.0.0.1:8000", soft_wrap=True)


def show_trace(traced: Trace) -> None:
    """A record, what it was made from, and the licences that bind it."""
    _show_record(traced, 0)
    facts = traced.facts()
    licences = sorted({str(one.record.get("origin", {}).get("licence", "unknown")) for one in [*facts, traced]})
    out.print(f"\n事实 facts: {len(facts)}   许可 licences: {', '.join(licences)}")


def _show_record(traced: Trace, depth: int) -> None:
    origin = traced.record.get("origin", {})
    pad = "  " * depth
    out.print(f"{pad}[bold]{traced.id}[/bold]  {traced.step}  [dim]{escape(str(traced.file))}[/dim]", soft_wrap=True)
    out.print(f"{pad}  {escape(_gist(traced.record))}", soft_wrap=True)
    place = " · ".join(str(origin.get(name, "")) for name in ("source", "item", "licence", "kind"))
    out.print(f"{pad}  [dim]{escape(place)}[/dim]", soft_wrap=True)
    for parent in traced.parents:
        _show_record(parent, depth + 1)


def _gist(record: dict[str, Any]) -> str:
    if "head" in record:
        return f"{record['head']} — {record['relation']} → {record['tail']}"
    if "text" in record:
        return str(record["text"])
    turns = record.get("messages") or record.get("prompt") or []
    said = " / ".join(str(turn["content"]) for turn in turns)
    more = [f"✓ {record['chosen']} ✗ {record['rejected']}"] if "chosen" in record else []
    return " / ".join([said, *more, *([" | ".join(record["answers"])] if "answers" in record else [])])


def show_source(source: str, found: Sequence[tuple[str, Path]]) -> None:
    """How many records of which file came from a source."""
    table = Table(title=f"来自 from {source}: {len(found)}", box=None)
    for heading in ("文件 file", "记录 records"):
        table.add_column(heading)
    counts: dict[Path, int] = {}
    for _, path in found:
        counts[path] = counts.get(path, 0) + 1
    for path, count in counts.items():
        table.add_row(escape(str(path)), str(count))
    out.print(table)


def show_runs(found: Sequence[Finished], runs: Path, *, title: str = "") -> None:
    """Step folders with state and size."""
    table = Table(title=title or str(runs), box=None)
    for heading in ("配方 recipe", "步骤 step", "摘要 digest", "完成于 made", "用时 time", "大小 MB"):
        table.add_column(heading)
    for one in found:
        name, _, digest = one.folder.name.rpartition("-")
        made = one.manifest
        state = (made.started, seconds(made.seconds)) if made else ("[yellow]未完成 unfinished[/yellow]", "")
        table.add_row(one.folder.parent.name, name, digest, *state, f"{one.size / 1e6:.1f}")
    out.print(table)
    out.print(f"共 total {sum(one.size for one in found) / 1e6:.1f} MB")


def show_faults(checked: int, faults: Sequence[Fault]) -> None:
    """The result of a verification."""
    for fault in faults:
        out.print(f"[red]✗[/red] {escape(str(fault.path))} {fault.problem}", soft_wrap=True)
    if not faults:
        out.print(f"[green]✓[/green] {checked} 个步骤的全部文件与清单一致 all files of {checked} step(s) are as made")


def show_findings(source: str, facts: int, findings: Sequence[Finding]) -> None:
    """What a check of a pack found."""
    for one in findings:
        out.print(
            f"[red]✗[/red] {escape(one.where)} [bold]{escape(one.head)}[/bold] "
            f"[dim]{one.kind}[/dim] {escape(one.problem)}",
            soft_wrap=True,
        )
    if not findings:
        out.print(f"[green]✓[/green] {escape(source)}: {facts:,} 条事实，没有发现问题 facts, nothing found")


def show_inventory(source: str, inventory: Inventory) -> None:
    """The counts of a collection of facts."""
    out.print(
        f"[bold]{escape(source)}[/bold]\n事实 facts {inventory.facts:,}\n"
        f"不同的问题 distinct questions {inventory.questions:,}，其中医学内容 of them medical {inventory.statements:,}"
        "（其余是名称和编码 the others are names and codes）",
        soft_wrap=True,
    )
    for title, counts, most in (
        ("条目 entries", inventory.entries, 99),
        ("关系 relations", inventory.relations, 99),
        (f"科室 departments ({len(inventory.departments)})", inventory.departments, 24),
        ("来源 sources", inventory.sources, 9),
    ):
        shown = "  ".join(f"{escape(name)} {count:,}" for name, count in list(counts.items())[:most])
        out.print(f"{title}: {shown}{' …' if len(counts) > most else ''}", soft_wrap=True)


def show_entries(entries: Mapping[str, Sequence[Fact]]) -> None:
    """Entries with everything that is known of them, where it stands and under which licence."""
    for name, facts in entries.items():
        origin = facts[0].origin
        out.print(f"[bold]{escape(facts[0].head)}[/bold] ({escape(name)})  [dim]{origin.source} {origin.item}[/dim]")
        relations: dict[str, list[str]] = {}
        for fact in facts:
            relations.setdefault(fact.relation, []).append(fact.tail)
        for relation, tails in relations.items():
            out.print(f"  {relation}: {escape('；'.join(tails))}", soft_wrap=True)
        if origin.kind == "summary":
            out.print(
                "  [yellow]自撰概要，未经医师审核，不用于临床 own summary, not reviewed, not for clinical use[/yellow]"
            )
