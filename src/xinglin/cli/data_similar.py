"""`xinglin data dedup` and `xinglin data overlap`: duplicates, and evaluation items in the training data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xinglin.errors import GateError, RecipeError

if TYPE_CHECKING:
    from xinglin.data.overlap import Overlap

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]
OutFile = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="输出 JSON Lines output")]


@app.command()
def dedup(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="记录 records as xinglin writes them")],
    *,
    out: OutFile,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.05, max=1, help="字符三元组的 Jaccard 相似度，1 只去完全相同的")
    ] = 0.5,
    part: Annotated[
        Literal["all", "prompt", "answer"], typer.Option("--part", help="按哪部分比较 which part is compared")
    ] = "all",
    as_json: AsJson = False,
) -> None:
    """去重：完全相同与经核对的近似重复，保留最好的一份。Remove exact and verified near duplicates."""
    from xinglin.cli import screen
    from xinglin.cli.bar import Bar
    from xinglin.data.streams import beside, dedup_files

    with Bar("dedup") as bar:
        found = dedup_files(files, out, threshold=threshold, part=part, progress=lambda count: bar.moved(count, None))
    counts = {"records": found.records, "exact": found.count("exact"), "near": found.count("near")}
    counts["kept"] = found.records - len(found.removals)
    if as_json:
        screen.print_json(counts | {"threshold": threshold, "part": part, "out": str(out)})
        return
    screen.out.print(
        f"记录 records {found.records:,}：完全相同 exact {counts['exact']:,}，近似 near {counts['near']:,}，"
        f"保留 kept {counts['kept']:,}\n{out}  {beside(out, 'removed')}  {beside(out, 'groups')}",
        soft_wrap=True,
    )


@app.command()
def overlap(
    train: Annotated[list[Path], typer.Argument(metavar="TRAIN…", help="训练数据 training records")],
    *,
    against: Annotated[list[Path], typer.Option("--against", metavar="EVAL", help="评测数据，可重复 may be repeated")],
    remove: Annotated[bool, typer.Option("--remove", help="写出不含命中的数据 write the data without hits")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="OUT", help="与 --remove 同用")] = None,
    waive: Annotated[
        list[str] | None, typer.Option("--waive", metavar="NAME", help="允许这个评测集有命中 allow hits of this set")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """污染检查：评测题是否出现在训练数据里。Find evaluation items in training data; a hit ends with exit code 1."""
    from xinglin.cli.bar import Bar
    from xinglin.data.streams import beside, overlap_files, without
    from xinglin.files import write_records

    if remove != (out is not None):
        raise RecipeError("--remove and -o OUT belong together", where="data overlap", fix="give both or neither")
    known, waived = [path.stem for path in against], waive or []
    if strange := [name for name in waived if name not in known]:
        raise RecipeError(f"no evaluation set {strange[0]!r}", where="--waive", fix=f"sets: {', '.join(known)}")
    with Bar("overlap") as bar:
        found = overlap_files(train, against, progress=lambda count: bar.moved(count, None))
    counted = [hit for hit in found.hits if hit.source not in waived]
    kept = without(train, counted, out) if out else None
    if found.hits:
        write_records(beside(out or train[0], "overlap"), found.hits)
    _show(found, waived, kept, as_json=as_json)
    if counted and out is None:
        sets = ", ".join(sorted({hit.source for hit in counted}))
        raise GateError(
            f"{len({(hit.source, hit.item) for hit in counted})} evaluation item(s) stand in the training data",
            where=sets,
            fix=f"see {beside(train[0], 'overlap')}; use --remove -o OUT, or --waive NAME if you mean it",
        )


def _show(found: Overlap, waived: list[str], kept: int | None, *, as_json: bool) -> None:
    from rich.table import Table

    from xinglin.cli import screen

    hit = found.contaminated
    if as_json:
        rows = [
            {"set": name, "items": items, "contaminated": hit[name], "waived": name in waived}
            for name, items in found.items.items()
        ]
        screen.print_json({"records": found.records, "hits": len(found.hits), "sets": rows, "kept": kept})
        return
    table = Table(title=f"训练记录 training records: {found.records:,}", box=None)
    for heading in ("评测集 set", "题 items", "命中 contaminated", "比例 share", ""):
        table.add_column(heading)
    for name, items in found.items.items():
        note = "已豁免 waived" if name in waived else ""
        table.add_row(name, f"{items:,}", f"{hit[name]:,}", f"{hit[name] / items:.1%}", note)
    screen.out.print(table)
    if kept is not None:
        screen.out.print(f"保留 kept {kept:,} / {found.records:,}")
