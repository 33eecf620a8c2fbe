"""`xinglin data import` and `xinglin data export`: public formats in, public formats out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xinglin.formats.reading import Import, Imported

app = typer.Typer(help="导入与导出数据。Import and export data.", no_args_is_help=True)

Listing = Annotated[bool, typer.Option("--list", help="列出全部格式 list all formats")]
AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]


@app.command("import")
def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE…", help="任意格式的文件 files of any format")
    ] = None,
    *,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="OUT", help="输出 JSON Lines，- 为标准输出 - is stdout")
    ] = "",
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="格式名；auto 按内容判断 auto looks at the content")
    ] = "auto",
    licence: Annotated[str, typer.Option("--licence", help="数据许可 licence of the data, e.g. CC-BY-4.0")] = "unknown",
    max_dropped: Annotated[float, typer.Option("--max-dropped", min=0, max=1, help="可丢弃行的比例 share")] = 0.01,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """读入任意公开格式，写出记录；读不了的行写入 OUT.dropped.jsonl。Read any public format, write records."""
    from xinglin.formats.reading import Import, import_files

    if listing:
        _list(as_json)
        return
    from xinglin.errors import RecipeError

    if not files or not out:
        raise RecipeError(
            "import needs FILE… and -o OUT", where="data import", fix="xinglin data import a.json -o b.jsonl"
        )
    from xinglin.cli.bar import Bar

    with Bar("import") as bar:
        job = Import(files, format_, licence, max_dropped, moved=lambda count: bar.moved(count, None))
        done = _to_stdout(job) if out == "-" else import_files(job, Path(out))
    _report(done, as_json, stream="stderr" if out == "-" else "stdout")


def _to_stdout(job: Import) -> Sequence[Imported]:
    """Records to stdout; what could not be read is named on stderr."""
    from xinglin.formats.reading import lines_of

    job.drop = lambda bad: print(f"{bad.where}: {bad.reason}", file=sys.stderr)
    for line in lines_of(job.records()):
        sys.stdout.write(line + "\n")
    return job.done


def _report(done: Sequence[Imported], as_json: bool, *, stream: str) -> None:
    from rich.table import Table

    from xinglin.cli import screen

    if as_json:
        written = json.dumps([asdict(one) for one in done], ensure_ascii=False, indent=2)
        print(written, file=sys.stdout if stream == "stdout" else sys.stderr)
        return
    table = Table(box=None)
    table.add_column("文件\nfile", overflow="fold")
    for heading in ("容器\ncontainer", "编码\nencoding", "格式\nformat", "行\nrows", "保留\nkept", "丢弃\ndropped"):
        table.add_column(heading, no_wrap=True)
    for one in done:
        counts = (f"{value:,}" for value in (one.rows, one.kept, one.dropped))
        table.add_row(one.file, one.container, one.encoding or "–", one.format, *counts)
    (screen.out if stream == "stdout" else screen.err).print(table)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(metavar="FILE.jsonl", help="记录文件 records as import writes")] = None,
    *,
    format_: Annotated[str, typer.Option("--format", metavar="NAME", help="格式名 name of the format")] = "messages",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="输出文件 output file")] = None,
    dataset_info: Annotated[
        bool,
        typer.Option(
            "--dataset-info", help="写 LLaMA-Factory 的 dataset_info.json 条目，只留训练列 entry for training"
        ),
    ] = False,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """把记录写成公开格式，可直接用于 LLaMA-Factory、ms-swift 训练。Write records in a public format."""
    if listing:
        _list(as_json)
        return
    from xinglin.errors import RecipeError

    if file is None or out is None:
        raise RecipeError(
            "export needs FILE.jsonl and -o OUT", where="data export", fix="see xinglin data export --help"
        )
    from xinglin.cli import screen
    from xinglin.cli.bar import Bar
    from xinglin.formats.export import export_file
    from xinglin.formats.nouns import read_nouns, require
    from xinglin.formats.reading import beside

    with Bar("export") as bar:
        records = _moving((require(record) for record in read_nouns(file)), bar)
        made = export_file(records, out, name=format_, dataset_info=dataset_info)
    rejected = beside(out, "rejected")
    rejected.unlink(missing_ok=True)
    if made.rejected:
        from xinglin.files import write_records

        write_records(rejected, made.rejected)
    if as_json:
        screen.print_json({"rows": made.rows, "rejected": len(made.rejected), "format": format_, "file": str(out)})
    else:
        screen.out.print(f"{out}: {format_}, {made.rows:,} 行 rows, {len(made.rejected):,} 不可训练 rejected")


def _moving(records: Iterable[Any], bar: Any) -> Iterable[Any]:
    for count, record in enumerate(records, 1):
        if count % 1000 == 0:
            bar.moved(count, None)
        yield record


def _list(as_json: bool) -> None:
    """All formats: what they hold, and whether they are written too."""
    from rich.table import Table

    from xinglin.cli import screen
    from xinglin.formats.export import ENTRIES
    from xinglin.formats.known import FORMATS

    rows = [(one.name, one.noun.__name__, one.write is not None, one.name in ENTRIES) for one in FORMATS]
    if as_json:
        names = ("format", "noun", "writable", "dataset_info")
        screen.print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    table = Table(box=None)
    for heading in ("格式 format", "记录 noun", "可导出 export", "LLaMA-Factory"):
        table.add_column(heading)
    for name, noun, writable, entry in rows:
        table.add_row(name, noun, "✓" if writable else "", "✓" if entry else "")
    screen.out.print(table)
