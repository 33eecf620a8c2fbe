"""`xinglin data clean|stats|split|mix|noise|licence|card`: records made fit for training, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xinglin.errors import DataError, RecipeError

if TYPE_CHECKING:
    from xinglin.data.clean import Cleaned
    from xinglin.data.mix import Mixed
    from xinglin.data.stats import Statistics

app = typer.Typer(help="清洗、统计、拆分、混合。Clean, count, split and mix.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="记录 records as xinglin writes them")]
OutFile = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="输出 JSON Lines output")]
AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]
Seed = Annotated[int, typer.Option("--seed", help="随机种子，同一种子结果相同 the same seed gives the same")]
MaxDropped = Annotated[float, typer.Option("--max-dropped", min=0, max=1, help="可丢弃行的比例 share")]


@app.command()
def clean(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="记录 records")] = None,
    *,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="输出 JSON Lines output")] = None,
    rules: Annotated[str, typer.Option("--rules", metavar="A,B", help="只用这些规则 only these rules")] = "",
    skip: Annotated[str, typer.Option("--skip", metavar="A,B", help="不用这些规则 without these rules")] = "",
    shortest: Annotated[int, typer.Option("--shortest", min=0, help="答案至少的字数 characters an answer needs")] = 2,
    max_dropped: MaxDropped = 0.01,
    as_json: AsJson = False,
) -> None:
    """清洗：逐条规则计数，筛掉的写入 OUT.rejected.jsonl；不给文件则列出规则。Clean; without FILE, list the rules."""
    from xinglin.cli.bar import Bar
    from xinglin.data.clean import Cleaner, chosen, clean_files
    from xinglin.data.intake import Intake

    if not files:
        _list_rules(as_json)
        return
    if out is None:
        raise RecipeError("clean needs -o OUT", where="data clean", fix="xinglin data clean a.jsonl -o b.jsonl")
    names = chosen(_names(rules), _names(skip))
    with Bar("clean") as bar:
        done = clean_files(Intake(files, max_dropped, bar.moved), out, Cleaner(names, shortest))
    _show_cleaned(done, out, as_json)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _list_rules(as_json: bool) -> None:
    from rich.table import Table

    from xinglin.cli import screen
    from xinglin.data.filters import FILTERS
    from xinglin.data.rules import RULES

    rows = [*(("change", one.name, one.what) for one in RULES), *(("reject", one.name, one.what) for one in FILTERS)]
    if as_json:
        screen.print_json([dict(zip(("does", "name", "what"), row, strict=True)) for row in rows])
        return
    table = Table(box=None)
    for heading in ("作用 does", "名称 name", "内容 what"):
        table.add_column(heading)
    for does, name, what in rows:
        table.add_row({"change": "改 change", "reject": "筛 reject"}[does], name, what)
    screen.out.print(table)


def _show_cleaned(done: Cleaned, out: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from xinglin.cli import screen

    if as_json:
        screen.print_json(asdict(done) | {"out": str(out)})
        return
    table = Table(
        title=f"读入 read {done.read:,}  保留 kept {done.kept:,}  改动 changed {done.changed:,}  "
        f"读不了 dropped {done.dropped:,}",
        box=None,
    )
    for heading in ("规则 rule", "改动的文本 texts changed", "筛掉的记录 records rejected"):
        table.add_column(heading)
    for name, count in done.rules.items():
        table.add_row(name, f"{count:,}", "")
    for name, count in done.rejected.items():
        table.add_row(name, "", f"{count:,}")
    screen.out.print(table)
    screen.out.print(f"{out}  {out}.report.json", soft_wrap=True)


@app.command()
def stats(
    files: Files,
    *,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="OUT.png", help="画图 write a picture")] = None,
    max_dropped: MaxDropped = 0.01,
    as_json: AsJson = False,
) -> None:
    """统计科室、意图、长度、来源、许可的分布。Departments, intents, lengths, sources and licences."""
    from dataclasses import asdict

    from xinglin.cli import screen
    from xinglin.cli.bar import Bar
    from xinglin.data.intake import Intake
    from xinglin.data.stats import plot as draw
    from xinglin.data.stats import statistics

    with Bar("stats") as bar:
        found = statistics(Intake(files, max_dropped, bar.moved).records())
    if plot:
        draw(found, plot)
    if as_json:
        screen.print_json({key: value for key, value in asdict(found).items() if key != "histograms"})
        return
    _show_stats(found)
    if plot:
        screen.out.print(str(plot))


def _show_stats(found: Statistics) -> None:
    from rich.markup import escape
    from rich.table import Table

    from xinglin.cli import screen

    screen.out.print(f"[bold]记录 records {found.records:,}[/bold]")
    groups = [
        *((f"标签 {kind}", counts) for kind, counts in found.tags.items()),
        ("来源 source", found.sources),
        ("许可 licence", found.licences),
        ("种类 kind", found.nouns | found.kinds),
    ]
    for title, counts in groups:
        screen.out.print(f"{title} ({len(counts)}):")
        for at, (name, count) in enumerate(list(counts.items())[:40], 1):
            screen.out.print(f"  {at:>2}. {escape(name)}  {count:,}  {count / found.records:.1%}")
    table = Table(box=None)
    for heading in ("角色（字数） role (characters)", "n", "均值 mean", "p5", "p50", "p95", "最大 max"):
        table.add_column(heading)
    rows = [*found.lengths.items(), *([("消息数 turns", found.turns)] if found.turns else [])]
    for role, one in rows:
        table.add_row(role, *(f"{value:,}" for value in (one.count, one.mean, one.p5, one.p50, one.p95, one.most)))
    screen.out.print(table)


@app.command()
def split(
    files: Files,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="输出文件夹 folder for the parts")],
    parts: Annotated[
        str, typer.Option("--parts", help="比例或条数 shares, or records: train=rest,test=500")
    ] = "train=0.9,test=0.1",
    by: Annotated[
        Literal["auto", "group", "dialogue", "document", "entity", "source"],
        typer.Option("--by", help="同组不拆开；auto：组，其次文档、对话 what stays together"),
    ] = "auto",
    clusters: Annotated[
        Path | None,
        typer.Option("--clusters", metavar="F", help="dedup 的 removed/groups 文件，近似重复不拆开 near-duplicates"),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """按组拆分，绝不按行；按组的散列，加数据不会挪动旧组；测试集附 sha256 封条。Split by group, never by row."""
    from dataclasses import asdict

    from xinglin.cli import screen
    from xinglin.cli.bar import Bar
    from xinglin.data.split import read_clusters, read_parts, split_files

    wanted = read_parts(parts)
    linked = read_clusters(clusters) if clusters else []
    with Bar("split") as bar:
        done = split_files(files, out, wanted, by=by, seed=seed, clusters=linked, moved=bar.moved)
    if as_json:
        screen.print_json(asdict(done) | {"out": str(out)})
        return
    screen.out.print(f"组 groups {done.groups:,}，因近似重复合并 joined {done.merged:,}")
    for name, count in done.records.items():
        screen.out.print(
            f"{out / name}.jsonl  {count:,} 条 records  {done.part_groups[name]:,} 组 groups  "
            f"sha256 {done.digests[name][:16]}",
            soft_wrap=True,
        )


@app.command()
def mix(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE[=WEIGHT[,MOST]]…", help="文件或登记名，权重与上限 files or entries, weight, cap"
        ),
    ],
    *,
    out: OutFile,
    registry: Annotated[Path | None, typer.Option("--registry", metavar="F.yaml", help="数据登记表 registry")] = None,
    most: Annotated[int, typer.Option("--most", min=0, help="新数据最多条数，0 不限 most new records")] = 0,
    replay: Annotated[
        str, typer.Option("--replay", metavar="SOURCE=SHARE", help="回放：总量中来自此文件的比例 share of a base")
    ] = "",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """按权重混合，可设上限与回放；许可取最严。Mix by weight, with caps and replay; the strictest licence holds.

    a.jsonl=2 b.jsonl=1,5000：权重 2 比 1，b 至多 5000 条；权重 0 只设上限。Weights 2 to 1, b at most 5000 records.
    """
    from xinglin.cli import screen
    from xinglin.data.intake import apart
    from xinglin.data.mix import Plan
    from xinglin.data.mix import mix as mix_sources
    from xinglin.data.registry import ingredient, read_registry

    known = read_registry(registry) if registry else None
    chosen = [ingredient(text, known) for text in sources]
    base = ingredient(replay, known) if replay else None
    if base is not None and not 0 < base.weight < 1:
        raise RecipeError(f"replay {replay!r} has no share", where="--replay", fix="FILE=0.2: a fifth of the whole")
    apart([Path(one.name) for one in (*chosen, *([base] if base else []))], out)
    done = mix_sources(chosen, out, Plan(seed, most, base, base.weight if base else 0.0))
    if as_json:
        from dataclasses import asdict

        screen.print_json(asdict(done) | {"out": str(out)})
        return
    _show_mixed(done, out)


def _show_mixed(done: Mixed, out: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from xinglin.cli import screen

    table = Table(box=None)
    for heading in ("来源 source", "共有 available", "取用 taken", "占比 share", "许可 licence"):
        table.add_column(heading)
    for one in done.sources:
        share = f"{one.taken / max(done.records, 1):.1%}"
        table.add_row(escape(one.name), f"{one.available:,}", f"{one.taken:,}", share, escape("、".join(one.licences)))
    screen.out.print(table)
    if done.limited:
        screen.out.print(f"受限于 limited by: {escape(done.limited)}", soft_wrap=True)
    screen.out.print(
        f"{out}: {done.records:,} 条 records；最严许可 strictest licence {escape(done.licence)}，"
        f"可用于 uses {', '.join(done.uses) or '–'}",
        soft_wrap=True,
    )


@app.command()
def noise(
    files: Files,
    *,
    out: OutFile,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND:LEVEL",
            help="sound shape asr wide punctuation drop double mixed，1–5 级，可重复 may be repeated; asr:1-5",
        ),
    ] = None,
    share: Annotated[float, typer.Option("--share", min=0.0001, max=1, help="加噪的记录比例 share of records")] = 1.0,
    keep_numbers: Annotated[
        bool, typer.Option("--keep-numbers/--all", help="数字、单位与药名不变 numbers, units, names of drugs stay")
    ] = True,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """给用户的话加错字、听写错误、漏标点等噪声，分五级。Add typing and speech errors to what users say."""
    from dataclasses import asdict

    from xinglin.cli import screen
    from xinglin.cli.bar import Bar
    from xinglin.data.intake import Intake
    from xinglin.data.noise import Noise, drug_names, noise_files, read_wanted

    names = drug_names() if keep_numbers else []
    how = Noise(read_wanted(kind or ["mixed"]), seed, share, keep_numbers, names)
    with Bar("noise") as bar:
        done = noise_files(Intake(files, 0.01, bar.moved), out, how)
    if as_json:
        screen.print_json(asdict(done) | {"out": str(out)})
        return
    counts = "  ".join(f"{name} {count:,}" for name, count in done.copies.items()) or "–"
    turned = "  ".join(f"{name} {count:,}" for name, count in done.rejected.items())
    screen.out.print(f"{out}: 读入 read {done.read:,}，写出 written {done.kept:,}\n{counts}", soft_wrap=True)
    if turned:
        screen.out.print(f"未加噪 rejected: {turned}", soft_wrap=True)


@app.command()
def licence(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="记录或登记表 .yaml records, or a registry (.yaml)")
    ],
    *,
    use: Annotated[
        Literal["commercial", "research", "internal"], typer.Option("--use", help="打算的用途 what it is meant for")
    ] = "commercial",
    as_json: AsJson = False,
) -> None:
    """检查许可是否允许某用途；有阻碍则列出来源并以 3 退出。List sources whose licence forbids a use; exits 3."""
    from dataclasses import asdict

    from rich.markup import escape
    from rich.table import Table

    from xinglin.cli import screen
    from xinglin.data.registry import check_use

    total, found = check_use(files, use)
    if as_json:
        screen.print_json({"records": total, "use": use, "blockers": [asdict(one) for one in found]})
    elif found:
        table = Table(box=None)
        for heading in ("来源 source", "许可 licence", "记录 records", "允许 allowed"):
            table.add_column(heading)
        for one in found:
            cells = (escape(one.source), escape(one.licence), f"{one.records:,}" if one.records else "–")
            table.add_row(*cells, ", ".join(one.allowed) or "–")
        screen.out.print(table)
    else:
        screen.out.print(f"[green]✓[/green] {total:,} 条全部允许 records, all allow: {use}")
    if found:
        raise DataError(
            f"{len(found)} source(s) may not be used: {use}",
            where=", ".join(map(str, files)),
            fix="leave these sources out, or find out their licence and import them again with --licence",
        )


@app.command()
def card(
    files: Files,
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="CARD.md", help="输出 Markdown output")],
    title: Annotated[str, typer.Option("--title", help="标题，默认文件名 default: name of the file")] = "",
    max_dropped: MaxDropped = 0.01,
) -> None:
    """写数据卡：来源、许可、数量、长度、科室、去掉了什么、怎样做成、用途与限制。Write the data card."""
    from xinglin.cli import screen
    from xinglin.data.card import describe, render
    from xinglin.data.intake import apart
    from xinglin.files import write_text

    apart(files, out)
    write_text(out, render(describe(files, max_dropped=max_dropped), title or ", ".join(one.stem for one in files)))
    screen.out.print(str(out))
